"""A pool of a few processes that work at the same time."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager

from lorafa_prof.running.worker import die_with_parent, process_context


@contextmanager
def work_pool(count: int) -> Iterator[Executor]:
    """A context with an executor of `count` processes, or with 1 a thread of this process.

    Work that is not done when it is left is dropped.
    """
    pool: Executor
    if count == 1:
        pool = ThreadPoolExecutor(1)
    else:
        pool = ProcessPoolExecutor(count, mp_context=process_context(), initializer=_start_process)
    try:
        yield pool
    finally:
        # What runs already is waited for: the interpreter would do so too, at its end, and not as cleanly.
        pool.shutdown(cancel_futures=True)


def _start_process() -> None:
    from transformers.utils import logging

    # What it warns of in every process is nothing that a reader of the results could change.
    logging.set_verbosity_error()
    # An interrupt is the parent's to handle: it ends these processes.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent()


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else (os.cpu_count() or 1)
