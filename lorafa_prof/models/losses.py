"""The values of a scenario's `loss`: whether a language model's logits are all there at once."""

from __future__ import annotations

from collections.abc import Callable
from types import MethodType
from typing import Any, cast

from torch import Tensor, nn
from transformers import PreTrainedModel

from lorafa_prof.errors import UsageError
from lorafa_prof.layers.chunked_cross_entropy import ChunkedCrossEntropy
from lorafa_prof.layers.chunked_logits import ChunkedLogits
from lorafa_prof.models.kernels import OWN_LOSS
from lorafa_prof.models.preset import Task

CHUNKED = "chunked"
#: Tasks whose loss is the cross-entropy of a word of the vocabulary.
_OF_WORDS: tuple[Task, ...] = ("causal-lm", "seq2seq-lm", "speech-recognition")


def use_loss(loss: str, model: nn.Module, task: Task, kernels: str) -> None:
    """Make `model`, which its method has prepared to train, compute its loss so.

    Raises:
        UsageError: `loss` is "chunked", and the model is no language model, has no output layer of its own,
            or its kernels bring a loss of theirs.
    """
    if loss != CHUNKED:
        return
    if task not in _OF_WORDS:
        raise UsageError(
            f"loss 'chunked' is of language models, and this task is {task}; set loss to full",
            about="loss",
        )
    if kernels in OWN_LOSS:
        raise UsageError(
            f"loss 'chunked' and kernels '{kernels}' are two ways to be without logits; set loss to full, or "
            "kernels to others",
            about="loss",
        )
    _use_chunked_loss(model)


def _use_chunked_loss(trained: nn.Module) -> None:
    """Let the output layer of a transformers model, which PEFT may have wrapped, give `ChunkedLogits`.

    Modules, parameters and `state_dict` stay as they are; what the model returns has no logits. Called
    without labels, and so for no loss, it is as it was.
    """
    model = next((module for module in trained.modules() if isinstance(module, PreTrainedModel)), None)
    head = model.get_output_embeddings() if model is not None else None
    if model is None or head is None:
        raise UsageError(
            f"loss 'chunked' needs an output layer, and a {type(model or trained).__name__} names none; set "
            "loss to full",
            about="loss",
        )
    loss = ChunkedCrossEntropy()
    model.add_module("chunked_loss", loss)
    own_forward = _forward_of(head)

    def later(head: Any, hidden: Tensor) -> ChunkedLogits:
        trains = [parameter for parameter in head.parameters() if parameter.requires_grad]
        return ChunkedLogits(hidden, MethodType(own_forward, head), trains, len(head.weight), loss)

    chunked_forward = MethodType(later, head)
    head.forward = chunked_forward
    of_model = _forward_of(model)

    def without_logits(model: Any, *args: Any, **kwargs: Any) -> Any:
        if kwargs.get("labels") is None:
            head.forward = MethodType(own_forward, head)
            try:
                return of_model(model, *args, **kwargs)
            finally:
                head.forward = chunked_forward
        output = of_model(model, *args, **kwargs)
        return type(output)(**{name: value for name, value in output.items() if name != "logits"})

    model.forward = cast(Any, MethodType(without_logits, model))


def _forward_of(module: nn.Module) -> Callable[..., Any]:
    """Return a module's forward without the module: its class's, or what kernels have put in its place."""
    found: Callable[..., Any] = getattr(vars(module).get("forward"), "__func__", None) or type(module).forward
    return found
