"""Changes of a cell that may make its step smaller."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lorafa_prof.cell import Cell, MethodChoice
from lorafa_prof.methods.base import METHODS
from lorafa_prof.scenario.options import validated_options

#: By method: one that holds less, in plain words, and what it takes in return.
_LESS: dict[str, tuple[str, str, str]] = {
    "full-ft": ("lora", "train low-rank adapters, not all weights", "another way of training"),
    "lora": ("lora-fa", "freeze A of the adapters", "A stays as it was drawn"),
    "peft-lora": ("peft-lora-fa", "freeze A of the adapters", "A stays as it was drawn"),
    "peft-lora-fa-after-eval": ("peft-lora-fa", "keep A frozen: an evaluation has thawed it", ""),
}
_FUSED_NORM = ("norms that keep their input in its own type", "norms are computed again in backward")
_FUSED_LOSS = ("loss in chunks, without all logits at once", "")
_LIGER = ("Liger's norms, activation, rotary embedding and loss", "the package liger-kernel, and a GPU")
_PACKED = ("our own layers, packed, with adapters in the base's products", "weights are views of one buffer")
#: By kernels: those with one more of them fused, what that is in plain words, and what it takes in return.
_MORE_FUSED: dict[str, dict[str, tuple[str, str]]] = {
    "eager": {"fused-norm": _FUSED_NORM, "fused-loss": _FUSED_LOSS, "liger": _LIGER, "packed": _PACKED},
    "fused-norm": {"fused": _FUSED_LOSS, "liger": _LIGER, "packed": _PACKED},
    "fused-loss": {"fused": _FUSED_NORM, "liger": _LIGER, "packed": _PACKED},
    "fused": {"liger": _LIGER, "packed": _PACKED},
}
_SIXTEEN_BITS = ("bf16", "fp16")


@dataclass(frozen=True)
class Remedy:
    """A change of a cell.

    Attributes:
        change: as a scenario has it: "checkpointing: full".
        meaning: in plain words.
        costs: what it takes in return; empty for nothing that is known.
        cell: with the change.
        same_places: whether what it holds is saved at the same places, so that tensors can be followed.
    """

    change: str
    meaning: str
    costs: str
    cell: Cell
    same_places: bool = True


def remedies_for(cell: Cell) -> list[Remedy]:
    """The changes that make sense for `cell`; what they save, and whether they work, is to be tried."""
    return [*_of_method(cell), *_of_types(cell), *_of_the_rest(cell)]


def _of_method(cell: Cell) -> Iterator[Remedy]:
    name, options = cell.method.name, cell.method.options
    if name in _LESS:
        other, meaning, costs = _LESS[name]
        method = METHODS[other]
        kept = options if name != "full-ft" else validated_options(method, {})
        choice = MethodChoice(name=other, options=kept)
        yield Remedy(f"method: {other}", meaning, costs, _with(cell, method=choice), name != "full-ft")
    if options.get("dropout"):
        choice = MethodChoice(name=name, options={**options, "dropout": 0.0})
        yield Remedy("dropout: 0.0", "no masks to keep", "no dropout", _with(cell, method=choice))


def _of_types(cell: Cell) -> Iterator[Remedy]:
    adapted = bool(cell.method.options)
    if adapted and cell.adapter_dtype == "fp32" and cell.dtype in _SIXTEEN_BITS:
        yield Remedy(
            f"adapter_dtype: {cell.dtype}",
            f"adapters in the type of the base{_no_copies(cell)}",
            "adapters and their updates are rounded to 16 bits",
            _with(cell, adapter_dtype=cell.dtype),
        )
    if cell.dtype == "fp32":
        changed = _with(cell, dtype="bf16") if adapted else _with(cell, dtype="bf16", adapter_dtype="bf16")
        meaning = f"base in 16 bits{_no_copies(cell)}"
        yield Remedy("dtype: bf16", meaning, "less precise", changed, same_places=False)


def _no_copies(cell: Cell) -> str:
    """What weights in 16 bits spare a step under autocast, in words."""
    return "" if cell.autocast == "none" else ", of which autocast makes no copies"


def _of_the_rest(cell: Cell) -> Iterator[Remedy]:
    for kernels, (meaning, costs) in _MORE_FUSED.get(cell.kernels, {}).items():
        same = kernels not in ("liger", "packed")
        yield Remedy(f"kernels: {kernels}", meaning, costs, _with(cell, kernels=kernels), same)
    if cell.attention == "eager":
        meaning = "attention that keeps no probabilities"
        yield Remedy("attention: sdpa", meaning, "", _with(cell, attention="sdpa"))
    if cell.optimizer == "adamw-foreach":
        meaning = "AdamW in one kernel, without copies"
        yield Remedy("optimizer: adamw", meaning, "", _with(cell, optimizer="adamw"))
    yield from _of_states(cell)
    yield from _of_evaluation(cell) if cell.is_evaluation else _of_training(cell)


def _of_evaluation(cell: Cell) -> Iterator[Remedy]:
    if cell.kept_logits > 1:
        yield Remedy(
            "kept_logits: 1",
            "results go to the host after each batch (eval_accumulation_steps: 1)",
            "a copy to the host in each batch",
            _with(cell, kept_logits=1),
        )
    if cell.kept_logits:
        meaning = "only the loss of each batch is kept (prediction_loss_only)"
        yield Remedy("kept_logits: 0", meaning, "no metrics but the loss", _with(cell, kept_logits=0))
    if cell.batch % 2 == 0:
        changed = _with(cell, batch=cell.batch // 2, kept_logits=cell.kept_logits * 2)
        change = f"batch: {changed.batch}" + (
            f", kept_logits: {changed.kept_logits}" if cell.kept_logits else ""
        )
        yield Remedy(change, "half of the batch at once, twice as often", "smaller matrix products", changed)


def _of_training(cell: Cell) -> Iterator[Remedy]:
    if cell.checkpointing == "none":
        yield Remedy(
            "checkpointing: full",
            "keep only what goes into each layer",
            "each layer's forward runs twice",
            _with(cell, checkpointing="full"),
        )
        yield Remedy(
            "checkpointing: attention",
            "keep no output of attention",
            "attention's kernel runs twice",
            _with(cell, checkpointing="attention"),
        )
    if cell.checkpointing == "full":
        yield Remedy(
            "checkpointing: full+offload",
            "what goes into layers waits on the host",
            "copies to and from the host, beside what computes",
            _with(cell, checkpointing="full+offload"),
        )
    yield from _of_updates(cell)
    # What is updated in backward leaves nothing to accumulate.
    if cell.batch % 2 == 0 and cell.update == "step":
        yield Remedy(
            f"batch: {cell.batch // 2}, accumulation: {cell.accumulation * 2}",
            "half of the batch at once, twice as often",
            "smaller matrix products",
            _with(cell, batch=cell.batch // 2, accumulation=cell.accumulation * 2),
            same_places=False,
        )


def _of_states(cell: Cell) -> Iterator[Remedy]:
    # With adapters there is too little of gradients and states for a change of them to matter.
    if cell.method.name != "full-ft":
        return
    if cell.optimizer in ("adamw", "adamw-foreach", "adamw-loop") and cell.dtype != "fp64":
        changed = _with(cell, optimizer="adamw-8bit")
        yield Remedy("optimizer: adamw-8bit", "states of 8 bits", "states are rounded", changed)


def _of_updates(cell: Cell) -> Iterator[Remedy]:
    if (
        cell.method.name == "full-ft"
        and cell.update == "step"
        and cell.accumulation == 1
        and cell.max_grad_norm is None
    ):
        meaning = "update each weight in backward and free its gradient"
        changed = _with(cell, update="backward")
        yield Remedy("update: backward", meaning, "no accumulation, no clipping", changed)


def _with(cell: Cell, **changes: Any) -> Cell:
    return cell.model_copy(update=changes)
