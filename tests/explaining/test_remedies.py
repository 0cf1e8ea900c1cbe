"""Which changes are tried, and that what they save is the difference of two predictions."""

from __future__ import annotations

from typing import Any

import pytest
from explained import cell_of, measured, predicted
from timelines import twin_cell
from tiny_cells import METHOD_NAMES

from lorafa_prof.cell import Cell
from lorafa_prof.devices.sim import twin as twin_module
from lorafa_prof.explaining import trial as trial_module
from lorafa_prof.explaining.composition import Piece
from lorafa_prof.explaining.remedies import Remedy, remedies_for
from lorafa_prof.explaining.trial import Trial, bytes_left, tried
from lorafa_prof.models.kernels import KERNELS
from lorafa_prof.results.tensors import TensorKey
from lorafa_prof.running.measure import measure_cell

BATCH = "batch: 1, accumulation: 2"
#: What is compiled cannot be tried on the twin.
OTHER_KERNELS = {f"kernels: {name}" for name in KERNELS if name not in ("eager", "compile")}


def changes(cell: Cell) -> set[str]:
    return {remedy.change for remedy in remedies_for(cell)} - OTHER_KERNELS


def remedy_of(cell: Cell, change: str) -> Remedy:
    (found,) = [remedy for remedy in remedies_for(cell) if remedy.change == change]
    return found


CHECKPOINTING = ("checkpointing: full", "checkpointing: attention")
OFFLOAD = "checkpointing: full+offload"


@pytest.mark.parametrize(
    ("method", "settings", "expected"),
    [
        (
            "full-ft",
            {},
            {"method: lora", *CHECKPOINTING, "optimizer: adamw-8bit", "update: backward", BATCH},
        ),
        (
            "full-ft",
            {"optimizer": "adamw-8bit", "max_grad_norm": 1.0},
            {"method: lora", *CHECKPOINTING, BATCH},
        ),
        ("full-ft", {"optimizer": "sgd", "update": "backward"}, {"method: lora", *CHECKPOINTING}),
        ("lora", {}, {"method: lora-fa", *CHECKPOINTING, BATCH}),
        ("lora-fa", {}, {*CHECKPOINTING, BATCH}),
        ("peft-lora", {}, {"method: peft-lora-fa", "adapter_dtype: bf16", *CHECKPOINTING, BATCH}),
        ("peft-lora-fa", {"adapter_dtype": "bf16"}, {*CHECKPOINTING, BATCH}),
        ("lora-fa", {"dropout": 0.1}, {"dropout: 0.0", *CHECKPOINTING, BATCH}),
        ("lora-fa", {"checkpointing": "full", "batch": 1}, {OFFLOAD}),
        ("lora-fa", {"checkpointing": "full", "batch": 3}, {OFFLOAD}),
        ("lora-fa", {"attention": "eager"}, {"attention: sdpa", *CHECKPOINTING, BATCH}),
        ("lora-fa", {"optimizer": "adamw-foreach"}, {"optimizer: adamw", *CHECKPOINTING, BATCH}),
        ("lora-fa", {"accumulation": 3}, {*CHECKPOINTING, "batch: 1, accumulation: 6"}),
        ("lora-fa", {"phase": "eval"}, {"batch: 1"}),
        (
            "full-ft",
            {"phase": "eval", "kept_logits": 3},
            {
                "method: lora",
                "optimizer: adamw-8bit",
                "kept_logits: 1",
                "kept_logits: 0",
                "batch: 1, kept_logits: 6",
            },
        ),
    ],
)
def test_what_makes_sense(method: str, settings: dict[str, Any], expected: set[str]) -> None:
    assert changes(twin_cell(method, **settings)) == expected


def test_a_base_in_32_bits() -> None:
    cell = cell_of("lora").model_copy(update={"dtype": "fp32", "adapter_dtype": "fp32"})
    assert "dtype: bf16" in changes(cell)
    assert remedy_of(cell, "dtype: bf16").cell.adapter_dtype == "fp32"
    assert "adapter_dtype: fp32" not in changes(cell)


@pytest.mark.parametrize(
    ("kernels", "others"),
    [
        ("eager", {"fused-norm", "fused-loss", "liger", "packed"}),
        ("fused-norm", {"fused", "liger", "packed"}),
        ("fused-loss", {"fused", "liger", "packed"}),
        ("fused", {"liger", "packed"}),
        ("liger", set()),
    ],
)
def test_one_more_of_the_kernels_is_fused_at_a_time(kernels: str, others: set[str]) -> None:
    cell = twin_cell("lora", kernels=kernels)
    tried = {remedy.change for remedy in remedies_for(cell)} & OTHER_KERNELS
    assert tried == {f"kernels: {other}" for other in others}


def test_all_kernels_are_tried_from_others_on() -> None:
    found = {remedy.change for kernels in KERNELS for remedy in remedies_for(twin_cell(kernels=kernels))}
    assert found >= OTHER_KERNELS


def test_a_change_of_kernels_says_what_it_adds() -> None:
    norm, loss = (remedy_of(cell_of("lora"), f"kernels: fused-{part}") for part in ("norm", "loss"))
    assert norm.costs == "norms are computed again in backward"
    with_loss = remedy_of(twin_cell("lora", kernels="fused-norm"), "kernels: fused")
    with_norm = remedy_of(twin_cell("lora", kernels="fused-loss"), "kernels: fused")
    assert (with_loss.meaning, with_norm.meaning) == (loss.meaning, norm.meaning)
    assert with_norm.costs == norm.costs


