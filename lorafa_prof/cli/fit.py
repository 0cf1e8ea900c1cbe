"""`lorafa-prof fit`: will it fit, without a GPU."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from lorafa_prof.cli.say import put_whole, say
from lorafa_prof.cli.tables import print_table
from lorafa_prof.errors import UsageError
from lorafa_prof.words.numbers import size

if TYPE_CHECKING:
    from lorafa_prof.cell import Cell
    from lorafa_prof.fitting.answer import Answer, FitQuestion
    from lorafa_prof.running.prediction import Prediction

_SETTINGS = (
    ("--dtype", "Type of the base's weights  [default: bf16]"),
    ("--adapter-dtype", "Type of the adapters  [default: the method's]"),
    ("--autocast", "Type of autocast: none, bf16 or fp16  [default: none]"),
    ("--quantization", "Of the frozen base: none, nf4, fp4, int8 or fp8  [default: none]"),
    ("--attention", "Attention: sdpa, eager, …  [default: sdpa]"),
    ("--loss", "Logits: full (all at once) or chunked  [default: full]"),
    (
        "--checkpointing",
        "Activation checkpointing: none, full, attention, mlp, offload, several joined by +  [default: none]",
    ),
    ("--optimizer", "Optimizer: adamw, adamw-8bit, adafactor, …  [default: adamw]"),
    ("--update", "When weights are updated: step or backward  [default: step]"),
    ("--launch", "How kernels are launched: eager or graph  [default: eager]"),
    ("--parallel", "How a step is spread over GPUs: none, ddp or fsdp2  [default: none]"),
    ("--phase", "Which phase is asked about: train or eval  [default: train]"),
)


def _settings(command: Callable[..., Any]) -> Callable[..., Any]:
    for name, text in reversed(_SETTINGS):
        command = click.option(name, metavar="NAME", help=text)(command)
    return command


@click.command("fit", short_help="Tell what fits into a GPU's memory.")
@click.argument("scenario", required=False)
@click.option("--model", multiple=True, metavar="NAME", help="Model; may be repeated.")
@click.option("--gpu", multiple=True, metavar="NAME", help="GPU of the catalogue; may be repeated.")
@click.option(
    "--method", multiple=True, metavar="NAME", help="May be repeated  [default: full-ft, lora, lora-fa]"
)
@click.option("--rank", type=int, multiple=True, help="Rank, of the methods that have one; may be repeated.")
@click.option("--targets", multiple=True, metavar="NAMES", help="Adapted layers, such as q_proj,v_proj.")
@click.option("--dropout", type=float, multiple=True, help="Dropout of the adapters.")
@click.option("--batch", type=int, help="Batch size  [default: 1]")
@click.option("--seq", type=int, help="Tokens of a sequence  [default: 1024, or all positions if fewer]")
@click.option("--gpus", type=int, help="How many GPUs a step is spread over  [default: 1]")
@_settings
@click.option("--double-quant", is_flag=True, default=None, help="Quantize 4-bit weights' statistics too.")
@click.option(
    "--kbit-prepare",
    is_flag=True,
    default=None,
    help="Of a quantized base: what is not packed in fp32, as PEFT's prepare_model_for_kbit_training has it.",
)
@click.option("--kept-logits", type=int, help="Batches of logits that an evaluation keeps  [default: 0]")
@click.option("--packing", is_flag=True, default=None, help="All documents of a batch in one row.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, in bytes, in the place of the table.")
@click.option("--jobs", type=click.IntRange(min=1), help="Predictions at once  [default: one a core]")
def fit_command(scenario: str | None, as_json: bool, jobs: int | None, **options: Any) -> None:
    """Tell what fits into a GPU's memory: the step as asked, the largest batch, the longest sequence.

    The step runs on shapes, through a model of PyTorch's allocator; no GPU is needed. Name --model and --gpu,
    or a SCENARIO (a file or the name of a shipped one), whose cells are then asked about.
    """
    from lorafa_prof.fitting.answers_table import answers_json, answers_table, remarks
    from lorafa_prof.fitting.question import asked_by_options, asked_by_scenario
    from lorafa_prof.scenario.shipped import find_scenario

    if scenario is not None:
        asked = asked_by_scenario(find_scenario(scenario), options)
    else:
        for name in ("model", "gpu"):
            if not options[name]:
                raise UsageError(f"--{name} is missing; `lorafa-prof list {name}s` shows what there is")
        asked = asked_by_options(options)
    answers = _answers(asked, jobs)
    if as_json:
        put_whole(f"{json.dumps(answers_json(answers), indent=1)}\n")
    else:
        table = answers_table(answers)
        print_table("fit", table.header, table.rows, names=table.names)
    for line in remarks(answers):
        say(f"note: {line}")


def _answers(asked: list[FitQuestion], jobs: int | None) -> list[Answer]:
    from lorafa_prof.fitting.answering import answer_all
    from lorafa_prof.fitting.predictors import Predictor, in_processes
    from lorafa_prof.running.pool import available_cores

    started = time.monotonic()
    jobs = jobs or min(available_cores(), 2 * len(asked))
    with in_processes(jobs) as predict:
        predictor = Predictor(predict, _tell)
        answers = answer_all(asked, predictor, threads=jobs)
    say(f"{predictor.count} predictions in {time.monotonic() - started:.0f} s")
    return answers


def _tell(count: int, cell: Cell, capacity_bytes: int, prediction: Prediction) -> None:
    from lorafa_prof.running.prediction import UNLIMITED

    if prediction.memory is None:
        told = f"out of memory in {prediction.failed_phase}"
    else:
        told = f"peak {size(prediction.memory.peak_allocated_bytes)}"
    limit = " without a limit" if capacity_bytes == UNLIMITED else ""
    say(f"[{count}] {cell.gpu} {cell.label}{limit}: {told}")
