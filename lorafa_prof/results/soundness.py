"""Whether what a file of results says is what this version writes: kinds and shapes, before anyone reads it.

A record may have been edited, cut off, or written by another version. What is not of the kind that its name
says is told with the file and the remedy, and never ends in a traceback of whoever reads it later.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from lorafa_prof.results.columns import Status
from lorafa_prof.results.record import CellResult
from lorafa_prof.results.table import fits
from lorafa_prof.results.tensors import saved_tensors

#: Lists and mappings inside each other; a record has seven.
DEEPEST = 64
#: Of a file; records of large models have some megabytes.
MOST_BYTES = 512 * 2**20
_MAPPINGS = (
    "memory",
    "saved",
    "flops",
    "reconciliation",
    "times",
    "seconds",
    "unavailable",
    "energy",
    "fidelity",
)
_ENVIRONMENT = ("packages", "torch", "allocator", "host", "gpu", "source")


class UnsoundError(ValueError):
    """What is written is not of the kind that its name says; says so in one line."""


def read_json(file: Path) -> Any:
    """What `file` says.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no JSON, or none that is written here: too large, or too deep.
    """
    text = read_text(file)
    try:
        data = json.loads(text)
    except RecursionError as error:
        raise UnsoundError("it is nested too deep") from error
    _check_depth(data)
    return data


def read_text(file: Path) -> str:
    """The text of `file`, UTF-8.

    Raises:
        OSError, UnicodeDecodeError: it cannot be read.
        UnsoundError: it is larger than any record.
    """
    with file.open("rb") as stream:
        content = stream.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise UnsoundError(f"it has more than {MOST_BYTES // 2**20} MiB")
    return content.decode()


def check_result(result: CellResult) -> None:
    """Raise an UnsoundError where a record says other than this version writes."""
    if result.row.get("status") not in get_args(Status):
        raise UnsoundError("its row has no such status")
    for name, value in result.row.items():
        if not fits(name, value):
            raise UnsoundError(f"its row has no such value of {name}")
    for name in _MAPPINGS:
        if not isinstance(result.details.get(name) or {}, dict):
            raise UnsoundError(f"details.{name} is no mapping")
    if not isinstance(result.details.get("notes") or [], list):
        raise UnsoundError("details.notes is no list")
    _check_depth(result.details)
    _check_memory(result.details)
    check_environment(result.environment)


def check_environment(environment: object) -> None:
    """Raise an UnsoundError where it is no machine and versions as this version writes them."""
    if not isinstance(environment, dict):
        raise UnsoundError("environment is no mapping")
    for name in _ENVIRONMENT:
        part = environment.get(name)
        if part is not None and not isinstance(part, dict):
            raise UnsoundError(f"environment.{name} is no mapping")
    for name in ("packages", "allocator"):
        if any(not isinstance(value, str | None) for value in (environment.get(name) or {}).values()):
            raise UnsoundError(f"environment.{name} has other values than text")
    for value in (environment.get("gpu") or {}).values():
        if not isinstance(value, str | int | float | None):
            raise UnsoundError("environment.gpu has other values than text and numbers")
    _check_depth(environment)


def _check_memory(details: Mapping[str, Any]) -> None:
    """That what is said of memory can be added up."""
    try:
        tensors = saved_tensors(details) or {}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UnsoundError("details.saved is not as this version writes it") from error
    for key, held in tensors.items():
        texts = (key.module, key.kind, key.op, key.dtype, held.line)
        numbers = (held.nbytes, *key.shape)
        if not all(isinstance(text, str) for text in texts) or not all(map(_is_size, numbers)):
            raise UnsoundError("details.saved is not as this version writes it")
    memory, reconciliation = details.get("memory") or {}, details.get("reconciliation") or {}
    for part, name in (
        (memory, "inputs_bytes"),
        (memory, "num_alloc_retries"),
        (reconciliation, "slack_bytes"),
    ):
        if part.get(name) is not None and not _is_size(part[name]):
            raise UnsoundError(f"details has no such value of {name}")


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def _check_depth(data: object) -> None:
    level = [data]
    for _ in range(DEEPEST):
        level = [inner for each in level for inner in _inside(each)]
        if not level:
            return
    raise UnsoundError(f"lists and mappings stand inside each other more than {DEEPEST} deep")


def _inside(data: object) -> Iterator[object]:
    values = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    return (value for value in values if isinstance(value, (dict, list)))
