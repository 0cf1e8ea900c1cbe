"""Our LoRA and LoRA-FA on mixtures of experts and state-space models, beside PEFT's; what they leave out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from cells import TWIN, make_cell
from methods.tiny_training import batch_of, prepare
from peft.tuners.lora.layer import Linear as PeftLinear
from peft.tuners.lora.layer import ParamWrapper
from small_configs import small, write_config
from torch import Tensor, nn

from lorafa_prof.cell import Cell
from lorafa_prof.layers.low_rank_linear import LowRankLinear
from lorafa_prof.layers.low_rank_weight import weight_adapters
from lorafa_prof.methods.base import METHODS
from lorafa_prof.results.record import CellResult
from lorafa_prof.running.measure import measure_cell
from lorafa_prof.step import TrainingStep

# PEFT 0.21 converts no config of type qwen2_moe itself: its experts get no adapters there, ours do.
AS_PEFT = ["mixtral", "qwen3_moe"]
STATE_SPACE = ["bamba", "falcon_h1", "granitemoehybrid", "jamba", "mamba", "mamba2", "nemotron_h", "zamba2"]
SPARSE = ["mixtral", "qwen2_moe", "qwen3_moe", "deepseek_v3", "gpt_oss", "llama4_text", "phimoe"]
EAGER = ("mamba", "mamba2", "gpt_oss")


def ours(model: nn.Module) -> dict[str, Any]:
    """Our adapters by the path of their layer or weight."""
    found: dict[str, Any] = {}
    for path, module in model.named_modules():
        if isinstance(module, LowRankLinear):
            found[path] = module
        for adapter, name in zip(
            weight_adapters(module), getattr(module, "parametrizations", ()), strict=True
        ):
            found[f"{path}.{name}"] = adapter
    return found


def peers(model: Any) -> dict[str, Any]:
    """PEFT's adapters by the path of their layer or weight."""
    found: dict[str, Any] = {}
    for path, module in model.named_modules():
        if isinstance(module, (PeftLinear, ParamWrapper)):
            path = path.removeprefix("base_model.model.").replace(".base_layer", "")
            name = getattr(module, "parameter_name", None)
            found[f"{path}.{name}" if name else path] = module
    return found


