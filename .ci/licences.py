"""The licences of what CI installs; exits with 1 if one is not among those that pyproject.toml allows.

    python .ci/licences.py

Looked at are the packages of constraints.txt that the Python which runs this has installed.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Collection
from importlib.metadata import Distribution, distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
UNKNOWN = "not stated"

#: What older metadata calls them, and their names at SPDX; "BSD" says not which one.
_SPDX = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache 2.0 License": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "BSD 2-CLAUSE LICENSE": "BSD-2-Clause",
    "BSD 2-Clause License": "BSD-2-Clause",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "MIT licensed, as found in the LICENSE file": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
_CLASSIFIER = "License :: OSI Approved :: "


def canonical(name: str) -> str:
    """A package's name as indexes have it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned(constraints: str) -> set[str]:
    """The names in the text of a file of constraints."""
    return {canonical(name) for name in re.findall(r"^([\w.-]+)==", constraints, flags=re.MULTILINE)}


def licence_of(installed: Distribution) -> str:
    """As an expression of SPDX, as far as the metadata says it."""
    metadata = installed.metadata
    if expression := metadata.get("License-Expression"):
        return expression
    classifiers = [each for each in metadata.get_all("Classifier") or [] if each.startswith(_CLASSIFIER)]
    stated = [each.removeprefix(_CLASSIFIER) for each in classifiers]
    lines = (metadata.get("License") or "").strip().splitlines()
    if not stated and lines and lines[0] != "UNKNOWN":
        stated = lines[:1]
    return " AND ".join(_SPDX.get(name, name) for name in stated) or UNKNOWN


def is_allowed(expression: str, allowed: Collection[str]) -> bool:
    """Whether all of its parts are, or of alternatives one; of nested ones too much may be asked for."""
    return all(
        any(name.strip(" ()") in allowed for name in re.split(r"\bOR\b", part))
        for part in re.split(r"\bAND\b", expression)
    )


def main() -> int:
    """Print the packages by licence; the exit code."""
    allowed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["lorafa-prof"]["allowed-licences"]
    pins = pinned((ROOT / "constraints.txt").read_text())
    by_licence: defaultdict[str, list[str]] = defaultdict(list)
    for installed in distributions():
        name = canonical(installed.metadata["Name"])
        if name in pins:
            by_licence[licence_of(installed)].append(name)
    for licence, names in sorted(by_licence.items()):
        print(f"{licence}: {', '.join(sorted(names))}")
    amiss = {licence: names for licence, names in by_licence.items() if not is_allowed(licence, allowed)}
    for licence, names in sorted(amiss.items()):
        print(f"licences: '{licence}' of {', '.join(sorted(names))} is not allowed", file=sys.stderr)
    if amiss:
        print("licences: see allowed-licences in pyproject.toml", file=sys.stderr)
    return 1 if amiss or not by_licence else 0


if __name__ == "__main__":
    sys.exit(main())
