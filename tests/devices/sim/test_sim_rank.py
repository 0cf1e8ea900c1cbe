"""A rank on the twin: what FSDP2 and DDP take, on which stream, until when; and against other sources."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
import torch
import torch.distributed as dist
from on_ranks import on_ranks
from torch import Tensor, nn
from torch.distributed._tools.fsdp2_mem_tracker import FSDPMemTracker
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import LlamaConfig, LlamaForCausalLM

from lorafa_prof.devices.gpus.gpu import GPUS
from lorafa_prof.devices.sim.allocator import MIB
from lorafa_prof.devices.sim.rank import Rank
from lorafa_prof.devices.sim.twin import Twin
from lorafa_prof.errors import LorafaProfError
from lorafa_prof.parallel.shard import Parallel, Shard
from lorafa_prof.parallel.wrap import wrap

RANKS = 2
LAYERS = 3
HIDDEN = 64
FIRST = Rank(0, RANKS)
DEFAULTS = Shard()
COMPUTING, COPYING_IN, REDUCING = 0, 1, 3
WORKSPACES = 2 * 32 * MIB
#: No activation of these steps is as large as the smallest of a layer's gathered parameters.
LARGE = 20_000


def llama(device: str, vocab: int = 1000) -> nn.Module:
    config = LlamaConfig(
        hidden_size=HIDDEN,
        intermediate_size=3 * HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=vocab,
        use_cache=False,
    )
    torch.manual_seed(0)
    with torch.device(device):
        return LlamaForCausalLM(config)


class Trained(NamedTuple):
    model: nn.Module
    optimizer: torch.optim.Optimizer
    ids: Tensor

    def forward(self) -> Tensor:
        loss: Tensor = self.model(input_ids=self.ids, labels=self.ids).loss
        return loss

    def step(self) -> None:
        self.forward().backward()
        self.update()

    def update(self) -> None:
        self.optimizer.step()
        self.optimizer.zero_grad()


def spread(model: nn.Module, parallel: Parallel, shard: Shard, device: str) -> Trained:
    model = wrap(model, parallel, shard, init_device_mesh(device, (dist.get_world_size(),)))
    ids = torch.zeros(1, 8, dtype=torch.long, device=device)
    return Trained(model, torch.optim.AdamW(model.parameters(), fused=device == "cuda"), ids)


@contextmanager
def on_rank(
    parallel: Parallel, shard: Shard = DEFAULTS, rank: Rank = FIRST, **options: int
) -> Iterator[tuple[Twin, Trained]]:
    with Twin(GPUS["h100-80gb"], rank=rank) as twin:
        yield twin, spread(llama("cuda", **options), parallel, shard, "cuda")


class Requests:
    """The requests and frees of large blocks, each with the stream of its pool: +bytes or -bytes."""

    def __init__(self, twin: Twin) -> None:
        self._allocator = twin.allocator
        self._blocks: dict[Any, tuple[int, int]] = {}
        self.log: list[tuple[int, int]] = []
        twin.mode.memory = self

    def malloc(self, requested_bytes: int) -> Any:
        block = self._allocator.malloc(requested_bytes)
        if requested_bytes > LARGE:
            self._blocks[block] = (self._allocator.stream, requested_bytes)
            self.log.append(self._blocks[block])
        return block

    def free(self, block: Any) -> None:
        self._allocator.free(block)
        if block in self._blocks:
            stream, size = self._blocks.pop(block)
            self.log.append((stream, -size))

    def of(self, *streams: int) -> list[int]:
        return [size for stream, size in self.log if stream in streams]


class Sizes(NamedTuple):
    """Bytes in fp32 of what a layer's and the root's parameters are gathered into, and of an MLP's matrix."""

    layer: int
    root: int
    matrix: int


def sizes_of(model: nn.Module) -> Sizes:
    of_layer = sum(parameter.numel() for parameter in model.model.layers[0].parameters())
    all_layers = sum(parameter.numel() for parameter in model.model.layers.parameters())
    root = sum(parameter.numel() for parameter in model.parameters()) - all_layers
    return Sizes(4 * of_layer, 4 * root, 4 * 3 * HIDDEN * HIDDEN)


def gathered(model: nn.Module) -> list[int]:
    """Bytes of what each parameter is gathered into."""
    states = [module._get_fsdp_state() for module in model.modules() if isinstance(module, FSDPModule)]
    parameters = [parameter for state in states for parameter in state._fsdp_param_group.fsdp_params]
    return [parameter.all_gather_outputs[0].untyped_storage().nbytes() for parameter in parameters]


def test_forward_gathers_one_layer_beside_another_and_frees_what_was_gathered() -> None:
    with on_rank("fsdp2") as (twin, trained):
        layer, root, matrix = sizes_of(trained.model)
        trained.step()
        requests = Requests(twin)
        loss = trained.forward()
        assert requests.of(COPYING_IN) == [root, layer, -root, layer, -layer, layer, -layer, -layer]
        assert [size for size in requests.of(COMPUTING) if abs(size) == matrix] == [
            *[matrix] * 3,
            *[-matrix] * 3,
        ] * LAYERS
        assert not any(gathered(trained.model))
        del loss


