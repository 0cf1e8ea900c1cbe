"""Which releases of PyTorch, transformers and PEFT this package runs with (docs/versions.md)."""

from __future__ import annotations

import re
from importlib import metadata

from lorafa_prof.errors import UsageError

#: A release as far as it matters here: its major and its minor number.
Release = tuple[int, int]

#: The oldest with which this package was seen to work. pyproject.toml asks for the same.
OLDEST: dict[str, Release] = {"torch": (2, 6), "transformers": (5, 0), "peft": (0, 18)}
#: The oldest PyTorch that can run autograd on CUDA tensors without CUDA, as the twin does.
OLDEST_TORCH_OF_TWIN: Release = (2, 10)


def release(version: str) -> Release:
    """Return the release that a version is of: (2, 13) of "2.13.0+cpu"."""
    numbers = re.match(r"(\d+)\.(\d+)", version)
    return (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)


def installed(package: str) -> Release | None:
    """Return the release of an installed package, or None if it is absent; imports nothing."""
    try:
        return release(metadata.version(package))
    except metadata.PackageNotFoundError:
        return None


def check_version(package: str) -> None:
    """Check that a package is not too old, if it is there.

    Raises:
        UsageError: it is.
    """
    found = installed(package)
    if found is not None and found < OLDEST[package]:
        raise UsageError(
            f"{package} {metadata.version(package)} is not supported, only {named(OLDEST[package])} and "
            f"newer: pip install -U {package}"
        )


def check_version_for_twin() -> None:
    """Check that the twin can be on the PyTorch that is installed.

    Raises:
        UsageError: it is too old.
    """
    found = installed("torch")
    if found is not None and found < OLDEST_TORCH_OF_TWIN:
        raise UsageError(
            f"the twin needs torch {named(OLDEST_TORCH_OF_TWIN)} or newer, and this is "
            f"{metadata.version('torch')}: pip install -U torch, or measure: --device cpu, --device cuda",
            about="device",
        )


def named(numbers: Release) -> str:
    """Return how people write a release: "2.13"."""
    return ".".join(map(str, numbers))
