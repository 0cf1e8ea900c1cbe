"""How a command ended: in words and a code of the contract, in one line, in time."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from lorafa_prof.cli.main import main
from lorafa_prof.errors import LorafaProfError

#: Seconds of this process's own, whatever else the machine does; a command also imports what it needs.
MOST_S = 2.0
MOST_WITH_IMPORTS_S = 6.0


def check_ends_well(work: Callable[[], object]) -> None:
    """Run `work`: it may raise a `LorafaProfError` of one line and nothing else, and must end in time."""
    started = time.process_time()
    try:
        work()
    except LorafaProfError as error:
        said = str(error)
        assert said.strip(), "an error without words"
        assert len(said.splitlines()) == 1, said
    assert time.process_time() - started < MOST_S


def check_command_ends_well(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> int:
    """Run a command line in this process: a code of the contract, and no fault of the program."""
    started = time.process_time()
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    took_s = time.process_time() - started
    said = capsys.readouterr().err
    assert "fault of lorafa-prof" not in said, f"{arguments}: {said}"
    assert "Traceback" not in said
    assert ended.value.code in (0, 1, 2, 3, 4), said
    if ended.value.code == 2:
        assert len([line for line in said.splitlines() if line.startswith("lorafa-prof: ")]) == 1, said
    assert took_s < MOST_WITH_IMPORTS_S
    return int(ended.value.code)
