"""Writing a scenario as a file, such as a person would."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from lorafa_prof.errors import UsageError
from lorafa_prof.models.preset import PRESETS
from lorafa_prof.models.resolve import looks_like_path
from lorafa_prof.scenario.one_or_many import as_list
from lorafa_prof.scenario.schema import AXES, WHOLE_SCENARIO
from lorafa_prof.scenario.yaml_lines import Document
from lorafa_prof.scenario.yaml_scalars import FORMS, TAG

_FIRST = ("schema", "name", "description", "model", "method", *AXES)
_ORDER = (*_FIRST, *(name for name in WHOLE_SCENARIO if name not in _FIRST))
_WIDTH = 100


class _Dumper(yaml.SafeDumper):
    """Quotes what YAML 1.2, as which it is read, would not take for text."""

    yaml_implicit_resolvers: dict[Any, Any] = {}

    def ignore_aliases(self, data: Any) -> bool:
        """Write everything where it stands."""
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Indent the entries of lists below their key."""
        super().increase_indent(flow, False)


for _kind, _form, _first in FORMS:
    _Dumper.add_implicit_resolver(f"{TAG}{_kind}", _form, _first)


def save_scenario(document: Document, file: Path) -> None:
    """Write a scenario of options as `file`; its relative paths are then those from the file's folder.

    Raises:
        UsageError: there is another file of that name, or it cannot be written.
    """
    text = scenario_text(document, file)
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError as error:
        # The same command is given again to go on with a run.
        if not file.is_file() or file.read_bytes() != text.encode():
            raise UsageError(f"--save {file}: this is there already, with other content") from error
    except OSError as error:
        raise UsageError(f"--save {file}: cannot be written: {error.strerror}") from error


def scenario_text(document: Document, file: Path) -> str:
    """The YAML of a scenario that nothing was read from, as it would stand in `file`."""
    data = {key: document.data[key] for key in _ORDER if key in document.data}
    models = [_from_folder(model, file.parent) for model in as_list(data["model"])]
    data["model"] = models if isinstance(data["model"], list) else models[0]
    text: str = yaml.dump(
        data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=None, width=_WIDTH
    )
    return text


def _from_folder(model: Any, folder: Path) -> Any:
    """The model, whose relative path starts at `folder` now."""
    if isinstance(model, dict):
        return {**model, "name": _from_folder(model.get("name"), folder)}
    if not isinstance(model, str) or model in PRESETS or not (looks_like_path(model) or Path(model).exists()):
        return model
    path = Path(model).expanduser()
    if path.is_absolute():
        return str(path)
    relative = os.path.relpath(path, folder)
    return relative if relative.startswith(os.pardir) else f"./{relative}"
