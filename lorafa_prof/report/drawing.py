"""Drawing figures beside other work: those of hundreds of cells take longer than all the rest of a report."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

from lorafa_prof.figures import FIGURES
from lorafa_prof.figures.kit.wishes import NO_WISHES, Wishes
from lorafa_prof.figures.save import SavedFigure, SkippedFigure, left_for_request, names_of, save_all
from lorafa_prof.results.records import Results
from lorafa_prof.running.progress_bar import Tell, tell_nobody

Outcomes = list[SavedFigure | SkippedFigure]

#: With fewer cells drawing takes less than starting processes for it, which load matplotlib anew.
MANY_CELLS = 40
_MOST_PROCESSES = 4


@contextmanager
def figures_beside(
    results: Results,
    folder: Path,
    names: Sequence[str] | None,
    formats: Sequence[str],
    style_name: str,
    wishes: Wishes = NO_WISHES,
    tell: Tell = tell_nobody,
) -> Iterator[Callable[[], Outcomes]]:
    """A context in which the figures of many cells are drawn in processes of their own.

    Args as of `save_all`.

    Yields:
        Waits for what `save_all` returns; of few cells the figures are drawn only then.

    Raises:
        UsageError: an unknown figure, format or style, at once; a folder that cannot be written to, from what
            is yielded.
    """
    chosen = [FIGURES[name].name for name in names_of(names, results)]
    left = left_for_request(names)
    save_all(results, folder, (), formats, style_name, wishes)  # draws nothing, but says what is unknown
    if len(results.table) < MANY_CELLS or not formats:
        yield (
            lambda: (
                [*save_all(results, folder, chosen, formats, style_name, wishes, tell), *left]
                if formats
                else []
            )
        )
        return
    processes = min(os.cpu_count() or 1, _MOST_PROCESSES)
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        drawing = [
            pool.submit(save_all, results, folder, (name,), formats, style_name, wishes) for name in chosen
        ]

        def outcomes() -> Outcomes:
            try:
                drawn: Outcomes = []
                for done, (name, future) in enumerate(zip(chosen, drawing, strict=True)):
                    tell(done, len(chosen), name)
                    drawn += future.result()
                return [*drawn, *left]
            except BrokenProcessPool:  # no memory for one more process, or none may be started here
                return [*save_all(results, folder, chosen, formats, style_name, wishes, tell), *left]

        try:
            yield outcomes
        finally:
            pool.shutdown(cancel_futures=True)
