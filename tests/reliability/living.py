"""What a command and the processes under it hold, as /proc tells it."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

MIB = 2**20
PROC = Path("/proc")


@dataclass(frozen=True)
class Held:
    """What processes held at one moment: seconds since the start, bytes of memory, open files."""

    seconds: float
    memory_bytes: int
    open_files: int


def watched(command: Sequence[str], environment: Mapping[str, str], every_s: float) -> tuple[int, list[Held]]:
    """Run `command`; returns its exit code and what it held itself, without the cells' processes."""
    started = time.monotonic()
    held: list[Held] = []
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        while process.poll() is None:
            if (sample := _held_by(process.pid, time.monotonic() - started)) is not None:
                held.append(sample)
            time.sleep(every_s)
    return process.returncode, held


def _held_by(pid: int, seconds: float) -> Held | None:
    """What the process and its fork server hold; cells come and go. None where it has just ended."""
    try:
        family = [pid, *_children(pid)]
        pages = sum(int((PROC / str(member) / "statm").read_text().split()[1]) for member in family)
        files = sum(len(list((PROC / str(member) / "fd").iterdir())) for member in family)
    except (OSError, IndexError):
        return None
    return Held(seconds, pages * os.sysconf("SC_PAGESIZE"), files)


def _children(pid: int) -> list[int]:
    return [int(child) for child in (PROC / str(pid) / "task" / str(pid) / "children").read_text().split()]
