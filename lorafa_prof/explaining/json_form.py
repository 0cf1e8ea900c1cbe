"""Explanations as values for JSON; all sizes in bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from lorafa_prof.explaining.against import TensorDifference, tensor_differences
from lorafa_prof.explaining.composition import Composition, Piece
from lorafa_prof.explaining.conclusion import conclusion, conclusion_between
from lorafa_prof.explaining.explanation import Explanation
from lorafa_prof.explaining.layers import by_layer
from lorafa_prof.explaining.predicted_step import PredictedStep, RanOut
from lorafa_prof.explaining.tree import memory_tree
from lorafa_prof.explaining.trial import Trial

SCHEMA_VERSION = 1

Values = dict[str, Any]


def explanations_json(explanations: Sequence[Explanation]) -> Values:
    """All that is known of each; of two also what differs, the first less the second."""
    found: Values = {"schema": SCHEMA_VERSION, "cells": [_record(each) for each in explanations]}
    if len(explanations) == 2:
        one, other = explanations
        found["conclusion"] = conclusion_between(one, other)
        found["differences"] = {
            "peak": _differences(one.peak, other.peak),
            "activation": _differences(one.activation, other.activation),
        }
    return found


def _record(explanation: Explanation) -> Values:
    subject, predicted = explanation.subject, explanation.predicted
    tree = memory_tree(explanation)
    return {
        "cell_id": subject.cell_id,
        "label": subject.label,
        "source": explanation.source,
        "conclusion": conclusion(explanation),
        "status": subject.row.get("status"),
        "message": subject.row.get("message"),
        "settings": subject.cell.model_dump(mode="json") if subject.cell else None,
        "tree": asdict(tree) if tree else None,
        "peak": _composition(explanation.peak),
        "activation": _composition(explanation.activation),
        "peak_reserved_bytes": explanation.reserved_bytes,
        "context_bytes": explanation.context_bytes,
        "ran_out": _ran_out(predicted.ran_out) if predicted and predicted.ran_out else None,
        "what_if": [_trial(trial, predicted) for trial in explanation.trials if predicted],
        "remarks": list(explanation.remarks),
    }


def _composition(composition: Composition | None) -> Values | None:
    if composition is None:
        return None
    return {
        "total_bytes": composition.total_bytes,
        "rounding_bytes": composition.rounding_bytes,
        "unexplained_bytes": composition.unexplained_bytes,
        "reserved_bytes": composition.reserved_bytes,
        "place": asdict(composition.place) if composition.place else None,
        "pieces": [_piece(piece) for piece in composition.pieces],
        "layers": [asdict(each) for each in by_layer(composition)],
    }


def _piece(piece: Piece) -> Values:
    return {
        "part": piece.part,
        **asdict(piece.key),
        "count": piece.count,
        "bytes": piece.nbytes,
        "line": piece.line,
        "needs": [asdict(need) for need in piece.needs],
    }


def _ran_out(ran_out: RanOut) -> Values:
    return {
        "requested_bytes": ran_out.requested_bytes,
        "capacity_bytes": ran_out.capacity_bytes,
        "composition": _composition(ran_out.composition),
    }


def _trial(trial: Trial, predicted: PredictedStep) -> Values:
    remedy, memory = trial.remedy, trial.memory
    told: Values = {"change": remedy.change, "meaning": remedy.meaning, "costs": remedy.costs}
    if memory is None:
        return told | {"failure": trial.failure}
    held = predicted.activation
    return told | {
        "peak_allocated_bytes": memory.peak_allocated_bytes,
        "peak_saved_bytes": predicted.peak.total_bytes - memory.peak_allocated_bytes,
        "activation_bytes": memory.activation_bytes if held else None,
        "activation_saved_bytes": held.total_bytes - memory.activation_bytes if held else None,
        "fits": trial.fits,
    }


def _differences(one: Composition | None, other: Composition | None) -> list[Values] | None:
    if one is None or other is None:
        return None
    return [_difference(each) for each in tensor_differences(one, other)]


def _difference(difference: TensorDifference) -> Values:
    piece = difference.piece
    return {
        "part": piece.part,
        **asdict(piece.key),
        "bytes": difference.delta_bytes,
        "count": [each.count if each else 0 for each in (difference.one, difference.other)],
    }
