from __future__ import annotations

import io
import re

import pytest
from cells import make_cell
from rich.console import Console

from lorafa_prof.results.record import CellResult
from lorafa_prof.running.progress import SweepProgress, outcome

GIB = 2**30


def result_of(status: str = "ok", method: str = "lora", **row: object) -> CellResult:
    cell = make_cell(method, options={"rank": 4})
    return CellResult(cell=cell, row={"status": status, **row})


OK = result_of(peak_allocated_bytes=3 * GIB, activation_bytes=2**20, step_ms_median=12.34)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def run(
    console: Console,
    results: list[CellResult],
    seconds: float,
    labels: dict[str, str] | None = None,
    *,
    interrupted: bool = False,
) -> None:
    clock = Clock()
    with SweepProgress(len(results), console, labels, clock) as progress:
        for result in results:
            progress.cell_started(result.cell)
            if interrupted:
                raise KeyboardInterrupt
            clock.now += seconds
            progress.cell_ended(result)


def plain(
    results: list[CellResult], seconds: float = 10.0, labels: dict[str, str] | None = None
) -> list[str]:
    file = io.StringIO()
    run(Console(file=file, width=40), results, seconds, labels)
    assert "\x1b" not in file.getvalue()
    return file.getvalue().splitlines()


def test_off_a_terminal_each_cell_is_one_line_with_its_peak_and_the_time_to_go():
    assert plain([OK, OK, OK]) == [
        "[1/3] net lora r4 b1 s16: peak 3.000 GiB, held 1.000 MiB, 12.3 ms/step (0:20 to go)",
        "[2/3] net lora r4 b1 s16: peak 3.000 GiB, held 1.000 MiB, 12.3 ms/step (0:10 to go)",
        "[3/3] net lora r4 b1 s16: peak 3.000 GiB, held 1.000 MiB, 12.3 ms/step",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"), [(59.6, "1:00"), (61, "1:01"), (3599, "59:59"), (7325, "2:02:05")]
)
def test_the_time_to_go(seconds, text):
    assert plain([OK, OK], seconds)[0].endswith(f"({text} to go)")


def test_what_went_wrong_is_told():
    oom = result_of("oom", failed_phase="backward", message="CUDA out of memory.")
    assert outcome(oom) == "oom in backward: CUDA out of memory."
    assert outcome(result_of("error", message="it died")) == "error: it died"
    assert outcome(result_of("ok")) == "peak -, held -"


def test_cells_are_called_by_their_labels():
    labels = {OK.cell.cell_id: "net lora [bold] targets=q"}
    assert plain([OK], labels=labels)[0].startswith("[1/1] net lora [bold] targets=q: peak")


def screen(text: str, width: int) -> list[str]:
    """The lines that a terminal shows after `text`: enough of VT100 for rich's live line."""
    lines, row, column = [""], 0, 0
    for part in re.finditer(r"\x1b\[([?0-9;]*)([A-Za-z])|(\r)|(\n)|([^\x1b\r\n]+)", text):
        number, letter, back, down, shown = part.groups()
        if letter == "A":
            row = max(row - int(number or 1), 0)
        elif letter == "K":
            lines[row] = ""
        elif back:
            column = 0
        elif down:
            row, column = row + 1, 0
            lines.extend([""] * (row + 1 - len(lines)))
        elif shown:
            lines[row] = (lines[row].ljust(column)[:column] + shown + lines[row][column + len(shown) :])[
                :width
            ]
            column += len(shown)
    return [line.rstrip() for line in lines]


def test_on_a_terminal_a_bar_that_leaves_nothing_behind():
    file = io.StringIO()
    console = Console(file=file, width=120, force_terminal=True, color_system=None, legacy_windows=False)
    run(console, [OK, OK], 10.0, {OK.cell.cell_id: "net [r4]"})
    written = file.getvalue()
    assert "0/2 net [r4]" in written
    assert "0:10 to go" in written
    shown = [line for line in screen(written, 120) if line]
    assert shown == [
        "[1/2] net [r4]: peak 3.000 GiB, held 1.000 MiB, 12.3 ms/step",
        "[2/2] net [r4]: peak 3.000 GiB, held 1.000 MiB, 12.3 ms/step",
    ]
    assert written.count("\x1b[?25l") == written.count("\x1b[?25h"), "the cursor is not shown again"


def test_an_interrupt_takes_the_bar_away():
    file = io.StringIO()
    console = Console(file=file, width=120, force_terminal=True, color_system=None, legacy_windows=False)
    with pytest.raises(KeyboardInterrupt):
        run(console, [OK], 10.0, interrupted=True)
    assert [line for line in screen(file.getvalue(), 120) if line] == []
    assert file.getvalue().rindex("\x1b[?25h") > file.getvalue().rindex("\x1b[?25l")
