"""One run at a time in a folder: real processes hold the lock, die with it, or are long dead."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lorafa_prof.errors import UsageError
from lorafa_prof.results import lock as module
from lorafa_prof.results.lock import LOCK_NAME, locked
from lorafa_prof.results.owner import Owner, this_process

HOLDER = """
import sys, time
from pathlib import Path
from lorafa_prof.results import lock as module
from lorafa_prof.results.lock import locked
with locked(Path(sys.argv[1]), ["run", "theirs.yaml"]):
    print("held", flush=True)
    time.sleep(600)
"""
DEAD = {"pid": 2**22 + 1, "host": socket.gethostname(), "started": 1.0, "since": 2.0, "command": "run x"}


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a file system that has none."""

    def flock(*args: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", flock)


def no_system_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a system that has none."""
    monkeypatch.setitem(sys.modules, "fcntl", None)


def take(out: Path) -> dict[str, Any]:
    with locked(out, ["run", "s.yaml"]):
        written: dict[str, Any] = json.loads((out / LOCK_NAME).read_text())
        return written


@pytest.mark.parametrize("flock", [True, False])
def test_the_second_is_told_whose_it_is_and_a_kill_lets_go(tmp_path, monkeypatch, holder, flock):
    if not flock:
        no_locks(monkeypatch)
    for _ in range(2):
        with pytest.raises(UsageError) as refused:
            take(tmp_path)
        line = str(refused.value)
        assert f"another run writes here: process {holder.pid} on {socket.gethostname()} since 20" in line
        assert line.endswith("(lorafa-prof run theirs.yaml); wait for it, or choose another folder with -o")
        assert "\n" not in line
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    assert (tmp_path / LOCK_NAME).exists(), "it had no time to clean up"
    assert take(tmp_path)["pid"] == os.getpid()


def test_it_is_gone_at_the_end_however_that_comes(tmp_path):
    assert take(tmp_path)["command"] == "run s.yaml"
    with pytest.raises(KeyboardInterrupt), locked(tmp_path, []):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    take(tmp_path)


def test_where_the_system_has_no_locks_the_process_that_is_written_counts(tmp_path, monkeypatch, holder):
    no_system_locks(monkeypatch)
    with pytest.raises(UsageError, match=f"another run writes here: process {holder.pid} on"):
        take(tmp_path)
    holder.kill()
    holder.wait()
    assert take(tmp_path)["pid"] == os.getpid()


def test_it_has_the_name_that_all_versions_know_and_all_may_read_whose_it_is(tmp_path):
    before = os.umask(0)
    try:
        with locked(tmp_path, []):
            assert stat.S_IMODE((tmp_path / ".lock").stat().st_mode) == 0o644
    finally:
        os.umask(before)


@pytest.mark.parametrize("flock", [True, False])
@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[" * 5000,
        "[1]",
        '{"pid": "x"}',
        json.dumps(DEAD),
        json.dumps({**DEAD, "pid": os.getpid()}),
        json.dumps({**DEAD, "pid": 10**30}),
    ],
    ids=["empty", "cut off", "nested", "a list", "no pid", "dead", "its id is another's now", "no id"],
)
def test_a_stale_one_is_taken_over(tmp_path, monkeypatch, flock, text):
    if not flock:
        no_locks(monkeypatch)
    (tmp_path / LOCK_NAME).write_text(text)
    assert take(tmp_path)["pid"] == os.getpid()


def test_without_locks_of_the_system_another_hosts_process_counts_as_alive(tmp_path, monkeypatch):
    no_locks(monkeypatch)
    (tmp_path / LOCK_NAME).write_text(json.dumps({**DEAD, "host": "elsewhere\x1b[31m"}))
    with pytest.raises(UsageError) as refused:
        take(tmp_path)
    assert str(refused.value).endswith(f"; if it is gone, remove {tmp_path / LOCK_NAME}")
    assert "\x1b" not in str(refused.value)


@pytest.mark.parametrize(
    ("since", "said"),
    [
        (1.5e9, " since 2017-07-1"),
        (0.5, " since 19"),
        (0.0, " ("),
        (-1.0, " ("),
        (2.0**36, " ("),
        (7, " ("),
        ("2020", " ("),
        (None, " ("),
    ],
)
def test_what_is_odd_in_the_file_of_another_is_left_out_of_the_line(tmp_path, monkeypatch, since, said):
    no_locks(monkeypatch)
    odd = {**DEAD, "host": "h" * 500, "since": since, "command": "c" * 500}
    (tmp_path / LOCK_NAME).write_text(json.dumps(odd))
    with pytest.raises(UsageError) as refused:
        take(tmp_path)
    line = str(refused.value)
    assert f" on {'h' * 55} […] {'h' * 20}{said}" in line
    assert f"(lorafa-prof {'c' * 73} […] {'c' * 30}); wait" in line
    unsaid = {name: value for name, value in DEAD.items() if name != "command"}
    for of_no_command in ({**unsaid, "host": "h", "command": ""}, {**unsaid, "host": "h"}):
        (tmp_path / LOCK_NAME).write_text(json.dumps(of_no_command))
        with pytest.raises(
            UsageError, match=r"\(lorafa-prof\); wait for it, or choose another folder with -o; if"
        ):
            take(tmp_path)


def test_a_secret_in_the_command_is_not_written_down(tmp_path):
    with locked(tmp_path, ["run", "--token", "hf_abcdefghijklmnopqrstuvwxyz0123456789"]):
        assert "hf_abc" not in (tmp_path / LOCK_NAME).read_text()


def test_a_lock_on_a_file_that_is_gone_is_none(tmp_path, monkeypatch):
    file = tmp_path / LOCK_NAME
    real, removed = module._lock, []

    def lock(descriptor: int) -> bool:
        taken = real(descriptor)
        if len(removed) < 2:
            file.unlink()  # as the one who had it does at the end
            removed.append(file)
        return taken

    monkeypatch.setattr(module, "_lock", lock)
    with locked(tmp_path, ["run", "s.yaml"]):
        assert json.loads(file.read_text())["pid"] == os.getpid()
    monkeypatch.setattr(module, "_is_still", lambda descriptor, file: False)
    before = len(list(Path("/dev/fd").iterdir()))
    with pytest.raises(UsageError, match="other runs take and leave it all the time"):
        take(tmp_path)
    assert len(list(Path("/dev/fd").iterdir())) == before


def test_the_systems_lock_decides_whatever_is_written(tmp_path):
    with (tmp_path / LOCK_NAME).open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(UsageError) as refused:
            take(tmp_path)
    assert (
        str(refused.value) == f"{tmp_path}: another run writes here; wait for it, or choose another with -o"
    )


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    with pytest.raises(UsageError, match="No such file or directory"):
        take(tmp_path / "none")


def test_a_process_is_known_by_its_start_too():
    me = this_process()
    assert me.lives is True
    assert Owner(me.pid, me.host, me.started - 60).lives is False
    assert Owner(me.pid, "elsewhere", me.started).lives is None
