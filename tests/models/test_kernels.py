"""The choices of `kernels`: which there are, and what each of them replaces."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lorafa_prof.cell import ModelChoice
from lorafa_prof.errors import UsageError
from lorafa_prof.models.build import build_model
from lorafa_prof.models.kernels import KERNELS, use_kernels
from lorafa_prof.models.resolve import resolve_model


def model_of(name: str) -> nn.Module:
    return build_model(
        resolve_model(ModelChoice(name=name)),
        device=torch.device("meta"),
        dtype=torch.float32,
        attention="sdpa",
        checkpointing="none",
    )


@pytest.mark.parametrize(
    ("kernels", "replaced"),
    [
        ("eager", set()),
        ("fused-norm", {"LlamaRMSNorm"}),
        ("fused-loss", {"LlamaForCausalLM"}),
        ("fused", {"LlamaRMSNorm", "LlamaForCausalLM"}),
    ],
)
def test_whose_forward_is_replaced(kernels: str, replaced: set[str]) -> None:
    model = model_of("tiny-llama")
    use_kernels(kernels, model)
    assert {type(module).__name__ for module in model.modules() if "forward" in vars(module)} == replaced


def test_there_are_no_others() -> None:
    assert list(KERNELS) == ["eager", "fused-norm", "fused-loss", "fused", "liger", "compile", "packed"]
    with pytest.raises(
        UsageError, match="known: eager, fused-norm, fused-loss, fused, liger, compile, packed"
    ):
        use_kernels("unsloth", model_of("tiny-llama"))


@pytest.mark.parametrize(("model", "half"), [("tiny-gpt2", "fused-norm"), ("tiny-t5", "fused-loss")])
def test_of_both_one_alone_is_refused(model: str, half: str) -> None:
    with pytest.raises(UsageError, match=f"kernels '{half}' ") as caught:
        use_kernels("fused", model_of(model))
    assert caught.value.about == "kernels"
