from __future__ import annotations

import shutil

import pytest
from histories import HELD, PEAK, baseline, committed, git

from lorafa_prof.errors import NothingToJudgeError, UsageError
from lorafa_prof.history.history import changes_of
from lorafa_prof.history.of_baseline import UNCOMMITTED, history_of_baseline

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
CELL, OTHER = "net_lora_r4_0123456789", "net_lora_r4_abcdefabcd"


@pytest.fixture
def folder(tmp_path):
    """A checkout, whose baseline is in a folder of it with an odd name."""
    git(tmp_path, "init", "-q")
    inside = tmp_path / "sc ü"
    inside.mkdir()
    committed(inside, "a.json", baseline({CELL: {HELD: 10, PEAK: 20}}), "The first: a | b", day=1)
    committed(inside, "a.json", baseline({CELL: {HELD: 12, PEAK: 20}}), "Keeps more", day=2)
    return inside


def test_each_commit_of_the_file_is_a_moment_the_oldest_first(folder):
    committed(folder, "other.json", "{}", "Not of it", day=3)
    told = history_of_baseline(folder / "a.json")
    assert [(moment.written[:10], moment.subject) for moment in told.moments] == [
        ("2026-11-01", "The first: a | b"),
        ("2026-11-02", "Keeps more"),
    ]
    (commit,) = git(folder, "rev-parse", "--short=9", "HEAD~1").split()
    assert told.moments[1].name == commit
    assert told.values((CELL, HELD)) == [10, 12]
    assert (told.labels, told.notes) == ({CELL: "net lora r4"}, ())
    assert [change.at for change in changes_of(told)] == [1]


def test_a_new_name_of_the_file_breaks_nothing(folder):
    git(folder, "mv", "a.json", "b.json")
    git(folder, "commit", "-q", "-m", "Another name", day=3)
    committed(folder, "b.json", baseline({CELL: {HELD: 13, PEAK: 20}}), "More yet", day=4)
    assert history_of_baseline(folder / "b.json").values((CELL, HELD)) == [10, 12, 12, 13]


def test_only_the_newest_and_only_some_metrics(folder):
    told = history_of_baseline(folder / "a.json", 1, [HELD])
    assert told.series == [(CELL, HELD)]
    assert told.values((CELL, HELD)) == [12]


def test_what_is_not_committed_is_the_last_moment(folder):
    (folder / "a.json").write_text(baseline({CELL: {HELD: 14, PEAK: 20}}))
    told = history_of_baseline(folder / "a.json")
    assert told.values((CELL, HELD)) == [10, 12, 14]
    assert told.moments[-1].name == UNCOMMITTED
    (folder / "a.json").unlink()
    assert history_of_baseline(folder / "a.json").values((CELL, HELD)) == [10, 12]


def test_a_commit_whose_file_cannot_be_read_is_left_out_and_told(folder):
    committed(folder, "a.json", "[]", "Broken", day=3)
    committed(folder, "a.json", baseline({CELL: {HELD: 12}}, torch="2.14.0"), "Whole again", day=4)
    told = history_of_baseline(folder / "a.json")
    assert [moment.subject for moment in told.moments][2:] == ["Whole again"]
    assert len(told.notes) == 1
    assert told.notes[0].startswith("1 commit left out, whose file cannot be read: ")


def test_metrics_of_another_version_are_left_out_and_told(folder):
    committed(folder, "a.json", baseline({CELL: {HELD: 1, "of_later": 2}}), "Later", day=3)
    told = history_of_baseline(folder / "a.json")
    assert {metric for _, metric in told.series} == {HELD, PEAK}
    assert told.notes == ("left out, since they are no metrics here: of_later",)


def test_cells_that_share_a_label_are_told_apart(folder):
    committed(folder, "a.json", baseline({CELL: {HELD: 1}, OTHER: {HELD: 2}}), "Two", day=3)
    assert history_of_baseline(folder / "a.json").labels == {
        CELL: "net lora r4 (0123456789)",
        OTHER: "net lora r4 (abcdefabcd)",
    }


def test_a_git_hook_points_nowhere_else(folder, tmp_path_factory, monkeypatch):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    git(elsewhere, "init", "-q")
    monkeypatch.setenv("GIT_DIR", str(elsewhere / ".git"))
    assert len(history_of_baseline(folder / "a.json").moments) == 2


def test_without_a_history_it_is_one_line(folder, tmp_path_factory, monkeypatch):
    with pytest.raises(NothingToJudgeError, match="no such baseline"):
        history_of_baseline(folder / "none.json")
    outside = tmp_path_factory.mktemp("outside") / "a.json"
    outside.write_text(baseline({CELL: {HELD: 1}}))
    with pytest.raises(UsageError, match="git has no history of it: fatal: not a git repository"):
        history_of_baseline(outside)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UsageError, match="its history cannot be read: git: FileNotFoundError"):
        history_of_baseline(folder / "a.json")
