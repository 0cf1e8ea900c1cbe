"""Histories that tests make up, and repositories with a baseline's commits."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stored import PACKAGES

from lorafa_prof.history.history import History, Moment

HELD, PEAK = "activation_bytes", "peak_allocated_bytes"


def history(*states: Mapping[tuple[str, str], int], measured: Sequence[str] = (), **named: Any) -> History:
    """The states of cells that are called as their ids, a day each."""
    moments = tuple(
        Moment(f"c{day}", f"2026-11-{day:02}T10:00:00+00:00", f"Change {day}", values)
        for day, values in enumerate(states, start=1)
    )
    cells = {cell for state in states for cell, _ in state}
    return History("b.json", moments, {cell: cell for cell in sorted(cells)}, frozenset(measured), **named)


def git(folder: Path, *arguments: str, day: int = 1) -> str:
    """What git says; what it commits is of that day."""
    date = f"2026-11-{day:02}T10:00:00+00:00"
    identity = ("-c", "user.name=n", "-c", "user.email=e@x", "-c", "commit.gpgsign=false")
    return subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments],
        env={"PATH": "/usr/bin:/bin:/usr/local/bin", "GIT_COMMITTER_DATE": date, "GIT_AUTHOR_DATE": date},
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def baseline(values: Mapping[str, Mapping[str, int]], **packages: str) -> str:
    """The text of a baseline with these metrics by cell, whose label is its id without the digest."""
    cells = {
        cell: {"label": cell.rpartition("_")[0].replace("_", " "), "metrics": dict(metrics)}
        for cell, metrics in values.items()
    }
    known = {name: PACKAGES[name] for name in ("torch", "transformers", "peft")}
    return json.dumps({"form": "lorafa-prof baseline 1", "packages": {**known, **packages}, "cells": cells})


def committed(folder: Path, file: str, text: str, message: str, day: int) -> None:
    """Write and commit it."""
    (folder / file).write_text(text)
    git(folder, "add", "--", file)
    git(folder, "commit", "-q", "-m", message, day=day)
