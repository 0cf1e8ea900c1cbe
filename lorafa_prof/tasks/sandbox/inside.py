"""What the process of a generated program does: gives up its rights, runs the program, and says how it went.

`run.py` starts it as a script, without this package, so it imports nothing but the standard library.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys

_SET_DEATH_SIGNAL, _SET_NO_NEW_PRIVILEGES, _SET_SECCOMP, _FILTER = 1, 38, 22, 2


class _Program(ctypes.Structure):
    """The kernel's `sock_fprog`."""

    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p)]


def limit(memory_bytes: int, seconds: int) -> None:
    """Give up more memory, more processor time, what is written to files, and more than a few open ones."""
    for kind, most in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, 32),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))


def give_up_calls(instructions: bytes) -> None:
    """Put the kernel's filter of calls on this process, for good; and have it end when its parent does.

    Raises:
        OSError: the kernel does not take it.
    """
    buffer = ctypes.create_string_buffer(instructions, len(instructions))
    program = _Program(len(instructions) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in (
        (_SET_DEATH_SIGNAL, int(signal.SIGKILL), 0, 0, 0),
        (_SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0),
        (_SET_SECCOMP, _FILTER, ctypes.byref(program)),
    ):
        if libc.prctl(*arguments) != 0:
            raise OSError(ctypes.get_errno(), "the kernel takes no filter of calls")


def main() -> None:
    """Run the program that standard input has, and write to the given descriptor how it went.

    The last word is the secret that came with the program, so that one that ends itself early has not passed.
    """
    told = json.loads(sys.stdin.read())
    answers = int(sys.argv[1])
    limit(told["memory_bytes"], told["seconds"])
    give_up_calls(bytes.fromhex(told["filter"]))
    os.write(answers, b"started\n")
    os.dup2(1, 2)  # which goes nowhere: nobody gathers what a program says
    try:
        exec(compile(told["program"], "<generated>", "exec"), {"__name__": "__main__"})
    except BaseException as error:  # noqa: BLE001 - it is told, whatever it is
        os.write(answers, type(error).__name__.encode(errors="replace")[:100])
    else:
        os.write(answers, told["secret"].encode())
    os._exit(0)


if __name__ == "__main__":
    main()
