"""A step spread over two ranks is the step of one process on both their batches, in float64."""

from __future__ import annotations

import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from on_ranks import on_ranks
from tiny_cells import tiny_cell
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from lorafa_prof.cell import Cell, MethodChoice, ModelChoice
from lorafa_prof.methods.base import METHODS
from lorafa_prof.models.inputs import make_inputs
from lorafa_prof.models.resolve import resolve_model
from lorafa_prof.parallel.group import rank_here
from lorafa_prof.parallel.local import whole
from lorafa_prof.parallel.shard import Shard
from lorafa_prof.parallel.wrap import wrap
from lorafa_prof.running import prepare
from lorafa_prof.running.prepare import prepare_step
from lorafa_prof.scenario.options import validated_options

RANKS, STEPS = 2, 2
DEFAULT = Shard()
CPU = torch.device("cpu")


def loss_in_float64(logits: Tensor, labels: Tensor, vocab_size: int, **_: Any) -> Tensor:
    """Transformers' own is in float32."""
    shifted = nn.functional.pad(labels, (0, 1), value=-100)[..., 1:]
    return nn.functional.cross_entropy(logits.reshape(-1, vocab_size), shifted.reshape(-1))


class Watch:
    """Looks at losses, and at gradients as the optimizer sees them."""

    def __init__(self, step: Any, named: dict[str, Tensor]) -> None:
        self.losses: list[Tensor] = []
        self.gradients: list[dict[str, Tensor]] = []
        self._named = named
        step.model.register_forward_hook(lambda _m, _i, output: self.losses.append(output.loss.detach()))
        step.optimizer.register_step_pre_hook(self._look)

    def _look(self, *_: Any) -> None:
        grads = {name: p.grad for name, p in self._named.items() if p.grad is not None}
        self.gradients.append({name: whole(grad).clone() for name, grad in grads.items()})


def train(cell: Cell) -> tuple[list[Tensor], list[dict[str, Tensor]], dict[str, Tensor]]:
    """Losses of this rank's share of a batch, gradients and weights."""
    prepared, step = prepare_step(cell, CPU)
    for module in prepared.model.modules():
        if isinstance(module, PreTrainedModel):
            module.loss_function = loss_in_float64
    ranks = cell.gpus
    batch = cell.batch * ranks if cell.parallel != "none" else cell.batch
    whole_batch = make_inputs(
        resolve_model(cell.model), batch=batch, seq=cell.seq, device=CPU, seed=7, dtype=torch.float64
    )
    start = rank_here() * cell.batch
    step = replace(
        step, inputs={name: rows[start : start + cell.batch] for name, rows in whole_batch.items()}
    )
    named = dict(prepared.model.named_parameters())
    watch = Watch(step, named)
    for _ in range(STEPS):
        step.run()
    return watch.losses, watch.gradients, {name: whole(p.detach()) for name, p in named.items()}


def cell_of(method: str, parallel: str, **settings: Any) -> Cell:
    spread = parallel != "none"
    options, weights = settings.pop("options", {}), settings.pop("weights", "random")
    cell = tiny_cell(
        settings.pop("model", "tiny-llama"),
        "peft-lora" if method == "peft" else method,
        **{"dtype": "fp64", "adapter_dtype": "fp64", "seq": 12, "parallel": parallel}
        | {"batch": 2 if spread else 2 * RANKS, "gpus": RANKS if spread else 1}
        | settings,
    )
    given = {} if method == "peft" else cell.method.options
    chosen = validated_options(METHODS[method], {**given, **options})
    model = cell.model.model_copy(update={"weights": weights})
    return cell.model_copy(update={"method": MethodChoice(name=method, options=chosen), "model": model})


def same(method: str, parallel: str, shard: Shard = DEFAULT, **settings: Any) -> None:
    torch.manual_seed(0)
    spread = on_ranks(train, cell_of(method, parallel, shard=shard, **settings))
    losses, gradients, weights = train(cell_of(method, "none", **settings))
    mean = [torch.stack(of_ranks).mean(0) for of_ranks in zip(*(one[0] for one in spread), strict=True)]
    torch.testing.assert_close(mean, losses, rtol=1e-10, atol=1e-10)
    for _, its_gradients, its_weights in spread:
        torch.testing.assert_close(its_gradients, gradients, rtol=1e-8, atol=1e-10)
        torch.testing.assert_close(its_weights, weights, rtol=1e-10, atol=1e-10)
    assert gradients[1]


@pytest.mark.parametrize("parallel", ["ddp", "fsdp2"])
@pytest.mark.parametrize("method", ["full-ft", "lora", "lora-fa", "peft-lora"])
def test_each_method(method: str, parallel: str) -> None:
    same(method, parallel)


@pytest.mark.parametrize("parallel", ["ddp", "fsdp2"])
@pytest.mark.parametrize(
    "settings",
    [
        {"max_grad_norm": 1e-3},
        {"accumulation": 2, "max_grad_norm": 1e-3},
        {"checkpointing": "full"},
        {"checkpointing": "full-reentrant"},
        {"optimizer": "adamw-foreach"},
        {"optimizer": "sgd-momentum"},
        {"options": {"correction": "batched"}},
        {"options": {"rank": 3, "targets": "embed_tokens,q_proj"}},
    ],
    ids=str,
)
def test_whatever_else_the_step_does(settings: dict[str, Any], parallel: str) -> None:
    same("lora-fa", parallel, **settings)


def test_without_resharding() -> None:
    same("lora-fa", "fsdp2", Shard(reshard_after_forward=False))


def test_weights_that_are_read_beside_adapters_that_are_drawn(tmp_path: Path) -> None:
    config = resolve_model(ModelChoice(name="tiny-llama")).config
    AutoModelForCausalLM.from_config(config, dtype=torch.float64).save_pretrained(tmp_path)
    same("lora-fa", "fsdp2", model=str(tmp_path), weights="pretrained")


def test_a_method_whose_model_is_whole_before_it_is_sharded() -> None:
    assert not METHODS["peft"].prepares_later
    config = {"peft_type": "LORA", "r": 3, "target_modules": ["q_proj"], "use_rslora": True}
    same("peft", "fsdp2", options={"config": config})


def whole_parameters_left(cell: Cell) -> list[str]:
    """Names of the parameters that are there once more, whole, after the model was sharded."""
    held: dict[str, weakref.ref[Tensor]] = {}

    def spread(model: nn.Module, *args: Any) -> nn.Module:
        held.update({name: weakref.ref(parameter) for name, parameter in model.named_parameters()})
        return wrap(model, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepare, "wrap", spread)
        kept = prepare_step(cell, CPU)
    assert held
    assert kept
    return [name for name, parameter in held.items() if parameter() is not None]


@pytest.mark.parametrize("method", ["full-ft", "lora", "lora-fa", "peft-lora"])
def test_nothing_keeps_whole_parameters_once_they_are_sharded(method: str) -> None:
    assert on_ranks(whole_parameters_left, cell_of(method, "fsdp2")) == [[], []]
