"""Predicting cells in a few processes at once, none of them twice."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager

from lorafa_prof.cell import Cell
from lorafa_prof.fitting.answer import Predict
from lorafa_prof.running.pool import work_pool
from lorafa_prof.running.predict_memory import predict_memory
from lorafa_prof.running.prediction import Prediction

#: Told of each prediction: how many there are now, of which cell, with which capacity, what it says.
Tell = Callable[[int, Cell, int, Prediction], None]


class Predictor:
    """Predicts each cell once for each capacity, whichever thread asks, and tells of it.

    Args:
        predict: does it; called from several threads at once.
        tell: is told of each prediction, of one at a time.
    """

    def __init__(self, predict: Predict, tell: Tell) -> None:
        self._predict = predict
        self._tell = tell
        self._lock = threading.Lock()
        self._known: dict[tuple[str, int], Future[Prediction]] = {}
        self.count = 0

    def __call__(self, cell: Cell, capacity_bytes: int) -> Prediction:
        """The prediction; waits where another thread has asked for the same one."""
        key = (cell.cell_id, capacity_bytes)
        with self._lock:
            mine = key not in self._known
            future = self._known.setdefault(key, Future())
        if mine:
            self._fill(future, cell, capacity_bytes)
        return future.result()

    def _fill(self, future: Future[Prediction], cell: Cell, capacity_bytes: int) -> None:
        try:
            prediction = self._predict(cell, capacity_bytes)
        except BaseException as error:
            future.set_exception(error)
            raise
        with self._lock:
            self.count += 1
            self._tell(self.count, cell, capacity_bytes, prediction)
        future.set_result(prediction)


@contextmanager
def in_processes(count: int) -> Iterator[Predict]:
    """Predicts in `count` processes at once; with 1 in this one."""
    with work_pool(count) as pool:
        yield lambda cell, capacity_bytes: pool.submit(predict_memory, cell, capacity_bytes).result()
