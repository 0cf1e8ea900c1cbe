"""Generated programs are run where they can do no harm: each of these tries to."""

from __future__ import annotations

import platform
import re
import socket
import sys
import time
from pathlib import Path

import pytest

from lorafa_prof.errors import UsageError
from lorafa_prof.tasks.sandbox import run
from lorafa_prof.tasks.sandbox.calls import CALLS, NEWER
from lorafa_prof.tasks.sandbox.run import check_sandbox, run_program, run_programs

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the sandbox needs Linux")
REFUSED = "failed: PermissionError"


def test_the_sandbox_is_what_it_should_be_here() -> None:
    check_sandbox()
    assert run_program("pass") == "passed"


def test_programs_pass_or_fail_by_what_they_raise() -> None:
    programs = ["assert 1 + 1 == 2", "assert 1 + 1 == 3", "def", "raise SystemExit(0)", "1 / 0"]
    assert run_programs(programs) == [
        "passed",
        "failed: AssertionError",
        "failed: SyntaxError",
        "failed: SystemExit",
        "failed: ZeroDivisionError",
    ]


@pytest.mark.parametrize("program", ["import os\nos._exit(0)", "import os\nos.close(3)\nos._exit(0)"])
def test_who_ends_before_the_tests_has_not_passed(program: str) -> None:
    assert run_program(program).startswith("failed: ")


def test_the_standard_library_is_there_and_threads_are() -> None:
    program = """
import collections, decimal, fractions, hashlib, heapq, itertools, math, random, re, statistics, threading
thread = threading.Thread(target=print)
thread.start()
thread.join()
"""
    assert run_program(program) == "passed"


def test_a_loop_without_end_is_ended() -> None:
    start = time.monotonic()
    assert run_program("while True: pass", seconds=0.5) == "timed out"
    assert run_program("import time\ntime.sleep(1000)", seconds=0.5) == "timed out"
    assert time.monotonic() - start < 10


@pytest.mark.parametrize(
    "program",
    [
        "import os\nwhile True: os.fork()",
        "import os\nwhile True: os.posix_spawn('/bin/true', ['true'], {})",
        "import subprocess\nsubprocess.run(['true'])",
        "import multiprocessing\nmultiprocessing.Process(target=print).start()",
        "import os\nos.execv('/bin/true', ['true'])",
    ],
)
def test_no_process_is_started(program: str) -> None:
    assert run_program(program) == REFUSED


def test_processes_that_it_keeps_trying_to_start_are_none() -> None:
    before = len(list(Path("/proc").iterdir()))
    program = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"
    assert run_program(program, seconds=0.5) == "timed out"
    assert len(list(Path("/proc").iterdir())) < before + 50


def test_memory_has_an_end() -> None:
    program = "kept = []\nwhile True: kept.append(bytearray(10**7))"
    assert run_program(program, memory_bytes=1 << 28) == "failed: MemoryError"


def test_files_that_are_made_in_memory_are_refused() -> None:
    assert run_program("import os\nos.memfd_create('name')") == REFUSED