def test_backward_has_two_layers_at_a_time_and_reduces_beside() -> None:
    with on_rank("fsdp2") as (twin, trained):
        layer, root, _ = sizes_of(trained.model)
        trained.step()
        loss = trained.forward()
        requests = Requests(twin)
        loss.backward()
        # Each layer's gathering starts before what the layer above it was gathered into is computed with.
        assert requests.of(COPYING_IN) == [root, -root, layer, -layer, layer, -layer, layer, -layer]
        assert requests.of(REDUCING) == [*[layer // RANKS] * LAYERS, root // RANKS]
        reduced = [size for size in requests.of(COMPUTING) if abs(size) in (layer, root)]
        assert reduced == [layer, -layer, layer, -layer, layer, -layer, root, -root]
        trained.update()
        assert requests.of(REDUCING)[LAYERS + 1 :] == [*[-(layer // RANKS)] * LAYERS, -(root // RANKS)]


def test_without_resharding_nothing_is_gathered_in_backward() -> None:
    with on_rank("fsdp2", Shard(reshard_after_forward=False)) as (twin, trained):
        trained.step()
        loss = trained.forward()
        assert all(gathered(trained.model))
        requests = Requests(twin)
        loss.backward()
        assert requests.of(COPYING_IN) == []
        assert not any(gathered(trained.model))


def test_in_mixed_precision_layers_are_gathered_in_bf16_and_reduced_in_fp32() -> None:
    with on_rank("fsdp2", Shard(mp="bf16")) as (twin, trained):
        layer, root, _ = sizes_of(trained.model)
        trained.step()
        loss = trained.forward()
        requests = Requests(twin)
        loss.backward()
        # The shards are cast into one tensor first, then copied to where they are gathered.
        of_root, of_layer = ([size // 4, size // 2, -size // 4, -size // 2] for size in (root, layer))
        assert requests.of(COPYING_IN) == of_root + LAYERS * of_layer
        assert requests.of(REDUCING)[:LAYERS] == [layer // RANKS] * LAYERS
        assert requests.of(COMPUTING).count(layer) == LAYERS


def test_a_rank_with_fewer_rows_has_smaller_moments() -> None:
    rows = {}
    for number in (0, 6, 7):
        with on_rank("fsdp2", rank=Rank(number, 8), vocab=1001) as (twin, trained):
            trained.step()
            embedding = trained.model.model.embed_tokens.weight
            moment = trained.optimizer.state[embedding]["exp_avg"].to_local()
            rows[number] = moment.shape[0]
            assert twin.mode.block_of(moment).requested_bytes == rows[number] * HIDDEN * 4
    assert rows == {0: 126, 6: 126, 7: 1001 - 7 * 126}


def test_ddp_reduces_in_buckets_that_are_made_anew_after_the_first_step() -> None:
    with Twin(GPUS["h100-80gb"], rank=Rank(0, RANKS)) as twin:
        with torch.device("cuda"):
            model = nn.Sequential(*(nn.Linear(*size, bias=False) for size in [(384, 512), (512, 384)] * 3))
        requests = Requests(twin)
        trained = spread(model, "ddp", Shard(), "cuda")
        x = torch.zeros(8, 384, device="cuda")
        for _ in range(3):
            trained.model(x).sum().backward()
            trained.update()
    of_buckets = [size for _, size in requests.log if MIB < abs(size) < 32 * MIB]
    # Weights are sent to all ranks at once, then all gradients are reduced at once. From the second step on
    # two of them, of 768 KiB each, are beyond the first bucket's 1 MiB, and the others within the next one's
    # 25 MiB.
    gradient = 768 * 1024
    assert of_buckets == [*[6 * gradient, -6 * gradient] * 2, 2 * gradient, 4 * gradient]


def test_pytorchs_own_tracker_counts_the_same_bytes() -> None:
    """What it counts is each storage in whole 512 B; kernels' own memory is out of its sight."""
    with on_rank("fsdp2") as (twin, trained):
        trained.step()
        twin.allocator.reset_peaks()
        tracker = FSDPMemTracker(trained.model, trained.optimizer)
        tracker.track_inputs((trained.ids,))
        with tracker:
            trained.step()
        (peak,) = tracker.get_tracker_snapshot("peak").values()
        assert peak["Total"] == twin.allocator.allocated.peak - WORKSPACES


class Collectives(TorchDispatchMode):
    """The collectives of a rank, in order: name, and elements of what each tensor has."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[tuple[str, list[int]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if any(issubclass(kind, DTensor) for kind in types):
            return NotImplemented
        if func.namespace == "c10d":
            tensors = [tensor for arg in args for tensor in (arg if isinstance(arg, list) else [arg])]
            numbers = [tensor.numel() for tensor in tensors if isinstance(tensor, Tensor)]
            self.log.append((func.__name__, numbers))
        return func(*args, **(kwargs or {}))


def collectives_of(trained: Trained) -> list[tuple[str, list[int]]]:
    with Collectives() as collectives:
        for _ in range(2):
            trained.step()
    return collectives.log


def collectives_here(parallel: Parallel) -> list[tuple[str, list[int]]]:
    return collectives_of(spread(llama("cpu", vocab=1001), parallel, Shard(), "cpu"))


@pytest.mark.parametrize("parallel", ["fsdp2", "ddp"])
def test_two_processes_run_the_same_collectives(parallel: Parallel) -> None:
    for number, theirs in enumerate(on_ranks(collectives_here, parallel)):
        with on_rank(parallel, rank=Rank(number, RANKS), vocab=1001) as (_, trained):
            ours = collectives_of(trained)
        assert ours
        assert ours == theirs


def test_a_process_is_one_rank_at_a_time() -> None:
    with on_rank("fsdp2"):
        pass
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        with pytest.raises(LorafaProfError, match="is a rank already"), on_rank("ddp"):
            pass
    finally:
        dist.destroy_process_group()
    assert not torch.cuda.is_available()
