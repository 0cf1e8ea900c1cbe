"""How a cell's process starts: forked from a server that has imported everything, or afresh.

An import that initialises CUDA in the server (of torchao by PEFT, of a sitecustomize) makes CUDA unusable in
all that is forked from it. A cell that needs CUDA notices at its start and says so; from then on such cells
import everything for themselves. So do all where the folder of temporary files has too long a path for the
server's socket.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lorafa_prof.cell import Cell
from lorafa_prof.one_line import bounded_line

#: sun_path of macOS, the shortest, less its end.
_LONGEST_SOCKET_PATH = 103
_FROM_SERVER = ("lorafa_prof.running.worker", "lorafa_prof.running.fork_server")


class _Starts:
    """What is known of this machine, for as long as this process lives."""

    forks_are_spoiled = False


def process_context(*, afresh: bool = False) -> Any:
    """Where processes are forked from: a server that has imported all, or, on some systems, nothing."""
    there_is_one = "forkserver" in multiprocessing.get_all_start_methods() and _a_socket_fits()
    context = multiprocessing.get_context("forkserver" if there_is_one and not afresh else "spawn")
    context.set_forkserver_preload(list(_FROM_SERVER))
    return context


def _a_socket_fits() -> bool:
    """Whether the server's socket can lie in the folder of temporary files: its path has few characters."""
    socket_path = Path(tempfile.gettempdir()) / "pymp-12345678" / "listener-12345678"
    return len(os.fsencode(socket_path)) <= _LONGEST_SOCKET_PATH


def starts_afresh(cell: Cell) -> bool:
    """Whether `cell` is to start without the server."""
    return _Starts.forks_are_spoiled and needs_cuda(cell)


def needs_cuda(cell: Cell) -> bool:
    """Whether it runs on a GPU; on CPU and twin nothing asks for CUDA."""
    return cell.device_kind == "cuda"


def gpus_needed(cell: Cell) -> int:
    """How many GPUs it runs on; 0 on CPU and twin."""
    return cell.gpus if needs_cuda(cell) else 0


def start_afresh_from_now_on(spoiler: str, seconds: float) -> None:
    """Note that forked processes cannot use CUDA here, and say once on stderr why and what it costs."""
    if not _Starts.forks_are_spoiled:
        _Starts.forks_are_spoiled = True
        print(
            f"note: importing {bounded_line(spoiler, 200)} initialises CUDA, so cells cannot be forked: each "
            f"one on the GPU starts afresh, which takes about {seconds:.0f} s more; see `lorafa-prof doctor`",
            file=sys.stderr,
            flush=True,
        )


@contextmanager
def interrupts_withheld() -> Iterator[None]:
    """A context in which processes start that no Ctrl-C reaches: it is their parent's to handle.

    Signals that are blocked here are blocked there, until `ignore_interrupts`.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # its start would unblock them
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def ignore_interrupts() -> None:
    """For a process that started in `interrupts_withheld`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
