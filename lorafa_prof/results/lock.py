"""One run at a time writes into a folder of results; a second one is told whose it is."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lorafa_prof.errors import UsageError
from lorafa_prof.one_line import bounded_line
from lorafa_prof.results.files import remove_unfinished, writing
from lorafa_prof.results.masking import masked
from lorafa_prof.results.owner import Owner, owner_from, this_process

LOCK_NAME = ".lock"
#: Two that take a lock at once see each other's file vanish; so often they look again.
_TRIES = 50


@contextmanager
def locked(out: Path, command: Sequence[str]) -> Iterator[None]:
    """A context in which no other run writes into `out`, a folder that is there.

    The system's lock on ``out/.lock`` decides, which ends with its process however that ends. Where the file
    system has none, the process that the file names does, if it lives. The file is gone at the end. What
    killed runs had half written goes at the start.

    Args:
        out: the folder.
        command: the arguments of the command line, for whoever comes second.

    Raises:
        UsageError: another run has it, or the folder cannot be written.
    """
    file = out / LOCK_NAME
    with writing(out):
        descriptor = _taken(file)
    try:
        with writing(out):
            _sign(descriptor, command)
            remove_unfinished(out)
        yield
    finally:
        # Whoever waits for it locks a file that is gone, notices, and makes another.
        file.unlink(missing_ok=True)
        os.close(descriptor)


def _taken(file: Path) -> int:
    """A descriptor of `file`, which nobody else has locked."""
    for _ in range(_TRIES):
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if not _lock(descriptor):
                raise _in_use(file, _written(descriptor))
            if _is_still(descriptor, file):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    raise UsageError(f"{file}: other runs take and leave it all the time; choose another folder with -o")


def _lock(descriptor: int) -> bool:
    """Lock it; False where another has. Without locks of the system it is the process in it that counts."""
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:
        return _is_left_over(descriptor)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        return _is_left_over(descriptor)
    return True


def _is_left_over(descriptor: int) -> bool:
    owner = _owner(_written(descriptor))
    return owner is None or owner == this_process() or owner.lives is False


def _is_still(descriptor: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), file.stat())
    except FileNotFoundError:
        return False


def _sign(descriptor: int, command: Sequence[str]) -> None:
    text = json.dumps(
        {**this_process().as_dict(), "since": time.time(), "command": " ".join(masked(command))}
    )
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, text.encode(), 0)
    os.fsync(descriptor)


def _written(descriptor: int) -> Any:
    """What it says, of whatever kind; None where that is no JSON."""
    try:
        return json.loads(os.pread(descriptor, 2**16, 0))
    except (ValueError, RecursionError):
        return None


def _owner(written: Any) -> Owner | None:
    try:
        return owner_from(written)
    except (KeyError, TypeError, ValueError, OverflowError):  # TypeError: also of what is no mapping
        return None


def _in_use(file: Path, written: Any) -> UsageError:
    owner = _owner(written)
    if owner is None:
        return UsageError(f"{file.parent}: another run writes here; wait for it, or choose another with -o")
    since = written.get("since")
    when = f" since {time.strftime('%F %T', time.localtime(since))}" if _is_time(since) else ""
    doing = bounded_line(f"lorafa-prof {written.get('command', '')}".strip(), 120)
    host = bounded_line(owner.host, 80)
    gone = "" if owner.lives else f"; if it is gone, remove {file}"
    return UsageError(
        f"{file.parent}: another run writes here: process {owner.pid} on {host}{when} "
        f"({doing}); wait for it, or choose another folder with -o{gone}"
    )


def _is_time(value: Any) -> bool:
    return isinstance(value, float) and 0 < value < 2**36
