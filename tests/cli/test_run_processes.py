"""`lorafa-prof run` as users run it: real processes, and a third party's method that fails in every way."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from lorafa_prof.running.stopping import ASKED_TO_STOP

PLUGIN = """
import os
import signal
import subprocess
import sys
import time
from typing import Literal

import torch

from lorafa_prof.methods.base import Method, MethodOptions
from lorafa_prof.methods.full_ft import prepare as train_all


class Options(MethodOptions):
    how: Literal["well", "exit", "kill", "raise", "oom", "hang", "slow"] = "well"


def prepare(model, options, setting):
    if next(model.parameters()).is_meta:
        return train_all(model, options, setting)
    print("pid", os.getpid(), f"how={options.how}", flush=True)
    print("on stderr", file=sys.stderr)
    if options.how == "exit":
        os._exit(7)
    if options.how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if options.how == "raise":
        raise LookupError("a bug\\nof two lines")
    if options.how == "oom":
        raise torch.OutOfMemoryError("no room")
    if options.how == "hang":
        subprocess.Popen(["sleep", "600"])
        time.sleep(600)
    if options.how == "slow":
        print("how=hang", flush=True)
        while not os.path.exists("go"):
            time.sleep(0.05)
    return train_all(model, options, setting)


METHOD = Method("fragile", "fails as it is told", Options, prepare, default_adapter_dtype=None)
"""

SCENARIO = """\
schema: 1
name: real
model: tiny-llama
method:
  - {name: fragile, how: [well, exit, kill, raise, oom]}
  - {name: lora-fa, rank: 2}
batch: 1
seq: 8
dtype: fp32
device: cpu
steps: {warmup: 1, timed: 1}
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables of an environment in which a package with a method is installed."""
    site = tmp_path_factory.mktemp("site")
    (site / "fragile_method.py").write_text(PLUGIN)
    info = site / "fragile_method-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fragile-method\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[lorafa_prof.methods]\nfragile = fragile_method:METHOD\n")
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}


FAILING = "how: [well, exit, kill, raise, oom]"
SCENARIOS = {
    "done": SCENARIO,
    "interrupted": SCENARIO.replace(FAILING, "how: [well, hang]"),
    "stopped": SCENARIO.replace(FAILING, "how: [well, slow]"),
    "killed": SCENARIO.replace(FAILING, "how: [well, hang]"),
    "invalid": SCENARIO.replace("how:", "hwo:"),
}


@dataclass
class Run:
    process: subprocess.Popen[str]
    folder: Path


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, installed: dict[str, str]) -> Iterator[dict[str, Run]]:
    """All the runs of this module, started together: most of their time is spent importing."""
    started = {}
    for name, text in SCENARIOS.items():
        folder = tmp_path_factory.mktemp(name)
        (folder / "s.yaml").write_text(text)
        process = subprocess.Popen(
            [sys.executable, "-m", "lorafa_prof", "run", "s.yaml", "--no-figures"],
            cwd=folder,
            env=installed,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started[name] = Run(process, folder)
    yield started
    for run in started.values():
        if run.process.poll() is None:
            os.killpg(run.process.pid, signal.SIGKILL)
        run.process.communicate()


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "out/real/results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@dataclass(frozen=True)
class Done:
    folder: Path
    code: int
    out: str
    err: str

    @property
    def rows(self) -> dict[str, dict[str, str]]:
        names = ["well", "exit", "kill", "raise", "oom", "lora-fa"]
        return dict(zip(names, table(self.folder), strict=True))

    def log(self, name: str) -> str:
        return (self.folder / f"out/real/logs/{self.rows[name]['cell_id']}.log").read_text()


@pytest.fixture(scope="module")
def done(runs: dict[str, Run]) -> Done:
    run = runs["done"]
    out, err = run.process.communicate(timeout=300)
    return Done(run.folder, run.process.returncode, out, err)


def test_a_third_partys_method_is_measured_in_the_cells_process(done):
    assert done.rows["well"]["status"] == "ok", done.err
    assert done.rows["well"]["method"] == "fragile"
    assert int(done.rows["well"]["activation_bytes"]) > 0


def test_the_others_go_on_when_a_cell_dies(done):
    assert {name: row["status"] for name, row in done.rows.items()} == {
        "well": "ok",
        "exit": "error",
        "kill": "error",
        "raise": "error",
        "oom": "oom",
        "lora-fa": "ok",
    }
    assert done.code == 1
    assert "3 cells failed; --rerun failed tries again" in done.err


def test_each_death_says_how_and_where_more_is(done):
    messages = {name: row["message"] for name, row in done.rows.items()}
    logs = {name: f"out/real/logs/{row['cell_id']}.log" for name, row in done.rows.items()}
    assert messages["exit"] == "the method 'fragile' tried to end the program: Exit: os._exit(7)"
    assert messages["kill"] == (
        f"the cell's process died: killed by SIGKILL (the host ran out of memory?); its log is {logs['kill']}"
    )
    assert messages["raise"] == f"LookupError: a bug (see {logs['raise']})"
    assert "Traceback (most recent call last)" in done.log("raise")
    assert done.rows["oom"]["failed_phase"] == "build"
    assert "no room" in messages["oom"]
    assert messages["well"] == ""


def test_every_cell_has_a_process_of_its_own_whose_output_is_in_its_log(done):
    pids = [done.log(name).split()[1] for name in ("well", "exit", "kill", "raise", "oom")]
    assert len(set(pids)) == 5
    assert all("on stderr" in done.log(name) for name in ("well", "raise", "oom"))
    assert "pid" not in done.out + done.err


def test_stderr_has_a_line_for_each_cell_and_no_noise(done):
    first, *lines = done.err.splitlines()
    assert first == "loading PyTorch"
    assert [line[:5] for line in lines[:6]] == [f"[{index}/6]" for index in range(1, 7)]
    assert "Traceback" not in done.err
    assert "Warning" not in done.err
    out_of_memory, largest, failed, look = (line for line in lines if line.startswith("- "))
    assert out_of_memory == "- 1 of 6 cells ran out of memory on the cpu: fragile (on default targets)."
    assert largest.startswith("- The largest, fragile (on default targets), holds ")
    assert failed == "- 3 of 6 cells failed with an error: fragile (on default targets)."
    assert look == "- To see a page of all this:"
    # What was found, what all share, what marks mean, the failed ones again, their count, where results are.
    assert len(lines) == 6 + 8 + 1 + 1 + 3 + 2, done.err


def wait_for_second_cell(run: Run) -> list[psutil.Process]:
    """All processes below the run, once its second cell has begun, which takes for ever."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and run.process.poll() is None:
        logs = run.folder / "out/real/logs"
        if logs.is_dir() and any("how=hang" in log.read_text() for log in logs.iterdir()):
            return psutil.Process(run.process.pid).children(recursive=True)
        time.sleep(0.05)
    raise AssertionError("the second cell did not begin")


