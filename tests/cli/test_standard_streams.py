"""Whatever is behind standard output, a command ends in one line or in silence, never in a traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = f"{sys.executable} -m lorafa_prof"
#: Prints more than a pipe holds, so that its reader is gone before all is written.
LONG = (
    f'{sys.executable} -c "import click; from lorafa_prof.cli import main as m; '
    "m.cli.get_command = lambda *a: click.Command('x', callback=lambda: click.echo('y' * 9**6)); "
    "m.main(['x'])\""
)


def shell(command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("arguments", ["list metrics", "--help", "list --help", "--version"])
def test_a_full_disk_behind_stdout_is_one_line_and_2(arguments):
    done = shell(f"{PROGRAM} {arguments} >/dev/full")
    assert done.returncode == 2
    assert done.stderr == (
        "lorafa-prof: cannot write to standard output: No space left on device; what was measured is kept\n"
    )


def test_a_closed_stdout_is_one_line_and_2():
    done = shell(f"{PROGRAM} list metrics >&-")
    assert done.returncode == 2
    assert done.stderr == (
        "lorafa-prof: cannot write to standard output: Bad file descriptor; what was measured is kept\n"
    )


@pytest.mark.parametrize("closed", ["2>&-", "2>/dev/full", "<&- 2>&-"])
def test_stderr_that_takes_nothing_stops_nothing(closed):
    if "full" in closed and not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    done = shell(f"{PROGRAM} list metrics {closed}")
    assert done.returncode == 0
    assert "peak_allocated_bytes" in done.stdout
    assert shell(f"{PROGRAM} run nothing-of-that-name {closed}").returncode == 2


def test_a_reader_that_has_enough_is_no_error():
    done = shell(f"{LONG} | head -c 1; echo ${{PIPESTATUS[0]}}")
    assert done.stdout == "y141\n"
    assert done.stderr == ""


def test_an_encoding_without_the_sign_loses_nothing():
    code = "import click; from lorafa_prof.cli import main as m; "
    code += (
        "m.cli.get_command = lambda *a: click.Command('x', callback=lambda: print('\\u2713')); m.main(['x'])"
    )
    done = shell(f'PYTHONIOENCODING=ascii {sys.executable} -c "{code}"')
    assert (done.returncode, done.stdout, done.stderr) == (0, "\\u2713\n", "")
