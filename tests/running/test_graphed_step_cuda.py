"""On a GPU: steps replayed as CUDA graphs are those that launch their kernels singly, bit for bit."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_cells import tiny_cell
from torch import Tensor

from lorafa_prof.cell import Cell, MethodChoice, Steps
from lorafa_prof.methods.base import Prepared
from lorafa_prof.models.inputs import make_inputs
from lorafa_prof.models.resolve import resolve_model
from lorafa_prof.results.record import CellResult
from lorafa_prof.running import prepare
from lorafa_prof.running.launch import stream_of
from lorafa_prof.running.measure import measure_cell
from lorafa_prof.running.prepare import measured_step, prepare_step
from lorafa_prof.running.worker import run_cell

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
]

CUDA = torch.device("cuda", 0)
STEPS = 4
FAMILIES = ["tiny-llama", "tiny-roberta", "tiny-t5", "tiny-gpt2"]
METHODS = ["full-ft", "lora", "lora-fa", "lora-fa batched", "peft-lora"]


@pytest.fixture(autouse=True)
def nothing_of_other_tests() -> None:
    """What they left for the garbage collector would be let go in the midst of a capture."""
    gc.collect()
    torch.cuda.empty_cache()


def cuda_cell(model: str, method: str, **settings: Any) -> Cell:
    name, *batched = method.split()
    fields: dict[str, Any] = {"device": "cuda", "gpu": "h100-80gb", "dtype": "bf16", "steps": Steps(warmup=2)}
    cell = tiny_cell(model, name, **{**fields, **settings})
    if not batched:
        return cell
    options = {**cell.method.options, "correction": "batched"}
    return cell.model_copy(update={"method": MethodChoice(name=name, options=options)})


def batch_of(cell: Cell, number: int) -> dict[str, Tensor]:
    sizes: dict[str, Any] = {"batch": cell.batch, "seq": cell.seq, "device": CUDA}
    return make_inputs(resolve_model(cell.model), seed=number, **sizes)


def trained(cell: Cell) -> tuple[list[float], dict[str, Tensor]]:
    """Losses of steps after warm-up, each with a batch of its own, and the weights that they end with."""
    with stream_of(cell):
        prepared, training = prepare_step(cell, CUDA)
        step = measured_step(cell, training, CUDA)
        torch.manual_seed(0)
        training.run()
        seen: list[Tensor] = []
        prepared.model.register_forward_hook(lambda _module, _args, output: seen.append(output.loss.detach()))
        losses = []
        for number in range(STEPS + 1):
            for name, tensor in batch_of(cell, number).items():
                training.inputs[name].copy_(tensor)
            before = len(seen)
            step.run()
            # A graph's first run makes the step, then captures it; its replays write the captured loss.
            losses.append((seen[before:] or seen[-1:])[0].item())
        weights = {name: p.detach().clone() for name, p in prepared.model.named_parameters()}
    return losses, weights


def assert_same(cell: Cell) -> None:
    eager, again, graph = (
        trained(cell.model_copy(update={"launch": launch})) for launch in ("eager", "eager", "graph")
    )
    assert len(set(eager[0])) > 2, eager[0]  # in 16 bits some losses are equal
    assert (eager[0], differing(eager[1], again[1])) == (again[0], {}), "eager steps differ among themselves"
    assert graph[0] == eager[0], "losses"
    assert differing(graph[1], eager[1]) == {}, "weights, by their largest difference"


def differing(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> dict[str, float]:
    assert ours.keys() == theirs.keys()
    return {
        name: (ours[name].float() - theirs[name].float()).abs().max().item()
        for name in ours
        if not torch.equal(ours[name], theirs[name])
    }


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_graph_trains_as_single_launches_do(family: str, method: str) -> None:
    assert_same(cuda_cell(family, method))


@pytest.mark.parametrize("method", ["lora", "lora-fa", "lora-fa batched"])
@pytest.mark.parametrize("kernels", ["fused", "packed"])
def test_a_graph_trains_with_other_kernels_too(kernels: str, method: str) -> None:
    assert_same(cuda_cell("tiny-llama", method, kernels=kernels))


@pytest.mark.parametrize(
    "settings",
    [
        {"dropout": 0.1},
        {"dropout": 0.1, "kernels": "fused"},
        {"accumulation": 2},
        {"max_grad_norm": 0.01},
        {"optimizer": "sgd-momentum"},
        {"loss": "chunked"},
        {"dtype": "fp32"},
        {"dtype": "fp32", "autocast": "bf16"},
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["lora", "lora-fa"])
def test_a_graph_trains_with_other_settings_too(method: str, settings: dict[str, Any]) -> None:
    assert_same(cuda_cell("tiny-llama", method, **settings))


@pytest.mark.parametrize("optimizer", ["adamw-foreach", "adamw-loop"])
def test_other_adamw_round_their_bias_corrections_elsewhere(optimizer: str) -> None:
    """As capturable they compute them on the device, in fp32; without a graph on the host, in fp64."""
    cell = cuda_cell("tiny-llama", "lora", optimizer=optimizer, dtype="fp32")
    eager, graph = (trained(cell.model_copy(update={"launch": launch})) for launch in ("eager", "graph"))
    assert graph[0] == pytest.approx(eager[0], rel=1e-5)
    assert max(differing(graph[1], eager[1]).values(), default=0) < 1e-5


def measured(cell: Cell, log: Path) -> dict[str, Any]:
    """In a process of its own, as cells are: workspaces of products on earlier streams stay in a process."""
    result = run_cell(cell, log, None)
    assert result.row["status"] == "ok", result.row["message"]
    return dict(result.row)


@pytest.mark.parametrize(
    ("family", "method"),
    [*(("tiny-llama", method) for method in METHODS), *((family, "lora-fa") for family in FAMILIES[1:])],
)
def test_a_row_has_all_that_other_rows_have(family: str, method: str, tmp_path: Path) -> None:
    eager, graph = (
        measured(cuda_cell(family, method, launch=launch), tmp_path / launch) for launch in ("eager", "graph")
    )
    assert eager.keys() ^ graph.keys() <= {"energy_j_per_token", "message"}
    for name in ("flops_step", "saved_bytes", "gradients_bytes", "optimizer_bytes", "weights_bytes"):
        assert graph[name] == eager[name], name
    assert all(graph[name] > 0 for name in ("forward_ms", "backward_ms", "optimizer_ms"))
    assert graph["step_ms_median"] < eager["step_ms_median"]
    # Seeds of the random generator, and of attention while it is captured, are on the device.
    assert abs(graph["activation_bytes"] - eager["activation_bytes"]) < 64 << 10
    assert abs(graph["peak_allocated_bytes"] - eager["peak_allocated_bytes"]) < 256 << 10


def wait_in_capture(cell: Cell) -> CellResult:
    """Measure `cell`, whose model waits for its loss."""
    real = prepare.prepare_model

    def prepare_model(*args: Any) -> Prepared:
        prepared = real(*args)
        prepared.model.register_forward_hook(lambda _module, _args, output: output.loss.item() and None)
        return prepared

    prepare.prepare_model = prepare_model  # type: ignore[assignment]
    return measure_cell(cell)


def test_a_step_that_waits_for_the_device_is_an_error_that_says_where(tmp_path: Path) -> None:
    """In a process of its own, as cells are measured: a failed capture leaves CUDA's state behind."""
    cell = cuda_cell("tiny-llama", "lora", launch="graph")
    row = run_cell(cell, tmp_path / "log", None, work=wait_in_capture).row
    assert row["status"] == "error"
    assert "forward cannot be captured in a CUDA graph: " in str(row["message"])
    assert "output.loss.item()" in str(row["message"])
