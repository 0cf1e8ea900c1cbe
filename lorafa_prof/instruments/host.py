"""Peak resident memory of this process on the host."""

from __future__ import annotations

import re
import sys
from pathlib import Path

_LINUX_STATUS = Path("/proc/self/status")


def peak_rss_bytes() -> int:
    """Return the peak resident set of this process since it began, in bytes.

    On Linux it is `VmHWM` of /proc/self/status. Not `ru_maxrss`: that survives fork and exec, so a worker
    started by a large process would report its parent's peak as its own.

    Raises:
        RuntimeError: the platform tells no peak.
    """
    if sys.platform == "win32":
        return _peak_by_psutil()
    if _LINUX_STATUS.exists():
        high_water_mark = _high_water_mark(_LINUX_STATUS.read_text())
        if high_water_mark is not None:
            return high_water_mark
    return _peak_by_rusage()


def _high_water_mark(status: str) -> int | None:
    """Return `VmHWM` in bytes; None in sandboxes whose /proc leaves the line out."""
    match = re.search(r"^VmHWM:\s+(\d+) kB$", status, flags=re.MULTILINE)
    return int(match.group(1)) * 1024 if match else None


def _peak_by_rusage() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * rusage_unit(sys.platform)


def rusage_unit(platform: str) -> int:
    """Return the bytes per unit of `ru_maxrss` on a `sys.platform`: 1 on macOS, 1024 on other systems."""
    return 1 if platform == "darwin" else 1024


def _peak_by_psutil() -> int:
    import psutil

    peak = getattr(psutil.Process().memory_info(), "peak_wset", None)
    if peak is None:
        raise RuntimeError(f"no peak of resident memory is known on {sys.platform}")
    return int(peak)
