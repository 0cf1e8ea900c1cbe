"""Every method: what trains, in which type, on which device, and which options are refused."""

from __future__ import annotations

from collections import Counter
from typing import Any

import peft
import pytest
import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from pydantic import ValidationError
from tiny_training import FAMILIES, batch_of, prepare
from torch import nn

from lorafa_prof.errors import UsageError
from lorafa_prof.layers.low_rank_linear import LoraFaLinear, LoraLinear
from lorafa_prof.methods.base import METHODS
from lorafa_prof.step import TrainingStep

ALL = {"targets": "all-linear"}
DORA = {"peft_type": "LORA", "r": 4, "use_dora": True}
CASES: list[tuple[str, dict[str, Any]]] = [
    ("full-ft", {}),
    ("lora", {}),
    ("lora-fa", {"dropout": 0.1}),
    ("peft-lora", ALL),
    ("peft-lora-fa", ALL),
    ("peft", {"config": DORA}),
    ("peft", {"config": {"peft_type": "VERA", "r": 4}}),
    ("peft", {"config": {"peft_type": "IA3"}}),
]
cases = pytest.mark.parametrize(
    ("method", "options"), CASES, ids=[o.get("config", {}).get("peft_type", m) for m, o in CASES]
)
families = pytest.mark.parametrize("name", FAMILIES)


def trained(model: nn.Module) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_the_registry_finds_all_of_the_package() -> None:
    # Nothing trains in a frozen one, and after an evaluation PEFT's A requires a gradient that nobody uses:
    # they have tests of their own.
    assert set(METHODS) == {name for name, _ in CASES} | {"frozen", "peft-lora-fa-after-eval"}
    assert all(METHODS[name].name == name and METHODS[name].summary for name in METHODS)


@families
@pytest.mark.parametrize(
    ("method", "ends"),
    [
        ("lora", ("lora_A", "lora_B")),
        ("lora-fa", ("lora_B",)),
        ("peft-lora", ("lora_A.default.weight", "lora_B.default.weight")),
        ("peft-lora-fa", ("lora_B.default.weight",)),
    ],
)
def test_low_rank_methods_train_adapters_and_a_classifiers_head(
    name: str, method: str, ends: tuple[str, ...]
) -> None:
    model = prepare(name, method, ALL).model
    adapters = {n for n, _ in model.named_parameters() if "lora_" in n and n.endswith(ends)}
    head = {n for n, _ in model.named_parameters() if "classifier" in n and "original_module" not in n}
    assert trained(model) == adapters | head
    assert bool(head) == (name == "tiny-roberta")


@families
def test_full_ft_trains_everything(name: str) -> None:
    model = prepare(name, "full-ft").model
    assert trained(model) == {n for n, _ in model.named_parameters()}


@families
@cases
def test_steps_change_what_trains_and_nothing_else(name: str, method: str, options: dict[str, Any]) -> None:
    prepared = prepare(name, method, options)
    model = prepared.model
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    step = TrainingStep(model, batch_of(name), prepared.optimizer)
    for _ in range(3):  # what stands behind a zero starts to move in the second
        step.run()
    assert {n for n, p in model.named_parameters() if not torch.equal(p, before[n])} == trained(model)
    assert all(torch.isfinite(p).all() for p in model.parameters())


@families
@cases
@pytest.mark.parametrize("adapter_dtype", [torch.float32, torch.bfloat16], ids=str)
def test_on_meta_too_adapters_have_the_type_asked_for(
    name: str, method: str, options: dict[str, Any], adapter_dtype: torch.dtype
) -> None:
    prepared = prepare(
        name, method, options, dtype=torch.bfloat16, adapter_dtype=adapter_dtype, device="meta"
    )
    parameters = dict(prepared.model.named_parameters())
    assert {p.device.type for p in parameters.values()} == {"meta"}
    adapters = {n for n in parameters if any(part in n for part in ("lora_", "vera_", "ia3_"))}
    assert bool(adapters) == (method != "full-ft")
    assert {parameters[n].dtype for n in adapters} <= {adapter_dtype}
    assert {p.dtype for n, p in parameters.items() if n not in adapters} == {torch.bfloat16}


