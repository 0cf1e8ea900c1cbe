"""A profile as a record and a row of the table, in a folder that other commands read."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from lorafa_prof.cell import OWN_CODE, Cell, MethodChoice, ModelChoice, Steps, twin_gpu
from lorafa_prof.devices.device import gpu_name
from lorafa_prof.instruments.host import peak_rss_bytes
from lorafa_prof.instruments.saved.recorder import SavedTensors
from lorafa_prof.instruments.timing import StepTimes
from lorafa_prof.results.lock import locked
from lorafa_prof.results.marks import sampled
from lorafa_prof.results.provenance import environment
from lorafa_prof.results.record import CellResult, Value
from lorafa_prof.results.store import Store
from lorafa_prof.step import PHASES

if TYPE_CHECKING:
    from lorafa_prof.profiling.result import Profile


def result_of(profile: Profile) -> CellResult:
    """The profile as the record of a cell whose method is `OWN_CODE`, with what is known of its settings."""
    cell = _cell(profile)
    row: dict[str, Value] = {name: value for name, value in _row(profile, cell).items() if value is not None}
    details: dict[str, Any] = {
        "notes": list(profile.notes),
        "marks": _marks(profile),
        "memory": _memory(profile),
        "times": _times(profile),
        "flops": asdict(profile.flops) if profile.flops is not None else None,
        "steps": [asdict(step) for step in profile.steps],
    }
    if profile.saved_bytes is not None:
        saved = SavedTensors(profile.tensors)
        details["saved"] = {
            "by_kind": saved.by_kind,
            "by_module": saved.by_module,
            "from_before_bytes": 0,
            "storages": saved.as_records(),
            "needs": [],
            "held_otherwise": [],
        }
    kept = {name: value for name, value in details.items() if value is not None}
    return CellResult(cell=cell, row=row, details=kept, environment=environment(profile.device))


def keep(profile: Profile, out: Path) -> Path:
    """Write the record into `out`, and the table anew; return `out`.

    Raises:
        UsageError: it cannot be written, or another run has it.
    """
    store = Store(out)
    store.prepare()
    result = result_of(profile)
    with locked(out, ["profile", result.cell.model.name]):
        store.save(result)
        ids = [*store.others([result.cell.cell_id]), result.cell.cell_id]
        store.write_table(ids, store.load_all(ids))
    return out


def _cell(profile: Profile) -> Cell:
    name = re.sub(r"\s+", " ", profile.name).strip() or "profile"
    return Cell(
        model=ModelChoice(name=name),
        method=MethodChoice(name=OWN_CODE),
        batch=0,
        seq=0,
        dtype=_dtype(profile),
        adapter_dtype=_dtype(profile),
        attention="",
        kernels="",
        checkpointing="",
        optimizer="",
        device=profile.device,
        gpu=_gpu(profile),
        steps=Steps(warmup=1, timed=max(1, len(profile.steps))),
    )


def _dtype(profile: Profile) -> Any:
    """The type of most saved bytes: a cell must have one; the row tells none."""
    names = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16", "float64": "fp64"}
    held: Counter[str] = Counter()
    for one in profile.tensors:
        if one.dtype in names:
            held[names[one.dtype]] += one.nbytes
    return max(held, key=lambda name: held[name], default="fp32")


def _gpu(profile: Profile) -> str | None:
    if profile.device == "cuda":
        return gpu_name(torch.cuda.get_device_properties(torch.cuda.current_device()).name)
    return twin_gpu(profile.device)


def _row(profile: Profile, cell: Cell) -> dict[str, Value]:
    told = profile.told
    times = _step_times(profile)
    row: dict[str, Value] = {
        "cell_id": cell.cell_id,
        "status": profile.status,
        "failed_phase": profile.failed_phase or None,
        "message": "; ".join(profile.notes) or None,
        "model": cell.model.name,
        "method": OWN_CODE,
        "device": cell.device,
        "gpu": cell.gpu,
        **profile.sizes,
        "activation_bytes": profile.activation_bytes,
        "saved_bytes": profile.saved_bytes,
        "host_rss_bytes": peak_rss_bytes(),
    }
    if told is not None and told.phases:
        peaks = {phase: memory.peak.allocated for phase, memory in told.phases.items()}
        row["peak_allocated_bytes"] = max(peaks.values())
        row |= {f"peak_{phase}_bytes": peaks[phase] for phase in PHASES if phase in peaks}
    if profile.largest is not None:
        row["peak_reserved_bytes"] = profile.largest.reserved
    if profile.flops is not None:
        row |= {"flops_step": profile.flops.step}
        row |= {f"flops_{phase}": profile.flops.by_phase.get(phase) for phase in ("forward", "backward")}
    if times is not None:
        row |= {
            "step_ms_median": times.step_percentile(50),
            "step_ms_p05": times.step_percentile(5),
            "step_ms_p95": times.step_percentile(95),
            **{f"{phase}_ms": times.phase_median(phase) for phase in PHASES if phase in times.phase_ms},
        }
    return row


def _memory(profile: Profile) -> dict[str, Any] | None:
    told = profile.told
    if told is None or not told.phases:
        return None
    return {
        "phases": {phase: asdict(memory) for phase, memory in told.phases.items()},
        "gradients_bytes": profile.sizes.get("gradients_bytes"),
        "peak_reserved_bytes": profile.largest.reserved if profile.largest else None,
    }


def _step_times(profile: Profile) -> StepTimes | None:
    """Of the steps without attribution."""
    timed = [step for step in profile.steps if step.phase_ms and not step.attributed]
    if not timed:
        return None
    phases = [phase for phase in PHASES if all(phase in step.phase_ms for step in timed)]
    return StepTimes(
        tuple(sum(step.phase_ms.values()) for step in timed),
        {phase: tuple(step.phase_ms[phase] for step in timed) for phase in phases},
    )


def _times(profile: Profile) -> dict[str, Any] | None:
    times = _step_times(profile)
    return asdict(times) if times is not None else None


def _marks(profile: Profile) -> dict[str, str]:
    times = _step_times(profile)
    return sampled(times.step_ms) if times is not None and profile.device == "cuda" else {}
