"""Two cells side by side, as people read them in a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lorafa_prof.explaining.against import TensorDifference, part_bytes, tensor_differences
from lorafa_prof.explaining.composition import OF_FORWARD
from lorafa_prof.explaining.conclusion import conclusion_between
from lorafa_prof.explaining.explanation import Explanation
from lorafa_prof.explaining.explanation_text import LEAST_SHARE
from lorafa_prof.explaining.lines import EMPTY, Line, change, heading, share, table, text_of
from lorafa_prof.explaining.reasons import reasons
from lorafa_prof.explaining.tree import piece_name
from lorafa_prof.parts import PART_KEYS, PARTS
from lorafa_prof.words.numbers import percent_change, size, size_change

_NOT_OF_FORWARD = tuple(part for part in PART_KEYS if part not in OF_FORWARD)


def against_text(one: Explanation, other: Explanation, depth: int, width: int | None) -> str:
    """What differs between two cells.

    Args:
        one, other: A and B of the text.
        depth: 1 for the parts alone, 2 for the largest tensors too, 3 for all.
        width: of the terminal; None where there is none.
    """
    lines = [
        *_named("A", one),
        *_named("B", other),
        EMPTY,
        *_concluded(one, other),
        *_parts(one, other),
        *_tensors(one, other, depth),
        *_rest(one, other, depth),
        *(
            Line(f"note: {name}: ", remark, style="dim")
            for name, each in (("A", one), ("B", other))
            for remark in each.remarks
        ),
    ]
    while lines[-1] == EMPTY:
        lines.pop()
    return text_of(lines, width)


def _named(name: str, explanation: Explanation) -> Iterator[Line]:
    yield Line(f"{name}  ", explanation.subject.label, style="bold")
    yield Line("   ", explanation.source, style="dim")
    if explanation.predicted is not None and explanation.predicted.ran_out is not None:
        yield Line("   ", "memory runs out; told is the step with as much as it takes", style="dim")


def _concluded(one: Explanation, other: Explanation) -> Iterator[Line]:
    if told := conclusion_between(one, other):
        yield Line("", told)
        yield EMPTY


def _parts(one: Explanation, other: Explanation) -> Iterator[Line]:
    rows = []
    if one.peak is not None and other.peak is not None:
        rows += [_row(PARTS[row.name].name, row.one, row.other) for row in part_bytes(one.peak, other.peak)]
        rows.append(_row("allocated at the peak", one.peak.total_bytes, other.peak.total_bytes))
    for name, a, b in (
        ("reserved by PyTorch", one.reserved_bytes, other.reserved_bytes),
        ("kept by forward for backward (activation_bytes)", *_activations(one, other)),
    ):
        if a is not None and b is not None:
            rows.append(_row(name, a, b))
    if rows:
        yield heading(f"Where the memory of {_step_names(one, other)} goes")
        yield from table(("A", "B", "A − B", "", ""), rows, left=[4])
        yield EMPTY


def _step_names(one: Explanation, other: Explanation) -> str:
    return " and ".join(dict.fromkeys((one.step_name, other.step_name)))


def _activations(one: Explanation, other: Explanation) -> tuple[int | None, int | None]:
    a, b = one.activation, other.activation
    return a.total_bytes if a else None, b.total_bytes if b else None


def _row(name: str, one: int, other: int) -> Sequence[str]:
    delta = one - other
    percent = percent_change(delta / other) if delta and other else ""
    return size(one), size(other), size_change(delta), percent, name


def _tensors(one: Explanation, other: Explanation, depth: int) -> Iterator[Line]:
    a, b = one.activation, other.activation
    if a is None or b is None or depth < 2:
        return
    yield heading(_who_keeps_more(a.total_bytes, b.total_bytes))
    yield from _changes(
        tensor_differences(a, b), (one, other), 0 if depth >= 3 else LEAST_SHARE * b.total_bytes
    )
    for name, delta in (
        ("rounding to blocks", a.rounding_bytes - b.rounding_bytes),
        ("unexplained", a.unexplained_bytes - b.unexplained_bytes),
    ):
        if delta:
            yield Line(f"{change(delta)}  ", name)
    yield EMPTY


def _who_keeps_more(a: int, b: int) -> str:
    if a == b:
        return "A keeps as much for backward as B"
    percent = f", {share(abs(a - b), b).strip()}" if b else ""
    return f"A keeps {size(abs(a - b))} {'less' if a < b else 'more'} for backward than B{percent}"


def _rest(one: Explanation, other: Explanation, depth: int) -> Iterator[Line]:
    a, b = one.peak, other.peak
    if a is None or b is None or depth < 2:
        return
    found = tensor_differences(a, b, _NOT_OF_FORWARD)
    if found:
        yield heading("What else differs at the peak")
        yield from _changes(found, (one, other), 0 if depth >= 3 else LEAST_SHARE * b.total_bytes)
        yield EMPTY


def _changes(
    found: Sequence[TensorDifference], explanations: tuple[Explanation, Explanation], least_bytes: float
) -> Iterator[Line]:
    """Those of `least_bytes`, the largest first, then what the others come to."""
    listed = [each for each in found if abs(each.delta_bytes) >= least_bytes]
    for each in sorted(listed, key=lambda each: -abs(each.delta_bytes)):
        words = f"{_part_of(each)}{piece_name(each.piece)}{_in_both(each)}"
        yield Line(f"{change(each.delta_bytes)}  ", words)
        cell = explanations[0 if each.piece is each.one else 1].subject.cell
        for reason in reasons(each.piece, checkpointed=cell is not None and cell.checkpointing != "none"):
            yield Line(" " * 14, f"– {reason}", below=" " * 16)
    if more := len(found) - len(listed):
        left = sum(each.delta_bytes for each in found) - sum(each.delta_bytes for each in listed)
        yield Line(f"{change(left)}  ", f"{more} {'more' if listed else 'small differences'}")


def _part_of(each: TensorDifference) -> str:
    if each.piece.part in OF_FORWARD:
        return ""
    kind = f" ({each.piece.key.kind})" if each.piece.key.kind else ""
    return f"{PARTS[each.piece.part].name}{kind}, "


def _in_both(each: TensorDifference) -> str:
    if each.one is None or each.other is None:
        return f", only in {'A' if each.one else 'B'}"
    return f" (A {size(each.one.nbytes)}, B {size(each.other.nbytes)})"
