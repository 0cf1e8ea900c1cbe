"""Folders of learning runs that tests make up: learning.csv, and the loss of each step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lorafa_prof.figures import FIGURES
from lorafa_prof.learning.columns import EVALUATION_COLUMNS, RUN_COLUMNS
from lorafa_prof.results.columns import COLUMNS
from lorafa_prof.results.spreadsheet import csv_text

STEPS = 100
#: Figures of learning runs.
OF_LEARNING = [name for name, figure in FIGURES.items() if getattr(figure, "of_learning", False)]
GIB = 2**30
HEADER = ("cell_id", *(c.name for c in COLUMNS if c.group == "setting"), *RUN_COLUMNS, *EVALUATION_COLUMNS)

#: What does not differ between runs unless a test says so.
SETTINGS: dict[str, Any] = {
    "model": "smollm2-135m",
    "method": "lora",
    "rank": 8,
    "targets": "all-linear",
    "dropout": 0.0,
    "batch": 8,
    "seq": 512,
    "dtype": "bf16",
    "adapter_dtype": "fp32",
    "attention": "sdpa",
    "kernels": "packed",
    "checkpointing": "none",
    "optimizer": "adamw",
    "device": "cuda",
    "gpu": "h200",
    "padding": 0.0,
    "accumulation": 1,
    "task": "sst2",
    "schedule": "cosine",
    "learning_rate": 1e-4,
    "train_seed": 0,
    "draw_seed": 0,
}


def run_rows(
    accuracy: float | None = 0.5,
    *,
    validation: float | None = None,
    loss: float = 0.5,
    seconds: float = 50.0,
    peak: int = GIB,
    status: str = "ok",
    tested: bool = True,
    steps: int = STEPS,
    message: str = "",
    **settings: Any,
) -> list[dict[str, Any]]:
    """The rows of one run: before the first step, in the middle, at its end, and its test.

    Args:
        accuracy: on the test split, from 0 to 1.
        validation: the same at the end on the validation split; None: that of the test.
        loss: of the evaluations at the end.
        seconds, peak: of the whole run.
        status: of its end; a run that is not ok has no evaluation there.
        tested: whether it was tested.
        steps: that it did.
        message: of its last row.
        settings: what differs from `SETTINGS`.
    """
    same = {**SETTINGS, **settings}
    if same["method"] == "full-ft":
        same |= dict.fromkeys(("rank", "targets", "dropout", "adapter_dtype", "draw_seed"))
    rank = f"_r{same['rank']}" if same["rank"] else ""
    same.setdefault("cell_id", f"{same['model']}_{same['method']}{rank}")
    seeds = f"{same['train_seed']}-{same['draw_seed']}"
    same.setdefault("run_id", f"{same['cell_id']}_{same['learning_rate']:g}_{seeds}")
    end = accuracy if validation is None else validation
    known = {"metric_name": "accuracy", "items": 872, "peak_reserved_bytes": peak}
    rows = [
        {**same, **known, **_at(step, steps, loss, seconds, peak), "split": "validation", "status": "ok"}
        | {"metric": None if end is None else round(0.5 + (end - 0.5) * step / steps, 6)}
        for step in (0, steps // 2, steps)
    ]
    if status != "ok":
        return [*rows[:2], {**rows[2], "split": None, "metric": None, "status": status, "message": message}]
    test = {**rows[2], "split": "test", "metric": accuracy}
    return [*rows, test] if tested else rows


def _at(step: int, steps: int, loss: float, seconds: float, peak: int) -> dict[str, Any]:
    share = step / steps
    return {
        "step": step,
        "epoch": share,
        "tokens": int(4096 * step),
        "seconds": seconds * share,
        "train_loss": None if step == 0 else loss + 1 - share,
        "eval_loss": loss + 1 - share,
        "peak_allocated_bytes": peak if step else None,
    }


def write_runs(out: Path, *runs: Iterable[Mapping[str, Any]], losses: bool = False) -> Path:
    """Write the rows of runs to ``out/learning.csv``, with `losses` also those of each step; return `out`."""
    out.mkdir(parents=True, exist_ok=True)
    rows = [row for run in runs for row in run]
    lines = [[row.get(name) for name in HEADER] for row in rows]
    (out / "learning.csv").write_text(csv_text([HEADER, *lines]), encoding="utf-8")
    if losses:
        (out / "learning").mkdir(exist_ok=True)
        for row in rows:
            if row["split"] == "test":
                text = csv_text([("step", "loss", "tokens", "seconds"), *map(tuple, _losses(row))])
                (out / "learning" / f"{row['run_id']}.losses.csv").write_text(text, encoding="utf-8")
    return out


def _losses(row: Mapping[str, Any]) -> list[list[float]]:
    steps = row["step"]
    return [
        [step, row["eval_loss"] + 0.9 ** (step / 5), 4096 * step, row["seconds"] * step / steps]
        for step in range(1, steps + 1)
    ]
