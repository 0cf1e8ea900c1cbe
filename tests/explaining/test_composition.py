"""The pieces of the peak and of the activation memory sum to what the cell's row says, to the byte."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from explained import SETTINGS, Settings, measured, predicted, watched
from timelines import made_up
from tiny_cells import FAMILIES, METHOD_NAMES

from lorafa_prof.explaining.composition import (
    Composition,
    Piece,
    composition_at,
    left_by_forward,
    peak_moment,
    together,
)
from lorafa_prof.instruments.allocations.block_notes import BlockNote
from lorafa_prof.instruments.saved.recorder import SavedStorage
from lorafa_prof.parts import PART_KEYS, PartKey
from lorafa_prof.results.tensors import TensorKey, saved_tensors

CELLS: list[tuple[str, str, Settings]] = [
    (method, family, ()) for family in FAMILIES for method in METHOD_NAMES
]
CELLS += [("lora", "tiny-llama", settings) for settings in SETTINGS]
CELLS += [("full-ft", "tiny-gpt2", (("kernels", "fused-loss"),))]


def bytes_of(composition: Composition, part: PartKey) -> int:
    return sum(piece.nbytes for piece in composition.of(part))


@pytest.mark.parametrize(("method", "family", "settings"), CELLS)
def test_the_pieces_are_the_row(method: str, family: str, settings: Settings) -> None:
    row: Any = measured(method, family, settings).row
    step = predicted(method, family, settings)
    for composition, column in ((step.peak, "peak_allocated_bytes"), (step.activation, "activation_bytes")):
        assert composition.total_bytes == row[column]
        assert composition.unexplained_bytes == 0
        pieces = sum(piece.nbytes for piece in composition.pieces)
        assert pieces + composition.rounding_bytes == row[column]
    assert step.peak_reserved_bytes == row["peak_reserved_bytes"]
    assert bytes_of(step.peak, "weights") == row["weights_bytes"]
    assert bytes_of(step.peak, "optimizer") == row["optimizer_bytes"]
    assert bytes_of(step.peak, "gradients") <= row["gradients_bytes"]
    assert bytes_of(step.peak, "other") == 0
    assert step.ran_out is None


@pytest.mark.parametrize(("method", "family", "settings"), CELLS)
def test_what_is_saved_is_what_the_record_has(method: str, family: str, settings: Settings) -> None:
    """The record's storages were seen by hooks alone, in a step of their own."""
    recorded = saved_tensors(measured(method, family, settings).details)
    assert recorded is not None
    saved = {
        piece.key: (piece.count, piece.nbytes)
        for piece in predicted(method, family, settings).activation.of("saved")
    }
    assert saved == {
        key: (held.count, held.nbytes) for key, held in recorded.items() if key.kind != "held_otherwise"
    }


def test_of_checkpointed_layers_what_runs_again_is_told_apart() -> None:
    """The tiny model's loss is small enough that the peak is in a layer of backward."""
    step = predicted("full-ft", settings=(("checkpointing", "full"), ("batch", 1), ("seq", 200)))
    assert step.peak.place is not None
    assert step.peak.place.phase == "backward"
    assert bytes_of(step.peak, "recomputed") > 0
    assert step.peak.unexplained_bytes == 0
    assert bytes_of(predicted("full-ft").peak, "recomputed") == 0


def test_of_micro_batches_the_gradients_of_those_before_are_there() -> None:
    two = predicted("full-ft", settings=(("accumulation", 2),)).peak
    assert bytes_of(two, "gradients") == measured("full-ft").row["gradients_bytes"]
    assert bytes_of(two, "saved") > 0


def test_gradients_that_a_loss_forms_in_forward_are_saved_there_and_gradients_after_it() -> None:
    settings = (("kernels", "fused-loss"),)
    step = predicted("full-ft", "tiny-gpt2", settings)
    (kept,) = [piece for piece in step.activation.of("saved") if piece.key.shape == (256, 64)]
    assert kept.count == 1
    watched_step = watched("full-ft", "tiny-gpt2", settings)
    backward = next(s for s in watched_step.timeline.steady_spans if s.phase == "backward")
    after = composition_at(watched_step.timeline, watched_step.notes, backward.end, 0)
    assert bytes_of(after, "gradients") == measured("full-ft", "tiny-gpt2", settings).row["gradients_bytes"]


def test_an_unknown_byte_is_unexplained() -> None:
    peak = predicted("lora").peak
    assert replace(peak, total_bytes=peak.total_bytes + 512).unexplained_bytes == 512
    assert replace(peak, pieces=peak.pieces[1:]).unexplained_bytes == peak.pieces[0].nbytes


SAVED = SavedStorage("layers.0.mlp", "silu", "mlp_activation", (7,), "float32", 99, 1, False, "here.py:1")


def test_a_made_up_timeline() -> None:
    """Blocks are one byte larger than what was asked for; the peak is before anything is freed."""
    timeline = made_up(
        [
            ("forward", "activations", 100),
            ("forward", "activations", 50),
            ("backward", "temporaries", 30),
            ("backward", "temporaries", -30),
            ("backward", "activations", -50),
        ]
    )
    notes = {
        0: BlockNote(saved=SAVED),
        1: BlockNote(saved=replace(SAVED, from_before=True)),
        2: BlockNote(recomputed=True, shape=(3,), dtype="bfloat16"),
    }
    assert peak_moment(timeline) == 3
    peak = composition_at(timeline, notes, 3, 180)
    assert {piece.part: piece.nbytes for piece in peak.pieces} == {"saved": 99, "held": 49, "recomputed": 29}
    assert peak.rounding_bytes == 3
    assert peak.unexplained_bytes == 0
    left = left_by_forward(timeline, notes, 2, 150)
    assert [piece.part for piece in left.pieces] == ["saved", "held"]
    assert left.unexplained_bytes == 0
    assert left.pieces[0].key == TensorKey("layers.*.mlp", "mlp_activation", "silu", "float32", (7,))
    assert left.pieces[0].line == "here.py:1"


def test_nothing_is_live_before_the_first_event() -> None:
    timeline = made_up([("forward", "activations", 100)])
    nothing = composition_at(timeline, {}, 0, 0)
    assert nothing.pieces == ()
    assert nothing.place is not None
    assert nothing.place.phase == "build"


def test_pieces_of_a_key_are_one_and_of_two_parts_two() -> None:
    key = TensorKey("layers.*.mlp", "")
    both = together([Piece("saved", key, 1, 5), Piece("held", key, 1, 7), Piece("saved", key, 2, 6)])
    assert [(piece.part, piece.count, piece.nbytes) for piece in both] == [("saved", 3, 11), ("held", 1, 7)]


def test_there_is_a_peak_only_in_a_steady_step() -> None:
    with pytest.raises(ValueError, match="ran out"):
        peak_moment(replace(made_up([("forward", "activations", 1)]), steady=None))


def test_every_part_has_its_place_in_the_order() -> None:
    parts = {piece.part for method in METHOD_NAMES for piece in predicted(method).peak.pieces}
    assert parts <= set(PART_KEYS)
