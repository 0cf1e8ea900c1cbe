"""`lorafa-prof list`: what can be named in a scenario or on the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from lorafa_prof.cli.say import put
from lorafa_prof.cli.tables import print_table

Section = tuple[tuple[str, ...], list[tuple[str, ...]]]


def _models() -> Section:
    from lorafa_prof.models.preset import PRESETS

    return ("name", "task", "source"), [
        (preset.name, str(preset.task), preset.source) for preset in PRESETS.values()
    ]


def _methods() -> Section:
    from lorafa_prof.methods.base import METHODS

    return ("name", "what trains"), [(method.name, method.summary) for method in METHODS.values()]


def _optimizers() -> Section:
    from lorafa_prof.optim.optimizer import OPTIMIZERS

    return ("name", "what it is"), [(choice.name, choice.summary) for choice in OPTIMIZERS.values()]


def _gpus() -> Section:
    from lorafa_prof.devices.gpus import GPUS, Gpu, peak_flops

    def tera(value: float | None) -> str:
        return "" if value is None else f"{value / 1e12:g}"

    def exactly(gpu: Gpu) -> str:
        if gpu.memory_bytes is None:
            return ""
        return f"{'' if gpu.memory_exact else '≥ '}{gpu.memory_bytes:,}"

    header = (
        "name",
        "memory GB",
        "bytes to CUDA",
        "bf16 TFLOP/s",
        "fp16 TFLOP/s",
        "fp32 TFLOP/s",
        "TB/s",
        "source",
    )
    return header, [
        (
            gpu.name,
            f"{gpu.datasheet_memory_gb:g}",
            exactly(gpu),
            *(tera(peak_flops(gpu, dtype)) for dtype in ("bf16", "fp16", "fp32")),
            tera(gpu.bandwidth_bytes_per_s),
            gpu.source,
        )
        for gpu in GPUS.values()
    ]


def _kernels() -> Section:
    from lorafa_prof.devices.sim.kernels.kernel import KERNEL_TABLE

    header = ("kernel", "allocates beside its results", "holds for", "source")
    return header, [
        (kernel.name, kernel.formula, kernel.holds_for, kernel.source) for kernel in KERNEL_TABLE.values()
    ]


def _metrics() -> Section:
    from lorafa_prof.quality.measures import LEARNING_METRICS
    from lorafa_prof.results.columns import METRICS

    return ("name", "unit", "meaning"), [
        (metric.name, metric.unit, metric.meaning) for metric in (*METRICS, *LEARNING_METRICS)
    ]


def _scenarios() -> Section:
    from lorafa_prof.scenario.shipped import shipped_scenarios

    return ("name", "about"), [(name, first_comment(path)) for name, path in shipped_scenarios().items()]


def _tasks() -> Section:
    from lorafa_prof.tasks.entry import TASKS

    return ("name", "model", "metric", "data"), [
        (task.name, " or ".join(task.kinds), task.metric or "none", task.data) for task in TASKS.values()
    ]


def _figures() -> Section:
    from lorafa_prof.figures import FIGURES

    return ("name", "title"), [(figure.name, figure.title) for figure in FIGURES.values()]


SECTIONS: dict[str, Callable[[], Section]] = {
    "models": _models,
    "methods": _methods,
    "optimizers": _optimizers,
    "gpus": _gpus,
    "metrics": _metrics,
    "tasks": _tasks,
    "scenarios": _scenarios,
    "figures": _figures,
    "kernels": _kernels,
}


def first_comment(path: Path) -> str:
    """The first comment line of a scenario file, without its ``#``; empty if it has none."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return next((line.lstrip("# ").strip() for line in lines if line.startswith("#")), "")


@click.command("list")
@click.argument("section", required=False, type=click.Choice(list(SECTIONS)))
def list_command(section: str | None) -> None:
    """List what can be named.

    Models, methods, optimizers, gpus, metrics, tasks, scenarios, figures or the kernels of the twin; all by
    default.
    """
    for index, name in enumerate([section] if section else SECTIONS):
        if index:
            put()
        header, rows = SECTIONS[name]()
        print_table(name, header, rows)
