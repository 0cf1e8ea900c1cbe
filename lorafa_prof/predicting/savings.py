"""What would free how much of what is there when most is allocated."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from lorafa_prof.devices.sim.blocks import MIN_BLOCK
from lorafa_prof.layers.quantized.four_bit import BLOCK
from lorafa_prof.optim.eight_bit_shapes import bytes_of_moments
from lorafa_prof.predicting.recorder import Holding

#: bitsandbytes' quantize_4bit: the values of 4 bits, with each weight.
_CODE_BYTES = 16 * 4
_FLOATS = (torch.float32, torch.bfloat16, torch.float16)


@dataclass(frozen=True)
class Saving:
    """What a change would free at the peak, if nothing else changed. Those of several changes do not add up.

    Attributes:
        what: the change, in words.
        bytes: allocated, less what the change takes in their place.
        up_to: whether that is a bound: it may be less.
    """

    what: str
    bytes: int
    up_to: bool = False


def savings_of(there: Sequence[Holding]) -> tuple[Saving, ...]:
    """Return what would free something of the blocks that are there at the peak, most first."""
    found = [
        *_of_the_batch(there),
        *_of_the_optimizer(there),
        _fewer_that_train(there),
        _in_16_bits(there),
        _in_4_bits(there),
    ]
    return tuple(sorted((each for each in found if each.bytes > 0), key=lambda saving: -saving.bytes))


def _of_the_batch(there: Sequence[Holding]) -> list[Saving]:
    activations = _held(each for each in there if each.kind == "activations")
    between = _held(each for each in there if each.is_temporary and each.moment.phase != "optimizer")
    return [
        Saving("half the batch, twice as often", (activations + between) // 2, up_to=True),
        Saving("checkpointing, or more of it", activations, up_to=True),
    ]


def _of_the_optimizer(there: Sequence[Holding]) -> list[Saving]:
    state = [each for each in there if each.kind == "optimizer"]
    moments = [each for each in state if "adam" in each.traits]
    eight_bit = _blocks(bytes_of_moments(each.elements for each in moments))
    return [
        Saving("an optimizer without state (SGD)", _held(state)),
        Saving("Adam's state in 8 bits (AdamW8bit of bitsandbytes)", _held(moments) - eight_bit),
    ]


def _fewer_that_train(there: Sequence[Holding]) -> Saving:
    """Adapters have gradients and state too, so that it is a bound; where they alone train, it is nothing."""
    weights = [each for each in there if each.kind == "weights"]
    training = sum(each.size_bytes for each in weights if "trains" in each.traits)
    of_training = _held(each for each in there if each.kind in ("gradients", "optimizer"))
    mostly = 2 * training > _held(weights)
    return Saving("training adapters alone (LoRA)", of_training if mostly else 0, up_to=True)


def _in_16_bits(there: Sequence[Holding]) -> Saving:
    """Gradients have the type of their weight, and so have Adam's moments."""
    wide = [
        each
        for each in there
        if each.dtype == torch.float32 and (each.kind in ("weights", "gradients") or "adam" in each.traits)
    ]
    if not any(each.kind == "weights" for each in wide):
        return Saving("", 0)
    follow = ", gradients and Adam's state with them" if any(each.kind != "weights" for each in wide) else ""
    narrow = sum(_blocks((2 * each.elements,)) for each in wide)
    return Saving(f"fp32 weights in bf16{follow}", _held(wide) - narrow)


def _in_4_bits(there: Sequence[Holding]) -> Saving:
    """A bound: each weight is there in 16 bits, too, while it is multiplied by."""
    frozen = [
        each
        for each in there
        if "linear" in each.traits and "trains" not in each.traits and each.dtype in _FLOATS
    ]
    packed = sum(
        _blocks((-(-each.elements // 2), 4 * -(-each.elements // BLOCK), _CODE_BYTES)) for each in frozen
    )
    return Saving("frozen linear layers in 4 bits (nf4)", _held(frozen) - packed, up_to=True)


def _held(holdings: Iterable[Holding]) -> int:
    return sum(each.size_bytes for each in holdings)


def _blocks(requests: Iterable[int]) -> int:
    """The bytes of the blocks that these take, rounded as the allocator rounds."""
    return sum(-(-each // MIN_BLOCK) * MIN_BLOCK for each in requests)
