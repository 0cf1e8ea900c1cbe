"""How far losses and gradients with Liger's kernels are from exact ones, beside those of eager ones.

Run as a program it says so of cases on the CPU, where Triton's interpreter runs the kernels:

    TRITON_INTERPRET=1 python tests/models/liger_agreement.py llama:lora-fa gemma2:full-ft
"""

from __future__ import annotations

import copy
import json
import sys
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn
from transformers import CONFIG_MAPPING

from lorafa_prof.methods.base import METHODS, Setting
from lorafa_prof.models.build import build_model
from lorafa_prof.models.liger import use_liger
from lorafa_prof.models.resolve import ResolvedModel

SHAPE: dict[str, Any] = {
    "vocab_size": 96,
    "hidden_size": 64,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


@dataclass(frozen=True)
class Deviation:
    """How far a step is from the same in float64: its loss, and the worst of its gradients, both relative."""

    loss: float
    gradient: float


def small(kind: str) -> ResolvedModel:
    """A small causal language model of this type of transformers'."""
    return ResolvedModel(kind, "causal-lm", CONFIG_MAPPING[kind](**SHAPE), "random", source="")


def deviations(kind: str, method: str, device: torch.device, dtype: torch.dtype) -> dict[str, Deviation]:
    """Deviations of a step with eager kernels, and with Liger's, of the same weights."""
    model = build_model(
        small(kind), device=device, dtype=dtype, attention="sdpa", checkpointing="none", seed=0
    )
    chosen = METHODS[method]
    options = {} if method == "full-ft" else {"rank": 4, "targets": "all-linear"}
    setting = Setting("causal-lm", dtype, "adamw")
    prepared = chosen.prepare(model, chosen.options.model_validate(options), setting).model
    with torch.no_grad():
        for parameter in prepared.parameters():  # norms' weights are no ones, B is no zero
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    exact, liger = copy.deepcopy(prepared).double(), copy.deepcopy(prepared)
    use_liger(liger)
    ids = torch.randint(3, SHAPE["vocab_size"], (2, 6)).to(device)
    labels = ids.clone()
    labels[0, :2] = -100
    expected = _step(exact, ids, labels)
    return {
        name: _deviation(_step(each, ids, labels), expected)
        for name, each in (("eager", prepared), ("liger", liger))
    }


def _step(model: nn.Module, ids: Tensor, labels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss, and gradients of a multiple of it, as where gradients accumulate."""
    loss = model.train()(input_ids=ids, labels=labels).loss
    (loss * 0.5).backward()
    return loss.detach(), {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def _deviation(
    step: tuple[Tensor, dict[str, Tensor]], expected: tuple[Tensor, dict[str, Tensor]]
) -> Deviation:
    (loss, gradients), (exact_loss, exact) = step, expected
    assert gradients.keys() == exact.keys()
    return Deviation(
        _relative(loss, exact_loss), max(_relative(gradients[name], exact[name]) for name in exact)
    )


def _relative(value: Tensor, exact: Tensor) -> float:
    return float((value.double() - exact).norm() / exact.norm())


def complete_the_interpreter() -> None:
    """Give Triton's interpreter (3.7.1) what it lacks of what Liger uses: numbers' `.to`, two functions."""
    interpreter, tl = import_module("triton.runtime.interpreter"), import_module("triton.language")
    numpy = import_module("numpy")
    converted = interpreter._implicit_cvt

    def with_floats(value: Any) -> Any:
        if not isinstance(value, float):
            return converted(value)
        handle = interpreter.TensorHandle(numpy.array([value], numpy.float32), tl.float32)
        return tl.tensor(handle, tl.float32)

    interpreter._implicit_cvt = with_floats
    import_module("liger_kernel.ops.rms_norm").rsqrt = lambda x: tl.math.rsqrt(x)
    for name in ("geglu", "cross_entropy"):
        import_module(f"liger_kernel.ops.{name}").tanh = lambda x: 2 * tl.sigmoid(2 * x) - 1


if __name__ == "__main__":
    complete_the_interpreter()
    torch.set_num_threads(1)
    for case in sys.argv[1:]:
        torch.manual_seed(0)
        kind, method = case.split(":")
        found = deviations(kind, method, torch.device("cpu"), torch.float32)
        print(json.dumps({"case": case, **{name: vars(each) for name, each in found.items()}}))
