from __future__ import annotations

import math
from pathlib import Path

import pytest
import yaml

from lorafa_prof.errors import ScenarioError, UsageError
from lorafa_prof.scenario.shipped import scenarios_folder
from lorafa_prof.scenario.yaml_data import YamlProblemError, parse_yaml
from lorafa_prof.scenario.yaml_lines import Document, dotted, read_document

TEXT = """\
# a comment
name: x
method:
  - lora
  - name: lora
    rank: [4,
           8]
  - {name: lora,
     alpha: 2}
steps: {warmup: 1}
"""


def document(text: str) -> Document:
    return Document(Path("s.yaml"), *parse_yaml(text))


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("name",), 2),
        (("method",), 3),
        (("method", 0), 4),
        (("method", 1), 5),
        (("method", 1, "rank"), 6),
        (("method", 1, "rank", 1), 7),
        (("method", 2, "alpha"), 9),
        (("method", 2, "alpha", 0), 9),  # a lone value of an axis: its index is not in the file
        (("method", 2, "dropout"), 8),  # what is not there: the entry that lacks it
        (("steps", "warmup"), 10),
        (("model",), 2),  # a missing key: where the mapping begins
    ],
)
def test_errors_stand_at_the_line_of_their_key(path, line):
    assert str(document(TEXT).error("wrong", path)).startswith(f"s.yaml:{line}: ")


def test_lone_values_are_called_as_they_are_written():
    lone = document("model: {name: a}\nmethod:\n - {name: lora, rank: 3}\n")
    assert str(lone.error("wrong", ("model", 0, "name"))) == "s.yaml:1: model.name: wrong"
    assert str(lone.error("wrong", ("method", 0, "rank", 0))) == "s.yaml:3: method[0].rank: wrong"


def test_what_an_option_replaced_is_told_by_the_option():
    lone = document("model: a\nmethod: {name: lora, rank: 3}\nsteps: {warmup: 1}\n")
    lone.replace(("method", "rank"), [1, 2], "--set method.rank=[1, 2]")
    where = "--set method.rank=[1, 2]"
    assert str(lone.error("wrong", ("method", "rank", 1))) == f"{where}: method.rank[1]: wrong"
    assert str(lone.error("wrong", ("method",))) == f"{where}: method: wrong"
    assert str(lone.error("wrong", ("model",))) == "s.yaml:1: model: wrong"
    assert lone.data["method"]["rank"] == [1, 2]


def test_a_merged_key_may_be_overridden_and_knows_its_line():
    merged = document("base: &b {rank: 4,\n  alpha: 2}\nown: {<<: *b, rank: 8}\n")
    assert merged.data["own"] == {"rank": 8, "alpha": 2}
    assert merged.lines[("own", "rank")] == 3
    assert merged.lines[("own", "alpha")] == 2


def test_dotted():
    assert dotted(("method", 1, "rank")) == "method[1].rank"
    assert dotted(()) == ""


def test_a_file_that_cannot_be_read_says_why(tmp_path):
    (tmp_path / "latin1.yaml").write_bytes(b"name: caf\xe9\n")
    with pytest.raises(ScenarioError, match=r"latin1\.yaml: cannot be read: it is no UTF-8 text"):
        read_document(tmp_path / "latin1.yaml")
    with pytest.raises(ScenarioError, match="cannot be read: Is a directory"):
        read_document(tmp_path)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("010", 10),
        ("0o10", 8),
        ("0x1F", 31),
        ("-3", -3),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("2026-01-02", "2026-01-02"),
        ("2026-13-45", "2026-13-45"),
        ("=", "="),
        *((word, word) for word in ("yes", "no", "on", "off", "Yes", "NO", "y", "n")),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("5e-1", 0.5),
        ("1e1", 10.0),
        (".5", 0.5),
        ("-.inf", -math.inf),
        ("'010'", "010"),
        ("!!str 010", "010"),
        ("!!int 010", 10),
    ],
)
def test_values_are_those_of_yaml_1_2(written, value):
    (read,) = parse_yaml(f"a: {written}\n")[0].values()
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize("file", sorted(scenarios_folder().rglob("*.yaml")), ids=lambda file: file.stem)
def test_shipped_scenarios_say_what_they_say_in_yaml_1_1(file):
    assert parse_yaml(file.read_text())[0] == yaml.safe_load(file.read_text())


def test_the_first_of_several_merged_mappings_wins_and_what_is_own_over_all():
    text = "a: &a {x: 1, y: 1}\nb: &b {x: 2, z: 2}\nc: &c {<<: [*a, *b], y: 3}\nd: {<<: *c, z: 4}\n"
    data, _ = parse_yaml(text)
    assert data["c"] == {"x": 1, "y": 3, "z": 2}
    assert data["d"] == {"x": 1, "y": 3, "z": 4}
    assert data == yaml.safe_load(text)


def test_the_number_of_values_can_be_set(monkeypatch):
    text = "".join(f"k{index}: 1\n" for index in range(20))
    monkeypatch.setenv("LORAFA_PROF_YAML_VALUES", "40")
    with pytest.raises(YamlProblemError, match="this has more than 40 values"):
        parse_yaml(text)
    monkeypatch.setenv("LORAFA_PROF_YAML_VALUES", "41")
    assert len(parse_yaml(text)[0]) == 20
    monkeypatch.setenv("LORAFA_PROF_YAML_VALUES", "many")
    with pytest.raises(UsageError, match="LORAFA_PROF_YAML_VALUES=many: write a number"):
        parse_yaml(text)


def test_a_file_without_an_end_is_no_scenario():
    with pytest.raises(ScenarioError, match=r"^/dev/zero: this has more than 250,000 characters"):
        read_document(Path("/dev/zero"))
