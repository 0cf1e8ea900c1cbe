"""The pass that measures what a quantized base costs in the adapters' steps."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from lorafa_prof.cell import Cell
from lorafa_prof.instruments.fidelity.adapters import adapters_of
from lorafa_prof.instruments.fidelity.base_error import base_error, plain_changes
from lorafa_prof.instruments.fidelity.measure import rule_of, same_random_numbers_after
from lorafa_prof.methods.base import Prepared
from lorafa_prof.models.quantization import Quantization
from lorafa_prof.models.quantized_build import quantize_as
from lorafa_prof.results.measured import Measured
from lorafa_prof.running.fidelity import is_corrected
from lorafa_prof.running.prepare import prepare_step
from lorafa_prof.step import Step, TrainingStep


def measure_base_error(cell: Cell, prepared: Prepared, step: Step, measured: Measured) -> None:
    """Measure how far the adapters' step is from theirs over the base before it was quantized.

    The cell is built once more, without quantization, beside the first, and gets the values of that one that
    train, and its batch. There a step is formed over the dense base, and again once that is quantized.
    """
    assert isinstance(step, TrainingStep)
    adapters = adapters_of(prepared.model)
    if not adapters:
        return
    rule = rule_of(adapters, step.optimizer, is_corrected=is_corrected(cell))
    device = adapters[0].b.device
    with same_random_numbers_after(device):
        other, training = prepare_step(_with_dense_base(cell), device)
    _copy_trained(prepared.model, other.model)
    training = replace(training, inputs=step.inputs)
    adapters = adapters_of(other.model)
    with same_random_numbers_after(device):
        over_dense = plain_changes(training, adapters, rule)
    quantize_as(other.model, prepared.model, Quantization(cell.quantization, cell.double_quant))
    with same_random_numbers_after(device):
        over_quantized = plain_changes(training, adapters, rule)
    measured.base_error = base_error(over_quantized, over_dense)


def _with_dense_base(cell: Cell) -> Cell:
    return cell.model_copy(update={"quantization": "none", "double_quant": False, "kbit_prepare": False})


@torch.no_grad()
def _copy_trained(model: nn.Module, to: nn.Module) -> None:
    """Give `to` the parameters of `model` that train, and its adapters' A, which may be frozen."""
    there = dict(to.named_parameters())
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            there[name].copy_(parameter)
    for adapter, other in zip(adapters_of(model), adapters_of(to), strict=True):
        other.a.copy_(adapter.a)
