"""The passes over a built cell that are the same on every device."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial

import torch

from lorafa_prof.cell import Cell
from lorafa_prof.instruments.communication.counter import CommunicationCounter
from lorafa_prof.instruments.communication.exposed import exposed_ms
from lorafa_prof.instruments.flops.counter import FlopCount, FlopCounter
from lorafa_prof.instruments.gradients_reached import GradientsReached
from lorafa_prof.instruments.host import peak_rss_bytes
from lorafa_prof.instruments.memory.allocator import AllocatorMeter
from lorafa_prof.instruments.memory.profile import MemoryMeter, MemoryProfile
from lorafa_prof.instruments.memory.run import RunMeter
from lorafa_prof.instruments.memory.storages import (
    buffers_on_host,
    model_tensors,
    optimizer_tensors,
    storage_bytes,
)
from lorafa_prof.instruments.nvml import Unavailable
from lorafa_prof.instruments.saved.needs_recorder import NeedsRecorder
from lorafa_prof.instruments.saved.recorder import SavedTensors, SavedTensorsRecorder
from lorafa_prof.instruments.timing import Clock, StepTimes, time_steps
from lorafa_prof.layers.quantized.state import number_of_weights
from lorafa_prof.methods.base import Prepared
from lorafa_prof.models.attention import FLEX
from lorafa_prof.models.compiled import noting_compilation
from lorafa_prof.models.kernels import COMPILE
from lorafa_prof.models.positions import tokens_beside_seq
from lorafa_prof.models.resolve import resolve_model
from lorafa_prof.optim.eight_bit import managed_bytes
from lorafa_prof.parallel.watchdog import await_watchdog
from lorafa_prof.results.marks import sampled
from lorafa_prof.results.measured import Measured
from lorafa_prof.running.base_error import measure_base_error
from lorafa_prof.running.fidelity import FIDELITY, measure_fidelity
from lorafa_prof.running.graphed_step import GraphedStep
from lorafa_prof.running.lengths_run import LengthsRun, note_of_run
from lorafa_prof.running.out_of_memory import is_out_of_memory
from lorafa_prof.running.prepare import measured_step, prepare_step
from lorafa_prof.step import Phase, PhaseTracker, Step
from lorafa_prof.words.numbers import size
from lorafa_prof.words.phrases import count, first_of

Pass = Callable[[Cell, Prepared, Step, Measured], None]
#: The part of measuring a cell that only explains what is measured by then.
EXPLAINING = "explaining"
#: What is unknown of a compiled step, and why.
_UNKNOWN_IF_COMPILED = {
    "memory": "memory of a CPU is followed by a dispatch mode, under which PyTorch runs nothing compiled",
    "saved": "saved tensors are explained by a dispatch mode, under which PyTorch runs nothing compiled",
}


def build_and_warm_up(
    cell: Cell, device: torch.device, measured: Measured, tracker: PhaseTracker
) -> tuple[Prepared, Step]:
    """Build the cell on `device`, note its sizes in `measured`, and run its warm-up steps.

    Returns its model and what is to be measured: the same step once more, or an evaluation.
    """
    with timed(measured, "build"):
        prepared, training = prepare_step(cell, device)
    step = measured_step(cell, training, device)
    note_model(cell, prepared, step, measured)
    reached = GradientsReached(prepared, measured.notes)
    with timed(measured, "warmup"):
        for _ in range(cell.steps.warmup):
            training.run((tracker, reached))
            await_watchdog(cell.parallel)
    note_optimizer(prepared, device, measured)
    return prepared, step


def note_model(cell: Cell, prepared: Prepared, step: Step, measured: Measured) -> None:
    """Note the sizes of model and inputs in `measured`, and what its reader must know of them."""
    model = prepared.model
    measured.notes.extend(prepared.notes)
    measured.tokens_beside_seq = beside = tokens_beside_seq(resolve_model(cell.model))
    if beside:
        measured.notes.append(f"in each sample the model sees {beside:,} tokens that are no text, beside seq")
    measured.params_total = sum(number_of_weights(p) for p in model.parameters())
    measured.params_trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    on_host = storage_bytes(buffers_on_host(model))
    measured.weights_bytes = storage_bytes(model_tensors(model)) - on_host
    if on_host:
        measured.notes.append(f"{size(on_host)} of the model's buffers are on the host, copied when used")
    measured.inputs_bytes = storage_bytes(step.inputs.values()) if step.inputs else None


def note_optimizer(prepared: Prepared, device: torch.device, measured: Measured) -> None:
    """Note the size of the optimizer's state in `measured`; the state exists after the first step."""
    measured.optimizer_bytes = storage_bytes(
        (*optimizer_tensors(prepared.optimizer, device.type), *prepared.optimizer_tensors)
    )
    if paged := managed_bytes(prepared.optimizer):
        measured.notes.append(
            f"{size(paged)} of the optimizer's state are in memory that GPU and host share, which the "
            "allocator does not count"
        )


