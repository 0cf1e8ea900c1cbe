"""Likelihoods, read off as few runs of the model as possible, are those found one by one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from small_models import CPU, log_likelihood, small_model
from torch import nn

from lorafa_prof.errors import UsageError
from lorafa_prof.methods.base import METHODS, Setting
from lorafa_prof.models.kernels import use_kernels
from lorafa_prof.models.losses import use_loss
from lorafa_prof.tasks.asking import asked, batches_by_length
from lorafa_prof.tasks.likelihoods import log_likelihoods
from lorafa_prof.tasks.tokens import Request

REQUESTS = [
    Request((7, 8, 9), ((1, 2, 3), (1, 2, 4))),
    Request((5,), ((1,), (2, 2, 2, 2, 2), (2, 2, 9))),
    Request(tuple(range(30)), ((1, 2, 3, 255), (1, 2, 3), (1, 2, 200), (40, 41, 42))),
    Request((50, 60), ((70, 80),)),
]


def by_one(model: nn.Module) -> list[list[float]]:
    return [
        [log_likelihood(model, request.context, each) for each in request.continuations]
        for request in REQUESTS
    ]


def found(model: nn.Module, batch: int) -> list[list[float]]:
    with asked(model):
        return log_likelihoods(model, REQUESTS, batch=batch, device=CPU, fill=0)


@pytest.mark.parametrize("name", ["tiny-llama", "tiny-gpt2"])
@pytest.mark.parametrize("batch", [1, 2, 16])
def test_they_are_those_found_one_by_one(name: str, batch: int) -> None:
    model = small_model(name)
    for some, expected in zip(found(model, batch), by_one(model), strict=True):
        assert some == pytest.approx(expected, abs=1e-4)


def test_choices_that_differ_in_their_last_token_take_one_run() -> None:
    model, rows = small_model(), []
    model.register_forward_pre_hook(
        lambda module, args, inputs: rows.append(tuple(inputs["input_ids"].shape)), with_kwargs=True
    )
    found(model, 16)
    assert rows == [(5, 33)], "1 + 1 + 2 + 1 lines for 10 continuations"


def test_only_the_logits_of_answers_are_made() -> None:
    model, kept = small_model(), []
    model.lm_head.register_forward_hook(lambda module, args, output: kept.append(output.shape[1]))
    with asked(model):
        log_likelihoods(model, REQUESTS[2:3], batch=4, device=CPU, fill=0)
    assert kept == [4]


@pytest.mark.parametrize("kernels", ["fused", "packed", "chunked loss"])
def test_kernels_without_logits_are_asked_all_the_same(kernels: str) -> None:
    """Their loss is fused with the output layer; the layers stay the method's own."""
    model = small_model()
    entry = METHODS["lora-fa"]
    options = entry.options.model_validate({"rank": 2, "targets": "all-linear", "dropout": 0.0})
    prepared = entry.prepare(model, options, Setting("causal-lm", torch.float32, "adamw"))
    for parameter in prepared.model.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.1)
    expected = by_one(prepared.model)
    if kernels == "chunked loss":
        use_loss("chunked", prepared.model, "causal-lm", "eager")
    else:
        use_kernels(kernels, prepared.model)
    forward = model.forward
    for some, one in zip(found(prepared.model, 4), expected, strict=True):
        assert some == pytest.approx(one, abs=1e-3)
    assert model.forward == forward, "training goes on with the fused loss"


def test_each_module_is_left_in_the_mode_it_was_in() -> None:
    model: Any = small_model()
    model.train()
    model.model.norm.eval()
    with asked(model):
        assert not any(module.training for module in model.modules())
        assert not torch.is_grad_enabled()
    assert model.training
    assert not model.model.norm.training
    assert torch.is_grad_enabled()


def test_a_token_that_the_model_has_not_is_refused() -> None:
    model = small_model()
    with (
        asked(model),
        pytest.raises(
            UsageError, match="gives token 256, and the model has 256; use the model's own tokenizer"
        ),
    ):
        log_likelihoods(model, [Request((1,), ((256,),))], batch=1, device=CPU, fill=0)


def test_batches_are_the_same_each_time_and_the_longest_comes_first() -> None:
    assert batches_by_length([3, 9, 3, 5], 2) == [[1, 3], [0, 2]]
