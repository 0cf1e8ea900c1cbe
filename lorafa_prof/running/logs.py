"""What a cell's process prints: bounded, with its beginning and its end kept."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

MIB = 2**20
#: Of a log that is longer, so much of its beginning is kept, and as much of its end.
KEPT_BYTES = MIB
#: A cell whose log grows beyond this is ended: it would fill the disk.
MOST_BYTES = 256 * MIB


def is_too_long(log_file: Path) -> bool:
    """Whether the cell that writes it has to be ended."""
    try:
        return log_file.stat().st_size > MOST_BYTES
    except OSError:
        return False


def shorten(log_file: Path) -> None:
    """Keep beginning and end of a log that is long, with a line between that says so."""
    with suppress(OSError):  # it was removed, or is no file: nothing to shorten
        size = log_file.stat().st_size
        if size <= 2 * KEPT_BYTES + MIB // 2:
            return
        with log_file.open("r+b") as file:
            file.seek(size - KEPT_BYTES)
            tail = file.read()
            file.seek(KEPT_BYTES)
            left_out = size - KEPT_BYTES - len(tail)
            file.write(f"\n[lorafa-prof left out {left_out:,} bytes here]\n".encode())
            file.write(tail)
            file.truncate()
            os.fsync(file.fileno())
