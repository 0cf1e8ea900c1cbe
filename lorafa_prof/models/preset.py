"""A preset: a published network's shape under a short name. Importing it loads no torch, no transformers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lorafa_prof.registry import Registry

if TYPE_CHECKING:
    from transformers import PretrainedConfig

Task = Literal[
    "causal-lm",
    "seq2seq-lm",
    "sequence-classification",
    "image-classification",
    "speech-recognition",
    "image-text-pairs",
]

#: Tasks whose head is new, so that it trains with every method.
CLASSIFIES: frozenset[Task] = frozenset({"sequence-classification", "image-classification"})


@dataclass(frozen=True)
class Preset:
    """A published network under a short name.

    Args:
        name: as published, in lower case; the value of a scenario's `model`.
        task: what it is fine-tuned for; decides head, loss and inputs.
        make_config: returns a new config at each call; it may import transformers, its module must not.
        source: URL of the published config, or "synthetic" for the tiny ones of the tests.
        notes: what the reader of a row must know of it.
    """

    name: str
    task: Task
    make_config: Callable[[], PretrainedConfig]
    source: str
    notes: tuple[str, ...] = ()


def _name_of(preset: Preset) -> str:
    return preset.name


PRESETS: Registry[Preset] = Registry(
    kind="model",
    package="lorafa_prof.models.presets",
    attribute="PRESETS",
    group="lorafa_prof.models",
    name_of=_name_of,
)
