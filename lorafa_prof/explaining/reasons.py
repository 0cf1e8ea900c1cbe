"""Why a tensor is kept, in words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from lorafa_prof.explaining.composition import Piece
from lorafa_prof.explaining.names import short_module, short_parameter
from lorafa_prof.instruments.saved.needs import Need
from lorafa_prof.results.tensors import TensorKey
from lorafa_prof.words.phrases import listed


class _Operation(NamedTuple):
    """An operation of autograd: its name, what it saves, and where a gradient that is no parameter's goes."""

    name: str
    slots: dict[str, str]
    onward: str = "its input"


_OTHER_FACTOR = "the other factor"
_OPERATIONS: dict[str, _Operation] = {
    "Mm": _Operation("a matrix product", {"self": "input", "mat2": "a factor"}, _OTHER_FACTOR),
    "Addmm": _Operation("a matrix product", {"mat1": "input", "mat2": "a factor"}, _OTHER_FACTOR),
    "Bmm": _Operation("a matrix product", {"self": "a factor", "mat2": "a factor"}, _OTHER_FACTOR),
    "GroupedMm": _Operation(
        "experts' products", {"self": "input", "mat2": "a factor", "offs": "ends of experts"}, _OTHER_FACTOR
    ),
    "Mul": _Operation("a product", {"self": "a factor", "other": "a factor"}, _OTHER_FACTOR),
    "Pow": _Operation("a power", {"self": "input"}),
    "Rsqrt": _Operation("1/√x", {"result": "result"}),
    "Silu": _Operation("SiLU", {"self": "input"}),
    "Gelu": _Operation("GELU", {"self": "input"}),
    "Relu": _Operation("ReLU", {"result": "result"}),
    "Tanh": _Operation("tanh", {"result": "result"}),
    "Softmax": _Operation("a softmax", {"result": "result"}),
    "SafeSoftmax": _Operation("a softmax", {"result": "result"}),
    "LogSoftmax": _Operation("the loss", {"result": "log-probabilities"}, "the logits"),
    "NllLoss": _Operation(
        "the loss",
        {"self": "log-probabilities", "target": "labels", "total_weight": "number of labels"},
        "the logits",
    ),
    "NativeLayerNorm": _Operation(
        "a layer norm", {"input": "input", "result1": "means", "result2": "1/deviations"}
    ),
    "NativeDropout": _Operation("dropout", {"result1": "mask"}),
    "Embedding": _Operation("an embedding", {"indices": "tokens"}),
    "Where": _Operation("a choice of numbers", {"condition": "which to choose"}),
    "Div": _Operation("a quotient", {"self": "numerator", "other": "denominator"}),
    "LoraFunction": _Operation("LoRA", {"0": "input x", "1": "x·Aᵀ", "2": "dropout mask"}),
    "LoraFaFunction": _Operation("LoRA-FA", {"0": "x·Aᵀ", "1": "dropout mask"}),
    "ExpertsLoraFunction": _Operation(
        "experts' LoRA", {"0": "ends of experts", "1": "input x", "2": "x·Aᵀ", "3": "dropout mask"}
    ),
    "ExpertsLoraFaFunction": _Operation(
        "experts' LoRA-FA", {"0": "ends of experts", "1": "x·Aᵀ", "2": "dropout mask"}
    ),
    "RmsNormFunction": _Operation("an RMS norm", {"0": "input", "1": "1/rms of each row"}),
    **dict.fromkeys(
        ("FusedLinearCrossEntropyFunction", "ChunkedCrossEntropyFunction"),
        _Operation("the loss in chunks", dict.fromkeys(("0", "1"), "gradient, formed in forward,")),
    ),
}
_ATTENTION = _Operation(
    "attention",
    {
        "query": "queries",
        "key": "keys",
        "value": "values",
        "output": "output",
        "logsumexp": "sums of each row",
        "log_sumexp": "sums of each row",
        "philox_seed": "state of dropout",
        "philox_offset": "state of dropout",
        "attn_bias": "mask",
    },
    "queries, keys and values",
)


_CAST_WEIGHT = "autocast's copy: none is made of weights in that type (`dtype`, of adapters `adapter_dtype`)"


def reasons(piece: Piece, *, checkpointed: bool = False) -> list[str]:
    """A line for each use of a saved tensor in backward; of others none.

    Args:
        piece: of saved tensors.
        checkpointed: whether parts of the model keep only what goes into them.
    """
    if piece.part != "saved":
        return []
    if piece.key.kind == "cast_weight":
        return [*uses(piece.needs, piece.key), _CAST_WEIGHT]
    if piece.needs:
        return uses(piece.needs, piece.key)
    if checkpointed and not piece.key.op:
        return ["what goes into a checkpointed part: its forward runs again from here"]
    return [f"kept by {piece.key.op or 'a function of its own'}, for its backward"]


def uses(needs: Sequence[Need], key: TensorKey) -> list[str]:
    """What the tensors of `key` are needed for, in words.

    One line for what differs in nothing but the part saved, or the parameter that gets the gradient.
    """
    saved: dict[tuple[str, str, tuple[str, ...]], list[str]] = defaultdict(list)
    for need in sorted(needs, key=_order):
        operation = _operation(need.op)
        targets = tuple(short_parameter(name) if name else operation.onward for name in need.gradients_of)
        elsewhere = "" if any(need.gradients_of) or need.module == key.module else short_module(need.module)
        what = operation.slots.get(need.slot) or _named_slot(need.slot)
        saved[operation.name, elsewhere, targets].append(what)
    uses: dict[tuple[str, str, tuple[str, ...]], list[str]] = defaultdict(list)
    for (name, elsewhere, targets), whats in saved.items():
        uses[name, elsewhere, tuple(dict.fromkeys(whats))].extend(targets)
    return [
        f"{listed(whats)} of {name}{f' in {elsewhere}' if elsewhere else ''}, "
        f"for the gradient of {listed(dict.fromkeys(targets)) or 'its input'}"
        for (name, elsewhere, whats), targets in uses.items()
    ]


def _order(need: Need) -> tuple[str, int]:
    return need.op, [*_operation(need.op).slots, need.slot].index(need.slot)


def _operation(op: str) -> _Operation:
    return _ATTENTION if "Attention" in op else _OPERATIONS.get(op) or _Operation(op, {})


def _named_slot(slot: str) -> str:
    return f"tensor {int(slot) + 1}" if slot.isdigit() else slot
