"""The temporary folder of a cell's process, named after its sweep: a killed one's goes with the next."""

from __future__ import annotations

import errno
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lorafa_prof.errors import UsageError
from lorafa_prof.results.owner import Owner, this_process

_NAME = re.compile(r"lorafa-prof-(\d+)-(\d+)-.*")
#: Errors that say that there is no room: on the disk, by quota, or by the limit of a file's size.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def scratch_folder(owner: Owner) -> Iterator[Path]:
    """A folder that is gone at the end.

    Raises:
        UsageError: none can be made.
    """
    try:
        folder = tempfile.TemporaryDirectory(prefix=f"lorafa-prof-{owner.pid}-{owner.started:.0f}-")
    except OSError as error:
        raise no_room(error) from error
    with folder as name:
        yield Path(name)


def no_room(error: OSError) -> UsageError:
    """What is wrong with the folder of temporary files, in one line."""
    return UsageError(
        f"temporary files cannot be written: {error.strerror} (TMPDIR is {_place()}); make room there, or "
        "set TMPDIR to another folder"
    )


def cannot_write_result(reason: str) -> str:
    """Why a cell has no result though it was measured."""
    return (
        f"its result could not be written to {_place()}: {reason}; make room there or raise the limit of "
        "files' sizes (ulimit -f), or set TMPDIR to another folder"
    )


def remove_scratch_of_the_dead() -> None:
    """Remove the folders of sweeps that were killed, on this host."""
    try:
        folders = list(Path(tempfile.gettempdir()).glob("lorafa-prof-*"))
    except OSError:
        return  # whoever needs the folder is told
    host = this_process().host
    for folder in folders:
        match = _NAME.fullmatch(folder.name)
        if match and Owner(int(match[1]), host, float(match[2])).lives is False:
            shutil.rmtree(folder, ignore_errors=True)  # another user's stays


def _place() -> str:
    try:
        return tempfile.gettempdir()
    except OSError:
        return "none of the usual folders"
