"""Profiling code as it runs, once: a context around it, or a decorator."""

from __future__ import annotations

import gc
from collections.abc import Callable
from contextlib import ExitStack
from functools import wraps
from typing import Any, ParamSpec, Protocol, TypeVar

import torch
from torch import nn
from torch.optim import Optimizer

from lorafa_prof.errors import UsageError
from lorafa_prof.instruments.memory.allocator import AllocatorCounters
from lorafa_prof.instruments.timing import Clock, CudaClock, HostClock
from lorafa_prof.instruments.user_line import lines_of
from lorafa_prof.profiling.attribution import Attribution
from lorafa_prof.profiling.model_seen import ModelSeen
from lorafa_prof.profiling.phase_meter import MeteredStep, PhaseMeter
from lorafa_prof.profiling.place import CPU, CUDA, StepPlace, place_of, twin_asked
from lorafa_prof.profiling.result import Profile, ProfiledStep, told_of
from lorafa_prof.profiling.step_calls import dropped_gradients, step_calls
from lorafa_prof.running.out_of_memory import is_out_of_memory, out_of_memory_line

P = ParamSpec("P")
R = TypeVar("R", covariant=True)


class Profiled(Protocol[P, R]):
    """A function that is profiled at each call; `profiles` has what was found, in the order of the calls."""

    profiles: list[Profile]

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call it."""


class Profiling:
    """A context around any code, in which its steps are profiled; as a decorator, around each call.

    A step ends with its optimizer (one of PyTorch's kind, whoever made it), or where `step` is called. The
    first one is attributed: its saved tensors are recorded and its FLOPs counted; the others run with
    nothing but the allocator's counters and the clock, and the last of them is the one that is told.

    Known limits:

    - It replaces functions of PyTorch for the whole process: one at a time.
    - On the CPU, whose allocator counts nothing, memory is followed operation by operation, which takes
      time; without attribution only times are told there.
    - A mode of PyTorch that the code enters in the first step and does not leave keeps attribution on.

    Attributes:
        result: what was found; there after the context.

    Args:
        model: from which modules' paths are counted; None: whichever is called first.
        device: "cpu", "cuda" or "sim:<gpu>", a twin that is entered with the context; None: where `model`
            is, else CUDA if there is one.
        attribute: whether to attribute the first step.
        name: what it is called in tables; "": the model's class.
    """

    def __init__(
        self,
        model: nn.Module | None = None,
        device: str | torch.device | None = None,
        *,
        attribute: bool = True,
        name: str = "",
    ) -> None:
        self._model, self._device, self._attribute, self._name = model, device, attribute, name
        self._result: Profile | None = None
        self._contexts = ExitStack()
        self._notes: list[str] = []
        self._attribution: Attribution | None = None
        self._attributed: Attribution | None = None

    @property
    def result(self) -> Profile:
        """What was found.

        Raises:
            UsageError: the context has not ended.
        """
        if self._result is None:
            raise UsageError("profile: there is a result after the `with` block only")
        return self._result

    def __call__(self, function: Callable[P, R]) -> Profiled[P, R]:
        """Decorate `function`."""
        profiles: list[Profile] = []

        @wraps(function)
        def profiled(*args: P.args, **kwargs: P.kwargs) -> R:
            name = self._name or function.__name__
            run = Profiling(self._model, self._device, attribute=self._attribute, name=name)
            try:
                with run:
                    return function(*args, **kwargs)
            finally:
                profiles.append(run.result)

        told: Any = profiled
        told.profiles = profiles
        found: Profiled[P, R] = told
        return found

    def __enter__(self) -> Profiling:
        with ExitStack() as stack:
            self._place = place = self._entered_place(stack)
            self._seen = ModelSeen(self._model, place.device_type, self._first_call)
            counts = self._attribute or place.device_type != "cpu"
            if counts:
                gc.collect()  # what others left in cycles would be let go of in the midst of a step
            counters = stack.enter_context(place.counters()) if counts else None
            if not counts:
                self._notes.append("without attribution nothing counts a CPU's memory: only times are told")
            elif place.name == "cpu":
                self._notes.append("memory was followed operation by operation, which takes time too")
            self._clock = _clock_of(place)
            if self._attribute:
                self._attribution = Attribution(self._model, place.device_type, self._seen, flops=True)
                self._attribution.__enter__()
                stack.callback(self._leave_attribution)
            stack.enter_context(self._seen)
            self._meter = PhaseMeter(counters, self._clock, splits=True)
            self._meter.attributed = self._attribute
            stack.enter_context(step_calls(self))
            if counters is not None:
                stack.enter_context(dropped_gradients(_allocated(counters), self._meter.gradients_dropped))
            self._contexts = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        failed_phase = ""
        if error is None:
            self._meter.end()
            self._seen.note_sizes()
        else:
            self._meter.end_failed()
        if error is not None and is_out_of_memory(error):
            failed_phase = self._meter.phase
            told = self._told_shortage(error)
            self._notes.insert(0, told)
            error.add_note(f"lorafa-prof: {told}")
        if self._clock is not None:
            self._clock.settle()
        self._contexts.__exit__(kind, error, trace)
        self._result = self._found(failed_phase)

    def step(self) -> None:
        """End a step here: for code whose optimizer is none of PyTorch's, or that has several in a step."""
        self._meter.splits = False
        self._meter.step_ended()
        self._step_over()

    def last_step(self) -> ProfiledStep | None:
        """What is known of the last step that has ended, or whose optimizer has; None of none."""
        last = self._meter.last
        if last is None:
            return None
        if self._clock is not None:
            self._clock.settle()
        return self._told(last)

    def forward_ended(self) -> None:
        """Told by `step_calls`."""
        self._meter.forward_ended()
        if self._attribution is not None:
            self._attribution.forward_ended()

    def backward_ended(self, keeps_graph: bool) -> None:
        """Told by `step_calls`."""
        self._meter.backward_ended(keeps_graph)
        if self._attribution is not None:
            self._attribution.backward_ended(keeps_graph)

    def optimizer_started(self, optimizer: Optimizer) -> None:
        """Told by `step_calls`."""
        self._meter.optimizer_started(optimizer)
        if self._attribution is not None:
            self._attribution.optimizer_started(optimizer)

    def optimizer_ended(self) -> None:
        """Told by `step_calls`."""
        self._meter.optimizer_ended()
        if self._attribution is not None:
            self._attribution.optimizer_ended()
        if self._meter.splits:
            self._step_over()

    def _first_call(self) -> None:
        """What was built before the first call of a model is no part of a step."""
        if self._meter.begin_here() and self._attribution is not None:
            self._attribution.begin_here(self._place.device_type)

    def _step_over(self) -> None:
        if self._attribution is not None and self._attribution.can_leave:
            self._seen.note_sizes()
            self._leave_attribution()

    def _leave_attribution(self) -> None:
        if self._attribution is None:
            return
        if not self._attribution.storages and self._meter.steps == []:
            # Code that ran no backward: what is held is held now.
            self._attribution.forward_ended()
        self._attributed, self._attribution = self._attribution, None
        self._attributed.__exit__(None, None, None)
        self._meter.attributed = False

    def _entered_place(self, stack: ExitStack) -> StepPlace:
        twin = twin_asked(self._device)
        if twin is not None:
            stack.enter_context(twin)
        place = place_of(None if twin else self._device, self._model, twin)
        return place or (CUDA if torch.cuda.is_available() else CPU)

    def _told_shortage(self, error: BaseException) -> str:
        line = lines_of(error)
        where = f" at {line}" if line else ""
        step = len(self._meter.steps) + 1
        return f"out of memory{where}, step {step}, {self._meter.phase}: {out_of_memory_line(error)}"

    def _told(self, step: MeteredStep) -> ProfiledStep:
        ms = step.phase_ms(self._clock) if self._clock is not None else {}
        return ProfiledStep(dict(step.phases), step.held_bytes, ms, step.attributed)

    def _found(self, failed_phase: str) -> Profile:
        told = told_of(self._meter.steps)
        explained = self._attributed
        tensors = explained.storages if explained is not None else ()
        if told is not None and told.attributed and self._place.name != "cpu":
            self._notes.append(
                "the step that is told was attributed, which takes time and may hold gradients longer"
            )
        return Profile(
            activation_bytes=told.held_bytes if told is not None else None,
            saved_bytes=sum(one.nbytes for one in tensors) if explained is not None else None,
            peak_bytes=told.peak_bytes if told is not None else None,
            device=self._place.name,
            tensors=tensors,
            steps=tuple(map(self._told, self._meter.steps)),
            sizes=dict(self._seen.sizes),
            flops=explained.flops() if explained is not None else None,
            largest=self._meter.largest,
            name=self._name or self._seen.name,
            status="oom" if failed_phase else "ok",
            failed_phase=failed_phase,
            notes=tuple(self._notes),
        )


def _allocated(counters: AllocatorCounters) -> Callable[[], int]:
    return lambda: counters.current().allocated


def _clock_of(place: StepPlace) -> Clock | None:
    if place.twin is not None:
        return None
    return CudaClock() if place.device_type == "cuda" else HostClock()
