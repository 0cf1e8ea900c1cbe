"""What a result depends on beside its settings, in parts: whether it would come out the same today.

An unknown part is None, and never equal to anything.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorafa_prof import package
from lorafa_prof.cell import Cell, ModelChoice
from lorafa_prof.errors import LorafaProfError
from lorafa_prof.methods.base import METHODS
from lorafa_prof.models import quantization
from lorafa_prof.models.resolve import ResolvedModel, resolve_model
from lorafa_prof.optim import eight_bit
from lorafa_prof.results.provenance import ALLOCATOR_VARIABLES, package_version

if TYPE_CHECKING:
    from transformers import PretrainedConfig

#: Its parts by name; a digest, a version, or None where it is unknown.
Fingerprint = dict[str, str | None]

#: The key of a record's `environment`.
KEY = "fingerprint"
VERSIONS = ("torch", "transformers", "peft", "accelerate", "triton")
#: Its version is a part of what ran on it, and of nothing else.
BITSANDBYTES = "bitsandbytes"
#: Parts that are the same for all cells.
SOFTWARE = ("extensions", "lorafa-prof", "allocator", *VERSIONS)
PARTS = ("model", "method", *SOFTWARE)
#: How those of which only a digest is known are called.
_OF_CONTENT = {
    "model": "the model's config or files",
    "method": "the method's code",
    "extensions": "third parties' kernels or GPUs",
    "lorafa-prof": "lorafa-prof's own code",
    "allocator": "the allocator's settings",
}
#: Third parties' code that any prediction may use.
_EXTENSIONS = ("lorafa_prof.kernels", "lorafa_prof.gpus", "lorafa_prof.optimizers")
#: Where a config was read, which is no content of it.
_NO_CONTENT = ("_name_or_path",)


def fingerprint_of(cell: Cell) -> Fingerprint:
    """The fingerprint that a result of `cell` has, if it is made now by this process."""
    of_cell = {"model": model_part(cell.model), "method": method_part(cell.method.name)}
    more = (BITSANDBYTES,) if runs_bitsandbytes(cell) else ()
    return {**of_cell, **software(), **{name: package_version(name) or "none" for name in more}}


def software() -> Fingerprint:
    """The parts that are the same for all cells of this process."""
    return {
        "extensions": extensions_part(),
        "lorafa-prof": own_sources(),
        "allocator": _digest(f"{name}={os.environ.get(name) or ''}" for name in ALLOCATOR_VARIABLES),
        **{name: package_version(name) or "none" for name in VERSIONS},
    }


def runs_bitsandbytes(cell: Cell) -> bool:
    """Whether bitsandbytes does some of the cell's work: its quantized base, or its optimizer.

    The twin has stand-ins for both.
    """
    return not cell.is_predicted and (
        cell.quantization in quantization.BY_BITSANDBYTES or cell.optimizer in eight_bit.BY_BITSANDBYTES
    )


def kept_fingerprint(environment: Mapping[str, Any]) -> Fingerprint:
    """The fingerprint in a record's environment; of a record of before there were any, nothing is known."""
    kept = environment.get(KEY)
    known = kept if isinstance(kept, dict) else {}
    names = [*PARTS, BITSANDBYTES] if BITSANDBYTES in known else PARTS
    return {name: value if isinstance(value := known.get(name), str) else None for name in names}


def changed_parts(then: Fingerprint, now: Fingerprint) -> list[str]:
    """What is not the same, each in a few words: "torch 2.12.0 (now 2.13.0)", "the model's config"."""
    names = (*PARTS, *((BITSANDBYTES,) if BITSANDBYTES in {*then, *now} else ()))
    return differing_parts(then, now, names, "now")


def differing_parts(one: Fingerprint, other: Fingerprint, names: Iterable[str], word: str) -> list[str]:
    """Which of the parts of these names differ, as `changed_parts`; `word` stands before those of `other`."""
    return [
        _said(name, one.get(name), other.get(name), word)
        for name in names
        if one.get(name) is None or one.get(name) != other.get(name)
    ]


