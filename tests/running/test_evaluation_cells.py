"""Evaluations after training steps: what Trainer's own loop takes, by formula, and on the twin."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from cells import TWIN
from tiny_cells import BATCH, FAMILIES, OTHER_FAMILIES, TOKENS, tiny_cell
from transformers import Trainer, TrainingArguments

from lorafa_prof.cell import Cell, Steps
from lorafa_prof.errors import UsageError
from lorafa_prof.instruments.memory.storages import StorageFollower, model_tensors, optimizer_tensors
from lorafa_prof.results.record import CellResult
from lorafa_prof.running.measure import measure_cell
from lorafa_prof.running.prepare import measured_step, prepare_step
from lorafa_prof.step import Phase

VOCABULARY = 256
LOGITS = TOKENS * VOCABULARY * 4  # bytes of a batch's, fp32


def eval_cell(model: str = "tiny-llama", method: str = "lora", **settings: Any) -> Cell:
    return tiny_cell(model, method, **{"phase": "eval", **settings})


def measured(*args: Any, **settings: Any) -> CellResult:
    result = measure_cell(eval_cell(*args, **settings))
    assert result.row["status"] == "ok"
    return result


def peak_over_start(result: CellResult) -> int:
    """Of the evaluation, in bytes that tensors asked for."""
    phases = result.details["memory"]["phases"]
    return max(memory["peak"]["requested"] for memory in phases.values())


class Batches(torch.utils.data.Dataset):  # type: ignore[type-arg]
    def __init__(self, inputs: Any, batches: int) -> None:
        self.rows = [{name: tensor[row] for name, tensor in inputs.items()} for row in range(BATCH)] * batches

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> Any:
        return self.rows[row]


def peak_in_trainer(cell: Cell, folder: Path, batches: int) -> int:
    """The same of `Trainer.evaluate` itself, after the cell's training step."""
    prepared, step = prepare_step(cell, torch.device("cpu"))
    step.run()
    arguments = TrainingArguments(
        str(folder), use_cpu=True, per_device_eval_batch_size=BATCH, report_to=[], disable_tqdm=True
    )
    trainer = Trainer(
        prepared.model,
        arguments,
        eval_dataset=Batches(step.inputs, batches),
        compute_metrics=(lambda predicted: {}) if cell.kept_logits else None,
    )
    follower = StorageFollower("cpu")
    follower.adopt((*model_tensors(prepared.model), *optimizer_tensors(prepared.optimizer, "cpu")))
    follower.adopt(step.inputs.values())
    with warnings.catch_warnings(), follower:
        warnings.simplefilter("ignore")
        trainer.evaluate()
    return follower.peak_bytes


@pytest.mark.parametrize("kept", [0, 1, 3])
@pytest.mark.parametrize("family", ["tiny-llama", "tiny-t5", "tiny-roberta", "tiny-whisper"])
def test_the_peak_is_that_of_trainer(family: str, kept: int, tmp_path: Path) -> None:
    """But for what its loader and its count of labels take: a few batches of ids."""
    cell = eval_cell(family, kept_logits=kept)
    ours = peak_over_start(measure_cell(cell))
    theirs = peak_in_trainer(cell, tmp_path, max(1, kept))
    assert 0 <= theirs - ours < 5 * 3 * TOKENS * 8 < LOGITS / 4


def test_logits_are_held_twice_as_they_are_put_together() -> None:
    static = measured(kept_logits=1).details["memory"]["phases"]["forward"]["start"]["requested"]
    for kept in (2, 6):
        phases = measured(kept_logits=kept).details["memory"]["phases"]
        # All before, those of this batch, and both together; beside them labels, and the loss of each row.
        small = phases["collect"]["peak"]["requested"] - static - 2 * kept * LOGITS
        assert 0 < small <= kept * TOKENS * 8 + 2 * kept * BATCH * 4
        before = phases["forward"]["start"]["requested"] - static
        # The names of Trainer's loop hold the last batch's until the next are there; the first is not copied.
        held = kept - 1 + (kept > 2)
        assert 0 <= before - held * LOGITS < kept * TOKENS * 8 + 64


@pytest.mark.parametrize("kept", [0, 2])
@pytest.mark.parametrize("family", [*FAMILIES, *OTHER_FAMILIES])
def test_the_twin_asks_for_what_the_cpu_does(family: str, kept: int) -> None:
    """Attention in products, which both run; the start has the GPU's workspaces."""
    cpu, twin = (measured(family, kept_logits=kept, attention="eager", device=d) for d in ("cpu", TWIN))
    for phase in ("forward", "collect"):
        here, there = (result.details["memory"]["phases"][phase] for result in (cpu, twin))
        for point in ("end", "peak"):
            ours, theirs = (side[point]["requested"] - side["start"]["requested"] for side in (here, there))
            assert ours == theirs
    assert cpu.row["flops_forward"] == twin.row["flops_forward"]


