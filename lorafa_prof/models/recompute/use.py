"""Making a model do what a value of `checkpointing` says, but for whole layers, seen to in `build.py`."""

from __future__ import annotations

from torch import nn

from lorafa_prof.models.recompute.attention import recompute_attention
from lorafa_prof.models.recompute.choice import Checkpointing
from lorafa_prof.models.recompute.mlp import recompute_mlps
from lorafa_prof.models.recompute.offload import offload
from lorafa_prof.models.recompute.packed_layers import recompute_packed_halves


def use_checkpointing(checkpointing: str, model: nn.Module) -> None:
    """Make `model`, which its method has prepared to train and which has its kernels, recompute and offload.

    Raises:
        UsageError: there is no such value, or the model has not what it asks for.
    """
    choice = Checkpointing.read(checkpointing)
    if choice.layers == "full":
        recompute_packed_halves(model)
    if choice.attention:
        recompute_attention(model)
    if choice.mlp_share:
        recompute_mlps(model, choice.mlp_share)
    if choice.offload_share:
        offload(model, choice.offload_share)
