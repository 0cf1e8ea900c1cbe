"""Running a script on a GPU's twin."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from lorafa_prof.devices.gpus.gpu import Gpu
from lorafa_prof.devices.sim.honesty import (
    note_of_unchecked,
    note_of_version,
    notes_of_assumptions,
    notes_of_gpu,
    unchecked_operations,
)
from lorafa_prof.devices.sim.out_of_memory import SimOutOfMemoryError
from lorafa_prof.devices.sim.twin import Twin
from lorafa_prof.errors import LorafaProfError, described
from lorafa_prof.instruments.user_line import user_line_of
from lorafa_prof.one_line import bounded_line
from lorafa_prof.predicting.notes import Notes
from lorafa_prof.predicting.numbers_read import numbers_read
from lorafa_prof.predicting.prediction import Prediction, Status, holders_of
from lorafa_prof.predicting.recorder import Recorder
from lorafa_prof.predicting.savings import savings_of
from lorafa_prof.predicting.script import Script
from lorafa_prof.predicting.steps import EnoughSteps, Steps
from lorafa_prof.predicting.surroundings import surroundings
from lorafa_prof.words.numbers import size
from lorafa_prof.words.phrases import count


@dataclass
class _End:
    """How the script ended."""

    status: Status = "ok"
    message: str = ""
    line: str = ""
    notes: list[str] = field(default_factory=list)


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
        end = _run(script)
        following.note_living()
    if unknown.refused:
        end = _refused(unknown.refused[0])
    if end.status == "ok":
        end = _judged(end, recorder, following, gpu, twin.allocator.capacity_bytes, steps)
    oom = recorder.out_of_memory
    if oom is not None and end.status == "ok":
        end.notes.append(f"memory ran out at {oom.line or 'a library'}, and the script went on")
    if oom is not None and end.status == "oom":
        end.message = (
            f"out of memory on {gpu.name} {oom.where}; {size(oom.short_bytes)} short for that request"
        )
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


def _run(script: Script) -> _End:
    try:
        script.run()
    except EnoughSteps:
        return _End()
    except SimOutOfMemoryError:
        return _End("oom")
    except LorafaProfError as error:
        return _refused(error)
    except SystemExit as leaving:
        if leaving.code in (None, 0):
            return _End()
        _show(leaving)
        how = f" with exit code {leaving.code}" if isinstance(leaving.code, int) else f": {leaving.code}"
        return _End("error", bounded_line(f"the script ended itself{how}"), user_line_of(leaving))
    except Exception as error:  # noqa: BLE001 - it is the script's own, whatever it is
        _show(error)
        return _End("error", f"the script failed: {described(error)}", user_line_of(error))
    return _End()


def _refused(error: LorafaProfError) -> _End:
    line, message = user_line_of(error), str(error)
    return _End("refused", message if line in message else f"{line}: {message}", line)


def _show(error: BaseException) -> None:
    """Print the script's own traceback, without the frames that ran it."""
    if isinstance(error, SystemExit):
        if not isinstance(error.code, int):
            print(error.code, file=sys.stderr)
        return
    trace = error.__traceback__
    while trace is not None and not _is_the_scripts(trace.tb_frame.f_globals.get("__name__")):
        trace = trace.tb_next
    traceback.print_exception(type(error), error, trace or error.__traceback__)


def _is_the_scripts(module: object) -> bool:
    return module == "__main__"


def _judged(
    end: _End, recorder: Recorder, following: Steps, gpu: Gpu, capacity_bytes: int | None, steps: int
) -> _End:
    needed = recorder.peak.reserved or 0
    if needed == 0:
        return _End("nothing", f"the script took no memory of {gpu.name}: it never moved a tensor to cuda")
    if following.done == 0:
        return _End("nothing", f"the script ended without an optimizer step; what ran needs {size(needed)}")
    if following.done < steps:
        end.notes.append(f"the script ended after {count(following.done, 'optimizer step')} of {steps}")
    if capacity_bytes is None:
        end.message = f"needs {size(needed)} on {gpu.name}"
    else:
        end.message = (
            f"needs {size(needed)}, fits on {gpu.name} with {size(capacity_bytes - needed)} to spare"
        )
    return end
