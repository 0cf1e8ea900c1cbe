"""Cells so small that one core measures them in a fraction of a second, and what of them is observed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from cells import make_cell

from lorafa_prof.cell import Cell, ModelChoice, Steps
from lorafa_prof.instruments.memory.cpu import FollowedMemoryMeter
from lorafa_prof.instruments.memory.profile import MemoryProfile
from lorafa_prof.instruments.memory.storages import StorageFollower, model_tensors, optimizer_tensors
from lorafa_prof.instruments.saved.recorder import SavedTensors, SavedTensorsRecorder
from lorafa_prof.methods.base import METHODS, TORCH_DTYPES, Prepared, Setting
from lorafa_prof.models.build import build_model
from lorafa_prof.models.inputs import make_inputs
from lorafa_prof.models.positions import own_seq
from lorafa_prof.models.preset import PRESETS
from lorafa_prof.models.resolve import ResolvedModel, resolve_model
from lorafa_prof.running.prepare import prepare_step
from lorafa_prof.scenario.options import validated_options
from lorafa_prof.step import Phase, TrainingStep

_TINY = sorted(name for name in PRESETS if name.startswith("tiny-"))
TEXT_TASKS = ("causal-lm", "seq2seq-lm", "sequence-classification")
FAMILIES = [name for name in _TINY if PRESETS[name].task in TEXT_TASKS]
#: Those that take images or sound.
OTHER_FAMILIES = [name for name in _TINY if name not in FAMILIES]
#: Of these transformers has no scaled dot-product attention, or there is none at all.
EAGER_ONLY = ("tiny-convnext",)
METHOD_NAMES = ["full-ft", "lora", "lora-fa", "peft-lora", "peft-lora-fa"]
BATCH, SEQ, RANK = 2, 48, 4
TOKENS = BATCH * SEQ


def tiny_cell(
    model: str = "tiny-llama",
    method: str = "lora-fa",
    *,
    rank: int = RANK,
    dropout: float = 0.0,
    **settings: Any,
) -> Cell:
    """A cell of this batch and sequence, with all options of its method; `settings` are fields of Cell."""
    chosen = METHODS[method]
    given = (
        {"rank": rank, "targets": "all-linear", "dropout": dropout} if chosen.default_adapter_dtype else {}
    )
    dtype = settings.get("dtype", "fp32")
    fields: dict[str, Any] = {
        "batch": BATCH,
        "seq": seq_of(model),
        "adapter_dtype": chosen.default_adapter_dtype(dtype) if chosen.default_adapter_dtype else dtype,
        "steps": Steps(warmup=1, timed=2),
        **settings,
    }
    options = validated_options(chosen, given)
    return make_cell(method, model=model, options=options, **fields)


def seq_of(model: str) -> int:
    """Tokens of a sequence of a tiny preset, or of another model's."""
    own = own_seq(resolve_model(ModelChoice(name=model))) if model in OTHER_FAMILIES else None
    return own or SEQ


class AtForwardsEnd:
    """Observer that records saved tensors in forward, and is gone before backward."""

    def __init__(self, recorder: SavedTensorsRecorder) -> None:
        self.recorder = recorder
        self.result: SavedTensors | None = None

    def phase_started(self, phase: Phase) -> None:
        if phase == "forward":
            self.recorder.__enter__()

    def phase_ended(self, phase: Phase) -> None:
        if phase == "forward":
            self.result = self.recorder.result()
            self.recorder.__exit__(None, None, None)


def observe(cell: Cell) -> tuple[MemoryProfile, SavedTensors]:
    """Memory and saved tensors of one step on the CPU."""
    prepared, step = prepare_step(cell, torch.device("cpu"))
    observer = AtForwardsEnd(recorder_of(prepared, step))
    memory = memory_of(prepared, step, observer)
    assert observer.result is not None
    return memory, observer.result


def memory_of(prepared: Prepared, step: TrainingStep, *more: Any) -> MemoryProfile:
    """Memory of one step on the CPU, with `more` observers beside the meter."""
    follower = StorageFollower("cpu")
    follower.adopt((*model_tensors(prepared.model), *optimizer_tensors(prepared.optimizer, "cpu")))
    follower.adopt((*prepared.optimizer_tensors, *step.inputs.values()))
    meter = FollowedMemoryMeter(follower, prepared.model)
    with follower:
        step.run((*more, meter))
    return meter.profile()


def recorder_of(
    prepared: Prepared, step: TrainingStep, ranks: Iterable[int] = (RANK,)
) -> SavedTensorsRecorder:
    before = step.inputs.values()
    device_type = next(prepared.model.parameters()).device.type
    return SavedTensorsRecorder(prepared.model, device_type=device_type, before=before, ranks=ranks)


def saved_of(prepared: Prepared, step: TrainingStep, ranks: Iterable[int] = (RANK,)) -> SavedTensors:
    """Saved tensors of one step."""
    observer = AtForwardsEnd(recorder_of(prepared, step, ranks))
    step.run((observer,))
    assert observer.result is not None
    return observer.result


def step_of(
    model: str | ResolvedModel,
    method: str,
    *,
    device: str = "cpu",
    dtype: str = "fp32",
    adapter_dtype: str | None = None,
    attention: str = "sdpa",
    checkpointing: str = "none",
    batch: int = BATCH,
    seq: int = SEQ,
    **options: Any,
) -> tuple[Prepared, TrainingStep]:
    """As `prepare_step`, for a network that need not have a name; `options` are the method's."""
    resolved = resolve_model(ModelChoice(name=model)) if isinstance(model, str) else model
    place = torch.device(device)
    built = build_model(
        resolved, device=place, dtype=TORCH_DTYPES[dtype], attention=attention, checkpointing=checkpointing
    )
    chosen = METHODS[method]
    given = {} if method == "full-ft" else {"rank": RANK, "targets": "all-linear", **options}
    setting = Setting(resolved.task, TORCH_DTYPES[adapter_dtype or dtype], "adamw")
    prepared = chosen.prepare(built, chosen.options.model_validate(given), setting)
    inputs = make_inputs(resolved, batch=batch, seq=seq, device=place, seed=0)
    return prepared, TrainingStep(prepared.model, inputs, prepared.optimizer)
