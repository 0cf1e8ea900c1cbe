"""Models that run Liger's kernels: what is patched and what not, who is refused, and that numbers agree."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import FunctionType
from typing import Any

import peft
import pytest
import torch
from liger_agreement import SHAPE, Deviation, deviations
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification, PreTrainedModel
from transformers.models.llama import modeling_llama

from lorafa_prof.errors import UsageError
from lorafa_prof.models.liger import LIGER_TYPES, load_liger, use_liger

pytest.importorskip("liger_kernel")

#: For Triton's interpreter: with GEGLU, a soft cap and norms that are not in place; with gate and up in one.
INTERPRETED = ("llama:lora-fa", "gemma2:full-ft", "phi3:peft-lora")
METHODS = ("full-ft", "lora", "lora-fa", "peft-lora", "peft-lora-fa")


def model_of(kind: str = "llama", auto: Any = AutoModelForCausalLM, **fields: Any) -> PreTrainedModel:
    with torch.device("meta"):
        model: PreTrainedModel = auto.from_config(AutoConfig.for_model(kind, **{**SHAPE, **fields}))
    return model


def globals_of(forward: Any) -> dict[str, Any]:
    return dict(forward.__func__.__globals__)


@pytest.mark.parametrize("kind", LIGER_TYPES)
def test_norms_activation_and_loss_are_ligers(kind: str) -> None:
    model = model_of(kind)
    names = [name for name, _ in model.named_modules()]
    weights = list(model.state_dict())
    use_liger(model)
    patched = {type(module).__name__ for module in model.modules() if "forward" in vars(module)}
    for part in ("ForCausalLM", "RMSNorm", "MLP"):
        assert any(name.endswith(part) for name in patched), part
    assert [name for name, _ in model.named_modules()] == names
    assert list(model.state_dict()) == weights


@pytest.mark.parametrize("kind", [kind for kind in LIGER_TYPES if kind not in ("gemma4_text", "glm4")])
def test_so_is_the_rotary_embedding_of_this_model_alone(kind: str) -> None:
    model = model_of(kind)
    code = sys.modules[type(model).__module__]
    before = dict(vars(code))
    use_liger(model)
    attentions = [module for module in model.modules() if type(module).__name__.endswith("Attention")]
    assert len(attentions) == SHAPE["num_hidden_layers"]
    for attention in attentions:
        rope = globals_of(attention.forward)["apply_rotary_pos_emb"]
        assert isinstance(rope, FunctionType)
        assert rope.__module__.startswith("liger_kernel.")
    assert vars(code) == before


def test_another_model_is_as_it_was() -> None:
    use_liger(model_of())
    other = model_of()
    assert not [module for module in other.modules() if "forward" in vars(module)]
    assert isinstance(other.model.norm, modeling_llama.LlamaRMSNorm)


def test_a_model_that_peft_has_wrapped() -> None:
    wrapped = peft.get_peft_model(model_of(), peft.LoraConfig(target_modules="all-linear"))
    use_liger(wrapped)
    layer = wrapped.base_model.model.model.layers[0]
    assert "forward" in vars(layer.mlp)
    assert isinstance(layer.mlp.gate_proj, peft.tuners.lora.Linear)


@pytest.mark.parametrize("kind", ["gpt2", "granite", "mixtral"])
def test_types_that_it_is_not_for(kind: str) -> None:
    with pytest.raises(UsageError, match=r"none for a \w+, only for causal .* llama, .*; eager") as caught:
        use_liger(model_of(kind))
    assert caught.value.about == "kernels"


def test_a_classifier_has_no_such_loss() -> None:
    with pytest.raises(UsageError, match="none for a LlamaForSequenceClassification"):
        use_liger(model_of("llama", AutoModelForSequenceClassification))


@pytest.mark.parametrize("made", [lambda: nn.Linear(64, 96), lambda: nn.Sequential(nn.Linear(64, 96))])
def test_an_output_layer_of_which_it_would_leave_something_out(made: Any) -> None:
    model = model_of()
    model.set_output_embeddings(made())
    with pytest.raises(UsageError, match="leave it out of the adapters' targets"):
        use_liger(model)


@pytest.mark.parametrize(
    ("kind", "fields", "takes"),
    [
        ("llama", {"hidden_act": "gelu"}, "silu"),
        ("gemma", {"hidden_act": "gelu"}, "gelu_pytorch_tanh"),
        ("gemma2", {"hidden_activation": "gelu"}, "gelu_pytorch_tanh"),
    ],
)
def test_an_activation_that_it_would_change(kind: str, fields: dict[str, str], takes: str) -> None:
    with pytest.raises(UsageError, match=f"have {takes} as the MLP's activation .* the config has gelu"):
        use_liger(model_of(kind, **fields))


def test_a_missing_package_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "liger_kernel.transformers.monkey_patch", None)
    with pytest.raises(UsageError, match=r"pip install 'lorafa-prof\[gpu\]'") as caught:
        use_liger(model_of())
    assert "\n" not in str(caught.value)


def test_it_is_imported_as_if_there_was_a_gpu() -> None:
    """On a GPU and on the twin it is the same, and nothing of that stays behind."""
    available = torch.cuda.is_available
    assert set(LIGER_TYPES) <= set(load_liger())
    assert torch.cuda.is_available is available
    utils = sys.modules["liger_kernel.ops.utils"]
    assert utils.amp_custom_fwd.keywords == {"device_type": "cuda"}


def agree(eager: Deviation, ours: Deviation, dtype: torch.dtype) -> None:
    """As near to what is exact as eager kernels are, to the rounding of the type."""
    rounding = 8 * torch.finfo(dtype).eps
    assert ours.loss <= 3 * eager.loss + rounding
    assert 0 < ours.gradient <= 3 * eager.gradient + rounding


def test_losses_and_gradients_by_tritons_interpreter() -> None:
    program = Path(__file__).with_name("liger_agreement.py")
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run(
        [sys.executable, str(program), *INTERPRETED],
        env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["case"] for each in found] == list(INTERPRETED)
    for each in found:
        agree(Deviation(**each["eager"]), Deviation(**each["liger"]), torch.float32)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")
@pytest.mark.parametrize("kind", LIGER_TYPES)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_losses_and_gradients_on_a_gpu(kind: str, method: str, dtype: torch.dtype) -> None:
    found = deviations(kind, method, torch.device("cuda"), dtype)
    agree(found["eager"], found["liger"], dtype)