def in_our_layout(peer: Any, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """PEFT's A [r · E, in] and B [out, r · E] as [E, r, in] and [E, out, r]."""
    experts = getattr(peer, "num_experts", 1)
    if experts == 1:
        return a, b
    return a.reshape(experts, -1, a.shape[-1]), b.reshape(len(b), -1, experts).permute(2, 0, 1)


@pytest.mark.parametrize("model_type", AS_PEFT)
def test_outputs_and_gradients_are_those_of_peft(model_type: str) -> None:
    resolved = small(model_type)
    options = {"targets": "all-linear", "rank": 4, "alpha": 6.0}
    own, wrapped = (prepare(resolved, method, options).model for method in ("lora", "peft-lora"))
    adapters, theirs = ours(own), peers(wrapped)
    assert set(adapters) == set(theirs)
    for path, peer in theirs.items():
        nn.init.normal_(peer.lora_B["default"].weight)
        a, b = in_our_layout(peer, peer.lora_A["default"].weight, peer.lora_B["default"].weight)
        assert adapters[path].scale == peer.scaling["default"]
        with torch.no_grad():
            adapters[path].lora_A.copy_(a)
            adapters[path].lora_B.copy_(b)
    losses = [model(**batch_of(resolved)).loss for model in (own, wrapped)]
    torch.testing.assert_close(*losses)
    for loss in losses:
        loss.backward()
    for path, peer in theirs.items():
        grads = (peer.lora_A["default"].weight.grad, peer.lora_B["default"].weight.grad)
        wanted = in_our_layout(peer, *grads)
        got = (adapters[path].lora_A.grad, adapters[path].lora_B.grad)
        torch.testing.assert_close(got, wanted, rtol=1e-3, atol=1e-5, msg=lambda m, path=path: f"{path}: {m}")


@pytest.mark.parametrize("model_type", AS_PEFT)
def test_as_many_parameters_train_as_with_peft(model_type: str) -> None:
    counts = [
        sum(
            p.numel()
            for p in prepare(small(model_type), method, {"targets": "all-linear"}).model.parameters()
            if p.requires_grad
        )
        for method in ("lora", "peft-lora")
    ]
    assert counts[0] == counts[1]


@pytest.mark.parametrize("model_type", [*SPARSE, *STATE_SPACE, "falcon", "jetmoe"])
@pytest.mark.parametrize("method", ["lora", "lora-fa"])
def test_every_adapter_trains(model_type: str, method: str) -> None:
    """None is on a layer that nobody calls, or on a weight that is read past it."""
    resolved = small(model_type)
    prepared = prepare(resolved, method, {"rank": 4}, attention="eager" if model_type in EAGER else "sdpa")
    assert prepared.notes == () or "without an adapter: " in prepared.notes[0]
    step = TrainingStep(prepared.model, batch_of(resolved), prepared.optimizer)
    before = {name: p.detach().clone() for name, p in prepared.model.named_parameters()}
    for _ in range(2):
        step.run()
    trained = {name for name, p in prepared.model.named_parameters() if p.requires_grad}
    moved = {name for name, p in prepared.model.named_parameters() if not torch.equal(p, before[name])}
    assert moved == trained
    assert trained


def cell_of(model_type: str, folder: Path, method: str, device: str, **options: Any) -> Cell:
    chosen = METHODS[method]
    given = chosen.options.model_validate({"rank": 4, **options}).model_dump(mode="json")
    attention = "eager" if model_type in EAGER else "sdpa"
    return make_cell(
        method,
        model=write_config(small(model_type), folder),
        options=given,
        device=device,
        attention=attention,
        dtype="bf16",
        adapter_dtype="bf16",
        batch=2,
        seq=24,
    )


def explained(result: CellResult) -> dict[str, int]:
    kinds: dict[str, int] = result.details["saved"]["by_kind"]
    return kinds


@pytest.mark.parametrize("method", ["lora", "lora-fa"])
def test_the_twin_keeps_what_the_cpu_keeps_of_adapted_experts(tmp_path: Path, method: str) -> None:
    """Of experts two rows a token: 8 numbers for gate and up, and 4 for down, widened to 16 bytes."""
    cpu, twin = (measure_cell(cell_of("mixtral", tmp_path, method, device)) for device in ("cpu", TWIN))
    assert explained(cpu)["adapter"] == explained(twin)["adapter"]
    assert cpu.details["reconciliation"]["residual_bytes"] == 0
    assert twin.details["reconciliation"]["residual_bytes"] == 0
    rows = 48
    attention, router, experts = 4 * rows * 4, rows * 4, 2 * rows * (8 + 8)
    assert explained(cpu)["adapter"] == 2 * 2 * (attention + router + experts)


def test_lora_fa_keeps_less_of_experts_than_lora(tmp_path: Path) -> None:
    held = [
        measure_cell(cell_of("mixtral", tmp_path, method, TWIN)).row["saved_bytes"]
        for method in ("lora", "lora-fa")
    ]
    # The inputs of gate and up and those of down: 2 layers, 96 rows, 64 and 48 numbers of 2 bytes.
    assert isinstance(held[0], int)
    assert isinstance(held[1], int)
    assert held[0] - held[1] >= 2 * 96 * (64 + 48) * 2


@pytest.mark.parametrize("device", ["cpu", TWIN])
def test_the_row_says_what_has_no_adapter(tmp_path: Path, device: str) -> None:
    result = measure_cell(cell_of("qwen2_moe", tmp_path, "lora", device))
    note = (
        "without an adapter: model.layers.*.mlp.shared_expert_gate (2 weights, 128 parameters): "
        "rank 4 is above its smaller side, 1"
    )
    assert note in str(result.row["message"])


def test_a_row_of_which_nothing_is_left_out_says_nothing_of_it(tmp_path: Path) -> None:
    assert "message" not in measure_cell(cell_of("mixtral", tmp_path, "lora", "cpu")).row
