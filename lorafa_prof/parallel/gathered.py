"""What FSDP2 gathers layers' parameters into: the same tensors in each step, without memory in between."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule


def gathered_parameters(model: nn.Module) -> Iterator[Tensor]:
    """Yield the whole parameters that were gathered so far, flat; none of a model that is not sharded."""
    for module in model.modules():
        group = module._get_fsdp_state()._fsdp_param_group if isinstance(module, FSDPModule) else None
        for parameter in group.fsdp_params if group is not None else ():
            yield from parameter.all_gather_outputs