def test_an_interrupt_keeps_what_was_measured_and_leaves_no_process(runs):
    running = runs["interrupted"]
    below = wait_for_second_cell(running)
    assert below
    os.killpg(running.process.pid, signal.SIGINT)  # what Ctrl-C on a terminal does
    time.sleep(1)
    assert running.process.poll() is None, "once: it finishes what runs"
    os.killpg(running.process.pid, signal.SIGINT)
    out, err = running.process.communicate(timeout=60)
    assert running.process.returncode == 130
    assert out.strip() == ""
    lines = [line for line in err.splitlines() if line]
    assert lines[0] == "loading PyTorch"
    assert lines[1].startswith("[1/3] tiny-llama fragile")
    assert lines[2:] == [
        ASKED_TO_STOP,
        "what was measured is kept; the same command goes on from there",
        "lorafa-prof: interrupted",
    ]
    assert [row["status"] for row in table(running.folder)] == ["ok"]
    assert (running.folder / "out/real/provenance.json").exists()
    _, alive = psutil.wait_procs(below, timeout=20)
    assert alive == []


def test_ctrl_c_once_finishes_the_cell_under_way_and_stops(runs):
    running = runs["stopped"]
    below = wait_for_second_cell(running)
    os.killpg(running.process.pid, signal.SIGINT)
    time.sleep(1)
    (running.folder / "go").touch()
    _, err = running.process.communicate(timeout=60)
    assert running.process.returncode == 130
    lines = [line for line in err.splitlines() if line]
    assert lines[2] == ASKED_TO_STOP
    assert lines[3].startswith("[2/3] tiny-llama fragile")
    assert lines[4:] == [
        "what was measured is kept; the same command goes on from there",
        "lorafa-prof: interrupted",
    ]
    assert [row["status"] for row in table(running.folder)] == ["ok", "ok"]
    assert not (running.folder / "out/real/.lock").exists()
    _, alive = psutil.wait_procs(below, timeout=20)
    assert alive == []


def test_no_cell_outlives_a_run_that_is_killed(runs):
    running = runs["killed"]
    below = wait_for_second_cell(running)
    assert below
    running.process.kill()
    _, alive = psutil.wait_procs(below, timeout=20)
    assert alive == []
    assert [row["status"] for row in table(running.folder)] == ["ok"]


def test_an_invalid_scenario_is_one_line_without_a_traceback(runs):
    out, err = runs["invalid"].process.communicate(timeout=120)
    assert runs["invalid"].process.returncode == 2
    assert out == ""
    assert err == (
        "loading PyTorch\n"
        "lorafa-prof: s.yaml:5: method[0].hwo: fragile has no option 'hwo' (did you mean 'how'?)\n"
    )
