"""Preparing a cell to run on a device: its model, its optimizer and a batch."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh

from lorafa_prof.cell import Cell
from lorafa_prof.devices.gpus.attention import check_attention
from lorafa_prof.devices.gpus.kernels import check_kernels
from lorafa_prof.errors import UsageError
from lorafa_prof.guard import guarded
from lorafa_prof.layers.drawing import own_random_numbers
from lorafa_prof.methods.base import METHODS, TORCH_DTYPES, Prepared, Setting
from lorafa_prof.models.autocast import use_autocast
from lorafa_prof.models.build import build_model
from lorafa_prof.models.code import import_code
from lorafa_prof.models.deferred import Deferred
from lorafa_prof.models.inputs import check_takes_inputs, make_inputs
from lorafa_prof.models.kbit import check_kbit_prepare, prepare_for_kbit_training
from lorafa_prof.models.kernels import import_kernels, use_kernels
from lorafa_prof.models.losses import use_loss
from lorafa_prof.models.packing import check_packing
from lorafa_prof.models.quantization import Quantization
from lorafa_prof.models.recompute.use import use_checkpointing
from lorafa_prof.models.resolve import ResolvedModel, resolve_model
from lorafa_prof.optim.capturable import make_capturable
from lorafa_prof.optim.choices import check_update
from lorafa_prof.optim.in_backward import UpdatesInBackward
from lorafa_prof.parallel.group import rank_here
from lorafa_prof.parallel.hand_over import handed_over
from lorafa_prof.parallel.shard import SHARDED
from lorafa_prof.parallel.wrap import wrap
from lorafa_prof.running.checkpointing import check_checkpointing, notes_on_checkpointing
from lorafa_prof.running.evaluation_step import EvaluationStep, check_phase
from lorafa_prof.running.fidelity import check_fidelity
from lorafa_prof.running.given_values import give_values, parameters_without_values
from lorafa_prof.running.graphed_step import GraphedStep
from lorafa_prof.running.launch import GRAPH, check_launch
from lorafa_prof.running.lengths_run import Inputs, LengthsRun
from lorafa_prof.running.mixed_precision import check_autocast, scaler_of
from lorafa_prof.running.ranks.limits import check_ranks
from lorafa_prof.step import Step, TrainingStep


def prepare_step(cell: Cell, device: torch.device) -> tuple[Prepared, TrainingStep]:
    """Return the cell's model, built on `device` and ready to train, and its step with a batch.

    Of a run of different lengths it is the shortest one's.
    """
    check_update(cell)
    check_phase(cell)
    check_launch(cell)
    check_ranks(cell)
    check_fidelity(cell)
    resolved = resolve_model(cell.model)
    if cell.parallel == SHARDED and METHODS[cell.method.name].prepares_later:
        prepared, trained = _sharded(cell, resolved, device)
    else:
        prepared = prepare_model(cell, resolved, device)
        prepared, trained = _spread(cell, prepared, device)
    inputs = _batches(cell, resolved, device)(min(cell.lengths, default=cell.seq))
    return training_step(cell, prepared, trained, inputs, device)


def training_step(
    cell: Cell, prepared: Prepared, trained: nn.Module, inputs: Inputs, device: torch.device
) -> tuple[Prepared, TrainingStep]:
    """Return the cell's step of `trained`, `prepared`'s model, spread or not; and what is kept for it."""
    use_autocast(cell.autocast, prepared.model, device.type)
    scaler = scaler_of(cell, device)
    if scaler is not None:
        prepared = replace(prepared, optimizer_tensors=(*prepared.optimizer_tensors, *scaler.tensors))
    step = TrainingStep(trained, inputs, prepared.optimizer, cell.accumulation, cell.max_grad_norm, scaler)
    return prepared, step


def _sharded(cell: Cell, resolved: ResolvedModel, device: torch.device) -> tuple[Prepared, nn.Module]:
    """Return the cell's model and what trains, which comes into being sharded: it is never whole on a GPU."""
    deferred = Deferred(device)
    prepared = prepare_model(cell, resolved, device, deferred)
    parameters = parameters_without_values(prepared.model, deferred)
    return _spread(cell, prepared, device, lambda: give_values(prepared.model, parameters, deferred))


