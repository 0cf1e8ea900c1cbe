"""The explanation of a cell as people read it in a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from lorafa_prof.explaining.composition import Piece
from lorafa_prof.explaining.conclusion import conclusion
from lorafa_prof.explaining.explanation import Explanation
from lorafa_prof.explaining.layers import by_layer
from lorafa_prof.explaining.lines import EMPTY, Line, amount, heading, share, table, text_of
from lorafa_prof.explaining.modules import by_module
from lorafa_prof.explaining.names import moment_name
from lorafa_prof.explaining.predicted_step import PredictedStep
from lorafa_prof.explaining.reasons import reasons
from lorafa_prof.explaining.tree import Branch, composition_tree, memory_tree, piece_name
from lorafa_prof.explaining.trial import Trial, bytes_left
from lorafa_prof.instruments.memory.profile import MemoryProfile
from lorafa_prof.running.out_of_memory import out_of_memory_line
from lorafa_prof.words.numbers import size
from lorafa_prof.words.phrases import and_more
from lorafa_prof.words.scales import bytes_scale

#: What is less than this of the peak is told together with the like of it, unless all is asked for.
LEAST_SHARE = 0.002
_MOST_TENSORS = 12
_MOST_MODULES = 12
_MOST_LAYERS = 6
_LEVELS = ("memory", "total", "part", "group", "piece")
_BLANK_SHARE = " " * 7


def explanation_text(explanation: Explanation, depth: int, width: int | None) -> str:
    """All of it.

    Args:
        explanation: to tell.
        depth: 1 for the parts alone, 2 for the largest tensors too, 3 for all.
        width: of the terminal; None where there is none.
    """
    lines = [heading(explanation.subject.label), Line("", explanation.source, style="dim"), EMPTY]
    if told := conclusion(explanation):
        lines += [Line("", told), EMPTY]
    for section in (_status, _ran_out, _memory, _modules, _layers, _tensors, _trials, _remarks):
        lines += section(explanation, depth)
    while lines[-1] == EMPTY:
        lines.pop()
    return text_of(lines, width)


def _status(explanation: Explanation, depth: int) -> Iterator[Line]:
    row = explanation.subject.row
    status = row.get("status", "ok")
    if status == "ok":
        return
    phase = f" in {row['failed_phase']}" if row.get("failed_phase") else ""
    told = str(row.get("message", ""))
    message = out_of_memory_line(RuntimeError(told)) if status == "oom" and told else told
    yield Line(f"{status}{phase}: ", message, style="yellow")
    yield EMPTY


def _ran_out(explanation: Explanation, depth: int) -> Iterator[Line]:
    ran_out = explanation.predicted.ran_out if explanation.predicted else None
    if ran_out is None:
        return
    then = ran_out.composition
    assert then.place is not None
    line = f", at {then.place.line}" if then.place.line else ""
    yield heading(f"Memory runs out {moment_name(then.place)}{line}")
    yield Line(
        "",
        f"{size(ran_out.requested_bytes)} are asked for when {size(then.total_bytes)} of "
        f"{size(ran_out.capacity_bytes)} are allocated:",
    )
    yield from _tree(composition_tree(then, "allocated then"), then.total_bytes, depth)
    yield EMPTY
    yield Line("", "What follows is of the step with as much memory as it takes.")
    yield EMPTY


def _memory(explanation: Explanation, depth: int) -> Iterator[Line]:
    tree = memory_tree(explanation)
    if tree is None or explanation.peak is None:
        yield Line("", "How much memory its step takes is not known.")
    else:
        yield heading(f"Where the memory of {explanation.step_name} goes")
        yield from _tree(tree, explanation.peak.total_bytes, depth)
    yield EMPTY


def _tree(branch: Branch, total: int, depth: int, first: str = "", further: str = "") -> Iterator[Line]:
    of_total = _BLANK_SHARE if branch.level == "memory" else share(branch.nbytes, total)
    numbers = f"{amount(branch.nbytes)} {of_total}  "
    style = {"total": "bold", "group": "dim", "piece": "dim"}.get(branch.level, "")
    if branch.name.startswith("unexplained") and branch.nbytes:
        style = "yellow"
    children = _shown(branch, total, depth)
    below = " " * len(numbers) + further + ("│  " if children else "   ")
    note = f": {branch.note}" if branch.note else ""
    yield Line(numbers + first, branch.name, note, below, style)
    for child in children:
        last = child is children[-1]
        yield from _tree(
            child, total, depth, further + ("└─ " if last else "├─ "), further + ("   " if last else "│  ")
        )


def _shown(branch: Branch, total: int, depth: int) -> list[Branch]:
    """The branches below that are asked for; what is small is one of them."""
    wanted = _LEVELS[: 2 + depth] if depth < 3 else _LEVELS
    below = [child for child in branch.branches if child.level in wanted]
    if depth >= 3 or not below or below[0].level != "group":
        return below
    small = [child for child in below if child.nbytes < LEAST_SHARE * total]
    if len(small) > 1:
        rest = Branch(f"{len(small)} smaller", sum(child.nbytes for child in small))
        below = [child for child in below if child not in small] + [rest]
    return below if len(below) > 1 else []


def _modules(explanation: Explanation, depth: int) -> Iterator[Line]:
    peak = explanation.peak
    if peak is None or explanation.predicted is None or depth < 2:
        return
    modules = by_module(peak)
    scale = bytes_scale(peak.total_bytes)
    listed = modules
    if depth < 3:
        listed = [each for each in modules if each.nbytes >= LEAST_SHARE * peak.total_bytes][:_MOST_MODULES]
    rows = []
    for module in listed:
        parts = module.parts
        states = parts.get("gradients", 0) + parts.get("optimizer", 0)
        known = (parts.get("weights", 0), states, parts.get("saved", 0))
        columns = (*known, module.nbytes - sum(known), module.nbytes)
        times = f" × {module.count}" if module.count > 1 else ""
        name = module.module or "the model itself: its loss, its batch"
        rows.append((*map(scale.text, columns), f"{name}{times}"))
    yield heading(f"By module, at the peak, in {scale.unit}")
    header = ("weights", "states", "saved", "rest", "all", "module (states: gradients, optimizer)")
    yield from table(header, rows, left=[5])
    if rest := modules[len(listed) :]:
        left = sum(module.nbytes for module in rest)
        yield Line("", f"{and_more(len(rest))}, together {size(left)}", style="dim")
    yield EMPTY


def _layers(explanation: Explanation, depth: int) -> Iterator[Line]:
    if explanation.peak is None or depth < 2:
        return
    layers = by_layer(explanation.peak)
    if not layers:
        return
    yield heading("By layer, at the peak")
    listed = layers if depth >= 3 else layers[:_MOST_LAYERS]
    for each in listed:
        name = f"{each.stack}.{each.first}"
        if each.last > each.first:
            name = f"each of {name} to {each.last}"
        yield Line(f"{amount(each.nbytes)}  ", name)
    if rest := layers[len(listed) :]:
        count = sum(each.last - each.first + 1 for each in rest)
        left = sum((each.last - each.first + 1) * each.nbytes for each in rest)
        yield Line("", f"{and_more(count)}, together {size(left)}", style="dim")
    yield EMPTY


def _tensors(explanation: Explanation, depth: int) -> Iterator[Line]:
    activation = explanation.activation
    if activation is None or depth < 2:
        return
    total = activation.total_bytes
    yield heading(f"What forward keeps for backward (activation_bytes): {size(total)}, and why")
    if remark := _at_the_peak(explanation):
        yield Line("", remark)
    pieces = activation.pieces
    if depth < 3:
        pieces = tuple(piece for piece in pieces if piece.nbytes >= LEAST_SHARE * total)[:_MOST_TENSORS]
    for piece in pieces:
        yield Line(
            f"{amount(piece.nbytes)} {share(piece.nbytes, total)}  ",
            piece_name(piece),
            f"  ({piece.line})" if piece.line else "",
        )
        for reason in _why(piece, explanation):
            yield Line(" " * 21, f"– {reason}", below=" " * 23)
    rest = activation.pieces[len(pieces) :]
    for nbytes, words in (
        (sum(piece.nbytes for piece in rest), f"{len(rest)} more" if rest else ""),
        (activation.rounding_bytes, "rounding to blocks" if activation.rounding_bytes else ""),
        (activation.unexplained_bytes, "unexplained"),
    ):
        if words:
            yield Line(f"{amount(nbytes)} {share(nbytes, total)}  ", words)
    yield EMPTY


def _at_the_peak(explanation: Explanation) -> str:
    """Where the peak is at a moment at which not all of it is there."""
    predicted = explanation.predicted
    if predicted is None or predicted.activation is None:
        return ""
    there = sum(piece.nbytes for piece in predicted.peak.of("saved"))
    saved = sum(piece.nbytes for piece in predicted.activation.of("saved"))
    if there > 0.99 * saved:
        return ""
    return f"At the peak {size(there)} of it is there: backward lets go of each tensor once it was used."


def _why(piece: Piece, explanation: Explanation) -> Iterator[str]:
    cell = explanation.subject.cell
    yield from reasons(piece, checkpointed=cell is not None and cell.checkpointing != "none")
    if explanation.activation is None or piece.part != "saved":
        return
    gone, smaller = [], []
    for trial in explanation.trials:
        left = bytes_left(piece, explanation.activation.pieces, trial)
        if left == 0:
            gone.append(trial.remedy.change)
        elif left is not None and left < piece.nbytes:
            smaller.append(f"{size(left)} with {trial.remedy.change}")
    if gone:
        yield f"gone with {' or '.join(gone)}"
    if smaller:
        yield "; ".join(smaller)


def _trials(explanation: Explanation, depth: int) -> Iterator[Line]:
    predicted = explanation.predicted
    if predicted is None or not explanation.trials:
        return
    yield heading("What would save how much of the peak, each predicted on the twin")
    known = [(trial, trial.memory) for trial in explanation.trials if trial.memory is not None]
    for trial, memory in sorted(known, key=lambda each: each[1].peak_allocated_bytes):
        saved = predicted.peak.total_bytes - memory.peak_allocated_bytes
        numbers = f"{amount(saved)} {share(saved, predicted.peak.total_bytes)}  "
        yield Line(numbers, f"{trial.remedy.change}: {trial.remedy.meaning}")
        for words in (_after(memory, predicted), _fit(trial, predicted), _costs(trial)):
            if words:
                yield Line(" " * len(numbers), f"– {words}", below=" " * (len(numbers) + 2))
    for trial in explanation.trials if depth >= 3 else ():
        if trial.failure:  # mostly kernels that this model has no place for
            yield Line(" " * 21, f"{trial.remedy.change}: cannot be had: {trial.failure}", style="dim")
    yield EMPTY


def _after(memory: MemoryProfile, predicted: PredictedStep) -> str:
    peak = f"peak {size(memory.peak_allocated_bytes)}"
    if predicted.activation is None:
        return peak
    saved = predicted.activation.total_bytes - memory.activation_bytes
    percent = share(abs(saved), predicted.activation.total_bytes).strip()
    word = "more" if saved < 0 else "less"
    held = f"{size(memory.activation_bytes)} kept for backward"
    return f"{peak}; {held}, {size(abs(saved))} {word} ({percent})"


def _fit(trial: Trial, predicted: PredictedStep) -> str:
    if predicted.ran_out is None:
        return ""
    return "then it fits" if trial.fits else "memory runs out all the same"


def _costs(trial: Trial) -> str:
    return f"in return: {trial.remedy.costs}" if trial.remedy.costs else ""


def _remarks(explanation: Explanation, depth: int) -> Iterator[Line]:
    for remark in explanation.remarks:
        yield Line("note: ", remark, style="dim")
