from __future__ import annotations

import csv
import json
import shutil

import pytest
from click.testing import CliRunner, Result
from histories import HELD, PEAK, baseline, committed, git

from lorafa_prof.cli.history import history_command
from lorafa_prof.errors import UsageError

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
CELL, OTHER = "net_lora_0123456789", "net_lora-fa_abcdefabcd"


def told(*arguments: object) -> Result:
    result = CliRunner().invoke(history_command, [str(each) for each in arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result


@pytest.fixture
def scenario(tmp_path):
    """A scenario whose baseline three commits have."""
    git(tmp_path, "init", "-q")
    for day, held in enumerate((100, 110, 99), start=1):
        values = {CELL: {HELD: held, PEAK: 500}, OTHER: {HELD: 50, PEAK: 400}}
        committed(tmp_path, "s.baseline.json", baseline(values), f"Change {day}", day=day)
    (tmp_path / "s.yaml").write_text("schema: 1\n")
    return tmp_path / "s.yaml"


def test_a_scenarios_baseline_by_its_commits(scenario):
    lines = told(scenario).stdout.splitlines()
    (commit,) = git(scenario.parent, "rev-parse", "--short=9", "HEAD~1").split()
    assert lines[:2] == [
        "s.baseline.json: 3 states, 2026-11-01 to 2026-11-03",
        f"1 of 4 values moved. The largest change: {HELD} of net lora, +10 B, +10.00 %, "
        f"in {commit} (Change 2).",
    ]
    assert told(scenario.with_name("s.baseline.json")).stdout.splitlines() == lines
    assert "no history" in told(scenario, "--last", 1).stdout


def test_files_of_it(scenario, tmp_path):
    result = told(scenario, "-o", tmp_path / "out")
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["history.csv", "history.html", "history.pdf", "history.png"]
    assert "history.png" in result.stderr
    with (tmp_path / "out" / "history.csv").open() as file:
        assert [row["value"] for row in csv.DictReader(file) if row["cell_id"] == CELL][::2] == [
            "100",
            "110",
            "99",
        ]
    assert "nothing moved" in told(scenario, "-k", "lora-fa", "-o", tmp_path / "still").stderr


def test_json_of_some_cells_and_metrics(scenario):
    record = json.loads(told(scenario, "--metric", PEAK, "-k", "lora-fa", "--json").stdout)
    (series,) = record["series"]
    assert (series["cell"], series["metric"], series["values"]) == ("net lora-fa", PEAK, [400, 400, 400])


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["-k", "qlora"], "no cell of s.baseline.json matches"),
        (["--metric", "weights_bytes"], "has no value of these metrics"),
        (["--metric", "peak_bytes"], "unknown metric 'peak_bytes'"),
    ],
)
def test_what_is_not_there_is_one_line(scenario, arguments, line):
    with pytest.raises(UsageError, match=line):
        told(scenario, *arguments)


def test_a_history_is_of_one_kind(scenario, tmp_path):
    with pytest.raises(UsageError, match="name one baseline, or folders"):
        told(scenario, tmp_path)
    with pytest.raises(UsageError, match="--last is of a baseline's commits"):
        told(tmp_path, "--last", 2)
