"""What each layer holds, layers that hold the same as one."""

from __future__ import annotations

import pytest
from explained import predicted
from tiny_cells import FAMILIES, METHOD_NAMES

from lorafa_prof.explaining.composition import Composition, Piece
from lorafa_prof.explaining.layers import EqualLayers, by_layer
from lorafa_prof.results.tensors import TensorKey

KEY = TensorKey("layers.*.mlp", "mlp_activation")


def composition(*layers: dict[str, int]) -> Composition:
    pieces = [Piece("saved", KEY, 1, sum(each.values()), layers=each) for each in layers]
    return Composition(10**6, tuple(pieces), 0)


def test_neighbours_that_hold_the_same_are_one_and_numbers_are_numbers() -> None:
    held = {f"base_model.model.model.layers.{number}": 5 for number in range(1, 12)}
    found = by_layer(composition(held | {"base_model.model.model.layers.0": 3}, {"model.layers.11": 1}))
    assert found == [
        EqualLayers("layers", 0, 0, 3),
        EqualLayers("layers", 1, 10, 5),
        EqualLayers("layers", 11, 11, 6),
    ]


def test_what_is_in_no_layer_is_left_out() -> None:
    assert by_layer(Composition(8, (Piece("saved", TensorKey("head", "norm"), 1, 8),), 0)) == []


@pytest.mark.parametrize("method", METHOD_NAMES)
@pytest.mark.parametrize("family", FAMILIES)
def test_layers_and_what_is_outside_of_them_are_all_that_lives(family: str, method: str) -> None:
    peak = predicted(method, family).peak
    inside = sum((each.last - each.first + 1) * each.nbytes for each in by_layer(peak))
    outside = sum(piece.nbytes for piece in peak.pieces if "*" not in piece.key.module)
    assert inside + outside == sum(piece.nbytes for piece in peak.pieces)
    assert {each.stack for each in by_layer(peak)}


def test_the_first_layer_of_lora_holds_less() -> None:
    """What goes into it needs no gradient, so its norm keeps nothing."""
    first, second = by_layer(predicted("lora").activation)
    assert (first.first, second.first) == (0, 1)
    assert first.nbytes < second.nbytes
