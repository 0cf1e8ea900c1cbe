"""PEFT's LoRA-FA after `disable_adapter()`: what it was to save is kept again, and nothing else changes."""

from __future__ import annotations

import peft
import pytest
import torch
from layer_formulas import FORMULAS, multi_head_llama
from tiny_cells import TOKENS, saved_of, step_of
from torch import nn

from lorafa_prof.instruments.saved.recorder import SavedTensors

METHOD = "peft-lora-fa-after-eval"
HIDDEN, INTERMEDIATE, HEADS, LAYERS = 64, 176, 4, 2


def peft_thaws() -> bool:
    """Whether PEFT by itself makes a frozen A require a gradient when `disable_adapter` ends."""
    model = peft.get_peft_model(
        nn.Sequential(nn.Linear(4, 4)),
        peft.LoraConfig(r=2, target_modules=["0"]),  # type: ignore[arg-type]
    )
    a = model.base_model.model[0].lora_A["default"].weight
    a.requires_grad_(False)
    with model.disable_adapter():
        pass
    return bool(a.requires_grad)


@pytest.fixture
def thawing() -> None:
    if not peft_thaws():
        pytest.skip(
            f"good news: PEFT {peft.__version__} keeps A frozen through disable_adapter(); {METHOD} is now "
            "the same as peft-lora-fa, and can go once no older PEFT is supported"
        )


def trained_a(method: str) -> set[bool]:
    model = step_of("tiny-llama", method)[0].model
    return {p.requires_grad for name, p in model.named_parameters() if "lora_A" in name}


def saved(method: str, adapter_dtype: str) -> SavedTensors:
    model = multi_head_llama(LAYERS, hidden=HIDDEN, intermediate=INTERMEDIATE, heads=HEADS)
    return saved_of(*step_of(model, method, dtype="bf16", adapter_dtype=adapter_dtype))


def test_a_is_left_as_peft_leaves_it() -> None:
    assert trained_a("peft-lora-fa") == {False}
    assert trained_a(METHOD) == {peft_thaws()}


def test_the_peft_that_ci_runs_has_the_fault() -> None:
    assert peft_thaws() or peft.__version__ != "0.21.0"


@pytest.mark.usefixtures("thawing")
@pytest.mark.parametrize("adapter_dtype", ["fp32", "bf16"])
def test_as_much_is_saved_as_with_lora(adapter_dtype: str) -> None:
    of = {name: coefficients for name, options, dtype, coefficients in FORMULAS
          if not options and dtype == adapter_dtype}  # fmt: skip
    h, i = (lora - fa for lora, fa in zip(of["peft-lora"][:2], of["peft-lora-fa"][:2], strict=True))
    frozen, thawed = saved("peft-lora-fa", adapter_dtype), saved(METHOD, adapter_dtype)
    grown = thawed.total_bytes - frozen.total_bytes
    assert grown == LAYERS * (h * HIDDEN + i * INTERMEDIATE) * TOKENS
    assert thawed.total_bytes == saved("peft-lora", adapter_dtype).total_bytes
    assert thawed.by_kind["linear_input"] - frozen.by_kind["linear_input"] == grown


@pytest.mark.usefixtures("thawing")
def test_each_a_keeps_its_input_again() -> None:
    def at_a(found: SavedTensors) -> dict[str, int]:
        return {path: size for path, size in found.by_module.items() if ".lora_A." in path}

    assert at_a(saved("peft-lora-fa", "fp32")) == {}
    thawed = at_a(saved(METHOD, "fp32"))
    widths = [INTERMEDIATE if "down_proj" in path else HIDDEN for path in thawed]
    assert len(thawed) == 7 * LAYERS
    assert list(thawed.values()) == [4 * width * TOKENS for width in widths]


def test_updates_are_the_same() -> None:
    weights = []
    for method in ("peft-lora-fa", METHOD):
        prepared, step = step_of("tiny-llama", method)
        for _ in range(2):
            step.run()
        weights.append({name: p.detach() for name, p in prepared.model.named_parameters()})
        assert all(p.grad is None for p in prepared.model.parameters())
    frozen, thawed = weights
    assert all(torch.equal(frozen[name], thawed[name]) for name in frozen)
