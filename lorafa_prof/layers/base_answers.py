"""A layer around another one, which answers for what it lacks as that one does."""

from __future__ import annotations

from typing import Any

from torch import nn


class AnswersAsBase(nn.Module):
    """Attributes that it lacks are those of its `base` (weight, bias, …), for which some models ask."""

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            base = self.__dict__.get("_modules", {}).get("base")
            if base is None:
                raise
            return getattr(base, name)
