from __future__ import annotations

from pathlib import Path

import pytest

from lorafa_prof.errors import ScenarioError
from lorafa_prof.scenario.yaml_lines import Document, dotted, parse_yaml, read_document

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
