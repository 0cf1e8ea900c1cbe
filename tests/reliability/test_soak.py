"""A long sweep holds at its end what it held at its beginning, and leaves nothing behind."""

from __future__ import annotations

import csv
import os
import statistics
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from reliability.asked_effort import effort
from reliability.living import MIB, watched

pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="there is no /proc")

SCENARIO = """\
schema: 1
name: soak
model: tiny-gpt2
method: {{name: lora-fa, rank: 4}}
batch: [{batches}]
seq: [{lengths}]
device: sim:h100-80gb
"""
PER_BATCH = 10
MOST_GROWTH_BYTES = 64 * MIB
#: Pipes to cells under way come and go.
MOST_MORE_FILES = 24


def test_a_long_sweep_does_not_grow(tmp_path: Path) -> None:
    batches = max(effort("LORAFA_SOAK_CELLS", 90) // PER_BATCH, 1)
    lengths = ", ".join(str(8 * n) for n in range(1, PER_BATCH + 1))
    file = tmp_path / "soak.yaml"
    file.write_text(SCENARIO.format(batches=", ".join(map(str, range(1, batches + 1))), lengths=lengths))
    out = tmp_path / "out"
    command = [sys.executable, "-m", "lorafa_prof", "run", str(file), "-o", str(out), "--no-figures"]
    # Not in tmp_path, which may be too deep for the socket of the server that cells are forked from.
    with TemporaryDirectory(prefix="soak-", dir="/tmp") as scratch:
        code, held = watched(command, {**os.environ, "TMPDIR": scratch}, every_s=0.25)
        # What PyTorch compiles it keeps for whoever comes next.
        left = [path.name for path in Path(scratch).iterdir() if not path.name.startswith("torchinductor_")]
    assert code == 0
    with (out / "results.csv").open() as table:
        rows = list(csv.DictReader(table))
    assert [row["status"] for row in rows] == ["ok"] * batches * PER_BATCH
    # The first half imports PyTorch, twice, and warms up.
    early, late = held[len(held) // 2 : 3 * len(held) // 4], held[-(len(held) // 4) :]
    grown = statistics.median(h.memory_bytes for h in late) - statistics.median(h.memory_bytes for h in early)
    more_files = max(h.open_files for h in late) - min(h.open_files for h in early)
    print(
        f"{len(rows):,} cells in {held[-1].seconds:.0f} s: {grown / MIB:+.1f} MiB of memory, "
        f"{more_files:+d} open files at most"
    )
    assert grown < MOST_GROWTH_BYTES
    assert more_files < MOST_MORE_FILES
    assert left == []
    assert sorted(path.name for path in out.iterdir()) == ["cells", "logs", "provenance.json", "results.csv"]
