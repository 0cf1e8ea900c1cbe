"""Forms of an outcome for machines, each to a file or to stdout."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lorafa_prof.cli.say import put_whole
from lorafa_prof.errors import UsageError

STDOUT = "-"
_SCENARIOS = (".yaml", ".yml")


def see_that_it_can_be_written(option: str, target: str) -> None:
    """Make the file's folder, before anything that could be lost is done.

    Raises:
        UsageError: the file cannot be written, or is no place for such a form.
    """
    if target == STDOUT:
        return
    file = Path(target)
    if file.suffix in _SCENARIOS:
        raise UsageError(
            f"{option} '{target}': this would write over a scenario; for stdout {option} stands last"
        )
    with _writing(option, target):
        # A file is replaced when it is written: done to a device, such as /dev/stdout, that would remove it.
        if file.exists() and not file.is_file():
            raise UsageError(f"{option}: '{file}' is no file; name one, or write - for stdout")
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=file.parent):
            pass


def write_form(option: str, target: str, text: str) -> None:
    """Write a form to its file, whole or not at all, or to stdout.

    Raises:
        UsageError: it cannot be written.
    """
    if target == STDOUT:
        put_whole(text)
        return
    from lorafa_prof.results.files import write_atomically

    with _writing(option, target):
        write_atomically(Path(target), text)


@contextmanager
def _writing(option: str, file: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(f"{option}: cannot write '{file}': {error.strerror}; choose another file") from error
