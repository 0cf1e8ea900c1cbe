"""The scripts in `examples/` run on the twin as they are."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import pytest

Predict = Callable[..., Any]


def needing(package: str, *values: Any) -> Any:
    """A case that is left out where a package is not installed."""
    return pytest.param(*values, marks=pytest.mark.skipif(not find_spec(package), reason=f"needs {package}"))


@pytest.mark.parametrize(
    ("script", "kinds"),
    [
        ("plain_loop.py", {"weights", "optimizer", "gradients"}),
        ("trainer_causal_lm.py", {"weights", "optimizer"}),
        ("lora_fa.py", {"weights", "optimizer"}),
        ("image_classifier.py", {"weights"}),
        ("compiled.py", {"weights", "optimizer"}),
        needing("trl", "sft_lora.py", {"weights"}),
        needing("trl", "sft_lora.py --packing", {"weights"}),
        needing("bitsandbytes", "four_bit.py", {"weights", "optimizer"}),
    ],
)
def test_example(predict: Predict, script: str, kinds: set[str]) -> None:
    prediction = predict(*script.split())
    assert prediction.status == "ok", prediction.message
    assert prediction.steps == 2
    assert kinds <= set(prediction.by_kind())


def test_compiling_is_left_out_and_told(predict: Predict) -> None:
    assert any("torch.compile" in note for note in predict("compiled.py").notes)
