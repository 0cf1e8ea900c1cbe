"""The scripts in `examples/` run on the twin as they are, and take what an H200 says that they take.

What they took there is in reports/own-code, by `benchmarks/own_code.py`; those with large models are tried by
`make bench-own-code` alone.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

Predict = Callable[..., Any]

MEASURED = Path(__file__).parents[2] / "reports" / "own-code" / "own_code.csv"
COUNTERS = ("requested", "allocated", "reserved")
NEEDS = {"sft_lora.py": "trl", "four_bit.py": "bitsandbytes"}
#: More optimizer steps than any of them takes, so that they run to their ends, as they did on the GPU.
ALL_STEPS = 100_000


def small_scripts() -> list[Any]:
    """The rows of scripts with small models, but for that which PyTorch compiles on a GPU."""
    with MEASURED.open(newline="") as file:
        rows = list(csv.DictReader(file))
    small = [row for row in rows if set(row["command"].split()[1:]) <= {"--packing"}]
    return [
        pytest.param(row, id=row["script"], marks=_needing(row))
        for row in small
        if row["script"] != "compiled"
    ]


def _needing(row: dict[str, str]) -> Any:
    """Their own code allocates, so what another version of it takes is not what was measured."""
    package = NEEDS.get(row["command"].split()[0])
    measured = dict(pair.split("=") for pair in row["measured_versions"].split()).get(package or "")
    missing = package is not None and (find_spec(package) is None or version(package) != measured)
    return pytest.mark.skipif(missing, reason=f"needs {package} {measured}")


@pytest.mark.parametrize("row", small_scripts())
def test_what_an_example_takes_is_what_an_h200_measured(
    predict: Predict, monkeypatch: pytest.MonkeyPatch, row: dict[str, str]
) -> None:
    for variable in row["environment"].split():
        monkeypatch.setenv(*variable.split("="))
    prediction = predict(*row["command"].split(), gpu="h200", steps=ALL_STEPS)
    assert prediction.status == "ok", prediction.message
    told = {name: getattr(prediction, f"peak_{name}_bytes") for name in COUNTERS}
    assert told == {name: int(row[f"measured_{name}_bytes"]) for name in COUNTERS}


def test_all_examples_that_are_predicted_were_measured() -> None:
    scripts = {path.name for path in (Path(__file__).parents[2] / "examples").glob("*.py")}
    with MEASURED.open(newline="") as file:
        measured = {row["command"].split()[0] for row in csv.DictReader(file)}
    assert scripts - measured == {"accelerate_profiled.py"}  # it profiles itself


def test_the_parts_at_the_peak_and_the_steps_are_told(predict: Predict) -> None:
    prediction = predict("lora_fa.py")
    assert prediction.steps == 2
    assert {"weights", "optimizer"} <= set(prediction.by_kind())


def test_compiling_is_left_out_and_told(predict: Predict) -> None:
    assert any("torch.compile" in note for note in predict("compiled.py").notes)
