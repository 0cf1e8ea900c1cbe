"""What a run needs before its model is built: config, tokenizer and the task's data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

from lorafa_prof.errors import UsageError, described
from lorafa_prof.guard import guarded
from lorafa_prof.learning.run import LearningRun
from lorafa_prof.models.head import with_head
from lorafa_prof.models.images import image_shape
from lorafa_prof.models.preset import Task as ModelTask
from lorafa_prof.models.resolve import ResolvedModel, resolve_model
from lorafa_prof.tasks.byte_tokenizer import ByteTokenizer
from lorafa_prof.tasks.image_format import ImageFormat, image_format
from lorafa_prof.tasks.open import open_task
from lorafa_prof.tasks.task import Task, TaskKind, Tokenizer

_MODEL_TASK: dict[TaskKind, ModelTask] = {
    "causal-lm": "causal-lm",
    "classification": "sequence-classification",
    "image-classification": "image-classification",
}


@dataclass(frozen=True)
class Opened:
    """A run's task, and the model that has the head for it.

    Attributes:
        resolved: what is built.
        task: its data is there.
        pad_id: the token that fills up a batch.
    """

    resolved: ResolvedModel
    task: Task
    pad_id: int


def open_run(run: LearningRun) -> Opened:
    """Return what a run is of.

    Raises:
        UsageError: the model has no tokenizer, the data is missing, or the task is none for such a model.
    """
    resolved = resolve_model(run.cell.model)
    tokenizer = _tokenizer_of(resolved)
    task = _open_task(run, resolved, tokenizer)
    pad_id = _pad_id(tokenizer, resolved)
    head = with_head(resolved, _MODEL_TASK[task.kind], classes=task.classes, pad_id=pad_id)
    return Opened(head, task, pad_id)


def _open_task(run: LearningRun, resolved: ResolvedModel, tokenizer: Tokenizer | None) -> Task:
    images = _image_format(resolved) if resolved.task == "image-classification" else None
    return open_task(
        run.task, tokenizer, run.cell.seq, images=images, run_generated_code=run.run_generated_code
    )


def _image_format(resolved: ResolvedModel) -> ImageFormat:
    channels, height, width = image_shape(resolved)
    folder = Path(resolved.source)
    return image_format(height, width, channels, folder=folder if folder.is_dir() else None)


def _tokenizer_of(resolved: ResolvedModel) -> Tokenizer | None:
    """The model's tokenizer; bytes for a model of text that comes without any files; None for one of images.

    Raises:
        UsageError: there are files, and no tokenizer among them that can be read.
    """
    if resolved.task == "image-classification":
        return None
    if resolved.weights == "random" and not _comes_with_tokenizer(resolved):
        vocabulary = getattr(resolved.config.get_text_config(), "vocab_size", 0)
        return ByteTokenizer(vocabulary)
    from transformers import AutoTokenizer

    try:
        with guarded(f"the tokenizer of '{resolved.name}'"):
            tokenizer = AutoTokenizer.from_pretrained(
                resolved.source,
                trust_remote_code=resolved.trust_remote_code,
                **({"gguf_file": resolved.gguf_file} if resolved.gguf_file else {}),
            )
    except Exception as error:
        raise UsageError(
            f"model '{resolved.name}': no tokenizer can be read in '{resolved.source}' ({described(error)})",
            about="model",
        ) from error
    return cast(Tokenizer, tokenizer)


def _comes_with_tokenizer(resolved: ResolvedModel) -> bool:
    """Whether there is a tokenizer beside the config; of a hub id it is taken that there is one."""
    if resolved.gguf_file is not None:
        return True
    if resolved.source.startswith("https://") or resolved.source == "synthetic":
        return False  # a preset's
    folder = Path(resolved.source)
    if not folder.is_dir():
        return True
    return any(folder.glob("tokenizer*")) or any(folder.glob("vocab*"))


def _pad_id(tokenizer: Tokenizer | None, resolved: ResolvedModel) -> int:
    """The token for padding, which no model looks at: the tokenizer's, else the config's, else any."""
    config = resolved.config.get_text_config()
    known = (
        getattr(tokenizer, "pad_token_id", None),
        getattr(config, "pad_token_id", None),
        getattr(tokenizer, "eos_token_id", None),
    )
    return next((token for token in known if isinstance(token, int)), 0)
