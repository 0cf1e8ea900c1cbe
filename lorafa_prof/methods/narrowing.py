"""What of a model the options of LoRA name: layers by number, patterns of paths, modules that train whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from torch import nn

from lorafa_prof.errors import UsageError
from lorafa_prof.layers.quantized.state import has_quantized
from lorafa_prof.methods.low_rank_options import LowRankOptions, layer_number, matches
from lorafa_prof.registry import nearest

T = TypeVar("T")


def in_layers(targets: dict[str, T], layers: Sequence[int] | None) -> dict[str, T]:
    """Return the targets, by path, that are in one of these layers; all of them if `layers` is None.

    Raises:
        UsageError: no target is in some layer.
    """
    if layers is None:
        return targets
    known = {number for path in targets if (number := layer_number(path)) is not None}
    if missing := [number for number in layers if number not in known]:
        there = (
            f"they are in layers {min(known)} to {max(known)}" if known else "they are in no numbered layer"
        )
        raise UsageError(f"no target is in layer {missing[0]}; {there}", about="layers_to_transform")
    return {path: target for path, target in targets.items() if layer_number(path) in layers}


def check_patterns(options: LowRankOptions, paths: list[str]) -> None:
    """Raise UsageError if a pattern of ranks or of α matches none of the targets' paths."""
    for name in ("rank_pattern", "alpha_pattern"):
        for pattern in getattr(options, name) or ():
            if not any(matches(pattern, path) for path in paths):
                raise UsageError(f"'{pattern}' matches no target", about=name)


def modules_to_save(model: nn.Module, names: Iterable[str]) -> dict[str, nn.Module]:
    """Return the modules, by path, that these names are the ends of the paths of.

    Raises:
        UsageError: a name matches no module, or a quantized one, which cannot train.
    """
    found: dict[str, nn.Module] = {}
    modules = dict(model.named_modules())
    for name in names:
        matching = {path: module for path, module in modules.items() if f".{path}".endswith(f".{name}")}
        if not matching:
            known = sorted({path.rsplit(".", 1)[-1] for path in modules if path})
            raise UsageError(f"no module is called '{name}'{nearest(name, known)}", about="modules_to_save")
        for path, module in matching.items():
            if has_quantized(module):
                raise UsageError(f"'{path}' is quantized and cannot train", about="modules_to_save")
        found |= matching
    return found


def is_below(path: str, modules: Iterable[str]) -> bool:
    """Return whether `path` is that of one of these modules, or of a part of it."""
    return any(f"{path}.".startswith(f"{module}.") for module in modules)
