"""Flash attention without its packages: whose code transformers runs, and that it is gone again."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest
import torch
from models.test_packing import SMALL
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, GptOssForCausalLM, LlamaForCausalLM
from transformers import modeling_flash_attention_utils as theirs

from lorafa_prof.cell import ModelChoice
from lorafa_prof.devices.gpus.gpu import GPUS
from lorafa_prof.devices.sim.twin import Twin
from lorafa_prof.errors import UsageError
from lorafa_prof.layers.flash_attention.operations import forward_2
from lorafa_prof.models import attention
from lorafa_prof.models.attention import (
    FLASH_PACKAGES,
    attention_stand_ins,
    check_code,
    check_dropout,
    check_installed,
)
from lorafa_prof.models.build import build_model
from lorafa_prof.models.packing import KEEPS_APART, ONE_DOCUMENT_TO_FLASH
from lorafa_prof.models.resolve import resolve_model

FLASH = list(FLASH_PACKAGES)


def test_the_stand_ins_are_gone_afterwards() -> None:
    before = dict(vars(theirs))
    rules = {version: dict(rule) for version, rule in theirs.FLASH_ATTENTION_COMPATIBILITY_MATRIX.items()}
    with attention_stand_ins():
        for name, package in FLASH_PACKAGES.items():
            with attention_stand_ins():  # as building a model on the twin does
                (flash, varlen, *_), _ = theirs.lazy_import_flash_attention(name)
                assert (flash, varlen) == (
                    package.stand_in.flash_attn_func,
                    package.stand_in.flash_attn_varlen_func,
                )
            assert theirs._loaded_implementation is None
            theirs.lazy_import_flash_attention(name)
            theirs._loaded_implementation = None
    assert vars(theirs) == before
    assert rules == theirs.FLASH_ATTENTION_COMPATIBILITY_MATRIX


def test_flex_is_compiled_again_afterwards() -> None:
    from transformers import masking_utils
    from transformers.integrations import flex_attention as integration

    before = masking_utils.create_block_mask, integration.WrappedFlexAttention
    with attention_stand_ins():
        assert masking_utils.create_block_mask is integration.create_block_mask is not before[0]
        assert integration.WrappedFlexAttention is not before[1]
    assert (masking_utils.create_block_mask, integration.WrappedFlexAttention) == before


def test_a_model_with_dropout_is_refused_once_it_is_built_on_shapes() -> None:
    resolved = resolve_model(ModelChoice(name="tiny-llama"))
    resolved.config.attention_dropout = 0.1
    given: dict[str, Any] = {"device": torch.device("meta"), "dtype": torch.bfloat16, "checkpointing": "none"}
    with pytest.raises(
        UsageError, match="attention 'flex' has no dropout, and its config has attention_dropout"
    ):
        build_model(resolved, attention="flex", **given)


@pytest.mark.parametrize("name", ["flash_attention_3", "flex"])
@pytest.mark.parametrize(
    ("kind", "key"),
    [("llama", "attention_dropout"), ("bert", "attention_probs_dropout_prob"), ("gpt2", "attn_pdrop")],
)
def test_a_dropout_that_would_be_left_out_is_refused(kind: str, key: str, name: str) -> None:
    config = CONFIG_MAPPING[kind](**{key: 0.25})
    with pytest.raises(
        UsageError, match=f"^model 'mine': attention '{name}' has no dropout, and .* {key} 0.25;"
    ):
        check_dropout("mine", config, name)
    check_dropout("mine", config, "flash_attention_2")
    check_dropout("mine", CONFIG_MAPPING[kind](**{key: 0.0}), name)


def test_flex_has_one_name() -> None:
    with pytest.raises(UsageError, match="attention 'flex_attention' is called flex here"):
        check_code("mine", LlamaForCausalLM, "flex_attention")


@pytest.mark.parametrize("name", FLASH)
def test_without_them_the_package_is_missing(name: str) -> None:
    config = CONFIG_MAPPING["llama"](**SMALL)
    with pytest.raises(ImportError, match="doesn't seem to be installed"):
        AutoModelForCausalLM.from_config(config, attn_implementation=name)


@pytest.mark.parametrize("kind", ["falcon", "gpt_neo", "gptj"])
def test_models_that_import_the_call_themselves_find_it(kind: str) -> None:
    small = {name: value for name, value in SMALL.items() if name != "head_dim"}
    own: dict[str, Any] = {
        "gptj": {"rotary_dim": 4},
        "gpt_neo": {"attention_types": [[["global"], 2]], "num_layers": 2, "num_heads": 4},
    }
    config = CONFIG_MAPPING[kind](**small, **own.get(kind, {}))
    AutoModelForCausalLM.from_config(config)  # its module is imported where there is no package
    with Twin(GPUS["h100-80gb"]) as twin:
        with torch.device("cuda"):
            model = AutoModelForCausalLM.from_config(
                config, attn_implementation="flash_attention_2", dtype=torch.bfloat16
            )
            model(torch.zeros(2, 12, dtype=torch.int64), use_cache=False)
        assert forward_2.default in twin.mode.operations


@pytest.mark.parametrize("kind", [kind for kind in KEEPS_APART if kind not in ONE_DOCUMENT_TO_FLASH])
def test_packed_documents_reach_flash_attention_apart(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert documents_of(kind, monkeypatch) == [[0, 5, 12]] * 2


@pytest.mark.parametrize("kind", ONE_DOCUMENT_TO_FLASH)
def test_of_some_types_they_do_not(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert documents_of(kind, monkeypatch) == []


def documents_of(kind: str, monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """Where documents end, in the flash attention of each layer that was told."""
    seen: list[list[int]] = []
    package = FLASH_PACKAGES["flash_attention_2"].stand_in
    real = package.flash_attn_varlen_func

    def noting(*args: Any, cu_seqlens_q: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        seen.append(cu_seqlens_q.tolist())
        return real(*args, cu_seqlens_q=cu_seqlens_q, **kwargs)

    noting.__signature__ = importlib.import_module("inspect").signature(real)  # type: ignore[attr-defined]
    monkeypatch.setattr(package, "flash_attn_varlen_func", noting)
    config = CONFIG_MAPPING[kind](**SMALL)
    with Twin(GPUS["h100-80gb"]), torch.device("cuda"):
        model = AutoModelForCausalLM.from_config(
            config, attn_implementation="flash_attention_2", dtype=torch.bfloat16
        )
        positions = torch.cat([torch.arange(5), torch.arange(7)])[None]
        model(input_ids=torch.ones_like(positions), position_ids=positions, use_cache=False)
    return seen


@pytest.mark.parametrize(
    "name", ["kernels-community/flash-attn2", "flash_attention_4", "paged|flash_attention_2"]
)
def test_code_of_a_hub_and_unknown_versions_are_refused(name: str) -> None:
    with pytest.raises(
        UsageError, match=r"^model 'mine': attention '.*' (names code on a hub|is not known here)"
    ) as error:
        check_code("mine", LlamaForCausalLM, name)
    assert error.value.about == "attention"


def test_what_transformers_would_replace_by_a_hubs_code_is_refused() -> None:
    with pytest.raises(
        UsageError, match=r"would take 'kernels-community/.*' from a hub, and that is never run"
    ):
        check_code("gpt-oss-20b", GptOssForCausalLM, "flash_attention_2")
    check_code("gpt-oss-20b", GptOssForCausalLM, "eager")


def test_so_it_is_before_the_model_is_built() -> None:
    resolved = resolve_model(ModelChoice(name="gpt-oss-20b"))
    given: dict[str, Any] = {"device": torch.device("meta"), "dtype": torch.bfloat16, "checkpointing": "none"}
    with pytest.raises(
        UsageError, match=r"^model 'gpt-oss-20b': attention 'flash_attention_2' is none that it"
    ):
        build_model(resolved, attention="flash_attention_2", **given)


@pytest.mark.parametrize(("name", "package"), [(FLASH[0], "flash-attn"), (FLASH[1], "flash-attn-3")])
def test_a_missing_package_is_named_with_what_to_do(name: str, package: str) -> None:
    with pytest.raises(
        UsageError, match=f"runs on the package {package}, which is not installed.*: (pip|build)"
    ):
        check_installed(name)
    check_installed("sdpa")


@pytest.mark.parametrize(("installed", "fits"), [("2.8.3.post2", True), ("2.7.0", True), ("2.6.3", False)])
def test_an_old_package_has_no_flops(installed: str, fits: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its kernels are operations of PyTorch, seen by dispatch modes, from 2.7.0 on."""
    monkeypatch.setattr(attention, "version", {"flash-attn": installed}.__getitem__)
    if fits:
        check_installed("flash_attention_2")
    else:
        with pytest.raises(UsageError, match=r"runs on the package flash-attn from 2.7 on .2.6.3 is here."):
            check_installed("flash_attention_2")