@cases
@pytest.mark.parametrize("adapter_dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_bf16_base_steps_with_adapters_of_either_type(
    method: str, options: dict[str, Any], adapter_dtype: torch.dtype
) -> None:
    prepared = prepare("tiny-llama", method, options, dtype=torch.bfloat16, adapter_dtype=adapter_dtype)
    TrainingStep(prepared.model, batch_of("tiny-llama"), prepared.optimizer).run()
    assert all(torch.isfinite(p).all() for p in prepared.model.parameters())


@pytest.mark.parametrize(
    ("method", "of_bf16", "of_fp32"),
    [
        ("lora", "bf16", "fp32"),
        ("lora-fa", "bf16", "fp32"),
        ("peft-lora", "fp32", "fp32"),
        ("peft-lora-fa", "fp32", "fp32"),
        ("peft", "fp32", "fp32"),
    ],
)
def test_default_adapter_types(method: str, of_bf16: str, of_fp32: str) -> None:
    default = METHODS[method].default_adapter_dtype
    assert default is not None
    assert (default("bf16"), default("fp32"), default("fp64")) == (of_bf16, of_fp32, "fp64")


def test_peft_by_itself_gives_the_default_type_of_its_peers() -> None:
    """What `default_adapter_dtype` says of PEFT is what PEFT does."""
    bare = peft.get_peft_model(
        prepare("tiny-llama", "full-ft", dtype=torch.bfloat16).model, peft.LoraConfig()
    )
    assert {p.dtype for n, p in bare.named_parameters() if "lora_" in n} == {torch.float32}


@pytest.mark.parametrize(("method", "layer"), [("lora", LoraLinear), ("lora-fa", LoraFaLinear)])
def test_options_reach_the_layers(method: str, layer: type[nn.Module]) -> None:
    options = {"rank": 4, "alpha": 6.0, "dropout": 0.25, "targets": "q_proj, v_proj"}
    layers = [m for m in prepare("tiny-llama", method, options).model.modules() if isinstance(m, layer)]
    assert len(layers) == 4
    assert {(m.rank, m.scale, m.dropout, m.lora_A.shape[0]) for m in layers} == {(4, 1.5, 0.25, 4)}


@pytest.mark.parametrize("method", ["peft-lora", "peft-lora-fa"])
def test_options_reach_the_peers_layers(method: str) -> None:
    options = {"rank": 4, "alpha": 6.0, "dropout": 0.25, "targets": "q_proj, v_proj"}
    modules = prepare("tiny-llama", method, options).model.modules()
    layers = [m for m in modules if isinstance(m, BaseTunerLayer)]
    assert len(layers) == 4
    assert {(m.r["default"], m.scaling["default"], m.lora_dropout["default"].p) for m in layers} == {
        (4, 1.5, 0.25)
    }


@pytest.mark.parametrize(("rslora", "scale"), [(False, 0.5), (True, 1.0)])
@pytest.mark.parametrize("method", ["lora", "lora-fa", "peft-lora", "peft-lora-fa"])
def test_scale_is_alpha_over_rank_or_its_root(method: str, rslora: bool, scale: float) -> None:
    options: Any = METHODS[method].options.model_validate({"rank": 4, "alpha": 2.0, "rslora": rslora})
    assert options.scale == scale


@pytest.mark.parametrize("method", ["lora", "lora-fa", "peft-lora", "peft-lora-fa"])
@pytest.mark.parametrize("targets", ["v_proj,q_proj", " q_proj , v_proj", ["q_proj", "v_proj", "q_proj"]])
def test_targets_have_one_spelling(method: str, targets: Any) -> None:
    options: Any = METHODS[method].options.model_validate({"targets": targets})
    assert options.targets == "q_proj,v_proj"


