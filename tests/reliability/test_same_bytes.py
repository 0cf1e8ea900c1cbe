"""The twin tells the same bytes each time, whatever order Python's hashes give its sets."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

from reliability.asked_effort import effort

SCENARIO = """\
schema: 1
name: same
model: tiny-llama
method: [full-ft, {name: lora, rank: 4}, {name: lora-fa, rank: 4}]
batch: 2
seq: 24
dtype: bf16
checkpointing: [none, full]
device: sim:h100-80gb
"""


def measured(file: Path, out: Path, seed: int) -> str:
    """A digest of all that the cells' records tell but for seconds, from a process of its own."""
    command = [sys.executable, "-m", "lorafa_prof", "run", str(file), "-o", str(out), "--no-figures"]
    environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
    subprocess.run(command, env=environment, check=True, capture_output=True)
    digest = hashlib.sha256()
    for record in sorted((out / "cells").glob("*.json")):
        content = json.loads(record.read_text())
        content["details"].pop("seconds")
        digest.update(json.dumps([content["row"], content["details"]], sort_keys=True).encode())
    return digest.hexdigest()


def test_every_process_tells_the_same_bytes(tmp_path: Path) -> None:
    file = tmp_path / "same.yaml"
    file.write_text(SCENARIO)
    runs = effort("LORAFA_TWIN_RUNS", 2)
    told = {measured(file, tmp_path / f"out{run}", run) for run in range(runs)}
    print(f"{runs} runs of 6 cells: {len(told)} different records")
    assert len(told) == 1
