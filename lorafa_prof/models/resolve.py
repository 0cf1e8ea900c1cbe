"""From the model's name in a scenario to its config: preset, local config.json or directory, or hub id."""

from __future__ import annotations

import copy
import functools
import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from lorafa_prof.cell import ModelChoice, Weights
from lorafa_prof.errors import UsageError, described, text_of
from lorafa_prof.guard import guarded
from lorafa_prof.models.config_limits import check_config_file
from lorafa_prof.models.preset import PRESETS, Task
from lorafa_prof.models.task import task_of
from lorafa_prof.models.text_part import TextPart, text_part
from lorafa_prof.registry import nearest

if TYPE_CHECKING:
    from transformers import PretrainedConfig

# A hub that does not answer at once is treated as unreachable: huggingface_hub's own retries take 23 s.
_HUB_TIMEOUT_S = 5.0
_GGUF = ".gguf"


@dataclass(frozen=True)
class ResolvedModel:
    """A network whose config is known, ready to be built.

    Args:
        name: the model's name, as in the scenario.
        task: what it is fine-tuned for; decides head, loss and inputs.
        config: this object's own, shared with no other; builders copy it before they change anything.
        weights: "random" or "pretrained".
        source: where pretrained weights come from, a directory or hub id; for a preset the URL of its config.
        trust_remote_code: whether code shipped with the model may run.
        notes: what the reader of a row must know of what is built.
        gguf_file: name of the GGUF file in `source` that has config, weights and tokenizer; None: there are
            files of transformers' own for them.
        has_new_head: whether its head is drawn where the checkpoint's has another size.
    """

    name: str
    task: Task
    config: PretrainedConfig
    weights: Weights
    source: str
    trust_remote_code: bool = False
    notes: tuple[str, ...] = ()
    gguf_file: str | None = None
    has_new_head: bool = False


def resolve_model(choice: ModelChoice) -> ResolvedModel:
    """Return the network that `choice` names: a preset, else an existing path, else a hub id ("owner/name").

    Raises:
        UsageError: nothing has that name, its config cannot be read, or a preset is to be pretrained.
    """
    if choice.name in PRESETS:
        return _from_preset(choice)
    # Of `os.path`, since those of `Path` raise where a name is too long, or the home of nobody.
    path = Path(choice.folder, os.path.expanduser(choice.name))  # noqa: PTH111
    if choice.name and os.path.exists(path):  # noqa: PTH110
        return _from_path(choice, path)
    if looks_like_path(choice.name):
        raise UsageError(f"model '{choice.name}': no such file or directory{_starting_at(choice)}")
    if choice.name.count("/") == 1:
        return _from_hub(choice)
    raise UsageError(
        f"unknown model '{choice.name}'{nearest(choice.name, list(PRESETS))}; name a preset "
        "(`lorafa-prof list models`), a config.json, a directory that has one, or a hub id (owner/name)"
    )


def _starting_at(choice: ModelChoice) -> str:
    return f" in {choice.folder}, the scenario's folder" if choice.folder else ""


def looks_like_path(name: str) -> bool:
    """Return whether a model's name can only be that of a file or directory."""
    return name.startswith((".", "/", "~")) or name.endswith((".json", _GGUF, "/"))


def _from_preset(choice: ModelChoice) -> ResolvedModel:
    preset = PRESETS[choice.name]
    if choice.weights == "pretrained":
        raise UsageError(
            f"preset '{preset.name}' has a shape and no weights; for pretrained ones name a hub id "
            f"(see {preset.source}) or a local directory as the model"
        )
    return ResolvedModel(
        name=preset.name,
        task=preset.task,
        config=preset.make_config(),
        weights="random",
        source=preset.source,
        notes=preset.notes,
    )


def _from_path(choice: ModelChoice, path: Path) -> ResolvedModel:
    if (gguf := _gguf_file(choice, path)) is not None:
        return _resolved(choice, location=str(gguf.parent), source=str(gguf.parent), gguf_file=gguf.name)
    file = path / "config.json" if path.is_dir() else path
    if not file.is_file():
        raise UsageError(f"model '{choice.name}': the directory has no config.json, nor a GGUF file")
    # Code shipped beside a config.json is found from its directory only.
    location = file.parent if file.name == "config.json" else file
    return _resolved(choice, location=str(location), source=str(file.parent), file=file)


