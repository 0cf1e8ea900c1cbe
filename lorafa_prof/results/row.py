"""From what was measured to the row of the table and the details behind it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from pydantic import ValidationError

from lorafa_prof.cell import Cell
from lorafa_prof.devices.gpus.gpu import catalogued, peak_flops
from lorafa_prof.errors import UsageError
from lorafa_prof.instruments.flops.counter import FlopCount
from lorafa_prof.methods.base import METHODS
from lorafa_prof.models.text import padding_tokens
from lorafa_prof.results.measured import Measured
from lorafa_prof.results.needs import needs_records
from lorafa_prof.results.reconcile import reconcile
from lorafa_prof.results.record import CellResult, Value
from lorafa_prof.results.table import fits
from lorafa_prof.step import PHASES

#: So many lengths of a run are named.
_LENGTHS_NAMED = 8


def method_label(cell: Cell) -> str:
    """Return the method's name in the table, with the tag of an entry that has one."""
    method = METHODS[cell.method.name]
    return method.label_of(method.options.model_validate(cell.method.options))


def setting_columns(cell: Cell) -> dict[str, Value]:
    """Return the columns that hold the cell's settings."""
    options = cell.method.options
    config = options.get("config")
    own_rank = config.get("r") if isinstance(config, dict) else None
    columns: dict[str, Value] = {
        "cell_id": cell.cell_id,
        "model": cell.model.name,
        "method": method_label(cell),
        "rank": options.get("rank", own_rank),
        "targets": options.get("targets"),
        "dropout": options.get("dropout"),
        "batch": cell.batch,
        "seq": cell.seq,
        "dtype": cell.dtype,
        "adapter_dtype": cell.adapter_dtype if options else None,
        "attention": cell.attention,
        "kernels": cell.kernels,
        "checkpointing": cell.checkpointing,
        "optimizer": cell.optimizer,
        "device": cell.device,
        "gpu": cell.gpu,
        "padding": cell.padding,
        "accumulation": cell.accumulation,
        "max_grad_norm": cell.max_grad_norm,
        "update": None if cell.update == "step" else cell.update,
        "quantization": None if cell.quantization == "none" else cell.quantization,
        "double_quant": "true" if cell.double_quant else None,
        "autocast": None if cell.autocast == "none" else cell.autocast,
        "kbit_prepare": "true" if cell.kbit_prepare else None,
        "phase": None if cell.phase == "train" else cell.phase,
        "kept_logits": cell.kept_logits or None,
        "lengths": lengths_text(cell.lengths),
        "packing": "true" if cell.packing else None,
        "loss": None if cell.loss == "full" else cell.loss,
        "launch": None if cell.launch == "eager" else cell.launch,
        "parallel": None if cell.parallel == "none" else cell.parallel,
        "gpus": None if cell.gpus == 1 else cell.gpus,
        "shard": cell.shard.text or None,
    }
    # An option of a third party's method may be called as a column and be of another kind.
    return {name: value if fits(name, value) else None for name, value in columns.items()}


def lengths_text(lengths: Sequence[int]) -> str | None:
    """Return the lengths of a run as the table has them: a few as they are, many in short; None: no run."""
    if not lengths:
        return None
    if len(lengths) <= _LENGTHS_NAMED:
        return ",".join(map(str, lengths))
    mean = sum(lengths) / len(lengths)
    return f"{len(lengths)} steps of {min(lengths)} to {max(lengths)}, mean {mean:.1f}"


def contradicted_columns(result: CellResult) -> list[str]:
    """The columns of a record's row that say another cell than the record's; those that it lacks say nothing.

    Of a method that is not installed, or has other options by now, nothing can be told.
    """
    try:
        settings = setting_columns(result.cell)
    except (UsageError, ValidationError):
        return []
    return [name for name, value in settings.items() if name in result.row and result.row[name] != value]


def metric_columns(cell: Cell, measured: Measured) -> dict[str, Value]:
    """Return the columns that were measured; others are left out."""
    row: dict[str, Value] = {
        "params_total": measured.params_total,
        "params_trainable": measured.params_trainable,
        "weights_bytes": measured.weights_bytes,
        "optimizer_bytes": measured.optimizer_bytes,
        "device_used_bytes": measured.device_used_bytes,
        "host_rss_bytes": measured.host_rss_bytes,
        "saved_bytes": measured.saved.total_bytes if measured.saved else None,
        **_memory_columns(measured),
        **_flops_columns(measured),
        **_time_columns(cell, measured),
        **_fidelity_columns(measured),
        **_base_error_columns(measured),
    }
    return {name: value for name, value in row.items() if value is not None and fits(name, value)}


def _memory_columns(measured: Measured) -> dict[str, Value]:
    memory = measured.memory
    if memory is None:
        return {}
    peaks = {
        f"peak_{phase}_bytes": memory.phases[phase].peak.allocated
        for phase in PHASES
        if phase in memory.phases
    }
    return {
        "gradients_bytes": memory.gradients_bytes,
        "activation_bytes": memory.activation_bytes if memory.has_backward else None,
        "peak_allocated_bytes": memory.peak_allocated_bytes,
        "peak_reserved_bytes": memory.peak_reserved_bytes,
        **peaks,
    }


