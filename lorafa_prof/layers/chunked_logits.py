"""What stands for a model's logits while they are not there: a model may do to it what models do to logits.

It remembers what is done to each number, and which tokens are taken; `cross_entropy` of it makes the logits,
a chunk of tokens at a time. So a model's own forward decides on labels, their shift, scales and caps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lorafa_prof.errors import UsageError
from lorafa_prof.layers.chunked_cross_entropy import ChunkedCrossEntropy

Step = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class ChunkedLogits:
    """Stands for logits [.., v], of which a model takes a loss.

    Attributes:
        hidden: [.., h], of which the head makes them.
        head: makes logits [n, v] of hidden states [n, h].
        parameters: those of the head that train.
        vocabulary: v.
        loss: what computes their cross-entropy.
        steps: what was done to each number since, in this order.
    """

    hidden: Tensor
    head: Step
    parameters: Sequence[nn.Parameter]
    vocabulary: int
    loss: ChunkedCrossEntropy
    steps: tuple[Step, ...] = ()

    @property
    def shape(self) -> torch.Size:
        """Their shape."""
        return torch.Size((*self.hidden.shape[:-1], self.vocabulary))

    @property
    def device(self) -> torch.device:
        """Where they will be."""
        return self.hidden.device

    def size(self, dim: int | None = None) -> Any:
        """Return their shape, or one side of it."""
        return self.shape if dim is None else self.shape[dim]

    def dim(self) -> int:
        """Return the number of their dimensions."""
        return len(self.shape)

    def float(self) -> ChunkedLogits:
        """Return them in float32."""
        return self._then(lambda logits: logits.float())

    def to(self, *args: Any, **kwargs: Any) -> ChunkedLogits:
        """Return them in another type, or where they are anyway."""
        return self._then(lambda logits: logits.to(*args, **kwargs))

    def contiguous(self) -> ChunkedLogits:
        """Return them as they are."""
        return self

    def view(self, *shape: Any) -> ChunkedLogits:
        """Return them with other dimensions before that of the vocabulary."""
        sizes = tuple(shape[0]) if len(shape) == 1 and not isinstance(shape[0], int) else shape
        if sizes[-1] != self.vocabulary:
            raise _unknown(f"view{sizes}")
        return replace(self, hidden=self.hidden.reshape(*sizes[:-1], self.hidden.shape[-1]))

    reshape = view

    def __getitem__(self, key: Any) -> ChunkedLogits:
        """Return the logits of some tokens, each with all of the vocabulary."""
        keys = key if isinstance(key, tuple) else (key,)
        last = keys[-1]
        reaches_last = len(keys) >= self.dim() or any(each is Ellipsis for each in keys[:-1])
        if reaches_last and not (last is Ellipsis or (isinstance(last, slice) and last == slice(None))):
            raise _unknown(f"[{key}]")
        return replace(self, hidden=self.hidden[key])

    def __add__(self, other: Any) -> ChunkedLogits:
        """Return them with a number, or one for each of the vocabulary, added."""
        return self._with(torch.add, other)

    def __sub__(self, other: Any) -> ChunkedLogits:
        """Return them with a number, or one for each of the vocabulary, taken away."""
        return self._with(torch.sub, other)

    def __mul__(self, other: Any) -> ChunkedLogits:
        """Return them times a number, or one for each of the vocabulary."""
        return self._with(torch.mul, other)

    def __truediv__(self, other: Any) -> ChunkedLogits:
        """Return them divided by a number, or one for each of the vocabulary."""
        return self._with(torch.div, other)

    __radd__, __rmul__ = __add__, __mul__

    def tanh(self) -> ChunkedLogits:
        """Return the hyperbolic tangents of them."""
        return self._then(torch.tanh)

    def _then(self, step: Step) -> ChunkedLogits:
        return replace(self, steps=(*self.steps, step))

    def _with(self, operation: Callable[..., Tensor], other: Any) -> ChunkedLogits:
        if isinstance(other, Tensor):
            other = other.flatten()
            if other.requires_grad or len(other) not in (1, self.vocabulary):
                raise _unknown(f"{operation.__name__} with another tensor")
        elif not isinstance(other, (int, float)):
            raise _unknown(f"{operation.__name__} with another tensor")
        return self._then(lambda logits: operation(logits, other))

    def _logits_of(self, hidden: Tensor) -> Tensor:
        logits = self.head(hidden)
        for step in self.steps:
            logits = step(logits)
        return logits

    def _cross_entropy(self, target: Tensor, **options: Any) -> Tensor:
        unknown = {name: value for name, value in options.items() if value != _PLAIN.get(name, value)}
        reduction = options.get("reduction", "mean")
        if self.dim() != 2 or target.dim() != 1 or unknown or reduction not in ("mean", "sum"):
            raise _unknown(f"cross_entropy of {self.dim()} dimensions, {options}")
        result: Tensor = self.loss(
            self.hidden,
            target,
            self._logits_of,
            self.parameters,
            self.vocabulary,
            ignore_index=options.get("ignore_index", -100),
            reduction=reduction,
        )
        return result

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Do what a function of PyTorch's does to logits, later."""
        name = getattr(func, "__name__", str(func))
        logits = args[0] if args else None
        if func is F.cross_entropy and isinstance(logits, ChunkedLogits):
            return logits._cross_entropy(*args[1:], **(kwargs or {}))
        if func is torch.tanh and isinstance(logits, ChunkedLogits):
            return logits.tanh()
        if name in ("mul", "add") and isinstance(logits, Tensor):
            return getattr(args[1], f"__{name}__")(logits)
        raise _unknown(name)


#: Options of `cross_entropy` that change what is computed, at what they are where they change nothing.
_PLAIN = {"weight": None, "size_average": None, "reduce": None, "label_smoothing": 0.0}


def _unknown(what: str) -> UsageError:
    return UsageError(
        f"loss 'chunked' does not know what the model does to its logits ({what}); set loss to full",
        about="loss",
    )
