"""Running a script to its end, and how that was."""

from __future__ import annotations

import sys
import traceback
from dataclasses import dataclass, field

from lorafa_prof.devices.sim.out_of_memory import SimOutOfMemoryError
from lorafa_prof.errors import LorafaProfError, described
from lorafa_prof.instruments.user_line import user_line_of
from lorafa_prof.one_line import bounded_line
from lorafa_prof.predicting.prediction import Status
from lorafa_prof.predicting.script import Script
from lorafa_prof.predicting.steps import EnoughSteps


@dataclass
class End:
    """How a script ended.

    Attributes:
        status: "ok" where it just ended, or was ended after enough steps.
        message: one sentence, as far as it is known from the end alone.
        line: of the script, where it failed or was refused.
        notes: sentences that a reader must know.
    """

    status: Status = "ok"
    message: str = ""
    line: str = ""
    notes: list[str] = field(default_factory=list)


def end_of(script: Script) -> End:
    """Run `script` in this process, and return how it ended. Its own error's traceback is printed."""
    try:
        script.run()
    except EnoughSteps:
        return End()
    except SimOutOfMemoryError:
        return End("oom")
    except LorafaProfError as error:
        return refused_by(error)
    except SystemExit as leaving:
        return _left(leaving)
    except Exception as error:  # noqa: BLE001 - it is the script's own, whatever it is
        _show(error)
        return End("error", f"the script failed: {described(error)}", user_line_of(error))
    return End()


def refused_by(error: LorafaProfError) -> End:
    """Return the end of a script that was refused with `error`, told with its line."""
    line, message = user_line_of(error), str(error)
    return End("refused", message if line in message else f"{line}: {message}", line)


def _left(leaving: SystemExit) -> End:
    code = leaving.code
    if code in (None, 0):
        return End()
    if isinstance(code, int):
        how = f" with exit code {code}"
    else:
        print(code, file=sys.stderr)  # as Python does
        how = f": {code}"
    return End("error", bounded_line(f"the script ended itself{how}"), user_line_of(leaving))


def _show(error: Exception) -> None:
    """Print the script's own traceback, without the frames that ran it."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals.get("__name__") != "__main__":
        trace = trace.tb_next
    traceback.print_exception(type(error), error, trace or error.__traceback__)