def _flops_columns(measured: Measured) -> dict[str, Value]:
    flops = measured.flops
    if flops is None:
        return {}
    return {
        "flops_forward": flops.by_phase["forward"],
        "flops_backward": flops.by_phase.get("backward"),
        "flops_step": flops.step,
    }


def _time_columns(cell: Cell, measured: Measured) -> dict[str, Value]:
    times = measured.times
    if times is None:
        return {}
    # Steps of different lengths take different times: a rate is of them all.
    step_s = (sum(times.step_ms) / len(times.step_ms) if cell.lengths else times.step_percentile(50)) / 1e3
    samples = cell.gpus * cell.batch * cell.forwards
    tokens = cell.gpus * cell.forwards * (_tokens_of_a_batch(cell) + cell.batch * measured.tokens_beside_seq)
    row: dict[str, Value] = {
        "step_ms_median": times.step_percentile(50),
        "step_ms_p05": times.step_percentile(5),
        "step_ms_p95": times.step_percentile(95),
        **{f"{phase}_ms": times.phase_median(phase) for phase in PHASES if phase in times.phase_ms},
        "tokens_per_s": tokens / step_s,
        "tokens_per_s_per_gpu": tokens / step_s / cell.gpus,
        "samples_per_s": samples / step_s,
    }
    # FLOPs of a run are those of its longest step.
    if measured.flops and not cell.lengths:
        least_s = _least_seconds(cell, measured.flops)
        row["mfu"] = least_s / step_s if least_s else None
    if measured.energy:
        row["energy_j_per_token"] = measured.energy.joules / (len(times.step_ms) * tokens)
    return row


def _fidelity_columns(measured: Measured) -> dict[str, Value]:
    fidelity = measured.fidelity
    if fidelity is None:
        return {}
    return {
        "fidelity_distance": fidelity.plain.distance,
        "fidelity_cosine": fidelity.plain.cosine,
        "fidelity_floor": fidelity.floor,
    }


def _base_error_columns(measured: Measured) -> dict[str, Value]:
    if measured.base_error is None:
        return {}
    whole = measured.base_error.total
    return {"base_error": whole.distance, "base_cosine": whole.cosine}


def _least_seconds(cell: Cell, flops: FlopCount) -> float | None:
    """The seconds that the model's FLOPs take at the GPU's peaks, each type's at its own; None if unknown."""
    gpu = catalogued(cell.gpu)
    if gpu is None:
        return None
    seconds = 0.0
    for dtype, count in ((cell.product_dtype, flops.model - flops.fp8), ("fp8", flops.fp8)):
        peak = peak_flops(gpu, dtype) if count else math.inf
        if peak is None:
            return None
        seconds += count / peak
    return seconds


def _tokens_of_a_batch(cell: Cell) -> float:
    """Tokens of text that the model computes on, padding too; of a run of different lengths the mean."""
    lengths = cell.lengths or (cell.seq,)
    tokens = cell.batch * sum(lengths)
    if cell.packing:
        tokens -= sum(sum(padding_tokens(cell.padding, batch=cell.batch, seq=seq)) for seq in lengths)
    return tokens / len(lengths)


def details_of(cell: Cell, measured: Measured) -> dict[str, Any]:
    """Return what does not fit a row: phases, saved tensors, FLOPs per module, samples, fixed costs."""
    details: dict[str, Any] = {
        "seconds": measured.seconds,
        "notes": measured.notes,
        "marks": measured.marks,
        "unavailable": measured.unavailable,
    }
    if measured.unchecked_operations is not None:
        details["unchecked_operations"] = measured.unchecked_operations
    if measured.alike_ranks is not None:
        details["alike_ranks"] = [[alike[0], alike[-1]] for alike in measured.alike_ranks]
    if measured.memory:
        memory = asdict(measured.memory)
        if not memory["steps"]:
            del memory["steps"]
        details["memory"] = memory | {
            "static_bytes": measured.memory.static_bytes,
            "inputs_bytes": measured.inputs_bytes,
            "process_used_bytes": measured.process_used_bytes,
        }
    if measured.saved:
        details["saved"] = {
            "by_kind": measured.saved.by_kind,
            "by_module": measured.saved.by_module,
            "from_before_bytes": measured.saved.from_before_bytes,
            "storages": measured.saved.as_records(),
            "needs": needs_records(measured.saved.storages),
            "held_otherwise": [asdict(storage) for storage in measured.saved.held_otherwise],
        }
    if measured.memory and measured.saved:
        details["reconciliation"] = asdict(reconcile(measured.memory, measured.saved))
    if measured.flops:
        details["flops"] = asdict(measured.flops)
    if measured.times:
        details["times"] = asdict(measured.times)
    if measured.communication:
        details["communication"] = asdict(measured.communication) | {
            "sent_bytes": measured.communication.sent_bytes
        }
    if measured.fidelity:
        details["fidelity"] = measured.fidelity.as_record()
    if measured.base_error:
        details["base_error"] = measured.base_error.as_record()
    if measured.energy:
        details["energy"] = asdict(measured.energy)
    return details | measured.further
