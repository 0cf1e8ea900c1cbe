"""Importing the code of a network before anything is built of it.

Code that is imported while PyTorch is patched, as on the twin, keeps for good what it saw: a function of
`nn.init` that does nothing, an answer of `torch.cuda`, a TorchScript function compiled against either.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from lorafa_prof.guard import guarded
from lorafa_prof.models.build import AUTO_CLASS
from lorafa_prof.models.resolve import ResolvedModel

if TYPE_CHECKING:
    from transformers import PretrainedConfig


def import_code(resolved: ResolvedModel) -> None:
    """Import the modules of the classes of `resolved` and of its parts, shipped with it or transformers'.

    What is not installed is left to building, which says so.
    """
    for config in _parts(resolved.config):
        with suppress(ImportError):
            _import_beside(type(config).__module__)
    if resolved.trust_remote_code:
        _import_shipped(resolved)


def _parts(config: PretrainedConfig) -> Iterator[PretrainedConfig]:
    """The config and those of its parts: encoder and decoder, text and vision."""
    from transformers import PretrainedConfig

    yield config
    for value in vars(config).values():
        if isinstance(value, PretrainedConfig):
            yield from _parts(value)


def _import_beside(module: str) -> None:
    """Import ``modeling_x`` beside the module ``configuration_x``, where there is one."""
    package, _, name = module.rpartition(".")
    modeling = f"{package}.{name.replace('configuration_', 'modeling_', 1)}"
    if modeling != module and find_spec(modeling) is not None:
        import_module(modeling)


def _import_shipped(resolved: ResolvedModel) -> None:
    from transformers.dynamic_module_utils import get_class_from_dynamic_module

    references = getattr(resolved.config, "auto_map", None) or {}
    reference = references.get(AUTO_CLASS[resolved.task].__name__)
    if reference is not None:
        with guarded(f"the model '{resolved.name}'"):
            get_class_from_dynamic_module(reference, resolved.config.name_or_path or resolved.source)
