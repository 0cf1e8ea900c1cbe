"""Telling a product from other operations where its FLOPs have no formula: by name, else by shapes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from itertools import permutations
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_leaves

#: Words of a name, between underscores and dots, that say that an operation is made of products.
_SAYS_PRODUCT = re.compile(
    r"(add|badd|addb|b|h|ss?p?|smm)?mm|(add|ge)?mv|gemm|v?dot|vecdot|tensordot|einsum|matmul|linear|bilinear|trilinear"
    r"|conv|conv(tbc)?[123]d|convolution|attention|attn|sdpa|mha|lstm|gru|rnn"
)
#: Words that say that it only makes a product ready, or makes numbers of what it gave.
_SAYS_NONE = re.compile(r"(pre)?pack|quantize|dequant(ize)?|reorder|search|compress|flatten")
#: PyTorch's own operations, whose names say what they are.
_NAMES_SAY = ("aten", "prims", "prim")


def is_product(name: str, arguments: Any, result: Any) -> bool:
    """Return whether an operation looks like a matrix product, or like several in one kernel.

    Args:
        name: of the operation, with its library: "aten._weight_int4pack_mm".
        arguments: what it was called with.
        result: what it returned.
    """
    said = _said_by(name)
    return _multiplies(list(_matrices(arguments)), list(_matrices(result))) if said is None else said


@cache
def _said_by(name: str) -> bool | None:
    """What the name says; None if it says nothing of it."""
    words = [word for word in re.split(r"[._]+", name.lower()) if word]
    if any(_SAYS_NONE.fullmatch(word) for word in words):
        return False
    if any(_SAYS_PRODUCT.fullmatch(word) for word in words):
        return True
    return False if words[0] in _NAMES_SAY else None


def _matrices(values: Any) -> Iterator[tuple[int, ...]]:
    """The shapes of the tensors of numbers with at least two dimensions."""
    for value in tree_leaves(values):
        if isinstance(value, Tensor) and value.dim() >= 2 and value.is_floating_point():
            yield tuple(value.shape)


def _multiplies(given: list[tuple[int, ...]], returned: list[tuple[int, ...]]) -> bool:
    """Whether some result is [..., n] for arguments [..., k] and [k, n] or [n, k].

    Where nothing is told apart, all being of one shape, it is taken for element-wise.
    """
    return any(
        y[:-1] == x[:-1] and {x[-1], y[-1]} == set(w[-2:]) and not x == w == y
        for x, w in permutations(given, 2)
        for y in returned
    )
