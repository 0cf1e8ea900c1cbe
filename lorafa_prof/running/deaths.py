"""How a process ended, in words."""

from __future__ import annotations

import signal


def death(code: int) -> str:
    """Return what an exit code means: "exit code 3", or "killed by SIGSEGV" if it is negative."""
    how = f"killed by {_signal_name(-code)}" if code < 0 else f"exit code {code}"
    return f"{how} (the host ran out of memory?)" if code == -signal.SIGKILL else how


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time one
        return f"signal {number}"
