"""Asking for the three opinions on a cell's FLOPs: what is executed, the closed form, and fvcore's trace."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import torch

from lorafa_prof.cell import Cell
from lorafa_prof.errors import LorafaProfError, UsageError, described
from lorafa_prof.explaining.flops.modules import Opinions, in_shared_modules
from lorafa_prof.instruments.flops.opinions.by_fvcore import fvcore_forward_flops
from lorafa_prof.instruments.flops.opinions.closed_form import ClosedForm, Products, closed_form
from lorafa_prof.methods.base import TORCH_DTYPES
from lorafa_prof.models.build import build_model
from lorafa_prof.models.inputs import make_inputs
from lorafa_prof.models.resolve import ResolvedModel, resolve_model
from lorafa_prof.running.predict_flops import predict_flops
from lorafa_prof.running.prepare import prepare_model

T = TypeVar("T")

_META = torch.device("meta")
_OF_PEFT = "base_model.model."
#: What changes how a step is done, and not what it computes.
_PLAIN = {
    "attention": "eager",
    "kernels": "eager",
    "checkpointing": "none",
    "quantization": "none",
    "double_quant": False,
    "kbit_prepare": False,
    "loss": "full",
    "launch": "eager",
    "optimizer": "adamw",
    "update": "step",
    "packing": False,
}


def opinions_on(cell: Cell) -> Opinions:
    """Return the three opinions on the step of `cell`, whose device is the twin of a GPU.

    Raises:
        LorafaProfError: the cell cannot be built.
    """
    counted, notes = predict_flops(cell)
    resolved = resolve_model(cell.model)
    missing: dict[str, str] = {}
    forms = _or_why("closed form", lambda: _closed_forms(cell, resolved), missing)
    traced = _or_why("fvcore", lambda: _by_fvcore(cell, resolved), missing)
    executed = {_own_name(path): Products(*flops) for path, flops in counted.by_module.items() if any(flops)}
    opinions = Opinions(cell, executed, counted, missing=missing, notes=tuple(notes))
    if forms is not None:
        closed, with_gradient = (_products(form, cell) for form in forms)
        opinions = replace(
            opinions,
            closed=closed,
            closed_with_gradient=with_gradient,
            adapters=_all_batches(forms[0].adapters, cell),
            two_n=forms[0].two_n * cell.forwards,
        )
    if traced is not None:
        opinions = replace(opinions, fvcore=_all_batches(traced, cell))
    return in_shared_modules(opinions)


def _or_why(name: str, ask: Callable[[], T], missing: dict[str, str]) -> T | None:
    """Return an opinion, or None and put down in `missing` why there is none."""
    try:
        return ask()
    except (LorafaProfError, ValueError) as error:
        missing[name] = str(error)
        return None


def _check_decoder(resolved: ResolvedModel) -> None:
    if resolved.task != "causal-lm":
        raise UsageError(f"only of causal language models, and this one's task is {resolved.task}")


def _closed_forms(cell: Cell, resolved: ResolvedModel) -> tuple[ClosedForm, ClosedForm]:
    _check_decoder(resolved)
    model: Any = prepare_model(cell.model_copy(update=_PLAIN), resolved, _META).model
    fused = cell.attention != "eager"
    plain, with_gradient = (
        closed_form(model, *_batch_and_seq(cell), fused=fused, gradient=gradient)
        for gradient in (False, True)
    )
    return plain, with_gradient


def _by_fvcore(cell: Cell, resolved: ResolvedModel) -> dict[str, int]:
    _check_decoder(resolved)
    dtype = TORCH_DTYPES[cell.dtype]
    model = build_model(resolved, device=_META, dtype=dtype, attention="eager", checkpointing="none")
    batch, seq = _batch_and_seq(cell)
    inputs = make_inputs(resolved, batch=batch, seq=seq, device=_META, seed=0)
    # transformers looks into a mask of zeros and ones, and takes one of this shape as it is.
    inputs["attention_mask"] = torch.zeros(1, 1, seq, seq, device=_META, dtype=dtype)
    try:
        return fvcore_forward_flops(model, inputs)
    except LorafaProfError:
        raise
    except Exception as error:
        raise UsageError(f"it cannot trace this model: {described(error)}") from error


def _batch_and_seq(cell: Cell) -> tuple[int, int]:
    """Return both as attention meets them: packed documents stand in one row."""
    return (1, cell.batch * cell.seq) if cell.packing else (cell.batch, cell.seq)


def _own_name(path: str) -> str:
    return path.removeprefix(_OF_PEFT)


def _products(form: ClosedForm, cell: Cell) -> dict[str, Products]:
    return {
        _own_name(path): Products(
            products.forward * cell.forwards, 0 if cell.is_evaluation else products.backward * cell.forwards
        )
        for path, products in form.by_module.items()
    }


def _all_batches(flops: Mapping[str, int], cell: Cell) -> dict[str, int]:
    return {_own_name(path): count * cell.forwards for path, count in flops.items()}
