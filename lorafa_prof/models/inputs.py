"""Random inputs and labels for one step, by task."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lorafa_prof.errors import UsageError
from lorafa_prof.models.images import draw_images
from lorafa_prof.models.packing import IGNORED_LABEL, packed
from lorafa_prof.models.positions import check_seq
from lorafa_prof.models.preset import Task
from lorafa_prof.models.resolve import ResolvedModel
from lorafa_prof.models.sound import draw_spectra
from lorafa_prof.models.text import draw_ids, is_padding, pad_ids

_TEXT = frozenset({"input_ids", "attention_mask", "labels"})
#: What is made of each task.
_MADE: dict[Task, frozenset[str]] = {
    "causal-lm": _TEXT,
    "seq2seq-lm": _TEXT,
    "sequence-classification": _TEXT,
    "image-classification": frozenset({"pixel_values", "labels"}),
    "speech-recognition": frozenset({"input_features", "labels"}),
    "image-text-pairs": frozenset({"input_ids", "attention_mask", "pixel_values"}),
}


@dataclass(frozen=True)
class _Batch:
    """What of a batch is asked for: see `make_inputs`."""

    size: int
    seq: int
    padding: float
    dtype: torch.dtype
    generator: torch.Generator


def make_inputs(
    resolved: ResolvedModel,
    *,
    batch: int,
    seq: int,
    device: torch.device,
    seed: int,
    padding: float = 0.0,
    packing: bool = False,
    dtype: torch.dtype = torch.float32,
) -> dict[str, Tensor]:
    """Return the keyword arguments of one forward pass with a loss.

    Of text, `input_ids` and `attention_mask` (ones but for padding) are int64 of shape (batch, seq). `labels`
    are a copy of `input_ids` for a causal model, other random ids of that shape for a sequence-to-sequence
    one, and of shape (batch,) for a classifier. A classifier of images has `pixel_values` of `dtype` and of
    shape (batch, channels, height, width) instead of ids and mask, a model of speech `input_features` of
    shape (batch, mel bins, frames), and as `labels` ids of shape (batch, seq). Pairs of image and text have
    ids, mask and pixels, and no labels. All are drawn on the CPU, so a
    seed means the same on every device. No id is a special one.

    With `padding` above 0 rows are padded on the right, as a data collator pads them to the longest of their
    batch, by as many tokens as `padding_tokens` says: mask 0, the config's padding id (where it has none the
    ordinary id stays), and label -100. The other tokens are those of the batch without padding.

    With `packing` the rows, without their padding, are the documents of a single row, as `packed` says.

    Raises:
        UsageError: the network makes another number of tokens of an image, or cannot have `padding`, or its
            config does not tell what it takes.
    """
    check_padding(resolved, padding)
    generator = torch.Generator().manual_seed(seed)
    inputs = _MAKERS[resolved.task](resolved, _Batch(batch, seq, padding, dtype, generator))
    if packing:
        inputs = packed(inputs)
    return {name: tensor.to(device) for name, tensor in inputs.items()}


def check_takes_inputs(model: nn.Module, resolved: ResolvedModel, *, padding: float) -> None:
    """Raise a UsageError if `model` cannot run a training step with what `make_inputs` makes.

    A forward that takes whatever it is given is tried.
    """
    made = _MADE[resolved.task]
    parameters = inspect.signature(model.forward).parameters
    kinds = {parameter.kind for parameter in parameters.values()}
    if inspect.Parameter.VAR_POSITIONAL in kinds:
        return
    wanted = [
        name
        for name, parameter in parameters.items()
        if parameter.default is inspect.Parameter.empty
        and parameter.kind is not inspect.Parameter.VAR_KEYWORD
        and name not in made
    ]
    if wanted:
        beside = "text" if "input_ids" in made else ", ".join(sorted(made))
        raise UsageError(
            f"model '{resolved.name}' needs {', '.join(wanted)} beside {beside}, which is not made here",
            about="model",
        )
    if "labels" in made and "labels" not in parameters:
        raise UsageError(
            f"model '{resolved.name}' takes no labels, so it has no loss to train by", about="model"
        )
    if padding and "attention_mask" in made and "attention_mask" not in parameters:
        raise UsageError(
            f"model '{resolved.name}' takes no attention mask and would read padding as text; set padding: 0",
            about="padding",
        )


def check_padding(resolved: ResolvedModel, padding: float) -> None:
    """Raise a UsageError if there is to be `padding` and nothing that can be padded."""
    if padding and resolved.task == "image-classification":
        raise UsageError(
            f"padding {padding} is of text, and model '{resolved.name}' sees images, all of one size; set "
            "padding: 0",
            about="padding",
        )


def _ids_and_mask(resolved: ResolvedModel, batch: _Batch) -> dict[str, Tensor]:
    input_ids = draw_ids(resolved, batch=batch.size, seq=batch.seq, generator=batch.generator)
    return {"input_ids": input_ids, "attention_mask": torch.ones_like(input_ids)}


def _padded(resolved: ResolvedModel, batch: _Batch, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return `inputs` with padding; labels of their own for each token are padded too."""
    padded = is_padding(batch.padding, batch=batch.size, seq=batch.seq)
    inputs["attention_mask"][padded] = 0
    pad_ids(resolved, inputs["input_ids"], padded)
    if "labels" in inputs and inputs["labels"].shape == padded.shape:
        inputs["labels"][padded] = IGNORED_LABEL
    return inputs


