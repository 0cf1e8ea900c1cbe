"""Nothing is drawn where only shapes count, by whatever name the functions are called."""

from __future__ import annotations

import torch
from torch import nn
from transformers import initialization

from lorafa_prof.models.undrawn import nothing_drawn


def test_neither_pytorchs_functions_nor_transformers_draw_and_both_do_again_after() -> None:
    weight = torch.zeros(64, 64)
    with nothing_drawn():
        nn.init.normal_(weight)
        initialization.trunc_normal_(weight)
        initialization.lecun_normal_(weight)
        assert not weight.any()
    initialization.trunc_normal_(weight)
    assert weight.any()
    weight.zero_()
    nn.init.normal_(weight)
    assert weight.any()
