"""The gate turns red, and names what it is, where code comes to hold more; and stays green where it does not.

Each test edits a copy of the package and runs the real command on the shipped gate, with a tiny model.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cells import TWIN
from tiny_cells import tiny_cell

import lorafa_prof
from lorafa_prof.running.measure import measure_cell

ROOT = Path(lorafa_prof.__file__).parents[1]
TINY = ["--set", "model=tiny-llama", "--set", "seq=48"]


@dataclass(frozen=True)
class Edit:
    """In `file` of the package, `old` (there once) becomes `new`."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Checked:
    code: int
    report: dict[str, Any]
    said: str

    @property
    def failing(self) -> list[dict[str, Any]]:
        findings: list[dict[str, Any]] = self.report["judgements"][0]["findings"]
        return [finding for finding in findings if finding["state"] == "fail"]

    def named(self, metric: str) -> str:
        """The first tensor that is blamed for the baseline claim on `metric`, as text."""
        (finding,) = [each for each in self.failing if each["name"].endswith(f"baseline: {metric}")]
        return json.dumps(finding["culprits"][0])


@pytest.fixture(scope="module")
def green(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with the tiny model's baseline."""
    root = tmp_path_factory.mktemp("green")
    copy_package(root)
    checked = check(root, root / "baseline.json", "--update-baseline")
    assert checked.code == 0, checked.said
    return root


def copy_package(root: Path) -> None:
    for folder in ("lorafa_prof", "scenarios"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))


def check(root: Path, baseline: Path, *more: str, **environment: str) -> Checked:
    command = [sys.executable, "-m", "lorafa_prof", "check", "scenarios/claims/own-steps.yaml", *TINY]
    command += ["--claim", "no byte more", "--baseline", str(baseline), "--json", "report.json", *more]
    done = subprocess.run(
        command,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode in (0, 3), said
    return Checked(done.returncode, json.loads((root / "report.json").read_text()), said)


def mutated(green: Path, root: Path, *edits: Edit) -> Checked:
    copy_package(root)
    for edit in edits:
        file = root / "lorafa_prof" / edit.file
        text = file.read_text()
        assert text.count(edit.old) == 1, f"{edit.file} has changed: this test edits what is not there"
        file.write_text(text.replace(edit.old, edit.new))
    return check(root, green / "baseline.json")


FUNCTIONS = "layers/low_rank_functions.py"
LINEAR = "layers/low_rank_linear.py"


def test_a_thawed_a_is_named_by_the_inputs_it_keeps(green: Path, tmp_path: Path) -> None:
    checked = mutated(
        green,
        tmp_path,
        Edit("layers/low_rank_linear.py", "    function = LoraFaFunction", "    function = LoraFunction"),
        Edit(
            "layers/low_rank_linear.py", "self.lora_A.requires_grad_(False)", "self.lora_A.requires_grad_()"
        ),
        # Else it is an error at the first forward.
        Edit("layers/low_rank_linear.py", '"base.bias": bias, "lora_A": a}', '"base.bias": bias}'),
    )
    assert checked.code == 3
    named = checked.named("activation_bytes")
    assert "linear_input" in named
    assert "_proj" in named
    assert "low_rank_linear.py" in named, "the line that keeps it"


def test_a_stray_float_copy_is_named(green: Path, tmp_path: Path) -> None:
    old = "ctx.save_for_backward(x, low, mask, _tensor(weight), a, b)"
    checked = mutated(green, tmp_path, Edit(FUNCTIONS, old, old.replace("(x,", "(x.float(),")))
    assert checked.code == 3
    named = checked.named("activation_bytes")
    assert "linear_input" in named
    assert "float32" in named


def test_a_dropout_mask_in_four_bytes_is_named(green: Path, tmp_path: Path) -> None:
    checked = mutated(
        green, tmp_path, Edit(FUNCTIONS, "    return dropped, mask\n", "    return dropped, mask.float()\n")
    )
    assert checked.code == 3
    (finding,) = [each for each in checked.failing if each["name"].endswith("baseline: activation_bytes")]
    failing = [item["what"] for item in finding["items"] if item["state"] == "fail"]
    assert failing
    assert all("0.05" in what for what in failing), "only where there is dropout"
    assert "float32" in checked.named("activation_bytes")


def test_logits_held_twice_are_named(green: Path, tmp_path: Path) -> None:
    checked = mutated(
        green,
        tmp_path,
        Edit(
            "step.py",
            "loss = cast(Tensor, cast(Any, self.model(**inputs)).loss)",
            "output = cast(Any, self.model(**inputs)); loss = output.loss",
        ),
    )
    assert checked.code == 3
    named = checked.named("activation_bytes")
    assert "lm_head" in named
    assert "held_otherwise" in named


def test_a_fused_loss_that_was_dropped_is_named(green: Path, tmp_path: Path) -> None:
    checked = mutated(
        green,
        tmp_path,
        Edit("models/kernels.py", '"fused-loss": use_fused_loss', '"fused-loss": leave_as_it_is'),
    )
    assert checked.code == 3
    named = checked.named("activation_bytes")
    assert "logits_loss" in named
    assert "cross_entropy" in named


def test_what_is_only_temporary_is_told_apart(green: Path, tmp_path: Path) -> None:
    old = "    y = frozen_linear(x, weight, bias)\n"
    more = "    scratch = torch.cat([x] * 64)\n"
    checked = mutated(green, tmp_path, Edit(FUNCTIONS, old, old + more))
    assert checked.code == 3
    names = {finding["name"].rsplit(" ", 1)[-1] for finding in checked.failing}
    assert "peak_allocated_bytes" in names
    assert "activation_bytes" not in names
    assert "temporary" in checked.said


def test_a_refactoring_that_holds_nothing_more_stays_green(green: Path, tmp_path: Path) -> None:
    checked = mutated(
        green,
        tmp_path,
        Edit(FUNCTIONS, "    return y.addmm_(low, b.to(x.dtype).t(), alpha=scale), low, mask", GATHERED),
        Edit(LINEAR, "        y = y.view(*x.shape[:-1], -1)", RESHAPED),
    )
    assert checked.code == 0, checked.said


GATHERED = """    up = b.to(x.dtype).t()
    result = torch.Tensor.addmm_(y, mat1=low, mat2=up, alpha=scale)
    return (result, low, mask)"""
RESHAPED = "        y = y.reshape((*x.shape[:-1], y.shape[-1]))"


def test_another_seed_machine_and_order_stay_green(green: Path, tmp_path: Path) -> None:
    copy_package(tmp_path)
    scenario = tmp_path / "scenarios" / "claims" / "own-steps.yaml"
    lines = scenario.read_text().splitlines(keepends=True)
    start = lines.index("method:\n") + 1
    count = next(index for index, line in enumerate(lines[start:]) if not line.startswith("  - "))
    lines[start : start + count] = reversed(lines[start : start + count])
    scenario.write_text("".join(lines))
    other = ["--set", "seed=12345", "--set", "steps.warmup=5"]
    machine = {"PYTHONHASHSEED": "77", "OMP_NUM_THREADS": "2", "TZ": "Asia/Tokyo", "LC_ALL": "C"}
    checked = check(tmp_path, green / "baseline.json", *other, **machine)
    assert checked.code == 0, checked.said


def test_fifty_predictions_give_one_count() -> None:
    cell = tiny_cell("tiny-llama", "lora-fa", dropout=0.05, device=TWIN, dtype="bf16")
    rows = {json.dumps(measure_cell(cell).row, sort_keys=True) for _ in range(50)}
    assert len(rows) == 1
