"""Why autograd holds a tensor: which operation needs it as which operand, for whose gradients."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from lorafa_prof.instruments.memory.storages import storage_key

_RAW = "_raw_saved_"
#: Of operations with several inputs: whose gradients (by position) need what was saved under a name, from
#: PyTorch's derivatives.yaml. What is not here is needed for the gradient of every input that has one.
_NEEDED_BY: Mapping[tuple[str, str], tuple[int, ...]] = {
    ("Mm", "self"): (1,),
    ("Mm", "mat2"): (0,),
    ("Addmm", "mat1"): (2,),
    ("Addmm", "mat2"): (1,),
    ("Bmm", "self"): (1,),
    ("Bmm", "mat2"): (0,),
    ("Baddbmm", "batch1"): (2,),
    ("Baddbmm", "batch2"): (1,),
    ("Mul", "self"): (1,),
    ("Mul", "other"): (0,),
    ("Div", "self"): (1,),
    # The gradient of the bias, its third input, is a sum and needs none of them.
    ("NativeLayerNorm", "input"): (0, 1),
    ("NativeLayerNorm", "result1"): (0, 1),
    ("NativeLayerNorm", "result2"): (0, 1),
    # Of lorafa_prof.layers, by the order in which they save: A and B are the last two inputs.
    ("LoraFunction", "0"): (-2,),
    ("LoraFunction", "1"): (-1,),
    ("LoraFunction", "2"): (0, -2),
    ("LoraFaFunction", "0"): (-1,),
    ("LoraFaFunction", "1"): (0,),
    ("FusedLinearCrossEntropyFunction", "0"): (0,),
    ("FusedLinearCrossEntropyFunction", "1"): (1,),
    ("FusedLinearCrossEntropyFunction", "2"): (2,),
    ("ChunkedCrossEntropyFunction", "0"): (0,),
    ("ChunkedCrossEntropyFunction", "1"): (1,),
    ("ChunkedCrossEntropyFunction", "2"): (2,),
}
#: Autograd's nodes that only pass a gradient on, in another shape or type.
_PASSING = frozenset(
    {
        "T",
        "Transpose",
        "Permute",
        "View",
        "UnsafeView",
        "ReshapeAlias",
        "ToCopy",
        "Expand",
        "Alias",
        "Unsqueeze",
    }
)


@dataclass(frozen=True, order=True)
class Need:
    """A use of a saved tensor in backward.

    Attributes:
        module: path of the module in whose forward the operation ran.
        op: the operation's name in autograd, such as ``Mm``, ``Silu`` or ``LoraFunction``.
        slot: the operand that the tensor is, by its name in PyTorch's derivatives ("self", "mat2", "result");
            for an autograd function in Python, its number among those that were saved.
        gradients_of: the parameters whose gradients it is needed for; "" stands for a result of an earlier
            operation, through which the gradient flows on.
    """

    module: str
    op: str
    slot: str
    gradients_of: tuple[str, ...]


def needs_of(root: Any, model: nn.Module, module_of: Callable[[Any], str]) -> dict[int, tuple[Need, ...]]:
    """Return the needs of the saved tensors behind the autograd node `root`, by the key of their storage.

    What hooks put away, as those of checkpointing do, is not looked at: that would bring it back.

    Args:
        root: the node of the loss.
        model: the model whose parameters are named.
        module_of: returns the path of the module that made a node.
    """
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    needs_by_storage: dict[int, set[Need]] = defaultdict(set)
    for node in _nodes(root):
        op = node_name(node)
        for slot, tensor in _saved_by(node):
            need = Need(module_of(node), op, slot, _gradients_of(node, op, slot, names))
            needs_by_storage[storage_key(tensor)].add(need)
    return {key: tuple(sorted(needs)) for key, needs in needs_by_storage.items()}


def node_name(node: Any) -> str:
    """Return an autograd node's name without its suffix: ``Mm`` for ``MmBackward0``."""
    return str(node.name()).rpartition("::")[2].rstrip("0123456789").removesuffix("Backward")


def _nodes(root: Any) -> Iterator[Any]:
    seen, todo = {root}, [root]
    while todo:
        node = todo.pop()
        yield node
        new = {following for following, _ in node.next_functions if following is not None} - seen
        seen |= new
        todo += new


def _saved_by(node: Any) -> Iterator[tuple[str, Tensor]]:
    kind: object = type(node)
    for name in _raw_names(kind):
        raw = getattr(node, name)
        several = isinstance(raw, (tuple, list))
        for index, packed in enumerate(raw if several else (raw,)):
            # `data` is what was packed: a tensor, unless hooks of others put it away. Older PyTorch has none.
            data = getattr(packed, "data", None)
            if isinstance(data, Tensor) and torch._C._has_storage(data):
                yield str(index) if name == f"{_RAW}tensors" else name.removeprefix(_RAW), data


@cache
def _raw_names(kind: object) -> tuple[str, ...]:
    """Return the attributes in which nodes of a type keep what they saved.

    They are cached: a large model has thousands of nodes of a few dozen types.
    """
    return tuple(name for name in dir(kind) if name.startswith(_RAW))


def _gradients_of(node: Any, op: str, slot: str, names: Mapping[int, str]) -> tuple[str, ...]:
    inputs = [following for following, _ in node.next_functions]
    needing = _NEEDED_BY.get((op, slot), range(len(inputs)))
    targets = (_target(inputs[index], names) for index in needing if inputs[index] is not None)
    return tuple(sorted(set(targets)))


def _target(node: Any, names: Mapping[int, str]) -> str:
    """Return the parameter that a gradient arrives at with no computation on the way; "" if there is none."""
    while node is not None and node_name(node) in _PASSING:
        node = node.next_functions[0][0]
    return names.get(id(getattr(node, "variable", None)), "")
