"""The scenario as a JSON Schema, for editors: from the models that check it, and what can be named."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from lorafa_prof.cell import twin_device
from lorafa_prof.devices.gpus.gpu import GPUS
from lorafa_prof.frozen_data import item_or_list
from lorafa_prof.methods.base import METHODS, Method
from lorafa_prof.models.attention import USUAL
from lorafa_prof.models.kernels import KERNELS
from lorafa_prof.models.preset import PRESETS
from lorafa_prof.models.quantization import QUANTIZATIONS
from lorafa_prof.models.recompute.choice import PARTS
from lorafa_prof.optim.optimizer import OPTIMIZERS
from lorafa_prof.scenario.schema import AXES, Scenario
from lorafa_prof.scenario.select import selectable_keys
from lorafa_prof.tasks.entry import TASKS

#: Editors know this draft best.
_DRAFT = "http://json-schema.org/draft-07/schema#"
_ATTRIBUTE = re.compile(r"^    (\w+): (.*(?:\n {8,}.*)*)", re.MULTILINE)


class _WithoutTitles(GenerateJsonSchema):
    """A title says no more than the key that it is of."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def scenario_schema(metrics: Sequence[str]) -> dict[str, Any]:
    """Return the JSON Schema of a scenario file, with the names that there are here as its values.

    What it refuses is no scenario; what goes together is told by the commands alone.

    Args:
        metrics: names of the metrics that claims may be about.
    """
    schema = Scenario.model_json_schema(schema_generator=_WithoutTitles)
    keys, parts = schema["properties"], schema["$defs"]
    for part in (schema, *parts.values()):
        _tell_attributes(part)
    _name_values(keys, parts, metrics)
    # A method's entry may set axes too: they stand once, and are pointed at.
    for axis in AXES:
        parts[axis] = keys[axis]
        keys[axis] = _reference(axis)
    entry = parts.pop("MethodEntry")
    for method in METHODS.values():
        parts[f"method {method.name}"] = _entry_of(method, entry["properties"]["learning_rate"], parts)
    forms = [_enum(METHODS), *(_reference(f"method {name}") for name in METHODS)]
    keys["method"] |= _one_or_many({"anyOf": forms})
    parts["ModelChoice"]["properties"].pop("folder")  # which the file's place says
    return {"$schema": _DRAFT, "title": "A scenario of lorafa-prof", **schema}


def schema_text(metrics: Sequence[str]) -> str:
    """Return the text of the file that has it, as `scenario_schema`."""
    return f"{json.dumps(scenario_schema(metrics), indent=1, ensure_ascii=False)}\n"


def _name_values(keys: dict[str, Any], parts: dict[str, Any], metrics: Sequence[str]) -> None:
    """Say what names there are; also of what may be another one, such as a path, for an editor to offer."""
    closed: dict[str, Iterable[str]] = {
        "optimizer": OPTIMIZERS,
        "kernels": KERNELS,
        "quantization": QUANTIZATIONS,
        "task": TASKS,
    }
    open_: dict[str, Iterable[str]] = {
        "model": PRESETS,
        "gpu": GPUS,
        "device": ("auto", "cuda", "cpu", *map(twin_device, GPUS)),
        "attention": USUAL,
        "checkpointing": ("none", *PARTS),
    }
    for key, names in closed.items():
        keys[key] = _with_texts(keys[key], _enum(names))
    for key, names in open_.items():
        keys[key] = _with_texts(keys[key], _offered(names))
    parts["TaskChoice"]["properties"]["name"] |= _enum(TASKS)
    model_name = parts["ModelChoice"]["properties"]["name"]
    parts["ModelChoice"]["properties"]["name"] = _with_texts(model_name, _offered(PRESETS))
    claim = parts["Claim"]["properties"]
    claim["metric"] = _with_texts(claim["metric"], _enum(metrics))
    rule = {"type": "object", "properties": {key: {} for key in sorted(selectable_keys())}}
    parts["rule"] = {**rule, "additionalProperties": False}
    keys["exclude"] |= {"anyOf": item_or_list({"type": "array", "items": _reference("rule")})}
    claim["of"] = _reference("rule")
    claim["relative_to"] = claim["difference_to"] = {"anyOf": [_reference("rule"), {"type": "null"}]}


def _entry_of(method: Method, learning_rate: JsonSchemaValue, parts: dict[str, Any]) -> JsonSchemaValue:
    """The mapping of a method: its name, its options, each one value or a list, and axes."""
    options = method.options.model_json_schema(schema_generator=_WithoutTitles)
    parts |= options.get("$defs", {})
    own = {
        name: _option(option, method.options.model_fields[name])
        for name, option in options["properties"].items()
    }
    return {
        "type": "object",
        "description": method.summary,
        "properties": {
            "name": {"const": method.name},
            **own,
            **{axis: _reference(axis) for axis in AXES},
            "learning_rate": learning_rate,
        },
        "required": ["name", *options.get("required", ())],
        "additionalProperties": False,
    }


def _option(schema: JsonSchemaValue, field: FieldInfo) -> JsonSchemaValue:
    told = {"description": field.description} if field.description else {}
    return told | _one_or_many({key: schema[key] for key in schema if key not in ("description", "default")})


def _one_or_many(one: JsonSchemaValue) -> JsonSchemaValue:
    return {"anyOf": item_or_list({"type": "array", "items": one, "minItems": 1})}


def _reference(name: str) -> JsonSchemaValue:
    return {"$ref": f"#/$defs/{name}"}


def _enum(names: Iterable[str]) -> JsonSchemaValue:
    return {"type": "string", "enum": list(names)}


def _offered(names: Iterable[str]) -> JsonSchemaValue:
    return {"anyOf": [_enum(names), {"type": "string"}]}


def _with_texts(schema: Any, text: JsonSchemaValue) -> Any:
    """The schema with `text` where any text may stand."""
    if isinstance(schema, list):
        return [_with_texts(each, text) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("type") == "string" and "enum" not in schema:
        return {**{key: value for key, value in schema.items() if key != "type"}, **text}
    return {key: _with_texts(value, text) for key, value in schema.items()}


def _tell_attributes(part: dict[str, Any]) -> None:
    """Say of each property what its model's docstring says under Attributes."""
    text, _, attributes = part.get("description", "").partition("Attributes:\n")
    if text:
        part["description"] = " ".join(text.split())
    for name, told in _ATTRIBUTE.findall(attributes):
        if name in part["properties"]:
            part["properties"][name].setdefault("description", " ".join(told.split()))
