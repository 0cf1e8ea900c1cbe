"""Models with fused norms: the same outputs and gradients; and who is refused."""

from __future__ import annotations

import copy
from importlib import import_module
from typing import Any

import peft
import pytest
import torch
from torch import Tensor, nn

from lorafa_prof.cell import ModelChoice
from lorafa_prof.errors import UsageError
from lorafa_prof.layers.rms_norm import RmsNormFunction
from lorafa_prof.models.build import build_model
from lorafa_prof.models.fused_norm import AS_IN_LLAMA, AS_IN_T5, use_fused_norm
from lorafa_prof.models.inputs import make_inputs
from lorafa_prof.models.resolve import ResolvedModel, resolve_model

#: Where transformers has the classes.
TYPES = {
    "DeepseekV2RMSNorm": "deepseek_v2",
    "DeepseekV3RMSNorm": "deepseek_v3",
    "Glm4RMSNorm": "glm4",
    "GraniteRMSNorm": "granite",
    "LlamaRMSNorm": "llama",
    "LongT5LayerNorm": "longt5",
    "MT5LayerNorm": "mt5",
    "MistralRMSNorm": "mistral",
    "MixtralRMSNorm": "mixtral",
    "OlmoeRMSNorm": "olmoe",
    "Phi3RMSNorm": "phi3",
    "Qwen2MoeRMSNorm": "qwen2_moe",
    "Qwen2RMSNorm": "qwen2",
    "Qwen3MoeRMSNorm": "qwen3_moe",
    "Qwen3RMSNorm": "qwen3",
    "SmolLM3RMSNorm": "smollm3",
    "SwitchTransformersLayerNorm": "switch_transformers",
    "T5LayerNorm": "t5",
    "UMT5LayerNorm": "umt5",
}
CPU = torch.device("cpu")
families = pytest.mark.parametrize("family", ["tiny-llama", "tiny-qwen2", "tiny-mistral", "tiny-t5"])


def norm_of(name: str, dtype: torch.dtype, epsilon: float = 1e-5) -> Any:
    """A norm of transformers whose weight is not 1."""
    kind = TYPES[name]
    norm = getattr(import_module(f"transformers.models.{kind}.modeling_{kind}"), name)(48, eps=epsilon)
    nn.init.normal_(norm.weight, mean=1.0, std=0.3)
    return norm.to(dtype)


def fused_copy(module: nn.Module) -> Any:
    fused = copy.deepcopy(module)
    use_fused_norm(fused)
    return fused


def model_of(resolved: ResolvedModel, dtype: torch.dtype, checkpointing: str = "none") -> Any:
    """A model of which every weight of a norm matters."""
    model = build_model(resolved, device=CPU, dtype=dtype, attention="sdpa", checkpointing=checkpointing)
    for parameter in model.parameters():
        if parameter.dim() == 1:
            nn.init.normal_(parameter, mean=1.0, std=0.3)
    return model


def loss_of(model: Any, resolved: ResolvedModel) -> Tensor:
    torch.manual_seed(1)  # of T5's dropout
    loss: Tensor = model(**make_inputs(resolved, batch=2, seq=12, device=CPU, seed=0)).loss
    return loss


def gradients(model: nn.Module, loss: Tensor) -> dict[str, Tensor]:
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    found = torch.autograd.grad(loss, [parameter for _, parameter in named])
    return {name: gradient for (name, _), gradient in zip(named, found, strict=True)}


def functions_of(loss: Tensor) -> int:
    """How many fused norms stand behind `loss`."""
    seen, todo = {loss.grad_fn}, [loss.grad_fn]
    while todo:
        new = {following for following, _ in todo.pop().next_functions if following is not None} - seen
        seen |= new
        todo += new
    return sum(node.name() == f"{RmsNormFunction.__name__}Backward" for node in seen)


def test_these_are_the_classes() -> None:
    assert set(TYPES) == AS_IN_LLAMA | AS_IN_T5


