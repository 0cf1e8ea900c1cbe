"""The base of the data models that scenarios and cells are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema


class Frozen(BaseModel):
    """Base of the data models: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Written:
    """An annotation of what may be written in other forms than the model has it in.

    `read` makes that form of what is written, before it is validated; the JSON schema has all forms.

    Args:
        read: as pydantic's `BeforeValidator` takes it.
        forms: of the JSON schema of the model's form, the schemas of all forms that may be written.
    """

    def __init__(
        self, read: Callable[[Any], Any], forms: Callable[[JsonSchemaValue], list[JsonSchemaValue]]
    ) -> None:
        self._read = read
        self._forms = forms

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Read, then validate."""
        return core_schema.no_info_before_validator_function(self._read, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Any of the forms."""
        return {"anyOf": self._forms(handler(schema))}


def item_or_list(many: JsonSchemaValue) -> list[JsonSchemaValue]:
    """One value of a list, or the list."""
    return [many["items"], many]


def name_or_mapping(mapping: JsonSchemaValue) -> list[JsonSchemaValue]:
    """A name alone, or the mapping that has it."""
    return [{"type": "string"}, mapping]