def run_explaining_passes(cell: Cell, prepared: Prepared, step: Step, measured: Measured) -> None:
    """Count FLOPs, record saved tensors, and last, since it moves the weights, measure fidelity if asked to.

    Memory and times are measured already; what only explains them may fail without losing them.
    """
    measured.host_rss_bytes = peak_rss_bytes()
    measured.part_started(EXPLAINING)
    step = explained_step(step)
    passes = _passes_on_operations(cell, measured)
    if FIDELITY in cell.instruments:
        if cell.quantization != "none":
            passes["base error"] = measure_base_error
        passes[FIDELITY] = measure_fidelity
    for name, pass_ in passes.items():
        _if_memory_lasts(
            name, partial(pass_, cell, prepared, step, measured), measured, has_ranks=cell.has_ranks
        )


def _passes_on_operations(cell: Cell, measured: Measured) -> dict[str, Pass]:
    """Return the passes that look at a step's operations, by their names; others are unavailable."""
    if cell.attention == FLEX:
        # Under their dispatch modes PyTorch compiles nothing, and flex attention has no rule for a mode.
        measured.unavailable |= dict.fromkeys(
            ("flops", "saved"), "flex attention cannot be looked into on a GPU"
        )
        return {}
    passes: dict[str, Pass] = {"flops": count_flops, "saved": record_saved_tensors}
    if cell.has_ranks:
        passes |= {"communication": count_communication}
        if cell.device_kind == "cuda":
            passes |= {"exposed": measure_exposed}
    if cell.kernels == COMPILE:
        # FLOPs are those of the step as it is written: the products are the same.
        del passes["saved"]
        leave_out("saved", measured)
    return passes


def leave_out(name: str, measured: Measured) -> None:
    """Note in `measured` that this is unknown of a compiled step."""
    measured.unavailable[name] = why = _UNKNOWN_IF_COMPILED[name]
    measured.notes.append(why)


def explained_step(step: Step) -> Step:
    """Return what FLOPs and saved tensors are told of, launch by launch.

    It is the step itself, or of a run of different lengths the longest one.
    """
    if isinstance(step, GraphedStep):
        return step.ungraphed()
    return step.longest() if isinstance(step, LengthsRun) else step


def meter_of(cell: Cell, make_meter: Callable[[], AllocatorMeter]) -> MemoryMeter:
    """Return what meters the cell's step, or the steps of its run; `make_meter` makes a meter of one step."""
    return RunMeter(make_meter, cell.lengths) if cell.lengths else make_meter()


def keep_memory(measured: Measured, meter: MemoryMeter) -> MemoryProfile:
    """Keep what the meter read, and of a run of different lengths a note; return it."""
    measured.memory = memory = meter.profile()
    if memory.steps:
        measured.notes.append(note_of_run(memory.steps))
    return memory


def time_measured(cell: Cell, step: Step, clock: Clock) -> StepTimes:
    """Return the times of as many steps as the cell says; each step of a run is timed once."""
    return time_steps(step, 1 if cell.lengths else cell.steps.timed, clock)


def marks_of_times(cell: Cell, times: StepTimes) -> dict[str, str]:
    """Return the marks of times by their samples; where lengths differ, so do times, and nothing is told."""
    return {} if cell.lengths else sampled(times.step_ms)


def noting_compilation_of(cell: Cell, measured: Measured) -> AbstractContextManager[None]:
    """Return a context around what is measured, which notes what was not compiled of the cell's layers."""
    return noting_compilation(measured.notes) if cell.kernels == COMPILE else nullcontext()