@pytest.mark.parametrize(
    "program",
    [
        "import socket\nsocket.socket()",
        "import socket\nsocket.socket(socket.AF_UNIX)",
        "import socket\nsocket.create_connection(('127.0.0.1', {port}))",
        "import urllib.request\nurllib.request.urlopen('http://127.0.0.1:{port}')",
    ],
)
def test_nothing_is_connected_to(program: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        said = run_program(program.replace("{port}", str(server.getsockname()[1])))
        assert said in (REFUSED, "failed: URLError")
        with pytest.raises(TimeoutError):
            server.accept()


@pytest.mark.parametrize(
    "line",
    [
        "open('{file}', 'w')",
        "open('{file}', 'a')",
        "open('{file}', 'r+')",
        "open('new', 'w')",
        "os.open('{file}', os.O_RDONLY | os.O_TRUNC)",
        "os.open('{folder}', os.O_RDWR | os.O_TMPFILE)",
        "os.truncate('{file}', 0)",
        "os.remove('{file}')",
        "os.rename('{file}', '{file}2')",
        "os.link('{file}', '{file}2')",
        "os.symlink('{file}', '{file}2')",
        "os.mkdir('{folder}/new')",
        "os.mkfifo('{folder}/new')",
        "os.chmod('{file}', 0)",
        "os.chown('{file}', 1, 1)",
        "os.utime('{file}')",
        "os.setxattr('{file}', 'user.x', b'')",
        "pathlib.Path('{folder}').rmdir()",
    ],
)
def test_no_file_is_changed(tmp_path: Path, line: str) -> None:
    file = tmp_path / "file"
    file.write_text("as it was")
    before = file.stat()
    program = "import os, pathlib\n" + line.replace("{file}", str(file)).replace("{folder}", str(tmp_path))
    assert run_program(program) == REFUSED
    assert file.read_text() == "as it was"
    assert file.stat() == before or file.stat().st_mtime_ns == before.st_mtime_ns
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    "line",
    [
        "os.kill(os.getppid(), 9)",
        "os.killpg(os.getpgid(os.getppid()), 9)",
        "fcntl.fcntl(os.pipe()[0], fcntl.F_SETOWN, os.getppid())",
        "os.setpriority(os.PRIO_PROCESS, os.getppid(), 19)",
        "resource.prlimit(os.getppid(), resource.RLIMIT_CPU, (1, 1))",
        "os.sched_setaffinity(os.getppid(), {0})",
        "os.chroot('/')",
    ],
)
def test_no_other_process_and_no_limit_is_reached(line: str) -> None:
    assert run_program(f"import os, fcntl, resource\n{line}") == REFUSED


@pytest.mark.parametrize("call", ["os.pidfd_open(os.getppid())", "signal.pidfd_send_signal(0, 0)"])
def test_calls_that_came_later_are_not_there(call: str) -> None:
    program = (
        f"import errno, os, signal\ntry: {call}\nexcept OSError as error: assert error.errno == errno.ENOSYS"
    )
    assert run_program(f"{program}\nelse: raise ValueError") == "passed"


def test_its_own_limits_stay() -> None:
    program = "import resource\nresource.setrlimit(resource.RLIMIT_AS, (-1, -1))"
    assert run_program(program) == "failed: ValueError", "which is what Python makes of the kernel's refusal"


def test_the_folder_is_empty_and_so_is_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    program = """
import os, sys
assert os.listdir('.') == []
assert 'HF_TOKEN' not in os.environ
assert sys.stdin.read() == ''
"""
    assert run_program(program) == "passed"


def test_what_is_installed_is_not_there() -> None:
    assert run_program("import torch") == "failed: ModuleNotFoundError"


def test_what_it_says_is_not_gathered() -> None:
    program = """
import sys
for _ in range(100):
    sys.stdout.write('x' * 10**6)
    sys.stderr.write('x' * 10**6)
"""
    assert run_program(program) == "passed"


def test_a_program_that_floods_its_answers_has_not_passed() -> None:
    program = """
import os
for number in range(3, 32):
    try: os.write(number, b'x' * 5000)
    except OSError: pass
"""
    assert run_program(program, seconds=1) != "passed"


def test_another_operating_system_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(UsageError, match="only in a sandbox, which needs Linux, and this is darwin"):
        check_sandbox()


def test_another_architecture_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(UsageError, match="for x86_64 and aarch64, not for riscv64"):
        check_sandbox()


def test_a_kernel_that_takes_no_filter_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "call_filter", lambda: b"\xff" * 8)
    with pytest.raises(UsageError, match="there is none here \\(failed: the sandbox did not start, OSError"):
        check_sandbox()


def test_a_filter_that_lets_through_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    real = run.run_program
    monkeypatch.setattr(
        run, "run_program", lambda program: "passed" if "socket" in program else real(program)
    )
    with pytest.raises(UsageError, match="the one here keeps no program from making connections"):
        check_sandbox()


HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}


@pytest.mark.parametrize("architecture", HEADERS)
def test_the_numbers_of_calls_are_those_of_linux(architecture: str) -> None:
    if not HEADERS[architecture].exists():
        pytest.skip("the headers of Linux are not here")
    found = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", HEADERS[architecture].read_text())
    known = {name: int(number) for name, number in found}
    calls = CALLS[architecture]
    assert calls.refused.items() <= known.items()
    assert (calls.clone, calls.fcntl) == (known["clone"], known["fcntl"])
    assert calls.open == {known[name]: place for name, place in (("open", 1), ("openat", 2)) if name in known}
    assert known["pidfd_send_signal"] == NEWER
