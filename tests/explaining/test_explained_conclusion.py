"""What an explanation comes to, in a sentence or two."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
from explained import cell_of, predicted

from lorafa_prof.devices.sim import twin as twin_module
from lorafa_prof.explaining.conclusion import conclusion, conclusion_between
from lorafa_prof.explaining.explain_cells import explain_cells
from lorafa_prof.explaining.explanation import Explanation
from lorafa_prof.explaining.subject import subjects_of
from lorafa_prof.words.numbers import size


@cache
def explained(method: str, *, what_if: bool = False) -> Explanation:
    (found,) = explain_cells(
        subjects_of([cell_of(method)]), 1, lambda done, count, what: None, what_if=what_if
    )
    return found


def test_of_a_cell_its_peak_and_the_change_that_saves_most() -> None:
    whole = explained("lora", what_if=True)
    said = conclusion(whole)
    assert said.startswith(f"The peak is {size(predicted('lora').peak.total_bytes)}, ")
    saved = {
        trial.remedy.change: predicted("lora").peak.total_bytes - trial.memory.peak_allocated_bytes
        for trial in whole.trials
        if trial.memory is not None
    }
    best = max(saved, key=lambda change: saved[change])
    assert said.endswith(f" Of the changes tried, {best} saves most of it: {size(saved[best])}.")
    assert "Of the changes tried" not in conclusion(replace(whole, trials=()))
    assert conclusion(replace(whole, peak=None)) == ""


def test_of_two_cells_what_the_first_needs_less_and_where() -> None:
    """Of a layer in bf16, bytes a token: 2h of each norm's output and 2i of the MLP's product."""
    h, i = 64, 176
    one, other = explained("lora-fa"), explained("lora")
    said = conclusion_between(one, other)
    less = 2 * (2 * 48) * (4 * h + 2 * i)
    assert f" less for backward ({100 * less / other.activation.total_bytes:.1f} %)" in said
    assert said.startswith("A's peak is ")
    assert " lower than B's (" in said
    assert said.endswith(f", the largest part of it in layers.*.mlp.down_proj, {size(2 * 96 * 2 * i)}.")
    back = conclusion_between(other, one)
    assert " higher than B's (" in back
    assert " more for backward (" in back
    assert (
        conclusion_between(one, one) == "A's peak is as high as that of B, and it keeps as much for backward."
    )
    unknown = replace(one, peak=None, activation=None)
    assert conclusion_between(unknown, other) == ""


def test_of_a_cell_that_does_not_fit_what_would_make_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(twin_module, "allocator_capacity", lambda gpu: 40 * 2**20)
    (whole,) = explain_cells(subjects_of([cell_of("full-ft")]), 1, lambda *_: None, what_if=True)
    said = conclusion(whole)
    assert said.startswith("Memory runs out: with enough of it the peak would be ")
    ways = [trial.remedy.change for trial in whole.trials if trial.fits]
    assert said.endswith(" None of the changes tried makes it fit by itself.") == (not ways)
    assert said.count("with ") - 1 == min(len(ways), 3)
