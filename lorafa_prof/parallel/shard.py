"""How FSDP2 spreads a model over ranks: a value of the axis `shard`."""

from __future__ import annotations

from typing import Literal

from pydantic import StrictBool

from lorafa_prof.frozen_data import Frozen

Parallel = Literal["none", "ddp", "fsdp2"]
#: The one that has a `Shard`.
SHARDED: Parallel = "fsdp2"


class Shard(Frozen):
    """What `torch.distributed.fsdp.fully_shard` is told, of each layer and of the root.

    Attributes:
        reshard_after_forward: whether a layer's gathered parameters are freed after its forward, and gathered
            again in backward.
        mp: "bf16": layers are gathered and computed in bf16, and gradients reduced in fp32, whatever types
            parameters are kept in; "none": all in the parameters' types.
        offload: "cpu": shards, their gradients and the optimizer's state are kept on the host.
    """

    reshard_after_forward: StrictBool = True
    mp: Literal["none", "bf16"] = "none"
    offload: Literal["none", "cpu"] = "none"

    @property
    def text(self) -> str:
        """What is not at its default, as the table has it: "reshard_after_forward=false,mp=bf16"; or ""."""
        said = self.model_dump(mode="json", exclude_defaults=True)
        return ",".join(f"{name}={str(value).lower()}" for name, value in said.items())
