"""The filter by which the kernel refuses a generated program's calls: classic BPF for seccomp."""

from __future__ import annotations

import os
import platform
import struct

from lorafa_prof.errors import UsageError
from lorafa_prof.tasks.sandbox.calls import CALLS, NEWER

#: Codes of instructions: load a word of the call, compare it, answer.
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
#: Answers: go on; fail with EPERM; fail with ENOSYS; end the process.
_ALLOW, _REFUSE, _MISSING, _KILL = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000
#: Where the call's number, its architecture and the low half of its first argument stand.
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16
_CLONE_THREAD = 0x10000
#: Of the flags of `open` those that write, create or empty a file.
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
#: Commands of `fcntl` by which the kernel signals another process: F_SETOWN, F_SETSIG, F_SETOWN_EX.
_SIGNALLING = (8, 10, 15)
#: From here on x86-64 has the calls of its 32-bit pointers, whose numbers are others.
_X32 = 0x40000000


def call_filter() -> bytes:
    """Return the filter for this machine: instructions of 8 bytes each.

    Raises:
        UsageError: the calls of its architecture are not known.
    """
    calls = CALLS.get(platform.machine())
    if calls is None:
        raise UsageError(
            "generated code is run only in a sandbox, which there is for x86_64 and aarch64, not for "
            f"{platform.machine()}; judge what was written elsewhere"
        )
    code = [_step(_LOAD, _ARCHITECTURE_AT), _step(_EQUAL, calls.audit, 1, 0), _step(_RETURN, _KILL)]
    code += [_step(_LOAD, _NUMBER_AT), _step(_AT_LEAST, _X32, 0, 1), _step(_RETURN, _KILL)]
    code += [_step(_AT_LEAST, NEWER, 0, 1), _step(_RETURN, _MISSING)]
    for number in calls.refused.values():
        code += [_step(_EQUAL, number, 0, 1), _step(_RETURN, _REFUSE)]
    code += _if_argument(calls.clone, 0, _ANY_BIT, _CLONE_THREAD, _ALLOW, _REFUSE)
    for command in _SIGNALLING:
        code += _if_argument(calls.fcntl, 1, _EQUAL, command, _REFUSE, None)
    for number, place in calls.open.items():
        code += _if_argument(number, place, _ANY_BIT, _WRITING, _REFUSE, _ALLOW)
    return b"".join([*code, _step(_RETURN, _ALLOW)])


def _if_argument(
    number: int, place: int, compare: int, value: int, then: int, otherwise: int | None
) -> list[bytes]:
    """Of a call of this number: `then` if the argument at `place` compares so, else the other, or go on."""
    last = _step(_LOAD, _NUMBER_AT) if otherwise is None else _step(_RETURN, otherwise)
    return [
        _step(_EQUAL, number, 0, 4),
        _step(_LOAD, _ARGUMENTS_AT + 8 * place),
        _step(compare, value, 0, 1),
        _step(_RETURN, then),
        last,
    ]


def _step(what: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """An instruction, and how many are skipped after a comparison."""
    return struct.pack("<HBBI", what, if_true, if_false, value)