def _spread(
    cell: Cell, prepared: Prepared, device: torch.device, give: Callable[[], None] | None = None
) -> tuple[Prepared, nn.Module]:
    """Return the cell's model, spread over its GPUs if there are several, and what trains.

    This process must be a rank of them by then. `give` gives the model its values, if it has none yet.
    """
    if cell.parallel == "none":
        # Nothing is followed: a reference to it would only keep alive what the optimizer lets go of.
        return replace(prepared, follow=None), prepared.model
    mesh = init_device_mesh(device.type, (cell.gpus,))
    with handed_over(prepared.model, prepared.optimizer):
        trained = wrap(prepared.model, cell.parallel, cell.shard, mesh)
    if give is not None:
        give()
    if prepared.follow is not None and cell.parallel == SHARDED:
        prepared = replace(prepared, optimizer_tensors=prepared.follow())
    if device.type == "cuda":
        torch.cuda.empty_cache()  # of what was whole until each rank had its part
        torch.cuda.reset_peak_memory_stats()
    return prepared, trained


def measured_step(cell: Cell, training: TrainingStep, device: torch.device) -> Step:
    """Return what is measured of the cell, once `training` has run as often as it warms up.

    Of a run of different lengths, the batch of `training` should be gone by then.
    """
    if cell.is_evaluation:
        return EvaluationStep(training, cell.kept_logits)
    if cell.lengths:
        batches = _batches(cell, resolve_model(cell.model), device)
        return LengthsRun(replace(training, inputs={}), cell.lengths, batches)
    return GraphedStep(training) if cell.launch == GRAPH else training


def _batches(cell: Cell, resolved: ResolvedModel, device: torch.device) -> Callable[[int], Inputs]:
    """Return what makes the cell's batch of a length, in tokens; each rank has another."""
    return lambda seq: make_inputs(
        resolved,
        batch=cell.batch,
        seq=seq,
        device=device,
        seed=cell.seed + rank_here(),
        padding=cell.padding,
        packing=cell.packing,
        dtype=TORCH_DTYPES[cell.dtype],
    )


def prepare_model(
    cell: Cell,
    resolved: ResolvedModel,
    device: torch.device,
    deferred: Deferred | None = None,
    draw_seed: int | None = None,
) -> Prepared:
    """Return the cell's model, built from `resolved` on `device` and ready to train.

    With `draw_seed` what its method draws, and what pretrained weights lack, is drawn by it. With `deferred`
    it is on the meta device, and its values come later. Its code is imported first: what an import makes
    while a model is built would lie on the model's device.
    """
    import_code(resolved)
    check_kernels(cell)
    import_kernels(cell.kernels)
    quantization = Quantization(cell.quantization, cell.double_quant)
    check_attention(cell)
    check_checkpointing(cell)
    if cell.packing:
        check_packing(resolved, cell.attention)
    if cell.kbit_prepare:
        check_kbit_prepare(quantization)
    method = METHODS[cell.method.name]
    setting = Setting(resolved.task, TORCH_DTYPES[cell.adapter_dtype], cell.optimizer, cell.update)
    with deferred or nullcontext():
        with guarded(f"the model '{cell.model.name}'"):
            model = build_model(
                resolved,
                device=device,
                dtype=TORCH_DTYPES[cell.dtype],
                attention=cell.attention,
                checkpointing=cell.checkpointing,
                seed=cell.seed if draw_seed is None or resolved.weights == "random" else draw_seed,
                quantization=quantization,
                deferred=deferred,
            )
            check_takes_inputs(model, resolved, padding=cell.padding)
            if cell.kbit_prepare:
                prepare_for_kbit_training(model)
        with guarded(f"the method '{method.name}'"):
            with own_random_numbers(draw_seed, device):
                prepared = method.prepare(model, method.options.model_validate(cell.method.options), setting)
            use_kernels(cell.kernels, prepared.model)
            use_loss(cell.loss, prepared.model, resolved.task, cell.kernels)
            use_checkpointing(cell.checkpointing, prepared.model)
    if cell.update == "backward" and not isinstance(prepared.optimizer, UpdatesInBackward):
        raise UsageError(
            f"the method '{method.name}' has an optimizer of its own, which updates at the end of the step; "
            "set update to step",
            about="update",
        )
    check_autocast(cell, prepared.model)
    if cell.launch == GRAPH:
        make_capturable(prepared.optimizer)
    return replace(prepared, notes=(*resolved.notes, *prepared.notes, *notes_on_checkpointing(cell)))