def _gguf_file(choice: ModelChoice, path: Path) -> Path | None:
    """The GGUF file that is named, or the only one of a directory without a config.json.

    Raises:
        UsageError: there are several, or there is no package to read it.
    """
    if path.is_dir():
        found = [] if (path / "config.json").is_file() else sorted(path.glob(f"*{_GGUF}"))
        if len(found) > 1:
            names = ", ".join(file.name for file in found)
            raise UsageError(
                f"model '{choice.name}': the directory has several GGUF files ({names}); name one"
            )
    else:
        found = [path] if path.suffix == _GGUF else []
    if not found:
        return None
    for package in ("gguf", "accelerate"):
        if importlib.util.find_spec(package) is None:
            raise UsageError(
                f"model '{choice.name}': to read a GGUF file transformers needs the package {package}: "
                f"pip install {package}"
            )
    return found[0]


def _from_hub(choice: ModelChoice) -> ResolvedModel:
    location = _hub_location(choice)
    cached = Path(location) / "config.json"
    file = cached if location != choice.name and cached.is_file() else None
    return _resolved(choice, location=location, source=choice.name, file=file)


def _hub_location(choice: ModelChoice) -> str:
    """Return what to read the config from: the local cache if it is there, else the hub, asked just once."""
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError

    # Without a network it raises what the library does that it asks by: httpx, or from its 2.0 on httpx2.
    unreachable = cast("tuple[type[Exception], ...]", (OSError, ValueError, *HfHubHTTPError.__bases__))
    try:
        cached = huggingface_hub.try_to_load_from_cache(choice.name, "config.json")
        if isinstance(cached, str):
            # Code that comes with a model may lie in files that are not cached yet.
            return choice.name if choice.trust_remote_code else str(Path(cached).parent)
        url = huggingface_hub.hf_hub_url(choice.name, "config.json")
        huggingface_hub.get_hf_file_metadata(url, timeout=_HUB_TIMEOUT_S)
    except unreachable as error:
        raise UsageError(
            f"model '{choice.name}': no such preset or path{nearest(choice.name, list(PRESETS))}, "
            f"and the hub has no config for it that can be read from here ({described(error)})"
        ) from error
    return choice.name


def _resolved(
    choice: ModelChoice, *, location: str, source: str, file: Path | None = None, gguf_file: str | None = None
) -> ResolvedModel:
    part, task = _read_config(choice, location, file, gguf_file)
    if choice.weights == "pretrained" and not part.is_whole:
        raise UsageError(
            f"model '{choice.name}': {part.notes[0]}, and its weights are not read from a checkpoint of the "
            "whole; leave weights out, or name a checkpoint of the text model",
            about="weights",
        )
    return ResolvedModel(
        name=choice.name,
        task=task,
        config=part.config,
        weights=choice.weights,
        source=source,
        trust_remote_code=choice.trust_remote_code,
        notes=part.notes,
        gguf_file=gguf_file,
    )


def _read_config(
    choice: ModelChoice, location: str, file: Path | None, gguf_file: str | None
) -> tuple[TextPart, Task]:
    """What is built and what it is for; `file` is the local one it is read from, if there is one."""
    from transformers import AutoConfig

    try:
        if file is not None:
            check_config_file(file)
        with guarded("its code"):
            config: PretrainedConfig
            if gguf_file is not None:
                config = _gguf_config(location, gguf_file)
            else:
                config = AutoConfig.from_pretrained(location, trust_remote_code=choice.trust_remote_code)
        part = text_part(config, name=choice.name)
        return part, task_of(part.config, name=choice.name)
    except UsageError:
        raise
    # A config's own validation and code shipped with it may raise anything; the user needs one line of it.
    except Exception as error:
        hint = ""
        if "trust_remote_code" in text_of(error):
            hint = "; if you trust its code, set trust_remote_code: true"
        raise UsageError(
            f"model '{choice.name}': cannot read its config ({described(error)}){hint}"
        ) from error


def _gguf_config(folder: str, name: str) -> PretrainedConfig:
    """The config in a GGUF file, which takes seconds to read: it is read again only if the file changed."""
    known = Path(folder, name).stat()
    return copy.deepcopy(_read_gguf_config(folder, name, known.st_size, known.st_mtime_ns))


@functools.lru_cache(maxsize=8)
def _read_gguf_config(folder: str, name: str, size: int, changed_ns: int) -> PretrainedConfig:
    del size, changed_ns  # of the file that is meant
    from transformers import AutoConfig

    config: PretrainedConfig = AutoConfig.from_pretrained(folder, gguf_file=name)
    return config
