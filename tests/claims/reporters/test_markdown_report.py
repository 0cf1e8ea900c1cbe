"""Markdown as GitHub reads it; markdown-it, which follows the same specification, stands in for it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given, settings
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
    many,
    texts,
)
from markdown_it import MarkdownIt
from markdown_it.token import Token

from lorafa_prof.claims.finding import Finding, Item, Judgement
from lorafa_prof.claims.reporters.markdown import markdown
from lorafa_prof.results.tensors import TensorKey
from lorafa_prof.words.phrases import one_line

#: Of a comment on GitHub.
MOST_CHARACTERS = 65_536
Table = list[list[str]]


def parsed(text: str) -> list[Token]:
    return MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(text)


def tables(text: str) -> list[Table]:
    """Every table: rows of cells, as a reader sees them."""
    found: list[Table] = []
    in_cell = False
    for token in parsed(text):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type in ("td_open", "th_open"):
            in_cell = True
        elif token.type in ("td_close", "th_close"):
            in_cell = False
        elif in_cell and token.type == "inline":
            found[-1][-1].append(seen(token))
    return found


def seen(inline: Token) -> str:
    """What a reader sees; that it is all plain text is checked too."""
    children = inline.children or []
    assert {child.type for child in children} <= {"text", "text_special", "code_inline"}
    return "".join(child.content for child in children).replace("\u200b", "")


def table_of(finding: Finding) -> Table:
    return tables(markdown([Judgement("t", (finding,), 3)]))[0]


def test_the_heading_says_how_it_stands() -> None:
    lines = markdown([ALL_STATES]).splitlines()
    assert lines[0] == "## ❌ claims"
    assert lines[2] == "**3 claims: 1 holds, 1 fails, 1 cannot be judged**"
    assert "Note: predicted for 5.17" in lines
    assert "<sub>sim:h100-80gb, torch 2.13.0</sub>" in lines


@pytest.mark.parametrize(
    ("judgement", "mark"),
    [(WELL, "✅"), (CELL_FAILED, "❌"), (NOTHING, "⚠️"), (Judgement("t", (HOLDS, UNKNOWN), 0), "⚠️")],
)
def test_the_mark_is_of_the_worst(judgement: Judgement, mark: str) -> None:
    text = markdown([judgement])
    assert text.startswith(f"## {mark} ")
    assert ("❌ failed unexpectedly: lora r8 b2" in text) == (judgement is CELL_FAILED)


def test_what_fails_stands_first_in_the_table() -> None:
    table = tables(markdown([ALL_STATES]))[0]
    assert table == [
        ["", "claim", "result"],
        [
            "❌ fails",
            "held bytes, of PEFT",
            "peft-lora-fa r8: 42.729 GiB, expected ≤ 33.354 GiB, +9.375 GiB",
        ],
        ["⚠️ cannot be judged", "step time", "lora r8: expected ≤ 700 ms, the twin has no clock"],
        ["✅ holds", "freezing A pays", "0.781 to 0.792, expected ≤ 0.85"],
    ]


def test_details_are_of_what_does_not_hold_and_the_first_is_open() -> None:
    text = markdown([ALL_STATES])
    assert [line for line in text.splitlines() if line.startswith(("<details", "<summary"))] == [
        "<details open>",
        "<summary>❌ <b>held bytes, of PEFT</b>: fails</summary>",
        "<details>",
        "<summary>⚠️ <b>step time</b>: cannot be judged</summary>",
    ]
    assert text.count("</details>") == 2
    _, items, culprits, _ = tables(text)
    assert items[1] == ["fails", "42.729 GiB", "≤ 33.354 GiB", "+9.375 GiB", "peft-lora-fa r8"]
    assert culprits == [
        ["bytes", "tensors", "kind", "module", "saved at"],
        [
            "+2.000 GiB",
            "32 × bfloat16[8×1024×4096]",
            "linear_input",
            "layers.*.q_proj",
            "peft/layer.py:812",
        ],
    ]
    assert "Source: arXiv 2308.03303, https://example.org/a_b<br>Written in: `claims.yaml:31`" in text


def test_what_the_culprits_are_is_told_or_why_there_are_none() -> None:
    assert "\n**what makes the difference in peft-lora-fa r8**\n" in markdown([ALL_STATES])
    named = replace(FAILS, culprits_title="nothing | differs", culprits=())
    text = markdown([Judgement("t", (named,), 3)])
    assert "\n**nothing &#124; differs**\n" in text
    assert len(tables(text)) == 2


def test_of_many_items_and_tensors_the_rest_is_summed_up() -> None:
    finding = replace(FAILS, items=FAILS.items * 10, culprits=(LINEAR_INPUTS,) * 12)
    text = markdown([Judgement("t", (finding,), 3)])
    _, items, culprits = tables(text)
    assert (len(items) - 1, len(culprits) - 1) == (8, 10)
    assert "\nand 2 more\n" in text
    assert "\nand 2 more, together +4.000 GiB\n" in text


@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)</script>|",
        "a|b\\|c",
        "`|`",
        "**x** _y_ __y__ a__b__ ~~z~~",
        "[x](http://y.z)",
        "&lt;",
        "<!-- -->",
    ],
)
def test_a_name_is_shown_as_it_is(name: str) -> None:
    assert table_of(replace(HOLDS, name=name))[1][1] == name


@settings(max_examples=200)
@given(texts)
@example("\\|")
@example("a\nb")
@example("https://x.y/a_b_c|d")
def test_any_name_is_shown_as_it_is(name: str) -> None:
    table = table_of(replace(HOLDS, name=name))
    assert [len(row) for row in table] == [3, 3]
    assert table[1][1] == one_line(name)


@given(texts)
@example("a`b")
@example("a|b")
def test_any_module_is_shown_as_it_is(module: str) -> None:
    culprit = replace(LINEAR_INPUTS, key=TensorKey(module, "other"))
    finding = replace(FAILS, culprits=(culprit,))
    assert tables(markdown([Judgement("t", (finding,), 3)]))[2][1][3] == one_line(module)


@pytest.mark.parametrize("called", ["@octocat", "#123", "huggingface/peft#1"])
def test_a_name_calls_nobody(called: str) -> None:
    text = markdown([Judgement(called, (replace(FAILS, name=called, source=called),), 3, notes=(called,))])
    assert called not in text
    assert text.replace("\u200b", "").count(called) == 5


@settings(max_examples=100)
@given(judgements)
def test_whatever_there_is_tables_and_details_stay_whole(judgement: Judgement) -> None:
    text = markdown([judgement])
    for table in tables(text):
        assert {len(row) for row in table} == {len(table[0])}
    assert text.count("<details") == text.count("</details>") == text.count("<summary>")
    assert len(tables(text)[0] if judgement.findings else []) in (0, len(judgement.findings) + 1)
    blocks = [token.content for token in parsed(text) if token.type == "html_block"]
    assert all(block.startswith(("<details", "</details>", "<sub>")) for block in blocks)


@pytest.mark.parametrize(
    "told",
    [
        [many(FAILS, 2_000)],
        [many(replace(FAILS, name="&" * 5_000), 300)],
        [many(FAILS, 50)] * 20,
        [many(HOLDS, 1)] * 3_000,
        [Judgement("n", (HOLDS,), 0, notes=("note " * 40,) * 1_000)],
    ],
    ids=["claims", "long names", "scenarios", "many scenarios", "notes"],
)
def test_too_long_a_text_is_cut_and_says_so(told: list[Judgement]) -> None:
    text = markdown(told)
    assert len(text) <= MOST_CHARACTERS
    assert "Too long for GitHub: " in text
    assert text.count("<details") == text.count("</details>")
    for table in tables(text):
        assert {len(row) for row in table} == {len(table[0])}


def test_what_is_left_out_is_counted() -> None:
    text = markdown([many(FAILS, 2_000)])
    shown = len(tables(text)[0]) - 1
    assert f"\nToo long for GitHub: {2_000 - shown:,} claims left out; " in text
    details = text.count("<details")
    assert 0 < details < shown < 2_000
    assert f"\nToo long for GitHub: {2_000 - details:,} parts left out; " in text


def test_an_item_has_every_column() -> None:
    item = Item("", "fail", "")
    assert tables(markdown([Judgement("t", (replace(FAILS, items=(item,)),), 3)]))[1][1] == [""] * 5
