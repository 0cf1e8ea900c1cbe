"""The base of the data models that scenarios and cells are made of."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """Base of the data models: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)