@pytest.mark.parametrize("weight_dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", TYPES)
def test_every_class_gives_the_same_bits_and_gradients_to_rounding(
    name: str, dtype: torch.dtype, weight_dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    eager = norm_of(name, weight_dtype, epsilon=0.1)
    fused = fused_copy(eager)
    x = (3 * torch.randn(2, 5, 48)).to(dtype).requires_grad_()
    expected, found = eager(x), fused(x)
    assert found.dtype == expected.dtype
    assert torch.equal(found, expected)
    incoming = torch.randn_like(expected)
    # What transformers' modules round in between has the coarser of the two types.
    rounding = max(torch.finfo(each).eps for each in (dtype, weight_dtype))
    for gradient, theirs in zip(
        torch.autograd.grad(found, (x, fused.weight), incoming),
        torch.autograd.grad(expected, (x, eager.weight), incoming),
        strict=True,
    ):
        assert gradient.dtype == theirs.dtype
        torch.testing.assert_close(gradient, theirs, rtol=0, atol=2 * rounding * float(theirs.abs().max()))


@families
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_models_loss_has_the_same_bits(family: str, dtype: torch.dtype) -> None:
    resolved = resolve_model(ModelChoice(name=family))
    eager = model_of(resolved, dtype)
    assert torch.equal(loss_of(fused_copy(eager), resolved), loss_of(eager, resolved))


@families
@pytest.mark.parametrize("checkpointing", ["none", "full"])
def test_a_models_gradients_are_the_same(family: str, checkpointing: str) -> None:
    resolved = resolve_model(ModelChoice(name=family))
    eager = model_of(resolved, torch.float32, checkpointing)
    fused = fused_copy(eager)
    expected = gradients(eager, loss_of(eager, resolved))
    for name, gradient in gradients(fused, loss_of(fused, resolved)).items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-6)


@families
def test_modules_and_parameters_and_state_are_untouched(family: str) -> None:
    model = model_of(resolve_model(ModelChoice(name=family)), torch.float32)
    modules, parameters = list(model.named_modules()), dict(model.named_parameters())
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    use_fused_norm(model)
    assert list(model.named_modules()) == modules
    assert all(parameters[name] is parameter for name, parameter in model.named_parameters())
    assert list(model.state_dict()) == list(state)
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(
    ("options", "in_backward"),
    # Of the two layers' two and the last, the first has nobody to hand a gradient to, unless it trains:
    # "norm" is to PEFT the end of a name.
    [({}, 4), ({"modules_to_save": ["norm"]}, 5)],
)
def test_every_norm_of_a_model_that_peft_wraps_is_fused(options: dict[str, Any], in_backward: int) -> None:
    resolved = resolve_model(ModelChoice(name="tiny-llama"))
    config = peft.LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"], r=2, **options)
    wrapped = peft.get_peft_model(model_of(resolved, torch.float32), config)
    expected = gradients(wrapped, loss_of(wrapped, resolved))
    use_fused_norm(wrapped)
    loss = loss_of(wrapped, resolved)
    assert functions_of(loss) == in_backward
    for name, gradient in gradients(wrapped, loss).items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    ("kind", "class_name"),
    [("gemma", "GemmaRMSNorm"), ("olmo2", "Olmo2RMSNorm"), ("gpt2", "LayerNorm"), ("roberta", "LayerNorm")],
)
def test_a_model_with_other_norms_is_refused(kind: str, class_name: str) -> None:
    from transformers import AutoConfig, AutoModel

    shape = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 48}
    with torch.device("meta"):
        model = AutoModel.from_config(AutoConfig.for_model(kind, **shape))
    with pytest.raises(UsageError, match=rf"'fused-norm' knows no norm .*\({class_name}\), only") as caught:
        use_fused_norm(model)
    assert caught.value.about == "kernels"


def test_a_model_without_any_norm_is_refused() -> None:
    with pytest.raises(UsageError, match="it has none"):
        use_fused_norm(nn.Sequential(nn.Linear(2, 2)))