def _said(name: str, then: str | None, now: str | None, word: str) -> str:
    if name not in _OF_CONTENT:
        return f"{name} {then or 'unknown'} ({word} {now or 'unknown'})"
    what = _OF_CONTENT[name]
    return f"{what} (unknown)" if then is None or now is None else what


def model_part(choice: ModelChoice) -> str | None:
    """The content of the model's config, of the code that ships with it, and which pretrained weights."""
    try:
        resolved = resolve_model(choice)
    except LorafaProfError:
        return None
    parts = [_config_text(resolved.config)]
    for applies, part in ((choice.trust_remote_code, _code), (choice.weights == "pretrained", _weights)):
        if applies:
            known = part(resolved)
            if known is None:
                return None
            parts.append(known)
    return _digest(parts)


def _config_text(config: PretrainedConfig) -> str:
    content = {key: value for key, value in config.to_dict().items() if key not in _NO_CONTENT}
    return json.dumps(content, sort_keys=True, default=str)


def _code(resolved: ResolvedModel) -> str | None:
    """The files of code beside a local config, or the hub's revision; code from elsewhere is unknown."""
    named = json.dumps(getattr(resolved.config, "auto_map", None) or {})
    if "--" in named:
        return None
    folder = Path(resolved.source)
    return files_digest(folder, folder.rglob("*.py")) if folder.is_dir() else _revision(resolved)


def _weights(resolved: ResolvedModel) -> str | None:
    """Names, sizes and times of the files beside a local config, or the hub's revision."""
    folder = Path(resolved.source)
    if not folder.is_dir():
        return _revision(resolved)
    files = [(file, file.stat()) for file in sorted(folder.iterdir()) if file.is_file()]
    return _digest(f"{file.name} {known.st_size} {known.st_mtime_ns}" for file, known in files)


def _revision(resolved: ResolvedModel) -> str | None:
    known = getattr(resolved.config, "_commit_hash", None)
    return str(known) if known else None


@cache
def method_part(name: str) -> str | None:
    """The code of a third party's method; that of this package is in `own_sources`."""
    try:
        point = METHODS.origin(name)
    except LorafaProfError:
        return None
    return "of lorafa-prof" if point is None else _point_digest(point)


@cache
def extensions_part() -> str | None:
    """The code of third parties' kernels and GPUs."""
    points = [point for group in _EXTENSIONS for point in entry_points(group=group)]
    digests = [_point_digest(point) for point in sorted(points, key=lambda p: (p.group, p.name, p.value))]
    return None if None in digests else _digest(filter(None, digests))


def _point_digest(point: EntryPoint) -> str | None:
    """The sources of the entry point's module, with all of its package, and its distribution's version."""
    sources = _module_digest(point.module)
    version = f"{point.dist.name} {point.dist.version}" if point.dist else ""
    return None if sources is None else _digest([point.value, version, sources])


def _module_digest(name: str) -> str | None:
    try:
        top = find_spec(name.split(".")[0])
    except (ImportError, ValueError):
        return None
    if top is None:
        return None
    if top.submodule_search_locations:
        folders = [Path(folder) for folder in top.submodule_search_locations]
        digests = [files_digest(folder, _sources(folder)) for folder in folders]
        return None if None in digests else _digest(filter(None, digests))
    file = Path(top.origin or "")
    return files_digest(file.parent, [file]) if file.is_file() else None


def _sources(folder: Path) -> Iterator[Path]:
    return (file for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts)


@cache
def own_sources() -> str | None:
    """The content of this package's own files, as they were when this process first asked."""
    return files_digest(package.FOLDER, _sources(package.FOLDER))


def files_digest(folder: Path, files: Iterable[Path]) -> str | None:
    """Names within `folder` and contents of `files`; None where one cannot be read."""
    digest = hashlib.sha256()
    try:
        for file in sorted(files):
            content = file.read_bytes()
            digest.update(f"{file.relative_to(folder).as_posix()} {len(content)}\n".encode())
            digest.update(content)
    except (OSError, ValueError):
        return None
    return digest.hexdigest()[:16]


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def note_sources() -> None:
    """Read all code's digests now: what a process has loaded is not what its files become."""
    own_sources()
    extensions_part()
    for name in METHODS:
        method_part(name)
