from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Predict = Callable[..., Any]

LOOP = """\
import torch
torch.set_default_dtype(torch.{dtype})
model = torch.nn.Sequential(torch.nn.Linear(1000, 500), torch.nn.Linear(500, 1000, bias=False)).cuda()
model[0].requires_grad_({first})
optimizer = torch.optim.{optimizer}((each for each in model.parameters() if each.requires_grad), lr=0.1)
for step in range(3):
    model(torch.randn({batch}, 1000).cuda()).sum().backward()
    optimizer.step()
    {after}
"""


def script(
    dtype: str = "float32", first: bool = True, optimizer: str = "AdamW", batch: int = 8, after: str = "pass"
) -> str:
    return LOOP.format(dtype=dtype, first=first, optimizer=optimizer, batch=batch, after=after)


def saved(prediction: Any, beginning: str) -> tuple[int, bool] | None:
    return next(
        ((one.bytes, one.up_to) for one in prediction.would_free if one.what.startswith(beginning)), None
    )


def kept(prediction: Any) -> int:
    kinds = prediction.by_kind()
    return sum(kinds.get(kind, 0) for kind in ("weights", "gradients", "optimizer"))


def blocks(*requests: int) -> int:
    return sum(-(-each // 512) * 512 for each in requests)


def test_the_state_of_an_optimizer_is_gone_without_one(predict: Predict) -> None:
    prediction = predict(script())
    assert saved(prediction, "an optimizer without state") == (prediction.by_kind()["optimizer"], False)
    assert saved(predict(script(optimizer="SGD")), "an optimizer without state") is None


def test_8_bit_state_has_scales_and_maps_and_small_weights_stay_wide(predict: Predict) -> None:
    prediction = predict(script())
    large = 500_000
    weight, bias, maps = blocks(large, -(-large // 256) * 4), blocks(500 * 4), blocks(1024, 1024)
    held = sum(one.bytes for one in prediction.holders if one.kind == "optimizer")
    assert saved(prediction, "Adam's state in 8 bits") == (held - 4 * weight - 2 * bias - maps, False)


def test_bf16_frees_what_the_same_script_in_bf16_does_not_hold(predict: Predict) -> None:
    wide, narrow = predict(script()), predict(script(dtype="bfloat16"))
    freed = kept(wide) - kept(narrow)
    assert saved(wide, "fp32 weights in bf16, gradients and Adam's state") == (freed, False)
    assert saved(narrow, "fp32 weights in bf16") is None


def test_frozen_linear_layers_in_4_bits(predict: Predict) -> None:
    prediction = predict(script(dtype="bfloat16", first=False))
    packed = blocks(250_000, -(-500_000 // 64) * 4, 64)
    assert saved(prediction, "frozen linear layers in 4 bits") == (blocks(1_000_000) - packed, True)
    assert saved(predict(script()), "frozen linear layers") is None


@pytest.mark.parametrize(
    "kept",
    [
        "model.lm_head = model[0]",
        "table = torch.nn.Embedding(500, 1000).cuda(); table.weight = model[0].weight",
    ],
)
def test_heads_and_tied_weights_are_in_no_4_bits(predict: Predict, kept: str) -> None:
    other = script(dtype="bfloat16", first=False).replace("optimizer =", f"{kept}\noptimizer =", 1)
    assert saved(predict(other), "frozen linear layers") is None


def test_adapters_are_offered_where_most_weights_train(predict: Predict) -> None:
    prediction = predict(script())
    kinds = prediction.by_kind()
    assert saved(prediction, "training adapters") == (kinds["gradients"] + kinds["optimizer"], True)
    few = script(first=False).replace("500, 1000, bias", "500, 10, bias")
    assert saved(predict(few), "training adapters") is None


def test_half_the_batch_frees_at_most_half_of_what_hangs_on_it(predict: Predict) -> None:
    prediction = predict(script(batch=5000))
    kinds = prediction.by_kind()
    bound = (kinds["activations"] + kinds["temporaries"]) // 2
    assert saved(prediction, "half the batch") == (bound, True)


def test_gradients_are_known_where_memory_runs_out_before_an_update(predict: Predict) -> None:
    kept_on = script().replace("    optimizer.step()\n", "    torch.empty(2**36, device='cuda')\n")
    prediction = predict(kept_on, gpu="rtx-4090")
    assert prediction.status == "oom"
    assert prediction.by_kind()["gradients"] == prediction.by_kind()["weights"]


def test_most_comes_first_and_goes_into_json(predict: Predict) -> None:
    prediction = predict(script())
    freed = [one.bytes for one in prediction.would_free]
    assert freed == sorted(freed, reverse=True)
    told = prediction.as_json()["would_free"][0]
    assert set(told) == {"what", "bytes", "up_to"}
