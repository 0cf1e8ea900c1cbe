"""What of a YAML file is refused, in one line with its place: limits, tags, keys, text of no file."""

from __future__ import annotations

import re

import pytest

from lorafa_prof.errors import UsageError
from lorafa_prof.scenario import yaml_data
from lorafa_prof.scenario.yaml_data import DEEPEST, YamlProblemError, most_values, parse_yaml

#: Each line repeats the one before ten times.
BOMB = "a0: &a0 [1]\n" + "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]\n" for level in range(1, 9)
)


def refused(text: str) -> YamlProblemError:
    with pytest.raises(YamlProblemError) as error:
        parse_yaml(text)
    assert "\n" not in str(error.value)
    return error.value


def test_characters_and_values_have_a_limit_and_reach_it(monkeypatch):
    monkeypatch.setenv("LORAFA_PROF_YAML_VALUES", "10")
    assert parse_yaml("a: " + "x" * 247)[0]
    assert str(refused("a: " + "x" * 248)).startswith("this has more than 250 characters: make several")
    assert len(parse_yaml("[" + "1," * 9 + "]")[0]) == 9
    assert str(refused("[" + "1," * 10 + "]")).startswith("this has more than 10 values: ")


def test_values_that_aliases_make_have_a_limit(monkeypatch):
    monkeypatch.setenv("LORAFA_PROF_YAML_VALUES", "60")
    lists = "a: &a [" + "1," * 20 + "]\nb: ["
    assert len(parse_yaml(lists + "*a," * 27 + "]")[0]["b"]) == 27
    assert "aliases (*) make more than 600 values" in str(refused(lists + "*a," * 28 + "]"))
    monkeypatch.delenv("LORAFA_PROF_YAML_VALUES")
    assert str(refused(BOMB)).startswith("aliases (*) make more than 100,000 values of this: ")


def test_pairs_that_merges_make_have_a_limit(monkeypatch):
    """However few are left: here a hundred."""
    monkeypatch.setenv("LORAFA_PROF_YAML_VALUES", "400")
    hundred = "a: &a {" + ", ".join(f"k{key}: 1" for key in range(100)) + "}\n"
    assert len(parse_yaml(f"{hundred}b: {{<<: [{'*a,' * 30}]}}")[0]["b"]) == 100
    assert "aliases (*) make more than 4,000 values" in str(refused(f"{hundred}b: {{<<: [{'*a,' * 50}]}}"))


def test_a_mapping_that_many_merge_is_merged_once(monkeypatch):
    """Else each of the levels doubles the work: 2 to the power of 30."""
    text = "m0: &m0 {k: 1}\n" + "".join(
        f"m{level}: &m{level} {{<<: [*m{level - 1}, *m{level - 1}]}}\n" for level in range(1, 31)
    )
    assert parse_yaml(text)[0]["m30"] == {"k": 1}


def test_depth_has_a_limit_however_it_is_made():
    too_deep = f"lists and mappings stand inside each other more than {DEEPEST} deep"
    assert parse_yaml("[" * (DEEPEST - 1) + "]" * (DEEPEST - 1))
    assert str(refused("[" * DEEPEST + "1" + "]" * DEEPEST)) == too_deep
    assert str(refused("[" * 3000)) == str(refused("{a: " * 1500)) == too_deep, "before Python's own limit"
    aliases = "a0: &a0 [1]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 70))
    assert str(refused(aliases)) == too_deep
    merges = "a70: &a70 {b: 1}\n" + "".join(f"a{n}: &a{n} {{<<: *a{n + 1}}}\n" for n in range(69, 0, -1))
    assert parse_yaml(merges), "each is merged of what is merged already"


@pytest.mark.parametrize("levels", [DEEPEST, 2000])
def test_a_merge_of_merges_not_yet_made_has_a_depth(levels):
    """However flat it is written: the mapping around them is merged before they are."""

    def nested(levels: int) -> str:
        merges = "".join(f", k{n}: &m{n} {{<<: *m{n - 1}}}" for n in range(1, levels))
        return f"a: {{k0: &m0 {{b: 1}}{merges}, <<: *m{levels - 1}}}"

    assert parse_yaml(nested(DEEPEST - 1))[0]["a"]["b"] == 1
    assert str(refused(nested(levels))).startswith("lists and mappings stand inside each other more than")