@pytest.mark.parametrize("method", ["lora", "lora-fa", "peft-lora", "peft-lora-fa"])
@pytest.mark.parametrize(
    "options", [{"rank": 0}, {"alpha": 0}, {"dropout": 1.0}, {"dropout": -0.1}, {"ranks": 8}, {"targets": 3}]
)
def test_options_out_of_range_are_refused(method: str, options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        METHODS[method].options.model_validate(options)


@pytest.mark.parametrize("method", ["lora", "lora-fa"])
@pytest.mark.parametrize(
    ("options", "about"),
    [({"targets": "q_prj"}, "targets"), ({"rank": 65, "targets": "q_proj"}, "rank")],
)
def test_options_that_do_not_fit_the_model_are_refused_before_any_memory_is_taken(
    method: str, options: dict[str, Any], about: str
) -> None:
    with pytest.raises(UsageError) as caught:
        prepare("tiny-llama", method, options, device="meta")
    assert caught.value.about == about


@pytest.mark.parametrize("method", ["full-ft", "lora", "lora-fa", "peft-lora", "peft"])
def test_the_optimizer_is_the_one_asked_for(method: str) -> None:
    options = {"config": DORA} if method == "peft" else {}
    prepared = prepare("tiny-llama", method, options, optimizer="sgd")
    assert isinstance(prepared.optimizer, torch.optim.SGD)
    held = {id(p) for group in prepared.optimizer.param_groups for p in group["params"]}
    assert held == {id(p) for p in prepared.model.parameters() if p.requires_grad}


def test_pefts_lora_fa_has_no_other_optimizer() -> None:
    with pytest.raises(UsageError, match="'sgd' is not to be had") as caught:
        prepare("tiny-llama", "peft-lora-fa", optimizer="sgd")
    assert caught.value.about == "optimizer"


def test_lora_fa_tells_of_the_matrices_it_keeps_for_the_optimizer() -> None:
    each = prepare("tiny-llama", "lora-fa", {"rank": 4})
    assert [m.shape for m in each.optimizer_tensors] == [(1, 4, 4)] * 14
    batched = prepare("tiny-llama", "lora-fa", {"rank": 4, "correction": "batched"})
    widths = Counter(p.shape for name, p in batched.model.named_parameters() if name.endswith("lora_B"))
    assert Counter(len(m) for m in batched.optimizer_tensors) == Counter(widths.values())


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"peft_type": "LORRA"}, r"unknown peft_type 'LORRA' \(did you mean 'LORA'\?\)"),
        ({"r": 4}, "unknown peft_type ''"),
        ({"peft_type": "lora", "rnak": 4, "lora_alfa": 3}, "LoraConfig has no 'rnak'"),
        (
            {"peft_type": "LORA", "lora_alfa": 3},
            r"LoraConfig has no 'lora_alfa' \(did you mean 'lora_alpha'\?\)",
        ),
        ({"peft_type": "LORA", "r": 0}, "PEFT refuses this model: .*positive"),
        ({"peft_type": "LORA", "target_modules": ["zzz"]}, "PEFT refuses this model: .*zzz"),
        ({"peft_type": "IA3", "feedforward_modules": ["x"], "target_modules": ["y"]}, "IA3Config: "),
    ],
)
def test_peft_configs_that_cannot_be_are_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        prepare("tiny-llama", "peft", {"config": config}, device="meta")


@pytest.mark.parametrize(
    ("options", "label"),
    [({"config": DORA, "tag": "dora"}, "peft:dora"), ({"config": {"peft_type": "VERA"}}, "peft:vera")],
)
def test_a_peft_method_is_labelled_by_its_tag_or_type(options: dict[str, Any], label: str) -> None:
    method = METHODS["peft"]
    assert method.label_of(method.options.model_validate(options)) == label
    assert METHODS["lora"].label_of(METHODS["lora"].options()) == "lora"
