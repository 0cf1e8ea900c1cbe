"""Which cells can run on several ranks: what cannot is refused before anything is measured."""

from __future__ import annotations

import torch

from lorafa_prof.cell import Cell
from lorafa_prof.errors import UsageError
from lorafa_prof.methods.base import METHODS
from lorafa_prof.models.kernels import PACKED
from lorafa_prof.models.quantization import BY_BITSANDBYTES, EIGHT_BIT_FLOAT
from lorafa_prof.optim.optimizer import OPTIMIZERS
from lorafa_prof.running.ranks.allocation import allocation_here
from lorafa_prof.words.phrases import count


def check_ranks(cell: Cell) -> None:
    """Check that the cell's `parallel` and `gpus` go together with each other and with its other settings.

    Raises:
        UsageError: they do not; the line says what does.
    """
    if cell.parallel == "none":
        if cell.gpus > 1:
            raise UsageError(
                f"gpus is {cell.gpus}, and parallel is none, which is a step on one GPU; set parallel to "
                "ddp or fsdp2",
                about="gpus",
            )
        return
    _check_number(cell)
    _check_step(cell)
    if cell.parallel == "ddp":
        _check_ddp(cell)
    else:
        _check_fsdp2(cell)


def check_gpus_here(cell: Cell) -> None:
    """Check that there are as many ranks as the user started some, or else GPUs, as the cell is measured on.

    Raises:
        UsageError: there are fewer.
    """
    allocation = allocation_here()
    if allocation is not None and cell.has_ranks and cell.gpus > allocation.ranks:
        raise UsageError(
            f"gpus is {cell.gpus}, and {allocation.ranks} ranks were started; set gpus to {allocation.ranks} "
            "or less, or start more",
            about="gpus",
        )
    there = torch.cuda.device_count() if allocation is None else allocation.ranks
    if cell.device_kind == "cuda" and cell.has_ranks and cell.gpus > there:
        raise UsageError(
            f"gpus is {cell.gpus}, and PyTorch sees {count(there, 'GPU')} here; set gpus to {there} or less, "
            "or device to sim:<gpu>",
            about="gpus",
        )


def _check_number(cell: Cell) -> None:
    if cell.gpus > 1:
        return
    if cell.parallel == "ddp":
        raise UsageError(
            "parallel 'ddp' averages gradients over GPUs, and gpus is 1; set gpus to 2 or more, or "
            "parallel to none",
            about="parallel",
        )
    if cell.device_kind == "cpu":
        raise UsageError(
            "parallel 'fsdp2' on the CPU needs several processes, and gpus is 1; set gpus to 2 or more",
            about="parallel",
        )


def _check_step(cell: Cell) -> None:
    if cell.is_evaluation:
        raise UsageError(
            f"phase 'eval' is measured on one GPU, and parallel is {cell.parallel}; set parallel to none, or "
            "phase to train",
            about="phase",
        )
    if cell.update == "backward":
        raise UsageError(
            f"update 'backward' uses gradients before ranks have reduced them, and parallel is "
            f"{cell.parallel}; set update to step",
            about="update",
        )


def _check_ddp(cell: Cell) -> None:
    if cell.quantization == EIGHT_BIT_FLOAT and cell.device_kind == "cpu":
        raise UsageError(
            "quantization 'fp8': PyTorch's DDP sends each rank the base, and Gloo, by which it does on the "
            "CPU, has no 8-bit floats; set device to cuda, or parallel to fsdp2",
            about="quantization",
        )


def _check_fsdp2(cell: Cell) -> None:
    """What PyTorch cannot do with parameters of which each rank has its rows (DTensors)."""
    if cell.quantization in BY_BITSANDBYTES:
        raise UsageError(
            f"quantization '{cell.quantization}': weights that bitsandbytes packed lose what they are "
            "unpacked with when fsdp2 shards them; set quantization to none or fp8, or parallel to ddp",
            about="quantization",
        )
    if cell.quantization == EIGHT_BIT_FLOAT and cell.shard.mp != "none":
        raise UsageError(
            f"shard.mp '{cell.shard.mp}' gathers all weights in it, those of quantization 'fp8' too, which "
            "would be 8-bit floats no more; set mp to none",
            about="shard",
        )
    if cell.kernels == PACKED:
        raise UsageError(
            "kernels 'packed' multiplies by weights that lie side by side, and fsdp2 shards each by itself; "
            "set kernels to another, or parallel to ddp",
            about="kernels",
        )
    if not OPTIMIZERS[cell.optimizer].shards:
        can = ", ".join(name for name, choice in OPTIMIZERS.items() if choice.shards)
        raise UsageError(
            f"optimizer '{cell.optimizer}' cannot update sharded parameters; those that can: {can}",
            about="optimizer",
        )
    if not METHODS[cell.method.name].shards:
        can = ", ".join(name for name, method in METHODS.items() if method.shards)
        raise UsageError(
            f"method '{cell.method.name}' has an optimizer that cannot update sharded parameters; methods "
            f"that can: {can}",
            about="name",
        )
    if cell.method.options.get("draw_seed") is not None:
        raise UsageError(
            "draw_seed: a sharded model's numbers are drawn one after the other, once it has its shards; "
            "leave it out, or set parallel to ddp",
            about="draw_seed",
        )
    if cell.shard.offload == "cpu" and cell.device_kind != "cuda":
        why = (
            "is not predicted: the host updates shards there, with numbers that a twin does not know"
            if cell.is_predicted
            else "keeps shards on the host, and on the CPU they are there"
        )
        raise UsageError(f"shard.offload 'cpu' {why}; set device to cuda, or offload to none", about="shard")
