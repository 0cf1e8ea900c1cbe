"""The fused AdamW of the twin refuses what that of a GPU refuses, in the same words."""

from __future__ import annotations

import pytest
import torch
from ledger import on_meta, recording
from torch import Tensor
from torch.optim import AdamW

from lorafa_prof.devices.sim.kernels.optimizer import lie_alike

REFUSED = "params, grads, exp_avgs, and exp_avg_sqs must have same dtype, device, and layout"


def update(weight: Tensor, gradient: Tensor, *, amsgrad: bool = False) -> None:
    parameter = torch.nn.Parameter(weight)
    parameter.grad = gradient
    AdamW([parameter], fused=True, amsgrad=amsgrad).step()


def test_a_gradient_that_lies_otherwise_is_refused() -> None:
    with recording():
        with pytest.raises(RuntimeError, match=f"^{REFUSED}$"):
            update(on_meta(8, 4), on_meta(4, 8).t())
        with pytest.raises(RuntimeError, match="exp_avg_sqs, and max_exp_avg_sqs must have same dtype"):
            update(on_meta(8, 4), on_meta(4, 8).t(), amsgrad=True)
        with pytest.raises(RuntimeError, match=f"^{REFUSED}$"):
            update(on_meta(8, 4), on_meta(8, 8)[:, :4])


def test_weights_with_gaps_are_refused_and_transposed_ones_are_not() -> None:
    with recording():
        gaps = on_meta(8, 8)[:, :4]
        with pytest.raises(RuntimeError, match=f"^{REFUSED}$"):
            update(gaps, torch.zeros_like(gaps))
        update(on_meta(4, 8).t(), on_meta(4, 8).t())
        update(on_meta(4, 8).t(), on_meta(4, 8).t(), amsgrad=True)


def test_gaps_are_refused_though_all_have_the_same() -> None:
    gaps, overlapping = torch.empty(8, 8)[:, :4], torch.empty(4).expand(8, 4)
    assert not lie_alike([gaps], [gaps])
    assert not lie_alike([overlapping], [overlapping])


def test_strides_of_a_dimension_of_one_do_not_matter() -> None:
    """PyTorch issue 106951: the gradient of [2, 1, 100] comes with strides 100, 1, 1."""
    with recording():
        weight, gradient = on_meta(2, 1, 100), on_meta(2, 100, 1).transpose(1, 2)
        assert weight.stride() != gradient.stride()
        assert lie_alike([weight], [gradient])
        update(weight, gradient)


@pytest.mark.parametrize(
    ("weight", "gradient", "alike"),
    [
        ((4, 8), (4, 8), True),
        ((4, 8), (8, 4), False),
        ((), (), True),
        ((0, 3), (0, 3), True),
    ],
)
def test_shapes_count(weight: tuple[int, ...], gradient: tuple[int, ...], alike: bool) -> None:
    assert lie_alike([torch.empty(weight)], [torch.empty(gradient)]) == alike
