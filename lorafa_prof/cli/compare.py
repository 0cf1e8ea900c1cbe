"""`lorafa-prof compare`: two runs against each other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lorafa_prof.cli.judgement_output import judgement_options, tell
from lorafa_prof.cli.options import PATH
from lorafa_prof.errors import NothingToJudgeError

if TYPE_CHECKING:
    from lorafa_prof.cli.judgement_output import Outputs


@click.command("compare")
@click.argument("base", type=PATH)
@click.argument("new", type=PATH)
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    metavar="NAME",
    help="Compare this metric; may be repeated  [default: memory, FLOPs, time of a step]",
)
@click.option(
    "--tolerance",
    "tolerances",
    multiple=True,
    metavar="[METRIC=]AMOUNT",
    help="A change counts if it is more: 1%, 4MiB, peak_reserved_bytes=2%; may be repeated.",
)
@click.option(
    "--across",
    multiple=True,
    metavar="WHAT",
    help="Compare cells that differ in this: a setting, such as optimizer or seq; gpu, device, torch, "
    "transformers, peft, bitsandbytes, allocator, cpu; may be repeated.",
)
@click.option("--allow-missing", is_flag=True, help="Cells and metrics that NEW lacks do not matter.")
@judgement_options
def compare_command(
    base: Path,
    new: Path,
    metrics: tuple[str, ...],
    tolerances: tuple[str, ...],
    across: tuple[str, ...],
    allow_missing: bool,
    outputs: Outputs,
) -> int:
    """Compare two runs: what got worse, and which tensors grew.

    The results in the folder NEW are set against those in BASE, cell by cell. Predicted memory and FLOPs are
    compared to the byte, times by a confidence interval. Exit code: 0 nothing is worse; 1 a cell that was ok
    failed; 3 something is worse; 4 nothing could be compared, or NEW lacks cells or metrics of BASE.
    """
    from lorafa_prof.comparing.comparable import parse_across
    from lorafa_prof.comparing.compare import compare
    from lorafa_prof.comparing.metrics import Comparison
    from lorafa_prof.comparing.sides import read_side
    from lorafa_prof.comparing.tolerance import compared_metric, parse_tolerance

    asked = Comparison(
        tuple(compared_metric(name, "--metric") for name in dict.fromkeys(metrics)),
        tuple(parse_tolerance(text) for text in tolerances),
        parse_across(across),
        allow_missing,
    )
    if base.resolve() == new.resolve():
        raise NothingToJudgeError(f"{base} and {new} are one folder: there is nothing to compare")
    judgement = compare(read_side(base), read_side(new), asked)
    tell(judgement, outputs)
    return judgement.exit_code