OF_TRAINING = (
    "gradients_bytes", "activation_bytes", "saved_bytes", "peak_backward_bytes", "peak_optimizer_bytes",
    "flops_backward", "backward_ms", "optimizer_ms",
)  # fmt: skip


@pytest.mark.parametrize("device", ["cpu", TWIN])
def test_what_an_evaluation_has_not_is_empty(device: str) -> None:
    steps = Steps(warmup=3, timed=2)
    row = measured(kept_logits=2, device=device, steps=steps).row
    assert all(row.get(name) is None for name in OF_TRAINING)
    assert (row["phase"], row["kept_logits"]) == ("eval", 2)
    trained = measure_cell(tiny_cell("tiny-llama", "lora", device=device, steps=steps)).row
    assert row["optimizer_bytes"] == trained["optimizer_bytes"] != 0
    assert row["flops_step"] == row["flops_forward"] == 2 * int(str(trained["flops_forward"]))
    if device == "cpu":
        one = float(str(row["step_ms_median"])) / 1e3
        assert float(str(row["tokens_per_s"])) == pytest.approx(2 * TOKENS / one)
    else:
        # The evaluation is the smaller one, but what training reserved is there.
        assert int(str(row["peak_allocated_bytes"])) < int(str(trained["peak_allocated_bytes"]))
        assert int(str(row["peak_reserved_bytes"])) >= int(str(trained["peak_reserved_bytes"]))


class Modes:
    """An observer of the modes in which the model's forwards run."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.seen: list[tuple[bool, bool]] = []
        model.register_forward_pre_hook(
            lambda module, args: self.seen.append((module.training, torch.is_grad_enabled()))
        )


def test_training_steps_train_and_the_evaluation_does_not() -> None:
    _, training = prepare_step(eval_cell(kept_logits=2), torch.device("cpu"))
    step = measured_step(eval_cell(kept_logits=2), training, torch.device("cpu"))
    modes = Modes(training.model)
    training.run()
    before = {name: weight.detach().clone() for name, weight in training.model.named_parameters()}
    step.run()
    assert modes.seen == [(True, True), (False, False), (False, False)]
    assert all(weight.equal(before[name]) for name, weight in training.model.named_parameters())


def test_phases_come_once_for_each_batch() -> None:
    phases: list[Phase] = []

    class Noting:
        def phase_started(self, phase: Phase) -> None:
            phases.append(phase)

        def phase_ended(self, phase: Phase) -> None:
            assert phases[-1] == phase

    cell = eval_cell(kept_logits=2)
    _, training = prepare_step(cell, torch.device("cpu"))
    measured_step(cell, training, torch.device("cpu")).run((Noting(),))
    assert phases == ["forward", "collect"] * 2


@pytest.mark.parametrize(
    "settings",
    [
        {"checkpointing": "full"},
        {"autocast": "bf16"},
        {"dtype": "bf16", "adapter_dtype": "fp32", "quantization": "nf4"},
        {"kernels": "fused-norm"},
        {"kernels": "fused", "kept_logits": 0},
        {"method": "full-ft", "update": "backward"},
        {"accumulation": 2, "max_grad_norm": 1.0, "padding": 0.5},
        {"method": "peft-lora-fa"},
    ],
    ids=lambda settings: "-".join(settings),
)
def test_other_settings_go_with_it(settings: dict[str, Any]) -> None:
    result = measured(**{"device": TWIN, "kept_logits": 1, **settings})
    assert "peak_allocated_bytes" in result.row


def test_nothing_is_checkpointed_and_logits_come_out_of_autocast_in_float32() -> None:
    plain, checkpointed = (measured(checkpointing=each) for each in ("none", "full"))
    assert plain.row["peak_allocated_bytes"] == checkpointed.row["peak_allocated_bytes"]
    settings = {"dtype": "bf16", "kept_logits": 1}
    narrow, wide = (measured(autocast=each, **settings) for each in ("none", "bf16"))
    kept = [
        result.details["memory"]["phases"]["collect"]["start"]["requested"]
        - result.details["memory"]["phases"]["forward"]["start"]["requested"]
        for result in (narrow, wide)
    ]
    assert LOGITS // 2 <= kept[0] < LOGITS // 2 + 64
    assert LOGITS <= kept[1] < LOGITS + 64


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"phase": "train", "kept_logits": 2}, "kept_logits 2 is of an evaluation, and phase is 'train'"),
        ({"kernels": "fused-loss", "kept_logits": 2}, "kernels 'fused-loss' make no logits"),
        ({"kernels": "fused", "kept_logits": 2}, "kernels 'fused' make no logits"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, Any], line: str) -> None:
    cell = eval_cell(**settings)
    with pytest.raises(UsageError, match=line) as refused:
        prepare_step(cell, torch.device("meta"))
    assert refused.value.about == "kept_logits"
