"""The change of W = W₀ + s B A that one step makes of W's full gradient G, by rule.

A plain gradient step with learning rate η changes B by −η gB and A by −η gA, with gB = s G Aᵀ and
gA = s Bᵀ G, and so W by −η D, up to η²:

    LoRA                    D = s (gB A + B gA) = s² (G AᵀA + B Bᵀ G)
    LoRA-FA, uncorrected    D = s gB A          = s² G AᵀA
    LoRA-FA                 D = s gB (A Aᵀ)⁻¹ A / s² = G Aᵀ (A Aᵀ)⁻¹ A, the projection of G onto A's row space

What no small change of the adapter can go below is the distance of G from its projection: for LoRA-FA onto
A's row space, P_A = Aᵀ (A Aᵀ)⁻¹ A, for LoRA onto that and B's column space, G − (1 − P_B) G (1 − P_A).

All of it in float64.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lorafa_prof.instruments.fidelity.comparison import Change, rows_at_once
from lorafa_prof.optim.lora_fa import correction_matrix

LORA, LORA_FA, UNCORRECTED = "lora", "lora-fa", "lora-fa-uncorrected"
OPTIMIZER = "optimizer"
ROWS, ROWS_AND_COLUMNS = "rows", "rows-and-columns"


def plain_steps(gradient: Tensor, a: Tensor, b: Tensor, scale: float) -> dict[str, Change]:
    """Return D of a plain step by each rule, for G [out, in], and A [r, in] and B [out, r] in float64."""
    g_a = _times(gradient, a.t())
    return {
        LORA: Change(
            torch.cat([scale**2 * g_a, scale**2 * b], dim=1), torch.cat([a, _times(gradient.t(), b).t()])
        ),
        UNCORRECTED: Change(scale**2 * g_a, a),
        LORA_FA: Change(g_a @ inverse_gram(a), a),
    }


def optimizer_step(before: tuple[Tensor, Tensor], after: tuple[Tensor, Tensor], scale: float) -> Change:
    """Return D = −ΔW = s (B₀ A₀ − B₁ A₁) of A and B in float64, before and after a step."""
    (a0, b0), (a1, b1) = before, after
    left = torch.cat([scale * b0, -scale * b1], dim=1)
    return Change(left, torch.cat([a0, a1]))


def projections(gradient: Tensor, a: Tensor, b: Tensor) -> dict[str, Change]:
    """Return G's projections onto A's row space, and onto that and B's column space; all in float64."""
    rows, columns = _basis(a), _basis(b.t()).t()
    g_rows = _times(gradient, rows.t())
    columns_g = _times(gradient.t(), columns).t()
    rest = columns_g - columns_g @ rows.t() @ rows
    return {
        ROWS: Change(g_rows, rows),
        ROWS_AND_COLUMNS: Change(torch.cat([g_rows, columns], dim=1), torch.cat([rows, rest])),
    }


def inverse_gram(a: Tensor) -> Tensor:
    """Return (A Aᵀ)⁻¹ [r, r], the pseudo-inverse where rows of A depend on each other.

    Our LoRA-FA refuses such an A. PEFT's, which adds a little to the diagonal, does not, nor does any LoRA.
    """
    try:
        return correction_matrix(a, 1.0)
    except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
        inverse: Tensor = torch.linalg.pinv((a @ a.t()).cpu(), hermitian=True)
        return inverse.to(a.device)


def _basis(matrix: Tensor) -> Tensor:
    """Return an orthonormal basis of the row space, [k, in] for a matrix [r, in], k its rank.

    It is found on the host, as the matrix of the correction is: cuSOLVER would leave a workspace on the GPU.
    """
    _, values, rows = torch.linalg.svd(matrix.cpu(), full_matrices=False)
    least = values.max() * max(matrix.shape) * torch.finfo(torch.float64).eps
    basis: Tensor = rows[values > least]
    return basis.to(matrix.device)


def _times(gradient: Tensor, narrow: Tensor) -> Tensor:
    """Return gradient [n, m] @ narrow [m, k] in float64, without a copy of all of the gradient in it."""
    return torch.cat([part.double() @ narrow for part in gradient.split(rows_at_once(gradient))])