def _if_memory_lasts(name: str, pass_: Callable[[], None], measured: Measured, *, has_ranks: bool) -> None:
    try:
        with timed(measured, name):
            pass_()
    except Exception as error:
        # Other ranks are waiting for this one within the step: it cannot go on to the next pass.
        if not is_out_of_memory(error) or has_ranks:
            raise
        measured.notes.append(f"no memory left for the {name} pass")


def count_flops(cell: Cell, prepared: Prepared, step: Step, measured: Measured) -> None:
    """Run a step and count its FLOPs into `measured`."""
    with FlopCounter(prepared.model) as counter:
        step.run((counter,))
    note_flops(counter.count(), measured)


def count_communication(cell: Cell, prepared: Prepared, step: Step, measured: Measured) -> None:
    """Run a step and note in `measured` what this rank sends in it, and by which buffers."""
    with CommunicationCounter(prepared.model) as counter:
        step.run((counter,))
    measured.communication = counter.communication()


def measure_exposed(cell: Cell, prepared: Prepared, step: Step, measured: Measured) -> None:
    """Run a step, and note in `measured` how long its communication, counted by now, was not hidden."""
    exposed = exposed_ms(step)
    if isinstance(exposed, Unavailable):
        measured.unavailable["exposed_ms"] = exposed.reason
    elif measured.communication is not None:
        measured.communication = replace(measured.communication, exposed_ms=exposed)


def note_flops(flops: FlopCount, measured: Measured) -> None:
    """Note the FLOPs in `measured`, and what they leave out."""
    measured.flops = flops
    if left_out := list(flops.uncounted_products):
        measured.notes.append(
            f"FLOPs leave out {count(len(left_out), 'operation')} without a formula that look like matrix "
            f"products ({first_of(left_out, 3)})"
        )


def record_saved_tensors(cell: Cell, prepared: Prepared, step: Step, measured: Measured) -> None:
    """Run a step and record what autograd saves in it into `measured`; an evaluation saves nothing."""
    if cell.is_evaluation:
        return
    observer = saved_observer(cell, prepared, step, explained=True)
    step.run((observer,))
    measured.saved = observer.result


def saved_observer(cell: Cell, prepared: Prepared, step: Step, *, explained: bool) -> SavedAtForwardsEnd:
    """Return an observer that records what autograd saves in `step`.

    With `explained` it also finds what that is needed for, and what is held without being saved.
    """
    rank = cell.method.options.get("rank")
    device_type = next(prepared.model.parameters()).device.type
    return SavedAtForwardsEnd(
        partial(
            SavedTensorsRecorder,
            prepared.model,
            device_type=device_type,
            before=step.inputs.values(),
            ranks=[rank] if rank else [],
            otherwise=explained,
        ),
        partial(NeedsRecorder, prepared.model) if explained else None,
    )


@dataclass
class SavedAtForwardsEnd:
    """An observer that records saved tensors in forward, and stops before backward.

    Of several micro-batches the last one counts, as it does for the activation memory; of steps of different
    lengths one that saves most.
    """

    make_recorder: Callable[[], SavedTensorsRecorder]
    make_needs_recorder: Callable[[], NeedsRecorder] | None = None
    result: SavedTensors | None = None

    def phase_started(self, phase: Phase) -> None:
        """Start to record if this is a forward."""
        if phase == "forward":
            self._contexts = ExitStack()
            self._recorder = self._contexts.enter_context(self.make_recorder())
            self._needs = (
                self._contexts.enter_context(self.make_needs_recorder()) if self.make_needs_recorder else None
            )

    def phase_ended(self, phase: Phase) -> None:
        """Stop recording, and keep the result, if this is a forward."""
        if phase == "forward":
            result = self._recorder.result(self._needs.needs() if self._needs else None)
            if self.result is None or result.total_bytes >= self.result.total_bytes:
                self.result = result
            self._contexts.close()


@contextmanager
def timed(measured: Measured, name: str) -> Iterator[None]:
    """A context that adds the seconds of its body to `measured`, under this name."""
    measured.part_started(name)
    start = time.perf_counter()
    try:
        yield
    finally:
        measured.seconds[name] = time.perf_counter() - start