def _of_causal_lm(resolved: ResolvedModel, batch: _Batch) -> dict[str, Tensor]:
    inputs = _ids_and_mask(resolved, batch)
    return _padded(resolved, batch, inputs | {"labels": inputs["input_ids"].clone()})


def _of_seq2seq_lm(resolved: ResolvedModel, batch: _Batch) -> dict[str, Tensor]:
    inputs = _ids_and_mask(resolved, batch)
    labels = draw_ids(resolved, batch=batch.size, seq=batch.seq, generator=batch.generator)
    return _padded(resolved, batch, inputs | {"labels": labels})


def _of_sequence_classification(resolved: ResolvedModel, batch: _Batch) -> dict[str, Tensor]:
    inputs = _ids_and_mask(resolved, batch)
    return _padded(resolved, batch, inputs | {"labels": _class_labels(resolved, batch)})


def _of_image_classification(resolved: ResolvedModel, batch: _Batch) -> dict[str, Tensor]:
    check_seq(resolved, batch.seq)
    return {"pixel_values": _images(resolved, batch), "labels": _class_labels(resolved, batch)}


def _of_speech_recognition(resolved: ResolvedModel, batch: _Batch) -> dict[str, Tensor]:
    spectra = draw_spectra(resolved, batch=batch.size, dtype=batch.dtype, generator=batch.generator)
    labels = draw_ids(resolved, batch=batch.size, seq=batch.seq, generator=batch.generator)
    labels[is_padding(batch.padding, batch=batch.size, seq=batch.seq)] = IGNORED_LABEL
    return {"input_features": spectra, "labels": labels}


def _of_image_text_pairs(resolved: ResolvedModel, batch: _Batch) -> dict[str, Tensor]:
    inputs = _padded(resolved, batch, _ids_and_mask(resolved, batch))
    return inputs | {"pixel_values": _images(resolved, batch)}


def _images(resolved: ResolvedModel, batch: _Batch) -> Tensor:
    return draw_images(resolved, batch=batch.size, dtype=batch.dtype, generator=batch.generator)


def _class_labels(resolved: ResolvedModel, batch: _Batch) -> Tensor:
    classes = len(resolved.config.id2label or {})
    if classes == 1:
        # transformers takes a single label as a regression target.
        return torch.rand(batch.size, generator=batch.generator)
    return torch.randint(classes, (batch.size,), generator=batch.generator)


_MAKERS: dict[Task, Callable[[ResolvedModel, _Batch], dict[str, Tensor]]] = {
    "causal-lm": _of_causal_lm,
    "seq2seq-lm": _of_seq2seq_lm,
    "sequence-classification": _of_sequence_classification,
    "image-classification": _of_image_classification,
    "speech-recognition": _of_speech_recognition,
    "image-text-pairs": _of_image_text_pairs,
}
