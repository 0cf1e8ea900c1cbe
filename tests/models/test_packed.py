"""Models whose layers run packed: the same losses and gradients, in the same places; and who is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM

from lorafa_prof.errors import UsageError
from lorafa_prof.layers.low_rank_linear import LowRankLinear
from lorafa_prof.layers.packed.spare import room_beside, with_spare
from lorafa_prof.methods.base import METHODS, Prepared, Setting
from lorafa_prof.models.packed import LLAMA_SHAPED, use_packed

METHOD_OPTIONS = [
    ("full-ft", {}),
    ("lora", {"rank": 4, "targets": "all-linear"}),
    ("lora-fa", {"rank": 4, "targets": "all-linear"}),
    ("lora-fa", {"rank": 3, "targets": ["o_proj", "down_proj"], "rslora": True}),
    (
        "lora",
        {"rank": 12, "targets": "all-linear", "rank_pattern": {"o_proj": 5}, "alpha_pattern": {"o_proj": 3}},
    ),
]
#: transformers computes norms and angles in float32, whatever the model's type.
LIMIT = 1e-5


def model_of(kind: str, **changes: Any) -> Any:
    settings = {
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "vocab_size": 97,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "use_cache": False,
    }
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **{**settings, **changes})
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float64, attn_implementation="sdpa")
    generator = torch.Generator().manual_seed(1)
    for name, parameter in model.named_parameters():
        if "norm" in name or name.endswith("bias"):
            parameter.data.add_(torch.empty_like(parameter).normal_(generator=generator), alpha=0.1)
    return model.train()


def prepared(model: Any, method: str, options: dict[str, Any]) -> Prepared:
    entry = METHODS[method]
    torch.manual_seed(0)
    ready = entry.prepare(
        model, entry.options.model_validate(options), Setting("causal-lm", torch.float64, "adamw")
    )
    for module in model.modules():
        if isinstance(module, LowRankLinear):
            module.lora_B.data.normal_(std=0.1, generator=torch.Generator().manual_seed(2))
    return ready


def losses_and_gradients(model: nn.Module, passes: int = 1) -> tuple[list[float], dict[str, Tensor]]:
    ids = torch.randint(3, 97, (2, 11), generator=torch.Generator().manual_seed(3))
    ids = ids.to(next(model.parameters()).device)
    mask = torch.ones_like(ids)
    mask[1, 7:] = 0
    labels = ids.masked_fill(mask == 0, -100)
    losses = []
    for _ in range(passes):
        loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
        loss.backward()
        losses.append(loss.item())
    return losses, {
        name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None
    }


def largest_difference(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> float:
    assert ours.keys() == theirs.keys()
    return max(
        float((ours[name] - theirs[name]).norm() / theirs[name].norm().clamp(min=1e-12)) for name in ours
    )


@pytest.mark.parametrize("kind", LLAMA_SHAPED)
@pytest.mark.parametrize(("method", "options"), METHOD_OPTIONS)
def test_losses_and_gradients_are_those_of_eager_layers(
    kind: str, method: str, options: dict[str, Any]
) -> None:
    if kind == "phi3" and "o_proj" in str(options.get("rank_pattern")):
        options = {"rank": 12, "targets": "all-linear"}
    eager, packed = model_of(kind), model_of(kind)
    prepared(eager, method, options)
    prepared(packed, method, options)
    names = list(packed.state_dict())
    use_packed(packed)
    (expected, theirs), (got, ours) = losses_and_gradients(eager, 2), losses_and_gradients(packed, 2)
    assert got == pytest.approx(expected, rel=LIMIT)
    assert largest_difference(ours, theirs) < LIMIT
    assert list(packed.state_dict()) == [*names]


def test_a_step_is_that_of_eager_layers_and_the_next_one_sees_it() -> None:
    steps = []
    for pack in (False, True):
        model = model_of("llama")
        ready = prepared(model, "lora-fa", {"rank": 4, "targets": "all-linear"})
        if pack:
            use_packed(model)
        losses = []
        for _ in range(3):
            losses += losses_and_gradients(model)[0]
            ready.optimizer.step()
            ready.optimizer.zero_grad()
        steps.append(losses)
    assert steps[1] == pytest.approx(steps[0], rel=LIMIT)
    assert steps[0][0] != steps[0][2]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("kind", LLAMA_SHAPED)
@pytest.mark.parametrize(("method", "options"), METHOD_OPTIONS[:3])
def test_steps_on_a_gpu_are_those_of_eager_layers_in_float64(
    kind: str, method: str, options: dict[str, Any]
) -> None:
    steps = []
    for device, dtype in (("cpu", torch.float64), ("cuda", torch.float32)):
        drawn = model_of(kind)
        prepared(drawn, method, options)
        model = model_of(kind).to(device, dtype)
        ready = METHODS[method].prepare(
            model, METHODS[method].options.model_validate(options), Setting("causal-lm", dtype, "adamw")
        )
        model.load_state_dict(drawn.state_dict())
        if device == "cuda":
            use_packed(model)
        losses = []
        for _ in range(3):
            losses += losses_and_gradients(model)[0]
            ready.optimizer.step()
            ready.optimizer.zero_grad()
        steps.append(losses)
    assert steps[1] == pytest.approx(steps[0], rel=1e-4)
    assert steps[0][0] != steps[0][2]


def test_values_loaded_later_are_used() -> None:
    source, packed = model_of("llama"), model_of("llama")
    for model in (source, packed):
        prepared(model, "lora-fa", {"rank": 4, "targets": "all-linear"})
    for parameter in source.parameters():
        parameter.data.mul_(1.25)
    use_packed(packed)
    losses_and_gradients(packed)
    packed.load_state_dict(source.state_dict())
    assert losses_and_gradients(packed)[0] == pytest.approx(losses_and_gradients(source)[0], rel=LIMIT)


def test_full_checkpointing_changes_no_gradient() -> None:
    gradients = []
    for checkpointing in (False, True):
        model = model_of("qwen3")
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        prepared(model, "lora-fa", {"rank": 4, "targets": "all-linear"})
        use_packed(model)
        gradients.append(losses_and_gradients(model)[1])
    assert largest_difference(*gradients) == 0.0


@pytest.mark.parametrize("method", ["lora", "lora-fa"])
def test_gradients_are_those_of_what_was_dropped(method: str) -> None:
    model = model_of("qwen3")
    prepared(model, method, {"rank": 4, "targets": "all-linear", "dropout": 0.3})
    use_packed(model)
    ids = torch.randint(3, 97, (2, 7))
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]

    def loss_at(shift: float) -> Tensor:
        torch.manual_seed(5)
        with torch.no_grad():
            for parameter, direction in zip(trained, directions, strict=True):
                parameter.add_(direction, alpha=shift)
        return model(input_ids=ids, labels=ids).loss

    directions = [torch.randn_like(parameter) for parameter in trained]
    loss_at(0.0).backward()
    slope = sum(
        float((parameter.grad * direction).sum())
        for parameter, direction in zip(trained, directions, strict=True)
        if parameter.grad is not None
    )
    step = 1e-6
    difference = float(loss_at(step) - loss_at(-2 * step)) / (2 * step)
    assert difference == pytest.approx(slope, rel=1e-6)
    assert float(loss_at(step)) != float(model(input_ids=ids, labels=ids).loss)
    model.eval()
    assert float(model(input_ids=ids, labels=ids).loss) == float(model(input_ids=ids, labels=ids).loss)


def test_what_is_thawed_is_named() -> None:
    model = model_of("llama")
    prepared(model, "lora-fa", {"rank": 4, "targets": "all-linear"})
    use_packed(model)
    for name in ("mlp.down_proj.lora_A", "self_attn.k_proj.base.weight"):
        thawed = model.get_parameter(f"model.layers.1.{name}").requires_grad_(True)
        with pytest.raises(UsageError, match=f"'model.layers.1.{name}' was thawed"):
            losses_and_gradients(model)
        thawed.requires_grad_(False)


def test_backward_runs_once() -> None:
    model = model_of("llama")
    prepared(model, "lora-fa", {"rank": 4, "targets": "all-linear"})
    use_packed(model)
    ids = torch.randint(3, 97, (1, 5))
    loss = model(input_ids=ids, labels=ids).loss
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_a_gradient_has_room_only_where_it_was_made_with_it() -> None:
    buffer = torch.randn(6, 10)
    gradient = with_spare(buffer, (2, 3, 8))
    assert room_beside(gradient, 2).data_ptr() == buffer.data_ptr()
    assert torch.equal(room_beside(gradient, 2)[:, :8], gradient.flatten(0, 1))
    copied = room_beside(gradient + 0.0, 2)
    assert copied.shape == (6, 10)
    assert torch.equal(copied[:, :8], gradient.flatten(0, 1))
    assert room_beside(gradient, 3).shape == (6, 11)


@pytest.mark.parametrize(
    ("kind", "changes", "method", "options", "reason"),
    [
        (
            "gpt2",
            {"n_embd": 64, "n_head": 4, "n_layer": 1},
            "lora",
            {},
            "has no layers for a GPT2LMHeadModel",
        ),
        ("llama", {"hidden_act": "relu"}, "lora", {}, "no gated MLP with relu, only with silu"),
        ("phi3", {"partial_rotary_factor": 0.5}, "lora", {}, "turns whole heads"),
        ("llama", {}, "peft-lora", {}, "no peft Linear; set kernels to liger"),
        ("llama", {}, "lora-fa", {"targets": ["lm_head"]}, "needs the output layer as it is"),
    ],
)
def test_what_cannot_be_packed_is_refused(
    kind: str, changes: dict[str, Any], method: str, options: dict[str, Any], reason: str
) -> None:
    model = model_of(kind, **changes)
    ready = prepared(model, method, options)
    with pytest.raises(UsageError, match=reason) as raised:
        use_packed(ready.model)
    assert raised.value.about == "kernels"
    assert "\n" not in str(raised.value)
