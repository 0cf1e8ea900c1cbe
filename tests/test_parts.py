from __future__ import annotations

import itertools
from collections.abc import Mapping

import pytest
from matplotlib.colors import to_hex, to_rgb

from lorafa_prof.figures.kit.style import looks
from lorafa_prof.methods.base import METHODS
from lorafa_prof.parts import BLOCK_KINDS, PARTS, PEAK_PARTS, SAVED_PARTS, Part

STACKS: list[dict[str, Part]] = [
    {kind: PARTS[kind] for kind in BLOCK_KINDS},
    {key: part for key, part in PEAK_PARTS.items() if key != "activation_bytes"},
    {key: part for key, part in PEAK_PARTS.items() if not key.startswith(("saved_", "unsaved"))},
]


def lightness(color: str) -> float:
    """Of its print in grey, 0 to 1."""
    red, green, blue = to_rgb(color)
    return 0.299 * red + 0.587 * green + 0.114 * blue


@pytest.mark.parametrize("parts", [PARTS, SAVED_PARTS, PEAK_PARTS])
def test_no_part_has_the_colour_of_a_method(parts: Mapping[str, Part]) -> None:
    others = [f"another-{number}" for number in range(9)]
    of_methods = {to_hex(look.color) for look in looks([*METHODS, *others]).values()}
    assert not of_methods & {to_hex(part.color) for part in parts.values()}


@pytest.mark.parametrize("stack", STACKS)
def test_what_is_drawn_together_looks_and_is_called_otherwise(stack: dict[str, Part]) -> None:
    assert len({(part.color, part.hatch) for part in stack.values()}) == len(stack)
    assert len({part.name for part in stack.values()}) == len(stack)


@pytest.mark.parametrize("stack", STACKS)
def test_neighbours_in_a_stack_are_told_apart_in_print(stack: dict[str, Part]) -> None:
    for below, above in itertools.pairwise(stack.values()):
        apart = abs(lightness(below.color) - lightness(above.color))
        assert apart > 0.1 or below.hatch != above.hatch, (below.name, above.name)


def test_a_kind_is_called_the_same_alone_and_in_a_stack() -> None:
    for kind, part in SAVED_PARTS.items():
        assert PEAK_PARTS[f"saved_{kind}"].name == f"saved: {part.name}"
