"""What a person reads."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_judgements import (
    ALL_STATES,
    CELL_FAILED,
    FAILS,
    HOLDS,
    LINEAR_INPUTS,
    NOTHING,
    UNKNOWN,
    WELL,
    judgements,
)
from rich.cells import cell_len

from lorafa_prof.claims.finding import Finding, Item, Judgement
from lorafa_prof.claims.reporters.terminal import terminal
from lorafa_prof.results.tensors import Held, TensorKey

COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def test_a_claim_that_holds_is_one_line_with_the_range_that_was_measured() -> None:
    assert terminal([WELL]).splitlines() == [
        "well",
        "✓ holds  freezing A pays: 0.781 to 0.792, expected ≤ 0.85",
        "",
        "1 claim: 1 holds",
    ]


def test_what_does_not_hold_says_by_how_much_and_what_makes_the_difference() -> None:
    lines = terminal([ALL_STATES]).splitlines()
    assert lines == [
        "claims  sim:h100-80gb, torch 2.13.0",
        "✓ holds             freezing A pays: 0.781 to 0.792, expected ≤ 0.85",
        "✗ fails             held bytes, of PEFT",
        "    activation_bytes of peft-lora-fa",
        "    peft-lora-fa r8: 42.729 GiB, expected ≤ 33.354 GiB, +9.375 GiB",
        "",
        "    what makes the difference in peft-lora-fa r8:",
        "    bytes       tensors                     kind          module           saved at",
        "    +2.000 GiB  32 × bfloat16[8×1024×4096]  linear_input  layers.*.q_proj  peft/layer.py:812",
        "",
        "    source: arXiv 2308.03303, https://example.org/a_b",
        "    written in: claims.yaml:31",
        "",
        "? cannot be judged  step time",
        "    lora r8: expected ≤ 700 ms, the twin has no clock",
        "",
        "note: predicted for 5.17",
        "",
        "3 claims: 1 holds, 1 fails, 1 cannot be judged",
    ]


@pytest.mark.parametrize(
    ("told", "last"),
    [
        ([WELL, WELL], "2 claims: 2 hold"),
        ([NOTHING], "no claim was judged"),
        ([], "no finding was judged"),
        ([CELL_FAILED], "1 claim: 1 holds; 1 cell failed unexpectedly"),
        ([replace(WELL, noun="cell", findings=(replace(HOLDS, word="same"),))], "1 cell: 1 same"),
        ([WELL, replace(WELL, noun="cell")], "2 findings: 2 hold"),
    ],
)
def test_the_last_line_says_what_it_comes_to(told: list[Judgement], last: str) -> None:
    assert terminal(told).splitlines()[-1] == last


def test_where_it_is_a_screen_away_what_it_comes_to_is_the_first_line_too() -> None:
    few, many = (terminal([WELL] * number).splitlines() for number in (7, 9))
    assert (few[0], few[-1]) == ("well", "7 claims: 7 hold")
    assert (many[:3], many[-1]) == (["9 claims: 9 hold", "", "well"], "9 claims: 9 hold")


def test_notes_and_failed_cells_are_told() -> None:
    assert "note: no rows in out/x\n" in terminal([NOTHING])
    assert "failed unexpectedly: lora r8 b2\n" in terminal([CELL_FAILED])


def test_of_many_items_and_tensors_some_are_shown_and_the_rest_is_summed_up() -> None:
    item = FAILS.items[0]
    culprits = tuple(
        replace(LINEAR_INPUTS, key=TensorKey(f"m{size}", "other"), after=Held(1, size * 1024))
        for size in range(14, 0, -1)
    )
    items = (HOLDS.items[0], *(replace(item, what=f"cell {number}") for number in range(11)))
    text = terminal([Judgement("t", (replace(FAILS, items=items, culprits=culprits),), 3)])
    assert [n for n in range(11) if f"cell {n}\n" in text] == list(range(8))
    assert "and 3 more\n" in text
    assert [n for n in range(1, 15) if f" m{n}\n" in text] == list(range(5, 15))
    # 4 + 3 + 2 + 1
    assert "and 4 more, together +10.000 KiB\n" in text
    assert "lora-fa r8 / lora r8" not in text, "what holds is not among what does not"


def test_a_comparison_names_what_got_better_and_counts_what_is_the_same() -> None:
    better = Item("peak", "pass", "better", "1 MiB", "2 MiB", "-1.000 MiB", 1)
    within = Item("flops", "pass", "within tolerance", "1", "2", "+1, tolerance 2", 1)
    same = Item("held", "pass", "same", "3 MiB", "3 MiB", "", 3)
    told = [
        Finding("cell a", (within, same, better, replace(better, what="reserved")), "better"),
        Finding("cell b", (same, replace(same, expected="4")), "same"),
    ]
    lines = terminal([Judgement("BASE → NEW", tuple(told), 0, noun="cell")]).splitlines()
    assert lines[1:3] == [
        "✓ better  cell a: peak: 1 MiB, expected 2 MiB, -1.000 MiB (and 1 more)",
        "✓ same    cell b: 2 same",
    ]


def test_what_the_culprits_are_is_told_or_why_there_are_none() -> None:
    named = replace(FAILS, culprits_title="what A holds more than B")
    text = terminal([Judgement("t", (named,), 3)])
    assert "\n\n    what A holds more than B:\n    bytes " in text
    assert "what makes the difference" not in text
    text = terminal([Judgement("t", (replace(named, culprits=()),), 3)])
    assert "\n\n    what A holds more than B\n\n    source: " in text


def test_one_reason_for_which_nothing_can_be_judged_is_told_once() -> None:
    item = UNKNOWN.items[0]
    several = replace(UNKNOWN, items=(item, replace(item, what="lora r64")))
    text = terminal([Judgement("t", (several,), 4)])
    assert "    lora r8: expected ≤ 700 ms, the twin has no clock (and 1 more)\n" in text
    assert "lora r64" not in text
    different = replace(several, items=(item, replace(item, what="lora r64", note="out of memory")))
    assert "lora r64" in terminal([Judgement("t", (different,), 4)])


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        (Held(16, 8 * 1024), Held(32, 24 * 1024), "+16.000 KiB  16 → 32 × bfloat16["),
        (Held(16, 8 * 1024), Held(0, 0), "-8.000 KiB  16 → 0 × bfloat16["),
    ],
)
def test_tensors_that_were_there_before(before: Held, after: Held, shown: str) -> None:
    change = replace(LINEAR_INPUTS, before=before, after=after)
    assert shown in terminal([Judgement("t", (replace(FAILS, culprits=(change,)),), 3)])


@pytest.mark.parametrize("width", [60, 80, 120])
def test_on_a_terminal_nothing_is_wider_than_it_and_nothing_is_lost(width: int) -> None:
    module = "model.layers.*.self_attn.q_proj.lora_A.default"
    long = replace(LINEAR_INPUTS, key=replace(LINEAR_INPUTS.key, module=module))
    text = terminal([Judgement("t", (replace(FAILS, culprits=(long,)), HOLDS), 3)], width)
    plain = COLOURS.sub("", text)
    assert text != plain
    assert max(map(cell_len, plain.splitlines())) <= width
    for part in (module, "peft/layer.py:812", "32 × bfloat16[8×1024×4096]", "linear_input"):
        assert part in plain


def test_columns_that_do_not_fit_stand_below_their_row() -> None:
    lines = COLOURS.sub("", terminal([Judgement("t", (FAILS,), 3)], 80)).splitlines()
    at = lines.index("    what makes the difference in peft-lora-fa r8:")
    assert [line.rstrip() for line in lines[at + 1 : at + 4]] == [
        "    bytes       tensors                     kind          module",
        "    +2.000 GiB  32 × bfloat16[8×1024×4096]  linear_input  layers.*.q_proj",
        "        peft/layer.py:812",
    ]


@settings(max_examples=50)
@given(judgements, st.sampled_from([None, 40, 120]))
def test_whatever_names_hold_no_control_character_reaches_the_terminal(
    judgement: Judgement, width: int | None
) -> None:
    plain = COLOURS.sub("", terminal([judgement], width))
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", plain)
    assert "\n\n\n" not in plain
