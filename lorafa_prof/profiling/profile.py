"""Measuring the memory of one call of any code."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import nn

from lorafa_prof.devices.sim.twin import Twin
from lorafa_prof.errors import NothingToJudgeError, UsageError
from lorafa_prof.instruments.saved.recorder import SavedStorage
from lorafa_prof.profiling.living import bare_leaves
from lorafa_prof.profiling.passes import Step, Unwatched, let_go, measure_bytes, record_saved, run_step
from lorafa_prof.profiling.place import CPU, CUDA, cuda_allocations, place_of
from lorafa_prof.profiling.tensors_table import table_of

__tracebackhide__ = True


@dataclass(frozen=True)
class Profile:
    """Memory of one step, in bytes.

    Attributes:
        activation_bytes: allocated at the end of forward less at the start.
        saved_bytes: of the distinct storages that autograd holds at the end of forward, without parameters,
            buffers and what else was there before the step.
        peak_bytes: the most that was allocated during the step less what was at its start.
        device: "cpu", "cuda" or "sim:<gpu>".
        tensors: the saved storages, largest first.
    """

    activation_bytes: int
    saved_bytes: int
    peak_bytes: int
    device: str
    tensors: tuple[SavedStorage, ...] = field(repr=False)

    def __str__(self) -> str:
        return f"{self!r}\n{table_of(self.tensors)}"


def profile(
    step: Step,
    *,
    model: nn.Module | None = None,
    device: str | torch.device | None = None,
    warmup: int = 1,
    twin: Twin | None = None,
) -> Profile:
    """Call `step` `warmup` times, then to record what is saved, and then to measure bytes alone.

    If it returns a loss (one number that requires grad) and has not run backward, forward ends there;
    backward is run here, and the gradients that it makes are let go of. Otherwise forward ends where the step
    calls backward (of several micro-batches the largest counts), or if it does not, when it returns.

    Args:
        step: takes no arguments and does the same at each call.
        model: from which modules' paths are counted; None: from whichever module is called.
        device: "cpu" or "cuda"; None: the twin, if inside one, else where `model` is, else CUDA if the first
            warm-up call takes memory there, else the CPU.
        warmup: calls before anything is measured.
        twin: that is entered.

    Raises:
        UsageError: an argument is wrong, or nothing can be measured there.
        NothingToJudgeError: the step takes no memory of the twin.
    """
    if not callable(step):
        raise UsageError(
            "memory.profile takes a function without arguments, such as lambda: model(x).sum(), "
            f"not a {type(step).__name__}"
        )
    place = place_of(device, model, twin)
    if place is None and warmup < 1 and torch.cuda.is_available():
        raise UsageError("memory.profile: without a warm-up call, say device= or model=")
    bare = bare_leaves()
    taken_before = cuda_allocations()
    for _ in range(warmup):
        run_step(step, Unwatched(), bare)
    if place is None:
        place = CUDA if cuda_allocations() > taken_before else CPU
    saved = record_saved(step, model, place, bare)
    memory = measure_bytes(step, place, bare, let_go(step, place, bare, saved.replaced))
    if place.twin is not None and memory.peak_bytes == 0:
        raise NothingToJudgeError(
            f"memory.profile: the step takes no memory of {place.name}; make model and inputs inside "
            "with memory.twin(...) as device: and on that device"
        )
    return Profile(
        activation_bytes=memory.held_bytes or 0,
        saved_bytes=sum(storage.nbytes for storage in saved.storages),
        peak_bytes=memory.peak_bytes or 0,
        device=place.name,
        tensors=saved.storages,
    )
