"""`lorafa_prof.profile`: a context, a decorator, or a measurement of a function that can be called again."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, overload

import torch
from torch import nn

from lorafa_prof.devices.sim.twin import Twin
from lorafa_prof.errors import NothingToJudgeError, UsageError
from lorafa_prof.profiling.living import bare_leaves
from lorafa_prof.profiling.model_seen import ModelSeen
from lorafa_prof.profiling.passes import Step, Unwatched, attribute, let_go, measure_bytes, run_step
from lorafa_prof.profiling.place import CPU, CUDA, cuda_allocations, place_of, twin_asked
from lorafa_prof.profiling.result import Profile, ProfiledStep
from lorafa_prof.profiling.session import Profiling

__tracebackhide__ = True


@overload
def profile(
    step: None = None,
    *,
    model: nn.Module | None = None,
    device: str | torch.device | None = None,
    attribute: bool = True,
    name: str = "",
) -> Profiling: ...


@overload
def profile(
    step: Callable[[], Any],
    *,
    model: nn.Module | None = None,
    device: str | torch.device | None = None,
    warmup: int = 1,
    name: str = "",
) -> Profile: ...


def profile(
    step: Callable[[], Any] | None = None,
    *,
    model: nn.Module | None = None,
    device: str | torch.device | None = None,
    warmup: int = 1,
    attribute: bool = True,
    name: str = "",
) -> Profile | Profiling:
    """Profile PyTorch code of any kind: memory by phase, saved tensors with their lines, FLOPs, times.

    Usage::

        with lorafa_prof.profile() as run:   # a loop, as it runs
            train()
        print(run.result.table())

        @lorafa_prof.profile()               # each call; train.profiles has a Profile of each
        def train(): ...

        print(lorafa_prof.profile(step))     # a function of one step, called three times

    Args:
        step: a function without arguments that does the same at each call; it is called `warmup` times, once
            to attribute, once to measure. None: a context, which is a decorator too.
        model: from which modules' paths are counted; None: from whichever module is called.
        device: "cpu", "cuda", or "sim:<gpu>", which makes CUDA that GPU's twin inside of the context, or of
            the calls of `step`, which then makes its model.
        warmup: calls before anything is measured.
        attribute: of a context, whether its first step is attributed.
        name: what it is called in tables and folders.

    Raises:
        UsageError: an argument is wrong, or nothing can be measured there.
    """
    if step is None:
        if warmup != 1:
            raise UsageError("profile: warmup= is of a function; what runs in a context runs once")
        return Profiling(model, device, attribute=attribute, name=name)
    if callable(step) and _takes_arguments(step):
        raise UsageError(
            "profile: this function takes arguments; decorate it with @lorafa_prof.profile(), with brackets, "
            "or give lambda: function(arguments)"
        )
    if not attribute:
        raise UsageError("profile: attribute=False is of a context; a function is measured without it too")
    twin = twin_asked(device)
    with twin or nullcontext():
        return profile_calls(
            step, model=model, device=None if twin else device, warmup=warmup, twin=twin, name=name
        )


def profile_calls(
    step: Step,
    *,
    model: nn.Module | None = None,
    device: str | torch.device | None = None,
    warmup: int = 1,
    twin: Twin | None = None,
    name: str = "",
    flops: bool = True,
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
        name: what it is called.
        flops: whether to count FLOPs too.

    Raises:
        UsageError: an argument is wrong, or nothing can be measured there.
        NothingToJudgeError: the step takes no memory of the twin.
    """
    if not callable(step):
        raise UsageError(
            "profile takes a function without arguments, such as lambda: model(x).sum(), "
            f"not a {type(step).__name__}"
        )
    place = place_of(device, model, twin)
    if place is None and warmup < 1 and torch.cuda.is_available():
        raise UsageError("profile: without a warm-up call, say device= or model=")
    bare = bare_leaves()
    taken_before = cuda_allocations()
    for _ in range(warmup):
        run_step(step, Unwatched(), bare)
    if place is None:
        place = CUDA if cuda_allocations() > taken_before else CPU
    seen = ModelSeen(model, place.device_type)
    with seen:
        attributed = attribute(step, model, place, bare, flops=flops, seen=seen)
        seen.note_sizes()
    metered = measure_bytes(step, place, bare, let_go(step, place, bare, attributed.replaced))
    if place.twin is not None and metered.peak_bytes == 0:
        raise NothingToJudgeError(
            f"profile: the step takes no memory of {place.name}; make model and inputs on 'cuda' inside of "
            "the step, or in a test inside of with memory.twin(...) as device: on that device"
        )
    return Profile(
        activation_bytes=metered.held_bytes or 0,
        saved_bytes=sum(storage.nbytes for storage in attributed.storages),
        peak_bytes=metered.peak_bytes or 0,
        device=place.name,
        tensors=attributed.storages,
        steps=(ProfiledStep(dict(metered.phases), metered.held_bytes, {}, attributed=False),),
        sizes=dict(seen.sizes),
        flops=attributed.flops(),
        largest=metered.peak,
        name=name or seen.name,
    )


def _takes_arguments(step: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(step).parameters.values()
    except (TypeError, ValueError):
        return False
    return any(
        one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
        for one in parameters
    )
