"""Training those runs of a scenario that are still to do, each in a process of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Literal

from lorafa_prof.errors import UsageError
from lorafa_prof.learning.files import FOLDER, RunFiles, last_step
from lorafa_prof.learning.progress import LearningProgress
from lorafa_prof.learning.record import FAILED, RunRecord, read_record, write_record
from lorafa_prof.learning.run import LearningRun
from lorafa_prof.learning.table import write_learning_table
from lorafa_prof.learning.work import LAST_ROW, learn_cell
from lorafa_prof.results.files import writing
from lorafa_prof.results.record import CellResult
from lorafa_prof.running.gpu_use import free_gpus
from lorafa_prof.running.side_by_side import side_by_side
from lorafa_prof.running.starting import needs_cuda
from lorafa_prof.running.worker import Work, run_cell

Rerun = Literal["missing", "failed", "all"]
Records = dict[str, RunRecord]

#: How often the files of runs under way are looked at.
_LOOK_S = 0.5


def read_records(out: Path, runs: Sequence[LearningRun], *, discard: bool) -> Records:
    """Return what is kept of these runs, by id.

    Args:
        out: the folder of results.
        runs: whose records are read.
        discard: whether they are trained anew, so that damaged records count as none.

    Raises:
        UsageError: a record is damaged.
    """
    records: Records = {}
    for run in runs:
        try:
            record = read_record(RunFiles(out, run.run_id))
        except UsageError:
            if not discard:
                raise
            record = None
        if record is not None:
            records[run.run_id] = record
    return records


def runs_to_train(
    runs: Sequence[LearningRun], records: Mapping[str, RunRecord], rerun: Rerun
) -> list[LearningRun]:
    """Return the runs that have not ended; with ``failed`` also those that failed; with ``all`` all."""
    return [
        run
        for run in runs
        if rerun == "all"
        or (record := records.get(run.run_id)) is None
        or not record.has_ended
        or (rerun == "failed" and record.status in FAILED)
    ]


def other_runs(out: Path, runs: Sequence[LearningRun]) -> list[str]:
    """Return the ids of runs that have a record here and are not among these, sorted."""
    return sorted({file.stem for file in (out / FOLDER).glob("*.json")} - {run.run_id for run in runs})


def train_runs(
    todo: Sequence[LearningRun],
    out: Path,
    progress: LearningProgress,
    records: Records,
    *,
    table_of: Sequence[LearningRun],
    timeout_s: float | None,
    at_once: int = 1,
    isolated: bool | None = None,
    max_failures: int | None = None,
    stop: Callable[[], bool] = lambda: False,
    work: Callable[..., CellResult] = learn_cell,
) -> None:
    """Train runs; their records and learning.csv are up to date after each evaluation.

    On the CPU they run one after the other, on GPUs `at_once` on each.

    Args:
        todo: what to train.
        out: the folder of results, which is this process's alone.
        progress: shows how far they are.
        records: what is kept of earlier commands; takes what is new.
        table_of: all runs that belong into the table, in its order.
        timeout_s: limit for one run.
        at_once: so many share a GPU, or the CPU.
        isolated: True trains one after the other though there are several GPUs.
        max_failures: after so many that failed no other starts; None: whatever becomes of them.
        stop: whether no other run shall start.
        work: what a run's process does, given its cell, its JSON, `out` and `at_once`.
    """
    failures = 0

    def run_one(run: LearningRun, gpu: str | None) -> tuple[LearningRun, CellResult]:
        own: Work = partial(work, run_json=run.model_dump_json(), out=str(out), at_once=at_once)
        return run, run_cell(run.cell, RunFiles(out, run.run_id).log, timeout_s, own, gpu)

    def may_start(run: LearningRun) -> bool:
        if stop() or (max_failures is not None and failures >= max_failures):
            return False
        watched.add(run)
        return True

    writes = threading.Lock()

    def write_table() -> None:
        with writes:
            write_learning_table(out, [records[run.run_id] for run in table_of if run.run_id in records])

    if not todo:
        write_table()
        return
    gpus = free_gpus() if isolated is not True and any(needs_cuda(run.cell) for run in todo) else []
    slots: Sequence[str | None] = (gpus if len(gpus) > 1 else [None]) * at_once
    with _watching(out, progress, records, write_table) as watched:
        for run, result in side_by_side(todo, may_start, run_one, slots):
            watched.remove(run)
            record = _ended(run, result, out)
            failures += record.status in FAILED
            records[run.run_id] = record
            progress.run_ended(run.run_id, record)
            write_table()


def _ended(run: LearningRun, result: CellResult, out: Path) -> RunRecord:
    """Write into a run's record how it ended, and return it."""
    files = RunFiles(out, run.run_id)
    record = read_record(files) or RunRecord(run=run, environment=result.environment)
    status = str(result.row["status"])
    record.status, record.has_ended = status, True  # type: ignore[assignment]
    if status != "ok":
        known = result.details.get(LAST_ROW) or {"step": last_step(files.losses)}
        record.rows.append({**known, "status": status, "message": str(result.row.get("message") or "")})
    write_record(record, files)
    return record


class _Watched:
    """The runs under way, and how far each was when it started."""

    def __init__(self, out: Path, progress: LearningProgress, records: Records) -> None:
        self._out = out
        self._progress = progress
        self._records = records
        self._lock = threading.Lock()
        self._under_way: dict[str, int] = {}
        self._seen: dict[str, int] = {}

    def add(self, run: LearningRun) -> None:
        """Look at a run from now on."""
        files = RunFiles(self._out, run.run_id)
        record = self._records.get(run.run_id)
        with self._lock:
            self._under_way[run.run_id] = last_step(files.losses)
            self._seen[run.run_id] = _changed_ns(files.record)
            self._progress.run_started(run.run_id, len(record.rows) if record else 0)

    def remove(self, run: LearningRun) -> None:
        """Look at it no more."""
        with self._lock:
            del self._under_way[run.run_id]

    def look(self) -> bool:
        """Show how far runs are; return whether one has evaluated since the last look."""
        has_news = False
        with self._lock:
            for run_id, before in self._under_way.items():
                files = RunFiles(self._out, run_id)
                changed = _changed_ns(files.record)
                if changed != self._seen[run_id] and (record := read_record(files)) is not None:
                    self._seen[run_id] = changed
                    self._records[run_id] = record
                    has_news = True
                done = last_step(files.losses) - before
                self._progress.looked(run_id, max(0, done), self._records.get(run_id))
        return has_news


def _changed_ns(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0


@contextmanager
def _watching(
    out: Path, progress: LearningProgress, records: Records, write_table: Callable[[], None]
) -> Iterator[_Watched]:
    """A context in which a thread looks at the files of runs under way."""
    watched = _Watched(out, progress, records)
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(_LOOK_S):
            try:
                if watched.look():
                    write_table()
            except UsageError:
                return  # a folder that cannot be written: whoever writes a run's end is told

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield watched
    finally:
        ended.set()
        thread.join()


def prepare_folder(out: Path) -> None:
    """Make the folder of runs.

    Raises:
        UsageError: it cannot be written.
    """
    with writing(out):
        (out / FOLDER).mkdir(parents=True, exist_ok=True)
