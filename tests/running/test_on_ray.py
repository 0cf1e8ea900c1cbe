"""Sweeps on a real Ray cluster of two nodes on this machine, as users run them."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

pytest.importorskip("ray", reason="Ray is not installed: pip install 'lorafa-prof[ray]'")

from lorafa_prof.running.stopping import ASKED_TO_STOP

SCENARIO = """\
schema: 1
name: tiny
model: tiny-llama
method: [full-ft, {name: lora, rank: [2, 4, 6]}, {name: lora-fa, rank: [2, 4, 6]}]
batch: [1, 2]
seq: 8
device: sim:h100-80gb
steps: {warmup: 1, timed: 1}
"""
CELLS = 14


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port: int = server.getsockname()[1]
        return port


@dataclass
class Cluster:
    """Nodes of one CPU each, started as `ray start` does it."""

    folder: Path
    port: int = field(default_factory=free_port)
    nodes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        ours = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}
        return {**os.environ, **ours, "RAY_TMPDIR": str(self.folder), "PYTHONUNBUFFERED": "1"}

    def start(self, name: str) -> None:
        place = (
            ["--address", f"127.0.0.1:{self.port}"]
            if self.nodes
            else [
                "--head",
                "--include-dashboard",
                "false",
                "--port",
                str(self.port),
                "--ray-client-server-port",
                str(free_port()),
            ]
        )
        ray = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block"]
        self.nodes[name] = subprocess.Popen(
            [*ray, "--node-name", name, "--num-cpus", "1", "--num-gpus", "0", *place],
            env=self.environment,
            stdout=(self.folder / f"{name}.log").open("wb"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        said = "To terminate the Ray runtime"
        log = self.folder / f"{name}.log"
        until(lambda: said in log.read_text() or self.nodes[name].poll() is not None, f"node {name} runs")
        assert self.nodes[name].poll() is None, log.read_text()

    def lose(self, name: str) -> None:
        """Kill a node and everything on it at once, as a machine that loses its power."""
        node = self.nodes.pop(name)
        if node.poll() is None:
            for process in psutil.Process(node.pid).children(recursive=True):
                process.kill()
            node.kill()
        node.wait()

    def cells_on(self, name: str) -> list[str]:
        """Ray's names of workers on a node that run a cell."""
        titles = []
        for process in psutil.Process(self.nodes[name].pid).children(recursive=True):
            with suppress(psutil.Error):
                titles.append(" ".join(process.cmdline()))
        return [title for title in titles if title.startswith("ray::tiny-llama")]


def until(come: Callable[[], object], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not come():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    folder = Path(tempfile.mkdtemp(prefix="lorafa-ray-"))  # short: sockets lie in it
    made = Cluster(folder)
    try:
        made.start("first")
        made.start("second")
        yield made
    finally:
        for name in reversed(list(made.nodes)):
            made.lose(name)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "s.yaml").write_text(SCENARIO)
    return tmp_path


def started(cluster: Cluster, place: Path, *arguments: str) -> subprocess.Popen[str]:
    on = ["--on", f"ray:127.0.0.1:{cluster.port}", "--no-figures"]
    return subprocess.Popen(
        [sys.executable, "-m", "lorafa_prof", "run", "s.yaml", *on, *arguments],
        cwd=place,
        env=cluster.environment,
        stdout=subprocess.PIPE,
        stderr=(place / "stderr").open("w"),
        text=True,
        start_new_session=True,
    )


def said(place: Path) -> str:
    return (place / "stderr").read_text()


def statuses(place: Path) -> list[str]:
    with (place / "out/tiny/results.csv").open(newline="") as file:
        return [row["status"] for row in csv.DictReader(file)]


def test_an_interrupted_sweep_is_resumed_and_outlives_a_node(cluster, place):
    run = started(cluster, place)
    until(lambda: f"[1/{CELLS}]" in said(place) or run.poll() is not None, "a cell")
    os.killpg(run.pid, signal.SIGINT)  # Ctrl-C
    run.communicate(timeout=60)
    assert run.returncode == 130, said(place)
    done = statuses(place)
    assert 1 <= len(done) <= 4, "only what ran was finished"
    assert set(done) == {"ok"}
    assert ASKED_TO_STOP in said(place)
    assert "the same command goes on from there" in said(place)
    assert not cluster.cells_on("second")

    run = started(cluster, place)
    until(lambda: "[1/" in said(place), "a cell after the interrupt")
    until(lambda: cluster.cells_on("second"), "a cell on the second node")
    cluster.lose("second")
    run.communicate(timeout=120)
    assert run.returncode == 0, said(place)
    assert f"{len(done)} of {CELLS} cells are measured already" in said(place)
    assert statuses(place) == ["ok"] * CELLS
    assert said(place).count(": peak ") == CELLS - len(done), "each cell once"
    assert "Traceback" not in said(place)
    assert len(list((place / "out/tiny/logs").iterdir())) == CELLS
