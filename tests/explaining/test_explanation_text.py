"""What is printed: sums that a reader can follow, in lines that fit."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache

import pytest
from explained import cell_of, predicted
from rich.cells import cell_len
from tiny_cells import METHOD_NAMES

from lorafa_prof.devices.sim import twin as twin_module
from lorafa_prof.explaining.against_text import against_text
from lorafa_prof.explaining.explain_cells import explain_cells
from lorafa_prof.explaining.explanation import Explanation, by_twin
from lorafa_prof.explaining.explanation_text import explanation_text
from lorafa_prof.explaining.lines import Line, share, table, text_of
from lorafa_prof.explaining.subject import Subject, subjects_of
from lorafa_prof.words.numbers import size

STYLES = re.compile(r"\x1b\[[0-9;]*m")


@cache
def explained(method: str) -> Explanation:
    (found,) = explain_cells(subjects_of([cell_of(method)]), 1, lambda done, count, what: None, what_if=True)
    return found


def measured(method: str, **row: int) -> Explanation:
    cell = cell_of(method).model_copy(update={"device": "cuda"})
    return by_twin(Subject(cell.cell_id, cell.label, cell, row), predicted(method))


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("method", METHOD_NAMES)
def test_lines_fit_into_a_terminal(method: str, width: int, depth: int) -> None:
    text = explanation_text(explained(method), depth, width)
    assert "\x1b[1m" in text
    for line in STYLES.sub("", text).splitlines():
        # A single word may be longer than what is left of a line: none is broken off in these.
        assert cell_len(line) <= width, line


@pytest.mark.parametrize("method", METHOD_NAMES)
def test_off_a_terminal_there_is_neither_style_nor_wrapping(method: str) -> None:
    wide = explanation_text(explained(method), 3, None)
    assert "\x1b" not in wide
    narrow = STYLES.sub("", explanation_text(explained(method), 3, 60))
    assert len(wide.splitlines()) < len(narrow.splitlines())
    assert not any(line.endswith(" ") for line in wide.splitlines())


def in_bytes(text: str) -> float:
    number, unit = text.split()
    return float(number.replace(",", "")) * {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}[unit]


TREE_LINE = re.compile(r"^ *([-\d.,]+ [KMG]?i?B) ([ \d.%]{7})  ((?:│  |   )*)(├─ |└─ )?(.*)$")


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("method", METHOD_NAMES)
def test_the_lines_below_a_line_sum_to_it(method: str, depth: int) -> None:
    text = explanation_text(explained(method), depth, None)
    tree = text.split("training step goes\n")[1].split("\n\n")[0]
    lines = [found.groups() for line in tree.splitlines() if (found := TREE_LINE.match(line))]
    assert len(lines) == len(tree.splitlines())
    levels = [len(bars) // 3 + bool(branch) for _, _, bars, branch, _ in lines]
    for index, level in enumerate(levels):
        end = next((i for i in range(index + 1, len(levels)) if levels[i] <= level), len(levels))
        below = [in_bytes(lines[i][0]) for i in range(index + 1, end) if levels[i] == level + 1]
        if below:
            assert sum(below) == pytest.approx(in_bytes(lines[index][0]), rel=1e-3), lines[index]


def test_each_depth_tells_more() -> None:
    shallow, normal, deep = (explanation_text(explained("lora"), depth, None) for depth in (1, 2, 3))
    assert len(shallow.splitlines()) < len(normal.splitlines()) < len(deep.splitlines())
    assert "and why" not in shallow
    assert "saved activations" in shallow
    assert "norms: what" not in shallow
    assert " more\n" not in deep
    assert "smaller\n" not in deep
    for piece in explained("lora").activation.pieces:  # type: ignore[union-attr]
        assert size(piece.nbytes) in deep


def test_the_reader_is_told_why_and_what_would_remove_it() -> None:
    text = explanation_text(explained("peft-lora"), 3, None)
    after = text.split("layers.*.mlp.down_proj.lora_A: 2 × fp32[96×176]  (")[1].splitlines()
    assert after[1].strip() == "– input of a matrix product, for the gradient of down_proj.lora_A"
    assert after[2].strip() == "– gone with method: peft-lora-fa or checkpointing: full"
    assert after[3].strip() == f"– {size(2 * 96 * 176 * 2)} with adapter_dtype: bf16"


def test_remedies_are_in_the_order_of_what_they_save_and_what_cannot_be_had_comes_last() -> None:
    text = explanation_text(explained("lora"), 1, None).split("What would save")[1]
    savings = [
        in_bytes(found[1])
        for line in text.splitlines()
        if (found := re.match(r" *(\S+ \w+) +[-\d.]+ %", line))
    ]
    assert savings == sorted(savings, reverse=True)
    assert len(savings) == len(explained("lora").trials)
    (cannot,) = explain_cells(
        subjects_of([cell_of("lora", "tiny-roberta")]), 1, lambda *told: None, what_if=True
    )
    why = "kernels: fused-loss: cannot be had: kernels 'fused-loss' is no loss"
    assert why in explanation_text(cannot, 3, None)
    assert why not in explanation_text(cannot, 2, None)


def test_an_unexplained_remainder_is_printed() -> None:
    peak = predicted("lora").peak.total_bytes
    text = explanation_text(measured("lora", peak_allocated_bytes=peak + 3 * 2**20), 1, None)
    assert re.search(r"  3\.000 MiB +[\d.]+ %  .*unexplained\n", text)
    text = explanation_text(measured("lora", peak_allocated_bytes=peak - 512), 1, None)
    assert re.search(r" -512 B +-[\d.]+ %  .*unexplained\n", text)
    text = explanation_text(measured("lora", peak_allocated_bytes=peak), 1, None)
    assert re.search(r" 0 B +0\.0 %  .*unexplained\n", text)


def test_saved_tensors_that_are_gone_at_the_peak_are_said_to_be() -> None:
    assert "of it is there" not in explanation_text(explained("lora"), 2, None)
    step = predicted("lora")
    early = replace(step, peak=replace(step.peak, pieces=step.peak.of("weights")))
    assert "At the peak 0 B of it is there" in explanation_text(
        replace(explained("lora"), predicted=early), 2, None
    )


def test_out_of_memory_is_told_first(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = cell_of("full-ft")
    message = "CUDA out of memory. Tried to allocate 32.00 MiB. GPU 0 has so much. See documentation."
    row = {"status": "oom", "failed_phase": "backward", "message": message}
    monkeypatch.setattr(twin_module, "allocator_capacity", lambda gpu: 40 * 2**20)
    subject = Subject(cell.cell_id, cell.label, cell, row)
    (found,) = explain_cells([subject], 1, lambda *told: None, what_if=True)
    text = explanation_text(found, 1, None)
    first, _, then = text.partition("Memory runs out in the backward phase")
    assert "oom in backward: CUDA out of memory. Tried to allocate 32.00 MiB.\n" in first
    assert "32.000 MiB are asked for when " in then
    assert "of 40.000 MiB are allocated:" in then
    assert "it would take on the GPU" in then
    assert "– memory runs out all the same" in then


def test_a_failed_cell_is_told_with_its_message() -> None:
    row = {"status": "error", "message": "no\x1b[31m such\nlayer"}
    (found,) = explain_cells([Subject("id", "it", None, row)], 1, lambda *told: None, what_if=True)
    text = explanation_text(found, 2, None)
    assert "error: no [31m such layer\n" in text
    assert "How much memory its step takes is not known." in text


@pytest.mark.parametrize("width", [None, 80])
def test_two_cells(width: int | None) -> None:
    text = STYLES.sub("", against_text(explained("lora-fa"), explained("lora"), 3, width))
    assert text.startswith("A  tiny-llama lora-fa r4 b2 s48\n")
    fa, lora = (predicted(method).activation.total_bytes for method in ("lora-fa", "lora"))
    percent = f"{100 * (lora - fa) / lora:.1f} %"
    assert f"A keeps {size(lora - fa)} less for backward than B, {percent}" in text
    assert "layers.*.mlp.down_proj: 2 × bf16[96×176], only in B" in text
    assert "– input x of LoRA, for the gradient of down_proj.lora_A" in text
    for line in text.splitlines():
        assert cell_len(line) <= (width or 1000)


def test_of_two_cells_the_one_that_runs_out_of_memory_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    fits = explained("lora")
    monkeypatch.setattr(twin_module, "allocator_capacity", lambda gpu: 40 * 2**20)
    (lost,) = explain_cells(subjects_of([cell_of("full-ft")]), 1, lambda *told: None, what_if=False)
    head, _, _ = against_text(lost, fits, 1, None).partition("Where the memory")
    assert [line for line in head.splitlines() if "runs out" in line] == [head.splitlines()[2]]


def test_a_cell_against_one_that_is_the_same() -> None:
    text = against_text(explained("lora"), explained("lora"), 2, None)
    assert "A keeps as much for backward as B" in text
    assert "What else differs" not in text


def test_what_is_only_told_at_depth_1() -> None:
    text = against_text(explained("lora-fa"), explained("lora"), 1, None)
    assert "allocated at the peak" in text
    assert "only in B" not in text


def test_a_share_of_nothing_is_blank() -> None:
    assert share(5, 0).strip() == ""
    assert share(1, 8) == " 12.5 %"


def test_words_go_on_below_themselves() -> None:
    line = Line("12 ", "one two three four five six", " (seven)", below="   ")
    text = STYLES.sub("", text_of([line], 28))
    assert text == "12 one two three four five\n   six\n   (seven)\n"
    assert text_of([line], None) == "12 one two three four five six (seven)\n"


def test_columns_are_aligned() -> None:
    lines = list(table(("n", "what"), [("1", "a"), ("1,000", "bc")], left=[1]))
    assert text_of(lines, None) == "    n  what\n    1  a\n1,000  bc\n"


def test_an_evaluation_is_called_so_and_keeps_nothing_for_backward() -> None:
    cells = [cell_of("lora", settings=(("phase", "eval"), ("kept_logits", kept))) for kept in (2, 0)]
    one, other = explain_cells(subjects_of(cells), 1, lambda done, count, what: None, what_if=True)
    text = explanation_text(one, 3, None)
    assert "Where the memory of an evaluation goes" in text
    assert "for backward" not in text
    assert re.search(r"KiB +[\d.]+ %  kept_logits: 0: only the loss", text)
    assert one.peak is not None
    assert one.peak.unexplained_bytes == 0
    assert "Where the memory of an evaluation goes" in against_text(one, other, 3, None)
    mixed = against_text(one, explained("lora"), 3, None)
    assert "Where the memory of an evaluation and a training step goes" in mixed
