"""learning.csv is read as `lorafa-prof learn` wrote it, and anything else is one line that says where."""

from __future__ import annotations

from pathlib import Path

import pytest
from learned_runs import GIB, run_rows, write_runs

from lorafa_prof.errors import NothingToJudgeError, UsageError
from lorafa_prof.quality.read import read_learning


def test_runs_are_read_with_their_settings_and_evaluations(tmp_path: Path) -> None:
    out = write_runs(tmp_path, run_rows(0.9, peak=3 * GIB), run_rows(method="full-ft", message="=1+1"))
    lora, full = read_learning(out)
    assert (lora.learning_rate, lora.seed, lora.rank, lora.steps) == (1e-4, (0, 0), 8, 100)
    assert lora.settings["model"] == "smollm2-135m"
    assert lora.peak_allocated_bytes == 3 * GIB
    assert [row.step for row in lora.evaluations] == [0, 50, 100, 100]
    assert lora.last("test").metric == 0.9
    assert lora.losses_csv == out / "learning" / f"{lora.run_id}.losses.csv"
    assert (full.rank, full.seed, full.seconds) == (None, (0, None), 50.0)


def test_a_run_ends_as_its_last_row_says(tmp_path: Path) -> None:
    (run,) = read_learning(write_runs(tmp_path, run_rows(status="diverged", message="=NaN at step 77")))
    assert (run.status, run.message, run.last("test")) == ("diverged", "=NaN at step 77", None)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"metric": 1.5}, ":2: metric is 1.5; it is from 0 to 1"),
        ({"status": "fine"}, ":2: status is 'fine'; there are ok, error, oom, timeout, diverged"),
        ({"split": "train"}, ":2: split is 'train'; there are validation, test"),
        ({"learning_rate": None}, ":2: learning_rate is empty"),
        ({"learning_rate": 0.0}, ":2: learning_rate is 0; it is above 0"),
        ({"eval_loss": "low"}, ":2: column 'eval_loss': 'low' is not a number"),
        ({"step": 1.5}, ":2: column 'step': '1.5' is not a number"),
        ({"step": None}, ":2: an evaluation without its step"),
        ({"run_id": "../../etc/passwd"}, ":2: run_id '../../etc/passwd' is no name of a file"),
        ({"rank": 16}, "has another rank than in line 2"),
        ({"step": 50}, "has validation at step 50 twice"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, changed: dict[str, object], told: str) -> None:
    first, *rest = run_rows()
    out = write_runs(tmp_path, [{**first, **changed}, *rest])
    with pytest.raises(UsageError) as error:
        read_learning(out)
    assert str(error.value).startswith(f"{out / 'learning.csv'}:")
    assert told in str(error.value)


def test_files_of_others_are_told_from_ours(tmp_path: Path) -> None:
    out = write_runs(tmp_path, run_rows())
    file = out / "learning.csv"
    text = file.read_text()
    for changed, told in (
        (
            text.replace("train_seed", "train_sed", 1),
            "unknown column 'train_sed' (did you mean 'train_seed'?)",
        ),
        (text.replace(",items", "", 1), "column 'items' is missing; not a table of `lorafa-prof learn`"),
        (text + "a,b\n", ":6: 2 values for"),
        ("\0\udc80", "unknown column"),
    ):
        file.write_bytes(changed.encode(errors="surrogateescape"))
        with pytest.raises(UsageError) as error:
            read_learning(out)
        assert told in str(error.value) or "cannot be read as a table of learning runs" in str(error.value)


def test_no_runs_are_nothing_to_judge(tmp_path: Path) -> None:
    with pytest.raises(NothingToJudgeError, match="holds no learning"):
        read_learning(tmp_path)
    with pytest.raises(NothingToJudgeError, match="no rows"):
        read_learning(write_runs(tmp_path))
