"""The LoRA-FA gradient correction: g ← g (A Aᵀ)⁻¹ / s², just before the optimizer sees it."""

from __future__ import annotations

import weakref
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lorafa_prof.errors import UsageError
from lorafa_prof.layers.low_rank_embedding import LoraFaEmbedding
from lorafa_prof.layers.low_rank_linear import LoraFaLinear
from lorafa_prof.layers.low_rank_weight import LoraFaWeight
from lorafa_prof.parallel.local import first_row_here, local_part, whole, with_local_part
from lorafa_prof.shapes_only import has_values

AdaptedByLoraFa = LoraFaLinear | LoraFaEmbedding | LoraFaWeight

#: Gradients that are corrected by one product are copied to lie side by side, so many bytes of them at most.
AT_ONCE_BYTES = 32 << 20

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


def _matrix_of(layer: AdaptedByLoraFa) -> Tensor:
    try:
        return correction_matrix(whole(layer.lora_A.detach()), layer.scale)
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
        raise UsageError(
            f"A of the adapter '{layer.path}' has rows that depend on each other as far as float64 can tell: "
            "gradients of its B cannot be corrected; draw it anew, or set a lower rank",
            about="rank",
        ) from error


def _matrices_of(layers: Sequence[AdaptedByLoraFa]) -> Tensor:
    """Return the matrices of these layers, side by side; on meta as long as their A's have no values."""
    first = layers[0].lora_A
    if first.is_meta:
        return first.new_empty(len(layers), *first.shape[:-1], first.shape[-2])
    found = [_matrix_of(layer) for layer in layers]
    return found[0].unsqueeze(0) if len(found) == 1 else torch.stack(found)


class _Batch:
    """Layers whose gradients [.., out, r] are corrected by one product, and their matrices side by side.

    The layers are their model's: an optimizer that outlives it holds no A.
    """

    def __init__(self, layers: Sequence[AdaptedByLoraFa]) -> None:
        self.matrices = _matrices_of(layers)
        self._layers = [weakref.ref(layer) for layer in layers]
        self._as = [_state_of(layer.lora_A) for layer in layers]

    @property
    def bs(self) -> list[nn.Parameter | None]:
        """B of each layer that still is."""
        layers = [this() for this in self._layers]
        return [None if layer is None else layer.lora_B for layer in layers]

    def follow_(self) -> None:
        """Go with the layers, all of which still are, to where their parameters are now.

        If A had values before, it has the same now. If not, it is gathered from the ranks, once.
        """
        layers = [layer for this in self._layers if (layer := this()) is not None]
        self._as = [_state_of(layer.lora_A) for layer in layers]
        if self.matrices.is_meta:
            self.matrices = _matrices_of(layers)
        self.matrices = self.matrices.to(layers[0].lora_B.device)  # that of offloaded ones is the host

    def refresh_(self) -> None:
        """Find the matrices anew of A that was changed in place, as by `load_state_dict`."""
        for index, this in enumerate(self._layers):
            layer = this()
            if layer is not None and (state := _state_of(layer.lora_A)) != self._as[index]:
                self._as[index] = state
                self.matrices[index].copy_(_matrix_of(layer))

    def correct_(self, bs: Mapping[int, nn.Parameter]) -> None:
        """Correct the gradients of these B's, by their place, by one product if they are all of them.

        Of a sharded B each rank corrects its rows, which takes nothing of the others.
        """
        if len(bs) == 1 or len(bs) < len(self._layers):
            for index, b in bs.items():
                b.grad = with_local_part(b, _product(_gradient_here(b), self._matrix_here(index, b)))
            return
        stacked = torch.stack([_gradient_here(bs[index]) for index in range(len(bs))])
        for b in bs.values():
            b.grad = None  # gone before what takes its place is there
        corrected = _product(stacked, self.matrices)
        for index, b in bs.items():
            b.grad = with_local_part(b, corrected[index])

    def _matrix_here(self, index: int, b: Tensor) -> Tensor:
        """Return the layer's matrix; of experts, those of the experts that this rank has."""
        matrix = self.matrices[index]
        return matrix if b.dim() == 2 else matrix.narrow(0, first_row_here(b), local_part(b).shape[0])


def _state_of(a: Tensor) -> tuple[int, int]:
    return id(a), a._version


def _gradient_here(b: nn.Parameter) -> Tensor:
    assert b.grad is not None
    return local_part(b.grad)


def _product(grad: Tensor, matrix: Tensor) -> Tensor:
    # Some models give their router another type when they first use it.
    return torch.matmul(grad, matrix.to(grad.dtype))


class LoraFaCorrection:
    """Corrects the gradients of B in LoRA-FA adapters; to be registered as an optimizer's step pre-hook.

    A never changes, so each layer's matrix is found once and kept; where A was changed in place all the same,
    as by `load_state_dict`, it is found anew. Nothing here waits for the device.

    Args:
        layers: corrected by their A as it is now.
        at_once_bytes: layers whose B's are of one shape and type are corrected together, so many that the
            gradients of a product have no more bytes than this; 0: each by itself, without a copy.

    Raises:
        UsageError: the rows of an A are linearly dependent; the line names it.
    """

    def __init__(self, layers: Iterable[AdaptedByLoraFa], at_once_bytes: int = 0) -> None:
        self._batches = [_Batch(alike) for alike in _alike(layers, at_once_bytes)]
        self._places: dict[int, tuple[_Batch, int]] = {}
        self._find_places()

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The matrices, as they are kept."""
        return tuple(batch.matrices for batch in self._batches)

    def follow(self) -> tuple[Tensor, ...]:
        """Go with the layers to where their parameters are now, after the model was sharded.

        Returns the matrices, as they are kept then.

        Raises:
            UsageError: the rows of an A are linearly dependent; the line names it.
        """
        for batch in self._batches:
            batch.follow_()
        self._find_places()
        return self.tensors

    @torch.no_grad()
    def __call__(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        """Replace each gradient [.., out, r] of the optimizer's B's by its corrected one."""
        present: defaultdict[_Batch, dict[int, nn.Parameter]] = defaultdict(dict)
        for group in optimizer.param_groups:
            for param in group["params"]:
                if param.grad is not None and id(param) in self._places:
                    batch, index = self._places[id(param)]
                    present[batch][index] = param
        for batch, bs in present.items():
            batch.refresh_()
            batch.correct_(bs)

    def _find_places(self) -> None:
        """Note where each B is, by its identity; no B is kept alive for it."""
        self._places = {
            id(b): (batch, index)
            for batch in self._batches
            for index, b in enumerate(batch.bs)
            if b is not None
        }


def _alike(layers: Iterable[AdaptedByLoraFa], at_once_bytes: int) -> Iterator[list[AdaptedByLoraFa]]:
    """Yield layers that are corrected together; of several experts' B's there is one product in any case."""
    waiting: defaultdict[Any, list[AdaptedByLoraFa]] = defaultdict(list)
    for layer in layers:
        b = layer.lora_B
        key = (b.shape, b.dtype, b.device)
        waiting[key].append(layer)
        if b.dim() != 2 or (len(waiting[key]) + 1) * b.nbytes > at_once_bytes:
            yield waiting.pop(key)
    yield from waiting.values()
