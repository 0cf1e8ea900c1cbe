"""Four independent counts of one step's FLOPs, by shapes alone: no weights, no GPU, seconds.

This package's counter, PyTorch's FlopCounterMode, fvcore (forward only) and the closed form, for each model
and method. Attention is eager, where all four see the same products. Prints the table of docs/flops.md::

    python benchmarks/flops_opinions.py
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from lorafa_prof.cell import ModelChoice
from lorafa_prof.instruments.flops.counter import FlopCounter
from lorafa_prof.instruments.flops.opinions.by_fvcore import fvcore_forward_flops
from lorafa_prof.instruments.flops.opinions.closed_form import ClosedForm, closed_form
from lorafa_prof.methods.base import METHODS, Setting
from lorafa_prof.models.build import build_model
from lorafa_prof.models.inputs import make_inputs
from lorafa_prof.models.resolve import resolve_model
from lorafa_prof.step import TrainingStep

META = torch.device("meta")
COLUMNS = (
    "model",
    "method",
    "forward GFLOP",
    "backward GFLOP",
    "backward / forward",
    "step / 2N·tokens",
    "closed form",
    "fvcore",
    "FlopCounterMode",
)


@dataclass(frozen=True)
class Opinions:
    """FLOPs of (forward, backward) by each counter; fvcore's of forward, where it can tell; 2N · tokens."""

    ours: tuple[int, int]
    torchs: tuple[int, int]
    closed: tuple[int, int]
    fvcore: int | None
    two_n: int


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--models", nargs="+", default=["gpt2", "llama-3.2-1b", "llama-2-7b"], metavar="MODEL"
    )
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--seq", type=int, default=1024)
    parser.add_argument("--rank", type=int, default=8)
    return parser.parse_args()


def opinions(model_name: str, method_name: str, batch: int, seq: int, rank: int) -> Opinions:
    """All counts of one step on the meta device."""
    resolved = resolve_model(ModelChoice(name=model_name))
    model = build_model(resolved, device=META, dtype=torch.bfloat16, attention="eager", checkpointing="none")
    method = METHODS[method_name]
    options = {} if method_name == "full-ft" else {"rank": rank, "targets": "all-linear"}
    setting = Setting(resolved.task, torch.bfloat16, "sgd")
    prepared = method.prepare(model, method.options.model_validate(options), setting)
    inputs = make_inputs(resolved, batch=batch, seq=seq, device=META, seed=0)
    # transformers looks into a mask of zeros and ones, and takes one of this shape as it is.
    inputs["attention_mask"] = torch.zeros(1, 1, seq, seq, device=META, dtype=torch.bfloat16)

    with FlopCounter(prepared.model) as counter:
        TrainingStep(prepared.model, inputs, prepared.optimizer).run((counter,))
    by_phase = counter.count().by_phase
    with FlopCounterMode(display=False) as forward:
        loss = prepared.model(**inputs).loss
    with FlopCounterMode(display=False) as backward:
        loss.backward()
    form = closed_form(model, batch, seq)
    return Opinions(
        ours=(by_phase["forward"], by_phase["backward"]),
        torchs=(forward.get_total_flops(), backward.get_total_flops()),
        closed=(form.forward, closed_backward(form, method_name)),
        fvcore=fvcore_forward_flops(prepared.model, inputs) if method_name == "full-ft" else None,
        two_n=2 * form.all.base * form.tokens,
    )


def closed_backward(form: ClosedForm, method_name: str) -> int:
    """The closed form of backward under a method."""
    return {
        "full-ft": form.backward_full,
        "lora": form.backward_lora,
        "lora-fa": form.backward_lora_fa,
    }[method_name]


def main() -> None:
    """Print the table as Markdown."""
    arguments = parse_arguments()
    print(f"batch {arguments.batch}, seq {arguments.seq}, rank {arguments.rank}, all-linear, eager\n")
    print(f"| {' | '.join(COLUMNS)} |")
    print(f"|---|---{'|---:' * (len(COLUMNS) - 2)}|")
    for model in arguments.models:
        for method in ("full-ft", "lora", "lora-fa"):
            found = opinions(model, method, arguments.batch, arguments.seq, arguments.rank)
            print(f"| {model} | {method} | {' | '.join(columns(found))} |")


def columns(found: Opinions) -> list[str]:
    """Ours, and how far each other count is from it: forward, backward."""
    forward, backward = found.ours
    return [
        f"{forward / 1e9:,.3f}",
        f"{backward / 1e9:,.3f}",
        f"{backward / forward:.3f}",
        f"{(forward + backward) / found.two_n:.3f}",
        f"{distance(found.closed[0], forward)}, {distance(found.closed[1], backward)}",
        "" if found.fvcore is None else distance(found.fvcore, forward),
        f"{distance(found.torchs[0], forward)}, {distance(found.torchs[1], backward)}",
    ]


def distance(count: int, ours: int) -> str:
    """0 where the counts are the same to the last operation, else how far apart they are."""
    return "0" if count == ours else f"{100 * (count - ours) / ours:+.2f} %"


if __name__ == "__main__":
    main()