def test_what_is_made_of_itself_is_refused():
    assert str(refused("a: &a [1, *a]")) == "an alias (*) stands inside what it names"
    assert str(refused("a: &a {b: *a}")) == "an alias (*) stands inside what it names"
    assert str(refused("a: &a {<<: *a}")) == "a mapping is merged (<<) into itself"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3", "this key is there twice"),
        ("a: 1\n1: 2", "a key is text; this one is not: put it in quotes"),
        ("a: 1\n[b]: 2", "a key is text; this one is not: put it in quotes"),
        ("a: 1\n<<: 3", "<< merges mappings; this is none: put it in quotes if it is a key"),
        ("a: 1\n<<: [{b: 1}, c]", "<< merges mappings; this is none: put it in quotes if it is a key"),
        ("a: 1\nb: !!set {c}", "the tag !!set is not read: write plain data, without the tag"),
        ("a: 1\nb: !!omap [c: 1]", "the tag !!omap is not read: write plain data, without the tag"),
        ("a: 1\nb: !mine [c]", "the tag !mine is not read: write plain data, without the tag"),
        ("a: 1\nb: !mine c", "the tag !mine is not read: write plain data, without the tag"),
        ("a: 1\nb: !<int> 3", "the tag int is not read: write plain data, without the tag"),
        ("a: 1\nb: !int 3", "the tag !int is not read: write plain data, without the tag"),
        ("a: 1\nb: !!timestamp x", "the tag !!timestamp is not read: write plain data, without the tag"),
        ("a: 1\nb: !!bool x", "'x' is no bool: write it without the tag !!bool"),
        ("a: 1\nb: !!int 1_0", "'1_0' is no int: write it without the tag !!int"),
        ("a: 1\nb: " + "9" * 101, "a number of 101 characters: 100 are the most"),
        ("a: 1\nb: 0." + "9" * 99, "a number of 101 characters: 100 are the most"),
        ('a: 1\nb: "\\0"', "a NUL character in text: no name or path can have one"),
        ('a: 1\n"\\0": b', "a NUL character in text: no name or path can have one"),
        ('a: 1\nb: "\\ud800"', "half of a surrogate pair in text: no file can hold it"),
        ('a: 1\nb: "\\udfff"', "half of a surrogate pair in text: no file can hold it"),
    ],
)
def test_what_is_no_plain_data_is_told_at_its_line(text, said):
    problem = refused(text)
    assert (str(problem), problem.line) == (said, text.count("\n") + 1)


@pytest.mark.parametrize(
    ("text", "said", "line"),
    [
        ("a: 1\nb: [", "this is no YAML: expected the node content, but found '<stream end>'", 2),
        ("a: 1\n--- b", "this is no YAML: expected a single document in the stream, but found another", 2),
        ("a: 1\nb: \x01", "this is no YAML: special characters are not allowed", 2),
        ('a: 1\nb: "\\UFFFFFFFF"', "this is no YAML: ", None),
    ],
)
def test_what_is_no_yaml_is_told_at_its_line(text, said, line):
    problem = refused(text)
    assert str(problem).startswith(said)
    assert problem.line == line


def test_a_long_number_of_a_tag_is_bounded_and_the_longest_is_read():
    assert parse_yaml("9" * 100)[0] == int("9" * 100)
    assert len(str(refused("!!int " + "x" * 5000))) < 200


def test_a_problem_is_one_line_of_bounded_length():
    assert len(str(YamlProblemError("x" * 10**6))) < 5000
    assert "\n" not in str(YamlProblemError("a\nb"))


@pytest.mark.parametrize("written", ["", "-1", "1e3", "½", "٣", "1" * 10, "many"])
def test_a_limit_that_is_no_number_is_refused(monkeypatch, written):
    monkeypatch.setenv("LORAFA_PROF_YAML_VALUES", written)
    with pytest.raises(UsageError, match=re.escape(f"LORAFA_PROF_YAML_VALUES={written}: write a number")):
        most_values()


def test_the_limit_is_what_the_documents_say(monkeypatch):
    monkeypatch.delenv("LORAFA_PROF_YAML_VALUES", raising=False)
    assert most_values() == yaml_data.MOST_VALUES == 10_000
