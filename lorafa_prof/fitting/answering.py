"""Answering all that is asked, several predictions at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from lorafa_prof.fitting.answer import (
    Answer,
    Fewest,
    Fit,
    FitQuestion,
    Largest,
    Predict,
    fit_as_asked,
    largest_batch,
    longest_seq,
)
from lorafa_prof.fitting.fewest import fewest_gpus
from lorafa_prof.fitting.groups import groups_of
from lorafa_prof.fitting.ways import ways_to_fit

#: Told how many parts of the answers are done.
Tell = Callable[[int], None]


def parts_of(asked: Sequence[FitQuestion]) -> int:
    """How many parts the answers have: four searches each, and ways to fit."""
    return 4 * len(asked) + 1


def answer_all(
    asked: Sequence[FitQuestion], predict: Predict, *, threads: int, tell: Tell = lambda done: None
) -> list[Answer]:
    """The answers, in the order of `asked`; where nothing fits on a GPU, the nearest has ways to fit.

    Args:
        asked: what is asked.
        predict: is called from `threads` threads at once.
        threads: how many.
        tell: is told of each part of an answer; from any thread, one at a time.
    """
    parts = _Parts(tell)
    with ThreadPoolExecutor(threads) as pool:
        try:
            fits = parts.of(pool.submit(fit_as_asked, each, predict) for each in asked)
            searches = [_searches(pool, fit.result(), predict) for fit in fits]
            for each in searches:
                parts.of(each)
            answers = [
                Answer(fit.result(), batch.result(), seq.result(), gpus.result())
                for fit, (batch, seq, gpus) in zip(fits, searches, strict=True)
            ]
            answers = _with_ways(answers, predict, pool)
            parts.one()
            return answers
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


class _Parts:
    """Counts parts of the answers as they are done."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._done = 0
        self._lock = threading.Lock()

    def of(self, futures: Iterable[Future[Any]]) -> list[Future[Any]]:
        """The same, each of which counts once it is done."""
        there = list(futures)
        for future in there:
            future.add_done_callback(lambda done: None if done.cancelled() else self.one())
        return there

    def one(self) -> None:
        """Count one more."""
        with self._lock:
            self._done += 1
            self._tell(self._done)


def _searches(
    pool: ThreadPoolExecutor, fit: Fit, predict: Predict
) -> tuple[Future[Largest], Future[Largest], Future[Fewest | None]]:
    return (
        pool.submit(largest_batch, fit, predict),
        pool.submit(longest_seq, fit, predict),
        pool.submit(fewest_gpus, fit, predict),
    )


def _with_ways(answers: Sequence[Answer], predict: Predict, pool: ThreadPoolExecutor) -> list[Answer]:
    nearest = [group.nearest for group in groups_of(answers) if not group.fitting]
    ways = {id(answer): ways_to_fit(answer, predict, pool) for answer in nearest}
    return [replace(answer, ways=ways.get(id(answer))) for answer in answers]
