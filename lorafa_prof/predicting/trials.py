"""Predicting a script in a process of its own, so that one trial leaves nothing to the next."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lorafa_prof.errors import LorafaProfError
from lorafa_prof.predicting.script import Script


def predict_apart(script: Script, options: Sequence[str]) -> dict[str, Any]:
    """Return what ``lorafa-prof predict`` with `options` says of `script`, for machines.

    Raises:
        LorafaProfError: it says nothing; the line has the last of what the process said.
    """
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "prediction.json"
        run = subprocess.run(
            [
                *(sys.executable, "-m", "lorafa_prof", "predict", *options, "--json", str(answer), "--"),
                *("python", *(["-m"] if script.is_module else []), script.target, *script.arguments),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            check=False,
        )
        if not answer.exists():
            said = (run.stderr.strip().splitlines() or ["nothing"])[-1]
            raise LorafaProfError(f"a trial of {script.target} ended with exit code {run.returncode}: {said}")
        told: dict[str, Any] = json.loads(answer.read_text("utf-8"))
    return told
