"""`lorafa-prof list`: what can be named in a scenario or on the command line."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from pathlib import Path

import click

from lorafa_prof.cli.json_output import JsonOutput, json_option
from lorafa_prof.cli.say import put
from lorafa_prof.cli.tables import print_table
from lorafa_prof.errors import UsageError

Section = tuple[tuple[str, ...], list[tuple[str, ...]]]
"""A header, and rows; a column `SOURCE` is the last."""

SOURCE = "source"

#: Tells editors where the schema is.
_FOR_EDITORS = re.compile(r"#\s*yaml-language-server:")
#: Up to a full stop before a new sentence: not that of "vs. 4" or "2.5".
_SENTENCE = re.compile(r".*?[.!?](?=\s+[A-Z\"']|$)|.*", re.DOTALL)


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
        return f"{'' if gpu.memory_exact else '≥'}{gpu.memory_bytes:,}"

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

    return ("name", "about"), [(name, first_sentence(path)) for name, path in shipped_scenarios().items()]


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


def first_sentence(path: Path) -> str:
    """The first sentence of the comment that a scenario file begins with; empty if it has none."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not _FOR_EDITORS.match(line)]
    begun = itertools.dropwhile(lambda line: not line.startswith("#"), lines)
    comment = itertools.takewhile(lambda line: line.startswith("#"), begun)
    text = " ".join(line.lstrip("# ").strip() for line in comment)
    return _SENTENCE.match(text)[0]  # type: ignore[index]  # it matches any text


@click.command("list")
@click.argument("section", required=False, metavar="[SECTION]", type=click.Choice(list(SECTIONS)))
@click.option("--sources", is_flag=True, help="Tell where each entry is from, where that is known.")
@json_option
def list_command(section: str | None, sources: bool, as_json: JsonOutput) -> None:
    """List models, methods, GPUs and all else that has a name.

    SECTION is one of models, methods, optimizers, gpus, metrics, tasks, scenarios, figures or kernels (those
    of the twin); without it all are listed.
    """
    if as_json.target in SECTIONS:
        raise UsageError(f"--json {as_json.target}: write `lorafa-prof list {as_json.target} --json`")
    listed = {name: SECTIONS[name]() for name in ([section] if section else SECTIONS)}
    for index, (name, (header, rows)) in enumerate(listed.items()):
        if index:
            put()
        if header[-1] == SOURCE and not sources:
            print_table(name, header[:-1], [row[:-1] for row in rows])
        else:
            print_table(name, header, rows, last_below=header[-1] == SOURCE)
    as_json.give(
        {
            name: [{key: text or None for key, text in zip(header, row, strict=True)} for row in rows]
            for name, (header, rows) in listed.items()
        }
    )
