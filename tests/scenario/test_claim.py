"""Claims as they are written: every wrong form is one line with file, line and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from lorafa_prof.errors import ScenarioError
from lorafa_prof.scenario.load import LoadedScenario, validated_scenario
from lorafa_prof.scenario.yaml_data import parse_yaml
from lorafa_prof.scenario.yaml_lines import Document

HEAD = "schema: 1\nname: x\nmodel: tiny-llama\nmethod: lora\nclaims:\n"
#: Stands in lines 6 and 7; what follows it begins in line 8.
NAMED = "  - name: a\n    metric: saved_bytes\n"


def load(claims: str) -> LoadedScenario:
    return validated_scenario(Document(Path("s.yaml"), *parse_yaml(HEAD + claims)), [])


def claim(*keys: str) -> str:
    return NAMED + "".join(f"    {key}\n" for key in keys)


# Text, line, key, words.
WRONG = [
    (claim("at_most: 1", "at_mst: 2"), 9, "claims[0].at_mst", "unknown key (did you mean 'at_most'?)"),
    (claim("at_most: 1") + "  - nam: b\n", 9, "claims[1].nam", "unknown key (did you mean 'name'?)"),
    ("  - metric: saved_bytes\n    at_most: 1\n", 6, "claims[0].name", "this key is required"),
    ("  - name: a\n    at_most: 1\n", 6, "claims[0].metric", "this key is required"),
    ("  - name: ''\n    metric: saved_bytes\n    at_most: 1\n", 6, "claims[0].name", "a claim needs a name"),
    ("  - name: ' '\n    metric: saved_bytes\n    at_most: 1\n", 6, "claims[0].name", "a claim needs a name"),
    ("  - name: 3\n    metric: saved_bytes\n    at_most: 1\n", 6, "claims[0].name", "text, not 3"),
    ("  - name: a\n    metric: []\n    at_most: 1\n", 7, "claims[0].metric", "the list is empty"),
    ("  - name: a\n    metric: 3\n    at_most: 1\n", 7, "claims[0].metric", "text, not 3"),
    (
        "  - name: a\n    metric:\n     - b\n     - 3\n    at_most: 1\n",
        9,
        "claims[0].metric[1]",
        "text, not 3",
    ),
    ("  - saved_bytes\n", 6, "claims[0]", "a mapping of keys to values, not 'saved_bytes'"),
    (claim("source: 3", "at_most: 1"), 8, "claims[0].source", "text, not 3"),
    (claim("of: lora", "at_most: 1"), 8, "claims[0].of", "a mapping of keys to values, not 'lora'"),
    (claim("of:", "at_most: 1"), 8, "claims[0].of", "a mapping of keys to values, not empty"),
    (claim("relative_to: lora", "at_most: 1"), 8, "claims[0].relative_to", "a mapping of keys to values"),
    (claim("growth_over: [rank]", "at_most: 1"), 8, "claims[0].growth_over", "text, not a list"),
    # bounds
    (claim(), 6, "claims[0]", "nothing is expected: give at_most, at_least, between or equals"),
    (
        claim("at_least: false"),
        8,
        "claims[0].at_least",
        "should be an amount, and this is false",
    ),
    (claim("at_most: true"), 8, "claims[0].at_most", "should be an amount, and this is true"),
    (claim("equals: true"), 8, "claims[0].equals", "should be an amount, and this is true"),
    (claim("between: [false, 3]"), 8, "claims[0].between[0]", "should be an amount, and this is false"),
    (
        claim("at_most: 1", "tolerance: true"),
        9,
        "claims[0].tolerance",
        "should be an amount, and this is true",
    ),
    ("  - name: a\n    metric: fits\n    at_least: false\n", 8, "claims[0].at_least", "this is false"),
    ("  - name: a\n    metric: [fits, saved_bytes]\n    equals: true\n", 8, "claims[0].equals", "is true"),
    (claim("at_most:"), 6, "claims[0]", "nothing is expected"),
    (claim("tolerance: 1 %"), 6, "claims[0]", "nothing is expected"),
    (claim("at_most: 1", "equals: 1"), 6, "claims[0]", "at_most and equals do not go together"),
    (claim("between: [1, 2]", "at_least: 1"), 6, "claims[0]", "at_least and between do not go together"),
    (claim("between: [1, 2]", "equals: 1"), 6, "claims[0]", "between and equals do not go together"),
    (claim("at_most: 2", "equals: 1", "at_least: 1"), 6, "claims[0]", "do not go together: keep one"),
    (claim("between: [1]"), 8, "claims[0].between", "a list of two: the least and the most"),
    (claim("between: [1, 2, 3]"), 8, "claims[0].between", "a list of two: the least and the most"),
    (claim("between: []"), 8, "claims[0].between", "a list of two: the least and the most"),
    (claim("between: 3"), 8, "claims[0].between", "a list, not 3"),
    (claim("between:", "  - 1", "  -"), 10, "claims[0].between[1]", "it should be a number, or an amount"),
    (claim("at_most: [1, 2]"), 8, "claims[0].at_most", "a number, or an amount such as '24 MiB' or '85 %'"),
    (claim("at_most: {a: 1}"), 8, "claims[0].at_most", "it should be a number, or an amount"),
    (claim("between: [0, true]"), 8, "claims[0].between[1]", "it should be an amount, and this is true"),
    (claim("at_most: 1", "tolerance: [1]"), 9, "claims[0].tolerance", "it should be a number, or an amount"),
    # what is asked
    (
        claim("relative_to: {method: lora}", "growth_over: rank", "at_most: 1"),
        6,
        "claims[0]",
        "relative_to and growth_over ask for two things: make two claims of it",
    ),
    (
        claim("relative_to: {method: lora}", "difference_to: {method: lora}", "at_most: 1"),
        6,
        "claims[0]",
        "relative_to and difference_to ask for two things",
    ),
    (claim("for_each: rank", "at_most: 1"), 6, "claims[0]", "it needs relative_to or difference_to"),
    (claim("across: rank", "at_most: 1"), 6, "claims[0]", "it needs the baseline as bound"),
    (
        claim("for_each: rank", "growth_over: batch", "at_most: 1"),
        6,
        "claims[0]",
        "it needs relative_to or difference_to",
    ),
    (
        claim("relative_to: {method: lora}", "for_each: []", "at_most: 1"),
        9,
        "claims[0].for_each",
        "the list is empty",
    ),
    (
        claim("at_most: baseline", "relative_to: {method: lora}"),
        6,
        "claims[0]",
        "the baseline has values of cells: it does not go with relative_to",
    ),
    (claim("equals: baseline", "growth_over: rank"), 6, "claims[0]", "it does not go with growth_over"),
]


@pytest.mark.parametrize(("claims", "line", "key", "words"), WRONG)
def test_a_wrong_form_is_one_line_that_names_file_line_and_key(claims, line, key, words):
    with pytest.raises(ScenarioError) as caught:
        load(claims)
    said = str(caught.value)
    assert said.startswith(f"s.yaml:{line}: {key}: "), said
    assert words in said
    assert "\n" not in said


def test_of_several_wrong_claims_the_first_is_told():
    with pytest.raises(ScenarioError, match=r"s\.yaml:9: claims\[1\]: nothing is expected"):
        load(claim("at_most: 1") + claim() + claim())


def test_the_whole_form():
    (full,) = load(
        claim(
            "source: arXiv 2308.03303",
            "of: {method: lora-fa, rank: [8, 64]}",
            "relative_to: {method: lora}",
            "for_each: [rank, batch]",
            "between: [0.5, 85 %]",
            "tolerance: 1 %",
        )
    ).scenario.claims
    assert full.metric == ["saved_bytes"]
    assert full.of == {"method": "lora-fa", "rank": [8, 64]}
    assert full.for_each == ["rank", "batch"]
    assert full.between == [0.5, "85 %"]
    assert not full.compares_with_baseline


def test_short_forms():
    (short,) = load("  - name: a\n    metric: fits\n    equals: true\n").scenario.claims
    assert (short.metric, short.of, short.equals) == (["fits"], {}, 1)
    assert type(short.equals) is int
    (paired,) = load(claim("difference_to: {}", "for_each: rank", "at_least: -3 MiB")).scenario.claims
    assert (paired.for_each, paired.at_least) == (["rank"], "-3 MiB")


def test_both_bounds_go_together_and_any_may_be_the_baselines():
    (both,) = load(claim("at_least: 1", "at_most: baseline")).scenario.claims
    assert both.compares_with_baseline
    for key in ("at_least", "equals"):
        (one,) = load(claim(f"{key}: baseline")).scenario.claims
        assert one.compares_with_baseline
