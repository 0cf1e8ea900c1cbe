"""Batches of a task's items, padded to the longest of a batch or packed, in the order of a seed.

Everything is turned into arrays once, so that making a batch is a few operations on them, whatever its size.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lorafa_prof.errors import UsageError
from lorafa_prof.models.packing import packed
from lorafa_prof.tasks.task import NO_LOSS, Example

_Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class MicroBatch:
    """What a forward is given.

    Attributes:
        inputs: keyword arguments of the model's forward, on its device.
        tokens: those that are no padding; of images none.
        numbers: of the largest of the inputs, padding included: how long the batch is.
    """

    inputs: dict[str, Tensor]
    tokens: int
    numbers: int


class Batches:
    """The micro-batches of a run: each pass over the items is in an order of its own.

    Args:
        examples: what is trained on.
        size: items in a micro-batch.
        seq: the most tokens that an item may have.
        seed: of the order.
        pad_id: the token that shorter items are filled up with.
        packing: whether a micro-batch is one row of documents, without padding.
        device: where batches are used.
        dtype: of pixels.

    Raises:
        UsageError: there are no items, or one that cannot be trained on.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        *,
        size: int,
        seq: int,
        seed: int,
        pad_id: int,
        packing: bool,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        if not examples:
            raise UsageError("the task has no items to train on")
        self.items = len(examples)
        self._size = size
        self._seed = seed
        self._pad_id = pad_id
        self._packing = packing
        self._device = device
        self._order: dict[int, _Numbers] = {}
        first = examples[0]
        self._pixels = None if first.pixels is None else [_pixels_of(e).to(dtype) for e in examples]
        self._classes = isinstance(first.labels, int)
        lengths = [len(example.tokens) for example in examples]
        _check_lengths(lengths, seq, are_images=self._pixels is not None)
        self._lengths: _Numbers = np.array(lengths, dtype=np.int64)
        self._starts: _Numbers = np.concatenate(([0], np.cumsum(self._lengths)[:-1]))
        self._tokens = np.fromiter(chain.from_iterable(e.tokens for e in examples), np.int64)
        self._labels = _labels_of(examples, self._lengths)

    def micro_batch(self, number: int) -> MicroBatch:
        """Return a micro-batch of the run, counted from 0; the last of a pass goes on into the next pass."""
        chosen = self._chosen(number)
        labels = torch.from_numpy(self._labels[chosen]) if self._classes else None
        if self._pixels is not None:
            assert labels is not None
            inputs = {"pixel_values": torch.stack([self._pixels[i] for i in chosen]), "labels": labels}
            return MicroBatch(self._moved(inputs), 0, inputs["pixel_values"].numel())
        lengths = self._lengths[chosen]
        places = np.arange(int(lengths.max()))
        there = places < lengths[:, None]
        where = np.where(there, self._starts[chosen][:, None] + places, 0)
        inputs = {
            "input_ids": torch.from_numpy(np.where(there, self._tokens[where], self._pad_id)),
            "attention_mask": torch.from_numpy(there.astype(np.int64)),
            "labels": torch.from_numpy(np.where(there, self._labels[where], NO_LOSS))
            if labels is None
            else labels,
        }
        if self._packing:
            inputs = packed(inputs)
        return MicroBatch(self._moved(inputs), int(lengths.sum()), inputs["input_ids"].numel())

    def _chosen(self, number: int) -> _Numbers:
        """The items of a micro-batch."""
        place = number * self._size
        found: list[_Numbers] = []
        left = self._size
        while left:
            turn, inside = divmod(place, self.items)
            part = self._order_of(turn)[inside : inside + left]
            found.append(part)
            place, left = place + len(part), left - len(part)
        return found[0] if len(found) == 1 else np.concatenate(found)

    def _order_of(self, turn: int) -> _Numbers:
        """The order of the items in a pass over them; those of passes before are let go."""
        if turn not in self._order:
            digest = hashlib.sha256(f"{self._seed} {turn}".encode()).digest()
            generator = torch.Generator().manual_seed(int.from_bytes(digest[:7]))
            self._order = {n: order for n, order in self._order.items() if n == turn - 1}
            self._order[turn] = torch.randperm(self.items, generator=generator).numpy()
        return self._order[turn]

    def _moved(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Bring a batch to the device without waiting for it, for which it must lie in pinned memory."""
        if self._device.type != "cuda":
            return inputs
        return {name: t.pin_memory().to(self._device, non_blocking=True) for name, t in inputs.items()}


def _pixels_of(example: Example) -> Tensor:
    if example.pixels is None:
        raise UsageError("the task has items with an image and items without one")
    return example.pixels


def _check_lengths(lengths: Sequence[int], seq: int, *, are_images: bool) -> None:
    for number, length in enumerate(lengths):
        if not are_images and not 0 < length <= seq:
            raise UsageError(f"item {number} to train on has {length} tokens, and seq is {seq}")


def _labels_of(examples: Sequence[Example], lengths: _Numbers) -> _Numbers:
    """The class of each item, or the label of each token of all items, one after the other.

    An item without any loss would make the mean of a batch of one what is not a number.
    """
    if isinstance(examples[0].labels, int):
        return np.array([_class_of(example) for example in examples], dtype=np.int64)
    flat: list[tuple[int, ...]] = []
    for number, (example, length) in enumerate(zip(examples, lengths, strict=True)):
        labels = example.labels
        if isinstance(labels, int) or len(labels) != length:
            raise UsageError(f"item {number} to train on has no label for each of its {length} tokens")
        # The first token follows on nothing, so it is not predicted.
        if all(label == NO_LOSS for label in labels[1:]):
            raise UsageError(f"item {number} to train on has no token with a loss; a larger seq may help")
        flat.append(labels)
    return np.fromiter(chain.from_iterable(flat), np.int64)


def _class_of(example: Example) -> int:
    if not isinstance(example.labels, int):
        raise UsageError("the task has items with one class and items with labels of tokens")
    return example.labels
