"""Where this package is installed."""

from __future__ import annotations

from pathlib import Path

#: The package's folder as Python imported it: links are not resolved, as in the file names of its frames.
FOLDER = Path(__file__).parent
#: What is around it: a checkout, or a folder of installed packages.
AROUND = FOLDER.resolve().parent
