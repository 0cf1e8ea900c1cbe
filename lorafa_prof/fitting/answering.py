"""Answering all that is asked, several predictions at once."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

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


def answer_all(asked: Sequence[FitQuestion], predict: Predict, *, threads: int) -> list[Answer]:
    """The answers, in the order of `asked`.

    Args:
        asked: what is asked.
        predict: is called from `threads` threads at once.
        threads: how many.
    """
    with ThreadPoolExecutor(threads) as pool:
        try:
            fits = [pool.submit(fit_as_asked, each, predict) for each in asked]
            searches = [_searches(pool, fit.result(), predict) for fit in fits]
            return [
                Answer(fit.result(), batch.result(), seq.result(), gpus.result())
                for fit, (batch, seq, gpus) in zip(fits, searches, strict=True)
            ]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _searches(
    pool: ThreadPoolExecutor, fit: Fit, predict: Predict
) -> tuple[Future[Largest], Future[Largest], Future[Fewest | None]]:
    return (
        pool.submit(largest_batch, fit, predict),
        pool.submit(longest_seq, fit, predict),
        pool.submit(fewest_gpus, fit, predict),
    )
