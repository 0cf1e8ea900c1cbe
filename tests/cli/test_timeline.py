from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch.cuda import _memory_viz as viz

from lorafa_prof.cell import Cell
from lorafa_prof.cli.main import main
from lorafa_prof.devices.sim import twin as twin_module
from lorafa_prof.running.measure import measure_cell

SCENARIO = """\
schema: 1
name: mine
model: tiny-llama
method:
  - full-ft
  - {name: lora-fa, rank: 2}
batch: 1
seq: 8
device: auto
gpu: h100-80gb
steps: {warmup: 3, timed: 1}
"""


class Command:
    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str) -> int:
        with pytest.raises(SystemExit) as ended:
            main(["timeline", "s.yaml", *arguments])
        self.out, self.err = self._capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code

    @property
    def paths(self) -> list[Path]:
        return [Path(line) for line in self.out.splitlines()]


@pytest.fixture
def timeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    monkeypatch.chdir(tmp_path)
    Path("s.yaml").write_text(SCENARIO)
    return Command(capsys)


def test_four_files_for_each_cell(timeline: Command) -> None:
    assert timeline("-o", "here") == 0
    assert timeline.err == ""
    assert [path.parent for path in timeline.paths] == [Path("here/timelines")] * 8
    assert [path.suffix for path in timeline.paths] == [".pickle", ".csv", ".png", ".pdf"] * 2
    assert [path.name.split("_")[1] for path in timeline.paths] == ["full-ft"] * 4 + ["lora-fa"] * 4
    assert all(path.stat().st_size > 1000 for path in timeline.paths)
    data = pickle.loads(timeline.paths[0].read_bytes())
    assert "cudaMalloc" in viz.trace(data)


def test_the_csv_has_the_peak_of_the_cells_row(timeline: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    cells: list[Cell] = []
    from lorafa_prof.running import recorded_step

    predict = recorded_step.predict_timeline
    monkeypatch.setattr(recorded_step, "predict_timeline", lambda cell: cells.append(cell) or predict(cell))
    assert timeline("-k", "lora-fa", "--set", "batch=2") == 0
    pickled, listed, *_ = timeline.paths
    assert listed.parent == Path("out/mine/timelines")
    assert "_b2_" in listed.name
    (cell,) = cells
    assert pickled.stem == listed.stem == cell.cell_id
    assert pd.read_csv(listed)["allocated_bytes"].max() == measure_cell(cell).row["peak_allocated_bytes"]


def test_no_cell_is_one_line(timeline: Command) -> None:
    assert timeline("-k", "nothing-like-it") == 2
    assert timeline.err.startswith("lorafa-prof: -k nothing-like-it: no cell matches;")
    assert timeline.err.count("\n") == 1
    assert not Path("out").exists()


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_device_that_is_no_twin_is_one_line(timeline: Command, device: str) -> None:
    assert timeline("--device", device) == 2
    assert f"tiny-llama full-ft b1 s8 has device {device}: " in timeline.err
    assert "timeline predicts; run it with --device sim:<gpu>" in timeline.err
    assert timeline.err.count("\n") == 1
    assert not Path("out").exists()


def test_other_devices_do_not_matter_where_they_are_not_chosen(timeline: Command) -> None:
    Path("s.yaml").write_text(SCENARIO.replace("device: auto", "device: [cpu, sim:h100-80gb]"))
    assert timeline("-k", "lora-fa.*sim") == 0
    assert len(timeline.paths) == 4


def test_auto_is_the_twin_of_the_gpu_here(timeline: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA A100-SXM4-80GB")
    chosen: list[str] = []
    from lorafa_prof.running import recorded_step

    def told(cell: Cell) -> None:
        chosen.append(cell.device)
        raise KeyboardInterrupt

    monkeypatch.setattr(recorded_step, "predict_timeline", told)
    assert timeline() == 130
    assert chosen == ["sim:a100-80gb"]


def test_out_of_memory_is_a_result_with_a_pickle(timeline: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(twin_module, "allocator_capacity", lambda gpu: 20 * 2**20)
    assert timeline("-k", "full-ft") == 0
    assert [path.suffix for path in timeline.paths] == [".pickle"]
    assert "tiny-llama full-ft b1 s8: in forward of step 1: CUDA out of memory" in timeline.err
    assert "no .csv and no figure" in timeline.err
    assert timeline.err.count("\n") == 1


def test_a_folder_that_cannot_be_written_is_one_line(timeline: Command) -> None:
    Path("here").write_text("a file")
    assert timeline("-k", "full-ft", "-o", "here") == 2
    assert "cannot write timelines there" in timeline.err


def test_help_names_it_and_loads_nothing() -> None:
    code = (
        "import sys, lorafa_prof.cli.timeline; "
        "print(sorted({'pandas', 'matplotlib', 'torch'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
