"""The LoRA-FA gradient correction: g ← g (A Aᵀ)⁻¹ / s², just before the optimizer sees it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lorafa_prof.layers.low_rank_embedding import LoraFaEmbedding
from lorafa_prof.layers.low_rank_linear import LoraFaLinear
from lorafa_prof.layers.low_rank_weight import LoraFaWeight
from lorafa_prof.shapes_only import has_values

# A row of A depends on the rows before it if less than this share of its squared length is its own. Cholesky
# alone sees that in half of the cases: rounding leaves shares of about ±1e-14.
DEPENDENT_SHARE = 1e-12


def correction_matrix(a: Tensor, scale: float) -> Tensor:
    """Return (A Aᵀ)⁻¹ / s² [.., r, r] in A's type, for A [.., r, in].

    It gives the least-squares gradient of B, whose low-rank change of the weight is closest to the full
    gradient's (arXiv 2308.03303, section 3). A Aᵀ is symmetric positive definite, so a Cholesky
    factorisation inverts it; in float64, since this is done once in a run.

    Raises:
        torch.linalg.LinAlgError: the rows of A are linearly dependent.
    """
    wide = a.detach().double()
    return _inverse(wide @ wide.mT).div_(scale**2).to(device=a.device, dtype=a.dtype)


def _inverse(gram: Tensor) -> Tensor:
    """Return the inverse of gram [.., r, r], on the host: cuSOLVER would leave a workspace on the GPU."""
    if not has_values(gram.device):
        # By columns, as LAPACK has matrices.
        return torch.empty(gram.shape, dtype=gram.dtype).mT
    gram = gram.cpu()
    factor = torch.linalg.cholesky(gram)
    own = factor.diagonal(dim1=-2, dim2=-1).square()
    if (own < DEPENDENT_SHARE * gram.diagonal(dim1=-2, dim2=-1)).any():
        raise torch.linalg.LinAlgError("the rows of A are linearly dependent")  # type: ignore[attr-defined]
    return torch.cholesky_inverse(factor)


@dataclass(frozen=True)
class LoraFaCorrection:
    """Corrects the gradients of B in LoRA-FA adapters; to be registered as an optimizer's step pre-hook.

    A never changes, so each layer's matrix is computed once and kept.

    Attributes:
        matrices: pairs of a layer's B and its correction matrix.
    """

    matrices: tuple[tuple[nn.Parameter, Tensor], ...]

    @classmethod
    def of(cls, layers: Iterable[LoraFaLinear | LoraFaEmbedding | LoraFaWeight]) -> LoraFaCorrection:
        """Return the correction for `layers`, computed from their A as it is now."""
        return cls(tuple((layer.lora_B, correction_matrix(layer.lora_A, layer.scale)) for layer in layers))

    @torch.no_grad()
    def __call__(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        """Replace each B's gradient [.., out, r] by its corrected one."""
        for b, matrix in self.matrices:
            if b.grad is not None:
                # Some models give their router another type when they first use it.
                b.grad = torch.matmul(b.grad, matrix.to(b.grad.dtype))
