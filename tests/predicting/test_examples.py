"""The scripts in `examples/` run on the twin as they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Predict = Callable[..., Any]


@pytest.mark.parametrize(
    ("script", "kinds"),
    [
        ("plain_loop.py", {"weights", "optimizer", "gradients"}),
        ("trainer_causal_lm.py", {"weights", "optimizer"}),
        ("lora_fa.py", {"weights", "optimizer"}),
        ("image_classifier.py", {"weights"}),
        ("compiled.py", {"weights", "optimizer"}),
    ],
)
def test_example(predict: Predict, script: str, kinds: set[str]) -> None:
    prediction = predict(script)
    assert prediction.status == "ok", prediction.message
    assert prediction.steps == 2
    assert kinds <= set(prediction.by_kind())


def test_compiling_is_left_out_and_told(predict: Predict) -> None:
    assert any("torch.compile" in note for note in predict("compiled.py").notes)
