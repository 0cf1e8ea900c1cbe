"""A built network is where, and what, it was asked to be, and can be trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_cells import FAMILIES

from lorafa_prof.cell import ModelChoice
from lorafa_prof.errors import UsageError
from lorafa_prof.models.build import build_model
from lorafa_prof.models.inputs import make_inputs
from lorafa_prof.models.positions import max_seq
from lorafa_prof.models.resolve import ResolvedModel, resolve_model

CPU = torch.device("cpu")
META = torch.device("meta")
TIED = {"tiny-gpt2", "tiny-qwen2", "tiny-t5"}
ROTARY = {"tiny-llama", "tiny-mistral", "tiny-qwen2"}
DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]


def resolved(name: str, **options: Any) -> ResolvedModel:
    return resolve_model(ModelChoice(name=name, **options))


def build(model: ResolvedModel | str, **options: Any) -> Any:
    settings: dict[str, Any] = {
        "device": CPU,
        "dtype": torch.float32,
        "attention": "sdpa",
        "checkpointing": "none",
    }
    return build_model(resolved(model) if isinstance(model, str) else model, **{**settings, **options})


def loss_of(model: Any, name: str, seq: int = 48) -> torch.Tensor:
    inputs = make_inputs(resolved(name), batch=2, seq=seq, device=CPU, seed=0)
    loss: torch.Tensor = model(**inputs).loss
    return loss


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", FAMILIES)
def test_one_step_is_finite_and_reaches_every_parameter(
    name: str, dtype: torch.dtype, attention: str
) -> None:
    model = build(name, dtype=dtype, attention=attention)
    loss = loss_of(model, name)
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())
    assert model.config._attn_implementation == attention


@pytest.mark.parametrize("device", [CPU, META], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", FAMILIES)
def test_dtype_device_ties_and_mode(name: str, dtype: torch.dtype, device: torch.device) -> None:
    model = build(name, dtype=dtype, device=device)
    assert {parameter.dtype for parameter in model.parameters()} == {dtype}
    assert {parameter.device.type for parameter in model.parameters()} == {device.type}
    assert {buffer.device.type for buffer in model.buffers()} <= {device.type}
    assert model.training
    assert not model.config.use_cache
    if hasattr(model, "lm_head"):
        tied = model.lm_head.weight is model.get_input_embeddings().weight
        assert tied == (name in TIED)


@pytest.mark.parametrize("name", sorted(ROTARY))
def test_rotary_frequencies_stay_fp32_and_right(name: str) -> None:
    model = build(name, dtype=torch.bfloat16)
    frequencies = [buffer for key, buffer in model.named_buffers() if key.endswith("rotary_emb.inv_freq")]
    theta = model.config.rope_parameters["rope_theta"]
    expected = theta ** -(torch.arange(0, 16, 2) / 16)
    assert len(frequencies) == 1
    assert frequencies[0].dtype == torch.float32
    torch.testing.assert_close(frequencies[0], expected)


@pytest.mark.parametrize("name", FAMILIES)
def test_weights_follow_from_the_seed_alone(name: str) -> None:
    first = build(name, seed=3).state_dict()
    torch.rand(7)
    again = build(name, seed=3).state_dict()
    other = build(name, seed=4).state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


def test_building_leaves_the_resolved_config_alone() -> None:
    model = resolved("tiny-llama")
    before = model.config.to_dict()
    built = build(model, dtype=torch.bfloat16, attention="eager")
    assert model.config.to_dict() == before
    assert model.config.use_cache
    assert built.config is not model.config


@pytest.mark.parametrize("name", ["tiny-gpt2", "tiny-roberta"])
def test_the_position_table_takes_exactly_the_longest_sequence(name: str) -> None:
    limit = max_seq(resolved(name))
    assert limit is not None
    model = build(name)
    assert torch.isfinite(loss_of(model, name, seq=limit))
    with pytest.raises((IndexError, RuntimeError)):
        loss_of(model, name, seq=limit + 1)


@pytest.mark.parametrize("name", ["tiny-llama", "tiny-t5"])
def test_no_table_takes_a_sequence_longer_than_its_advice(name: str) -> None:
    assert torch.isfinite(loss_of(build(name), name, seq=300))


@pytest.mark.parametrize("name", FAMILIES)
def test_checkpointing_recomputes_and_changes_no_gradient(name: str) -> None:
    saved: dict[str, int] = {}
    gradients: dict[str, list[torch.Tensor]] = {}
    for checkpointing in ("none", "full"):
        model = build(name, checkpointing=checkpointing)
        assert model.is_gradient_checkpointing == (checkpointing == "full")
        torch.manual_seed(1)  # the same dropout masks in both
        saved[checkpointing] = 0

        def count(tensor: torch.Tensor, key: str = checkpointing) -> torch.Tensor:
            saved[key] += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            loss = loss_of(model, name)
        loss.backward()
        gradients[checkpointing] = [parameter.grad for parameter in model.parameters()]
    assert saved["full"] < saved["none"] / 2
    for plain, recomputed in zip(gradients["none"], gradients["full"], strict=True):
        torch.testing.assert_close(plain, recomputed)


@pytest.mark.parametrize("name", FAMILIES)
def test_checkpointing_works_on_a_frozen_base(name: str) -> None:
    model = build(name, checkpointing="full")
    trained = next(key for key, _ in model.named_parameters() if key.endswith(_ATTENTION_WEIGHT[name]))
    for key, parameter in model.named_parameters():
        parameter.requires_grad_(key == trained)
    # `grad` and not `backward`: reentrant checkpointing, which a frozen base does not go with, refuses it.
    (gradient,) = torch.autograd.grad(loss_of(model, name), model.get_parameter(trained))
    assert gradient.abs().sum() > 0


_ATTENTION_WEIGHT = {
    "tiny-gpt2": "attn.c_attn.weight",
    "tiny-llama": "v_proj.weight",
    "tiny-mistral": "v_proj.weight",
    "tiny-qwen2": "v_proj.weight",
    "tiny-roberta": "value.weight",
    "tiny-t5": "SelfAttention.v.weight",
}


def test_checkpointing_is_none_or_full() -> None:
    with pytest.raises(UsageError, match="checkpointing 'some' is unknown; it is one of none, full"):
        build("tiny-llama", checkpointing="some")
    with pytest.raises(UsageError, match=r"'offlod' is unknown \(did you mean 'offload'"):
        build("tiny-llama", checkpointing="offlod")


def test_an_attention_that_transformers_does_not_know_is_told_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"cannot run with attention 'sdap' \(did you mean 'sdpa'"):
        build("tiny-llama", attention="sdap")


def test_a_model_without_checkpointing(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import LlamaForCausalLM

    monkeypatch.setattr(LlamaForCausalLM, "supports_gradient_checkpointing", False)
    with pytest.raises(UsageError, match="model 'tiny-llama' does not support checkpointing 'full'"):
        build("tiny-llama", checkpointing="full")


@pytest.mark.parametrize(
    ("name", "attention", "reason"),
    [
        ("tiny-t5", "flash_attention_2", "T5ForConditionalGeneration does not support Flash Attention 2"),
        ("tiny-gpt2", "flex", "GPT2LMHeadModel does not support .*flex_attention"),
        ("tiny-llama", "no-such", "Specified .* is not supported"),
    ],
)
def test_unsupported_attention_is_one_line_with_what_to_do(name: str, attention: str, reason: str) -> None:
    line = rf"model '{name}'.*attention '{attention}' \({reason}.*\); set attention: eager$"
    with pytest.raises(UsageError, match=line) as caught:
        build(name, attention=attention, device=META)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250


def test_attention_that_is_code_of_others_is_one_line() -> None:
    with pytest.raises(UsageError, match="'owner/kernel' names code on a hub, which is never run"):
        build("tiny-llama", attention="owner/kernel", device=META)


def test_an_error_that_is_not_of_attention_does_not_blame_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import LlamaForCausalLM

    def refuse(self: Any, config: Any) -> None:
        raise ValueError("'sliding_attention' is not in list")

    monkeypatch.setattr(LlamaForCausalLM, "__init__", refuse)
    with pytest.raises(UsageError, match=r"model 'tiny-llama' cannot be built: 'sliding_attention' is not"):
        build("tiny-llama", device=META)


def test_parameters_that_a_model_creates_in_fp32_are_cast(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers.models.llama.modeling_llama import LlamaRMSNorm

    def create(self: Any, size: int, eps: float = 1e-6) -> None:
        torch.nn.Module.__init__(self)
        self.weight = torch.nn.Parameter(torch.ones(size, dtype=torch.float32))
        self.variance_epsilon = eps

    monkeypatch.setattr(LlamaRMSNorm, "__init__", create)
    model = build("tiny-llama", dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}


@pytest.fixture
def saved_model(tmp_path: Path) -> Path:
    build("tiny-qwen2", seed=11).save_pretrained(tmp_path / "saved")
    return tmp_path / "saved"


def test_pretrained_weights_are_read_in_the_dtype(saved_model: Path) -> None:
    expected = build("tiny-qwen2", seed=11).state_dict()
    model = build(resolved(str(saved_model), weights="pretrained"), dtype=torch.bfloat16)
    state = model.state_dict()
    assert all(torch.equal(state[key], expected[key].bfloat16()) for key in expected)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert model.lm_head.weight is model.get_input_embeddings().weight
    assert model.training
    assert not model.config.use_cache
    assert torch.isfinite(loss_of(model, "tiny-qwen2"))


def test_random_weights_of_a_directory_are_not_its_own(saved_model: Path) -> None:
    expected = build("tiny-qwen2", seed=11).state_dict()
    state = build(resolved(str(saved_model)), seed=12).state_dict()
    key = "model.embed_tokens.weight"
    assert not torch.equal(state[key], expected[key])


def test_pretrained_on_meta_reads_nothing(saved_model: Path) -> None:
    (saved_model / "model.safetensors").unlink()
    model = build(resolved(str(saved_model), weights="pretrained"), device=META)
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}


def test_pretrained_without_weights_is_one_line(saved_model: Path) -> None:
    (saved_model / "model.safetensors").unlink()
    with pytest.raises(UsageError, match="no pretrained weights to read") as caught:
        build(resolved(str(saved_model), weights="pretrained"))
    assert "\n" not in str(caught.value)


def test_pretrained_t5_in_fp16_has_no_fp32_left(tmp_path: Path) -> None:
    build("tiny-t5").save_pretrained(tmp_path)
    model = build(resolved(str(tmp_path), weights="pretrained"), dtype=torch.float16)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float16}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("name", FAMILIES)
def test_on_a_gpu_all_is_created_there(name: str) -> None:
    device = torch.device("cuda")
    model = build(name, device=device, dtype=torch.bfloat16)
    tensors = [*model.parameters(), *model.buffers()]
    assert {tensor.device.type for tensor in tensors} == {"cuda"}
    inputs = make_inputs(resolved(name), batch=2, seq=32, device=device, seed=0)
    assert torch.isfinite(model(**inputs).loss)
