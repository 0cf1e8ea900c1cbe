"""The line of Python code that had a tensor saved."""

from __future__ import annotations

import sys
import sysconfig
from functools import cache
from pathlib import Path
from types import FrameType

import torch

from lorafa_prof import package

#: Code in these is never the line: PyTorch's own, and what watches a step or runs it on a twin.
_PASSED_OVER = (
    Path(torch.__file__).parent,
    *(
        package.FOLDER / folder
        for folder in ("instruments", "devices", "profiling", "integrations", "testing", "predicting")
    ),
    *(package.FOLDER / "layers" / name for name in ("flash_attention", "flex_attention.py")),
)
_STANDARD_LIBRARY = Path(sysconfig.get_path("stdlib"))


def saving_line() -> str:
    """Return "file:number" of the innermost frame that is code of a model or of its user; "" if none is.

    Inside of `Module.forward` of PyTorch that is the line that called the module, and for a custom autograd
    function the line that applied it: PyTorch saves what `save_for_backward` was given after its forward.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        file = shown_file(frame.f_code.co_filename)
        if file is not None:
            return f"{file}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


@cache
def shown_file(filename: str) -> str | None:
    """Return the file's name in a form that is the same on every machine; None if the file is passed over.

    It is relative to where packages are installed, to this package's checkout, to the current directory or to
    the standard library; elsewhere it is the bare name of the file. So it names no person.
    """
    path = Path(filename).absolute()
    if any(path.is_relative_to(folder) for folder in _PASSED_OVER):
        return None
    for installed in ("site-packages", "dist-packages"):
        if installed in path.parts:
            return path.as_posix().rpartition(f"/{installed}/")[2]
    for folder in (package.FOLDER.parent, Path.cwd(), _STANDARD_LIBRARY):
        if path.is_relative_to(folder):
            return path.relative_to(folder).as_posix()
    return path.name
