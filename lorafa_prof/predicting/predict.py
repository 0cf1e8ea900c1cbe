"""Running a script on a GPU's twin."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from lorafa_prof.devices.gpus.gpu import Gpu
from lorafa_prof.devices.sim.honesty import (
    note_of_unchecked,
    note_of_version,
    notes_of_assumptions,
    notes_of_gpu,
    unchecked_operations,
)
from lorafa_prof.devices.sim.twin import Twin
from lorafa_prof.predicting.ending import End, end_of, refused_by
from lorafa_prof.predicting.notes import Notes
from lorafa_prof.predicting.numbers_read import numbers_read
from lorafa_prof.predicting.prediction import Prediction, holders_of
from lorafa_prof.predicting.recorder import Recorder
from lorafa_prof.predicting.savings import savings_of
from lorafa_prof.predicting.script import Script
from lorafa_prof.predicting.steps import Steps
from lorafa_prof.predicting.surroundings import surroundings
from lorafa_prof.words.numbers import size
from lorafa_prof.words.phrases import count


def predict_script(
    script: Script, gpu: Gpu, steps: int, dry: Sequence[Path] = (), *, limited: bool = True
) -> Prediction:
    """Run `script` in this process on the twin of `gpu`, until it has taken `steps` optimizer steps.

    What the script does beside that it does: it writes its files, and says what it says.

    Args:
        script: what runs, as ``__main__``.
        gpu: whose twin its `cuda` is.
        steps: optimizer steps after which it is ended.
        dry: folders to which it writes no weights.
        limited: whether the GPU's memory ends where it does; else there is room for every request.

    Returns:
        what its memory comes to; also where it failed, up to there.
    """
    notes, twin, following = Notes(), Twin(gpu), Steps(steps)
    if not limited:
        twin.allocator.lift_capacity()
    recorder = Recorder(twin, following.moment, following.note_living)
    with ExitStack() as stack:
        stack.enter_context(twin)
        unknown = stack.enter_context(numbers_read(twin.mode, notes))
        stack.enter_context(surroundings(notes, unknown, dry))
        stack.enter_context(following.followed(recorder))
        end = end_of(script)
        following.note_living()
    if unknown.refused:
        end = refused_by(unknown.refused[0])
    if end.status == "ok":
        end = _judged(end, recorder, following, gpu, twin.allocator.capacity_bytes, steps)
    oom = recorder.out_of_memory
    if oom is not None and end.status == "oom":
        end.message = (
            f"out of memory on {gpu.name} {oom.where}; {size(oom.short_bytes)} short for that request"
        )
    elif oom is not None:
        end.notes.append(f"memory ran out at {oom.line or 'a library'}, and the script went on")
    unchecked, there = unchecked_operations(twin), recorder.at_peak()
    return Prediction(
        status=end.status,
        message=end.message,
        gpu=gpu.name,
        capacity_bytes=twin.allocator.capacity_bytes,
        steps=following.done,
        peak_requested_bytes=recorder.peak.requested,
        peak_allocated_bytes=recorder.peak.allocated,
        peak_reserved_bytes=recorder.peak.reserved or 0,
        holders=holders_of(there),
        would_free=savings_of(there),
        out_of_memory=oom if end.status == "oom" else None,
        notes=(
            *end.notes,
            *notes.all(),
            *(notes_of_gpu(gpu) if end.status in ("ok", "oom") else []),
            *filter(None, [note_of_version()]),
            *notes_of_assumptions(twin),
            *([note_of_unchecked(unchecked)] if unchecked else []),
        ),
        error_line=end.line,
    )


def _judged(
    end: End, recorder: Recorder, following: Steps, gpu: Gpu, capacity_bytes: int | None, steps: int
) -> End:
    needed = recorder.peak.reserved or 0
    if needed == 0:
        return End("nothing", f"the script took no memory of {gpu.name}: it never moved a tensor to cuda")
    if following.done == 0:
        return End("nothing", f"the script ended without an optimizer step; what ran needs {size(needed)}")
    if following.done < steps:
        end.notes.append(f"the script ended after {count(following.done, 'optimizer step')} of {steps}")
    if capacity_bytes is None:
        end.message = f"needs {size(needed)} on {gpu.name}"
    else:
        end.message = (
            f"needs {size(needed)}, fits on {gpu.name} with {size(capacity_bytes - needed)} to spare"
        )
    return end
