from __future__ import annotations

import subprocess
import sys

import pytest

from lorafa_prof.instruments import host
from lorafa_prof.instruments.host import peak_rss_bytes, rusage_unit

MIB = 2**20


# Run in a process of its own: in one that has lived long the peak may lie far above what is resident, and the
# kernel may take pages of mapped files back at any time, so that a new block need not reach the old peak.
FOLLOW = """
from lorafa_prof.instruments.host import peak_rss_bytes
before = peak_rss_bytes()
block = bytearray(200 * 2**20)
block[::2048] = b"x" * len(block[::2048])
during = peak_rss_bytes()
del block
print(before, during, peak_rss_bytes())
"""


def test_peak_follows_an_allocation_and_stays() -> None:
    done = subprocess.run([sys.executable, "-c", FOLLOW], capture_output=True, text=True, check=True)
    before, during, after = map(int, done.stdout.split())
    assert 190 * MIB < during - before < 260 * MIB
    # The kernel counts pages in batches per CPU, so the mark itself wavers by some hundred KiB.
    assert after >= during - 8 * MIB


def test_peak_is_bytes() -> None:
    """Python with torch holds tens of MiB and no TiB: a wrong unit is a factor of 1024."""
    assert 5 * MIB < peak_rss_bytes() < 2**40


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss survives exec on Linux")
def test_child_of_a_large_process_reports_its_own_peak() -> None:
    block = bytearray(200 * MIB)
    block[::2048] = b"x" * len(block[::2048])
    code = "from lorafa_prof.instruments.host import peak_rss_bytes; print(peak_rss_bytes())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 100 * MIB
    assert len(block) == 200 * MIB


def test_units_of_rusage() -> None:
    assert rusage_unit("darwin") == 1
    assert rusage_unit("linux") == 1024
    assert rusage_unit("freebsd14") == 1024


def test_status_without_the_line_falls_back_to_rusage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(host, "_high_water_mark", lambda status: None)
    monkeypatch.setattr(host, "_peak_by_rusage", lambda: 123)
    assert peak_rss_bytes() == 123
