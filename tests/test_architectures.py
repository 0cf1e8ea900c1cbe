"""A sample of docs/architectures.md, which `make bench-architectures` writes: its lines hold today."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import transformers
from programs import ROOT, program

from lorafa_prof.cell import Cell
from lorafa_prof.errors import LorafaProfError
from lorafa_prof.running.cell_process import failed_result

BENCHMARK = program("benchmarks/architectures.py")
PAGE = (ROOT / "docs" / "architectures.md").read_text(encoding="utf-8")
LINES = {line.split(" | ")[0].removeprefix("| "): line for line in PAGE.splitlines() if line.startswith("| ")}
#: The quickest of each kind.
SAMPLE = {
    "bart": "reads a value of floats made from constants",
    "bloom": "has no sdpa",
    "canine": "has no vocabulary",
    "deberta-v2": "compiles functions when it is imported",
    "ibert": "reads a value of an activation",
    "modernbert": "draws its weights until it likes them",
    "recurrent_gemma": "keeps a state from step to step",
    "t5": "is an encoder and a decoder",
    "xlnet": "makes weights beside the device",
    "xmod": "selects rows by a mask",
}


of_its_versions = pytest.mark.skipif(
    f"transformers {transformers.__version__} " not in PAGE or f"torch {torch.__version__}," not in PAGE,
    reason="docs/architectures.md is of other versions",
)


@pytest.fixture(autouse=True)
def _threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@of_its_versions
@pytest.mark.parametrize("name", SAMPLE)
def test_a_line_of_the_table_holds(name: str, tmp_path: Path) -> None:
    result = BENCHMARK.try_all(BENCHMARK.written(name, tmp_path))
    assert BENCHMARK.line_of(BENCHMARK.architecture_of(name, result)).rstrip() == LINES[name]


@of_its_versions
def test_every_text_architecture_has_one_line() -> None:
    names = BENCHMARK.text_architectures()
    assert len(names) >= 150
    assert [name for name in LINES if name not in (BENCHMARK.HEADER[0], "---")] == names


def test_nearly_all_work_and_none_fails() -> None:
    cells = [line.split(" | ")[2:8] for name, line in LINES.items() if name not in ("architecture", "---")]
    assert not any("failed" in line for line in cells)
    assert sum("refused" not in line for line in cells) >= 0.95 * len(cells)


def test_an_error_that_nobody_foresaw_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = BENCHMARK.written("bloom", tmp_path)
    for error, outcome in ((LorafaProfError("no"), "refused"), (KeyError("x"), "failed")):

        def fail(cell: Cell, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(BENCHMARK, "measure_cell", fail)
        assert BENCHMARK.architecture_of("bloom", BENCHMARK.try_all(cell)).outcome == outcome
    died = failed_result(cell, "error", "the cell's process died: exit code 1; its log is /tmp/x.log")
    architecture = BENCHMARK.architecture_of("bloom", died)
    assert architecture.outcome == "failed"
    assert BENCHMARK.said_of(architecture) == "the cell's process died: exit code 1"


def test_what_only_some_cells_say_is_told_with_which() -> None:
    tried, refused = BENCHMARK.Tried("ok", 4), BENCHMARK.Tried("refused", line="no")
    both = {("full-ft", "twin"): tried, ("full-ft", "CPU"): tried}
    some = {("lora", "twin"): refused, ("lora", "CPU"): refused}
    assert BENCHMARK.said_of(BENCHMARK.Architecture("x", "sdpa", both)) == ""
    assert BENCHMARK.said_of(BENCHMARK.Architecture("x", "sdpa", some)) == "no"
    assert BENCHMARK.said_of(BENCHMARK.Architecture("x", "sdpa", both | some)) == "lora: no"
    one = both | {("lora", "twin"): refused, ("lora", "CPU"): tried}
    assert BENCHMARK.said_of(BENCHMARK.Architecture("x", "sdpa", one)) == "lora on the twin: no"
