"""LoRA-FA without its correction, and adapters that are drawn by random numbers of their own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from cells import TWIN, make_cell
from methods.tiny_training import batch_of, prepare
from pydantic import ValidationError
from torch import Tensor

from lorafa_prof.errors import UsageError
from lorafa_prof.methods.base import METHODS, Prepared
from lorafa_prof.optim.lora_fa import correction_matrix
from lorafa_prof.results.row import method_label
from lorafa_prof.running.measure import measure_cell
from lorafa_prof.running.ranks.limits import check_ranks
from lorafa_prof.scenario.options import validated_options


def options_of(**given: Any) -> dict[str, Any]:
    return validated_options(METHODS["lora-fa"], given)


def gradients(correction: Any) -> dict[str, Tensor]:
    """What the optimizer sees of each B."""
    prepared = prepare("tiny-llama", "lora-fa", {"rank": 4, "alpha": 6.0, "correction": correction})
    prepared.model(**batch_of("tiny-llama")).loss.backward()
    seen: dict[str, Tensor] = {}

    def see(*_: Any) -> None:
        named = prepared.model.named_parameters()
        seen.update({name: p.grad.clone() for name, p in named if p.grad is not None})

    prepared.optimizer.register_step_pre_hook(see)
    prepared.optimizer.step()
    return seen


def test_without_its_correction_the_optimizer_sees_the_gradient_of_b_itself() -> None:
    plain, corrected = gradients(False), gradients(True)
    matrices = dict(prepare("tiny-llama", "lora-fa", {"rank": 4}).model.named_parameters())
    for name, gradient in plain.items():
        matrix = correction_matrix(matrices[name.replace("lora_B", "lora_A")], 6.0 / 4)
        torch.testing.assert_close(gradient @ matrix, corrected[name])
        assert not torch.allclose(gradient, corrected[name])


def test_nothing_is_kept_for_a_correction_that_is_not_made() -> None:
    assert prepare("tiny-llama", "lora-fa", {"correction": False}).optimizer_tensors == ()


def test_true_is_each_and_both_are_the_cell_of_before() -> None:
    assert options_of(correction=True) == options_of(correction="each") == options_of()
    assert options_of(correction=False)["correction"] is False
    assert "draw_seed" not in options_of()
    assert options_of(draw_seed=0)["draw_seed"] == 0


@pytest.mark.parametrize("written", [0, 1, "false", "none", None])
def test_other_values_of_correction_are_refused(written: Any) -> None:
    with pytest.raises(ValidationError):
        options_of(correction=written)


def test_the_table_tells_the_uncorrected_apart() -> None:
    named = [method_label(make_cell("lora-fa", options=options_of(correction=c))) for c in (True, False)]
    assert named == ["lora-fa", "lora-fa-uncorrected"]


def test_the_twin_of_an_uncorrected_step_has_no_matrices() -> None:
    settings: dict[str, Any] = {
        "model": "tiny-llama",
        "device": TWIN,
        "dtype": "bf16",
        "adapter_dtype": "bf16",
    }
    rows = [
        measure_cell(make_cell("lora-fa", options=options_of(rank=4, correction=c), **settings)).row
        for c in ("each", False)
    ]
    # Fourteen layers, each with a matrix of 4 × 4 numbers of 2 bytes; what a storage is made for counts.
    saved = int(rows[0]["optimizer_bytes"] or 0) - int(rows[1]["optimizer_bytes"] or 0)
    assert saved == 14 * 4 * 4 * 2


def drawn(prepared: Prepared) -> dict[str, Tensor]:
    return {name: value for name, value in prepared.model.named_parameters() if "lora_A" in name}


def base(prepared: Prepared) -> dict[str, Tensor]:
    return {name: value for name, value in prepared.model.named_parameters() if "lora_" not in name}


@pytest.mark.parametrize("method", ["lora", "lora-fa", "peft-lora", "peft-lora-fa"])
def test_a_draw_seed_changes_the_draw_of_a_and_nothing_else(method: str) -> None:
    options = {"rank": 4, "targets": "q_proj"}
    after: list[Tensor] = []
    made: list[Prepared] = []
    for seed in (None, 0, 0, 1):
        made.append(prepare("tiny-llama", method, {**options, "draw_seed": seed}))
        after.append(torch.rand(3))
    plain, first, same, other = made
    for name, value in drawn(first).items():
        assert torch.equal(value, drawn(same)[name])
        assert not torch.equal(value, drawn(other)[name])
        assert not torch.equal(value, drawn(plain)[name])
    for name, value in base(plain).items():
        assert torch.equal(value, base(first)[name]), name
    assert torch.equal(after[1], after[2])
    assert torch.equal(after[1], after[3]), "numbers that are drawn later do not depend on it"


def test_lora_and_lora_fa_have_the_same_a() -> None:
    options = {"rank": 4, "draw_seed": 3}
    one, other = (drawn(prepare("tiny-llama", method, options)) for method in ("lora", "lora-fa"))
    assert all(torch.equal(one[name], other[name]) for name in one | other)


def test_a_sharded_models_draw_has_no_seed_of_its_own() -> None:
    cell = make_cell("lora-fa", options=options_of(draw_seed=1), parallel="fsdp2", gpus=2, device=TWIN)
    with pytest.raises(UsageError, match="draw_seed") as error:
        check_ranks(cell)
    assert error.value.about == "draw_seed"
