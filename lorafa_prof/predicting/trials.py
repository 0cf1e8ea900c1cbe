"""Predicting a script in a process of its own, so that one trial leaves nothing to the next."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorafa_prof.errors import LorafaProfError
from lorafa_prof.predicting.script import Script


@dataclass(frozen=True)
class Start:
    """Where a process starts: its folder and its environment, which a script may have changed since."""

    folder: Path
    environment: Mapping[str, str]

    @classmethod
    def here(cls) -> Start:
        """Return those of this process as they are now."""
        return cls(Path.cwd(), dict(os.environ))


def predict_apart(script: Script, options: Sequence[str], start: Start) -> dict[str, Any]:
    """Return what ``lorafa-prof predict`` with `options` says of `script`, for machines. It has no input.

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
            cwd=start.folder,
            env=start.environment,
        )
        if not answer.exists():
            said = (run.stderr.strip().splitlines() or ["nothing"])[-1]
            raise LorafaProfError(f"a trial of {script.target} ended with exit code {run.returncode}: {said}")
        told: dict[str, Any] = json.loads(answer.read_text("utf-8"))
    return told
