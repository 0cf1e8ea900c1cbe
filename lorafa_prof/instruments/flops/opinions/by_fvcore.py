"""A second opinion on the FLOPs of forward: fvcore, which counts them from a trace of the model."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lorafa_prof.errors import UsageError

PRODUCTS = frozenset({"linear", "addmm", "mm", "bmm", "matmul", "einsum", "conv"})


class _LossOf(nn.Module):
    """The loss as a module of tensors by position, which a trace can follow."""

    def __init__(self, model: nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self.model = model
        self.names = names

    def forward(self, *values: Tensor) -> Any:
        """Return the loss of the batch."""
        return self.model(**dict(zip(self.names, values, strict=True))).loss


def fvcore_forward_flops(model: nn.Module, inputs: Mapping[str, Tensor]) -> dict[str, int]:
    """Return the FLOPs of one forward pass by fvcore, of each module itself and not of its children.

    fvcore counts a multiply-add as one, so its numbers are doubled. It sees neither inside a fused attention
    nor inside a Python autograd function: give it a model with ``attention="eager"`` and without this
    package's adapters.

    Raises:
        UsageError: fvcore is not installed.
    """
    try:
        from fvcore.nn import FlopCountAnalysis
    except ImportError as error:
        raise UsageError(f"fvcore needs the extra: pip install 'lorafa-prof[flops]' ({error})") from error
    logging.getLogger("fvcore.nn.jit_analysis").setLevel(logging.ERROR)
    names = tuple(inputs)
    with torch.no_grad():
        analysis = FlopCountAnalysis(_LossOf(model, names), tuple(inputs[name] for name in names))
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        # Layer norms and poolings are element-wise work, which the count of products leaves out.
        whole = {
            path: 2 * int(sum(count for operation, count in counts.items() if operation in PRODUCTS))
            for path, counts in analysis.by_module_and_operator().items()
        }
    own = Counter(whole)
    for path, flops in whole.items():
        if path:
            own[path.rpartition(".")[0]] -= flops
    return {path.removeprefix("model").removeprefix("."): flops for path, flops in own.items() if flops}
