"""The options of LoRA and LoRA-FA, ours and PEFT's: names and meanings are those of PEFT's LoraConfig."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from lorafa_prof.methods.method_options import MethodOptions

_LAYER = re.compile(r".*?\.[^.]*\.(\d+)\.")


def canonical_targets(value: Any) -> Any:
    """Return targets in their one form: a list of names becomes the sorted names divided by commas."""
    if isinstance(value, str):
        value = value.split(",")
    if isinstance(value, (list, tuple)) and all(isinstance(name, str) for name in value):
        return ",".join(sorted({name.strip() for name in value}))
    return value


def _canonical_layers(value: Any) -> Any:
    """Return numbers of layers in their one form: one number, or text with commas, becomes a list."""
    if isinstance(value, str):
        value = [int(part) if part.strip().isdecimal() else part for part in value.split(",")]
    elif isinstance(value, int) and not isinstance(value, bool):
        value = [value]
    if isinstance(value, list) and all(type(number) is int for number in value):
        return sorted(set(value))
    return value


def _patterns(value: dict[str, Any]) -> dict[str, Any] | None:
    """Return patterns that can be matched; None for no patterns."""
    for pattern in value:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"'{pattern}' is no regular expression: {error}") from error
    return value or None


Rank = Annotated[int, Field(ge=1)]
Alpha = Annotated[float, Field(gt=0)]
Layers = Annotated[list[Annotated[int, Field(ge=0)]], BeforeValidator(_canonical_layers), Field(min_length=1)]


def scale_of(alpha: float, rank: int, *, rslora: bool) -> float:
    """Return the factor s on the low-rank path: α/r, or α/√r with rsLoRA (arXiv 2312.03732)."""
    return alpha / (math.sqrt(rank) if rslora else rank)


class LowRankOptions(MethodOptions):
    """Options of LoRA and LoRA-FA; the defaults of rank, alpha and dropout are PEFT's.

    `draw_seed` draws the adapters by random numbers of their own; None: they follow on the base's.
    """

    added_later: ClassVar[tuple[str, ...]] = (
        "layers_to_transform",
        "rank_pattern",
        "alpha_pattern",
        "modules_to_save",
        "draw_seed",
    )

    undivided: ClassVar[tuple[str, ...]] = ("targets", "layers_to_transform", "modules_to_save")

    rank: Rank = Field(8, description="Rank of the adapters.")
    alpha: Alpha = Field(8.0, description="What scales them: alpha / rank.")
    targets: str = Field(
        "all-linear", description="Adapted layers: all-linear, or names such as q_proj,v_proj."
    )
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Dropout of what goes into the adapters.")
    rslora: bool = Field(False, description="Whether they are scaled by alpha / √rank.")
    layers_to_transform: Layers | None = Field(
        None, description="Only layers of these numbers have adapters."
    )
    rank_pattern: Annotated[dict[str, Rank], AfterValidator(_patterns)] | None = Field(
        None, description="Ranks by pattern of a layer's name, such as {q_proj: 4}."
    )
    alpha_pattern: Annotated[dict[str, Alpha], AfterValidator(_patterns)] | None = Field(
        None, description="Alphas, likewise."
    )
    modules_to_save: str | None = Field(None, description="Modules that train as a whole, by name.")
    draw_seed: Annotated[int, Field(ge=0, lt=2**63)] | None = Field(
        None, description="Seed of the adapters' own; without one they follow on the base's."
    )

    _canonical_names = field_validator("targets", "modules_to_save", mode="before")(canonical_targets)

    @property
    def scale(self) -> float:
        """The factor s on the low-rank path, where no pattern gives another."""
        return scale_of(self.alpha, self.rank, rslora=self.rslora)

    @property
    def saved_modules(self) -> list[str]:
        """The names in `modules_to_save`."""
        return self.modules_to_save.split(",") if self.modules_to_save else []

    def rank_at(self, path: str, matrices: int = 1) -> int:
        """Return the rank of the adapter at `path`.

        Without a pattern for it several matrices in one weight have the rank of as many weights, as PEFT has
        it; so it is with α.
        """
        rank: int = _of_pattern(self.rank_pattern, path, self.rank * matrices)
        return rank

    def scale_at(self, path: str, matrices: int = 1) -> float:
        """Return the factor s of the adapter at `path`."""
        alpha: float = _of_pattern(self.alpha_pattern, path, self.alpha * matrices)
        return scale_of(alpha, self.rank_at(path, matrices), rslora=self.rslora)


def _of_pattern(patterns: Mapping[str, Any] | None, path: str, otherwise: Any) -> Any:
    """Return what the first of `patterns` that matches `path` has."""
    return next((value for pattern, value in (patterns or {}).items() if matches(pattern, path)), otherwise)


def matches(pattern: str, path: str) -> bool:
    """Return whether `pattern` matches `path` or an end of it, by PEFT's rule (`get_pattern_key`)."""
    return re.match(rf"(.*\.)?({pattern})$", path) is not None


def layer_number(path: str) -> int | None:
    """Return the number of the layer that `path` is in, by PEFT's rule; None outside of layers."""
    found = _LAYER.match(f"{path}.")
    return int(found.group(1)) if found else None