@pytest.mark.parametrize("method", [*METHOD_NAMES, "peft-lora-fa-after-eval"])
def test_options_stay_and_everything_else_too(method: str) -> None:
    cell = twin_cell(method)
    for remedy in remedies_for(cell):
        names = {part.split(":")[0].strip() for part in remedy.change.split(",")}
        fields = {"method" if name == "dropout" else name for name in names}
        same = set(Cell.model_fields) - fields
        assert all(getattr(remedy.cell, name) == getattr(cell, name) for name in same)
        assert remedy.cell != cell
        if method != "full-ft":
            kept = {key: value for key, value in cell.method.options.items() if key != "dropout"}
            assert kept.items() <= remedy.cell.method.options.items()


@pytest.mark.parametrize(
    ("method", "change"),
    [
        ("lora", "method: lora-fa"),
        ("lora", "checkpointing: full"),
        ("lora", "kernels: fused-norm"),
        ("peft-lora", "adapter_dtype: bf16"),
        ("full-ft", BATCH),
    ],
)
def test_savings_are_the_difference_of_two_predictions(method: str, change: str) -> None:
    cell = cell_of(method)
    trial = tried(remedy_of(cell, change))
    assert trial.memory is not None
    assert trial.fits
    before, after = measured(method).row, measure_cell(trial.remedy.cell).row
    step = predicted(method)
    for column, now, then in (
        ("peak_allocated_bytes", trial.memory.peak_allocated_bytes, step.peak.total_bytes),
        ("activation_bytes", trial.memory.activation_bytes, step.activation.total_bytes),
    ):
        difference: Any = [row[column] for row in (before, after)]
        assert then - now == difference[0] - difference[1], column


def test_what_cannot_be_built_says_why() -> None:
    cell = twin_cell("lora", "tiny-roberta")
    trial = tried(remedy_of(cell, "kernels: fused-loss"))
    assert trial.memory is None
    assert "is no loss for a RobertaForSequenceClassification" in trial.failure


def test_what_fails_otherwise_is_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any, **kwargs: Any) -> None:
        raise ZeroDivisionError("by naught")

    monkeypatch.setattr(trial_module, "predict_memory", broken)
    trial = tried(remedy_of(cell_of("lora"), "method: lora-fa"))
    assert trial.failure == "ZeroDivisionError: by naught"


def test_where_memory_runs_out_the_remedy_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    remedy = remedy_of(cell_of("lora"), "method: lora-fa")
    fitting = tried(remedy)
    monkeypatch.setattr(twin_module, "allocator_capacity", lambda gpu: 4 * 2**20)
    trial = tried(remedy)
    assert not trial.fits
    assert trial.memory == fitting.memory


def test_what_is_left_of_tensors() -> None:
    """LoRA-FA keeps no input of a linear; with 16-bit adapters they take half of it; attention stays."""
    step = predicted("peft-lora")
    pieces = step.activation.pieces
    fa = tried(remedy_of(cell_of("peft-lora"), "method: peft-lora-fa"))
    narrow = tried(remedy_of(cell_of("peft-lora"), "adapter_dtype: bf16"))
    inputs = [
        piece for piece in pieces if piece.key.kind == "linear_input" and "down_proj" in piece.key.module
    ]
    attention = [piece for piece in pieces if piece.key.kind == "attention"]
    assert inputs
    assert attention
    for piece in inputs:
        assert bytes_left(piece, pieces, fa) == 0
        assert bytes_left(piece, pieces, narrow) == piece.nbytes // 2
    for piece in attention:
        assert bytes_left(piece, pieces, fa) == piece.nbytes
    # Of tensors of another shape nothing is said.
    half = tried(remedy_of(cell_of("peft-lora"), BATCH))
    assert bytes_left(inputs[0], pieces, half) is None


def test_nothing_is_left_to_say_without_a_trial() -> None:
    piece = Piece("saved", TensorKey("m", "norm"), 1, 8)
    failed = Trial(remedy_of(cell_of("lora"), "method: lora-fa"), failure="no")
    assert bytes_left(piece, (piece,), failed) is None


def left_by(piece: Piece, pieces: tuple[Piece, ...], trial: Trial) -> int:
    left = bytes_left(piece, pieces, trial)
    assert left is not None, piece
    return left


@pytest.mark.parametrize(
    ("method", "model", "change"),
    [
        ("lora", "tiny-llama", "method: lora-fa"),
        ("peft-lora", "tiny-t5", "method: peft-lora-fa"),
        ("peft-lora", "tiny-gpt2", "adapter_dtype: bf16"),
        # What goes into a layer is kept by checkpointing, whoever had it saved without.
        ("full-ft", "tiny-roberta", "checkpointing: full"),
        ("full-ft", "tiny-gpt2", "checkpointing: full"),
    ],
)
def test_what_is_left_of_all_tensors_is_what_the_remedied_cell_saves(
    method: str, model: str, change: str
) -> None:
    trial = tried(remedy_of(cell_of(method, model), change))
    assert trial.saved is not None
    pieces = predicted(method, model).activation.of("saved")
    left = sum(left_by(piece, pieces, trial) for piece in pieces)
    assert left == sum(held.nbytes for held in trial.saved.values())


def test_of_a_tensor_that_another_operation_may_keep_nothing_is_said() -> None:
    settings = (("attention", "eager"),)
    trial = tried(remedy_of(cell_of("full-ft", "tiny-llama", settings), "attention: sdpa"))
    pieces = predicted("full-ft", "tiny-llama", settings).activation.of("saved")
    (output,) = (each for each in pieces if each.key.module.endswith("o_proj"))
    assert bytes_left(output, pieces, trial) is None
    probabilities = [each for each in pieces if each.key.shape[-2:] == (48, 48)]
    assert probabilities
    assert [bytes_left(each, pieces, trial) for each in probabilities] == [0] * len(probabilities)
