"""Asking git about the checkout that a folder is in."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

_MOST_SECONDS = 30


def git_output(folder: Path, *arguments: str) -> str:
    """Return what git says in `folder`.

    Raises:
        subprocess.CalledProcessError: it refuses; `stderr` says why.
        OSError: there is no git.
        subprocess.TimeoutExpired: it takes longer than half a minute.
    """
    # Inside a git hook GIT_DIR and its kin point at another repository than the folder's.
    variables = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        env=variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=True,
        timeout=_MOST_SECONDS,
    )
    return done.stdout
