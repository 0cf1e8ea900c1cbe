from __future__ import annotations

import pytest

from lorafa_prof.cli.countdown import Countdown


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def counted(*, lines: bool) -> None:
    clock = Clock()
    with Countdown("doing", lines=lines, clock=clock) as tell:
        for done in range(4):
            tell(done, 3, f"thing {done}")
            clock.now += 10


def test_off_a_terminal_there_are_lines_with_the_time_to_go_or_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    counted(lines=False)
    assert capsys.readouterr().err == ""
    counted(lines=True)
    assert capsys.readouterr().err.splitlines() == [
        "[1/3] thing 1 (0:20 to go)",
        "[2/3] thing 2 (0:10 to go)",
        "[3/3] thing 3",
    ]


def test_on_a_terminal_a_bar_has_total_and_time_to_go(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    counted(lines=False)
    shown = capsys.readouterr().err
    assert "2/3" in shown
    assert "doing thing 2" in shown
    assert "0:10 to go" in shown


def test_what_never_begins_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Countdown("doing"):
        pass
    assert capsys.readouterr().err == ""
