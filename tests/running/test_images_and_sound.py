"""Models that read more than text, or other than text: on the twin as on the CPU, by all methods."""

from __future__ import annotations

import pytest
from tiny_cells import METHOD_NAMES, OTHER_FAMILIES, tiny_cell

from lorafa_prof.running.measure import measure_cell

#: Of models that read text too: what they see beside it, in each sample.
BESIDE_TEXT = {"tiny-clip": 17, "tiny-whisper": 24}
COMPUTED = ("saved_bytes", "flops_forward", "flops_backward", "params_trainable", "weights_bytes")


@pytest.mark.parametrize("model", OTHER_FAMILIES)
@pytest.mark.parametrize("method", METHOD_NAMES)
def test_the_twin_saves_and_computes_what_the_cpu_does(model: str, method: str) -> None:
    """On the CPU, PyTorch's scaled dot-product attention saves other tensors than its kernels on a GPU."""
    here, twin = (
        measure_cell(tiny_cell(model, method, device=device, attention="eager"))
        for device in ("cpu", "sim:h100-80gb")
    )
    for name in COMPUTED:
        assert here.row[name] == twin.row[name], name
    assert here.details["saved"]["by_kind"] == twin.details["saved"]["by_kind"]
    for result in (here, twin):
        assert result.row["status"] == "ok"
        assert result.details["reconciliation"]["residual_bytes"] == 0
        if model in BESIDE_TEXT:
            told = f"in each sample the model sees {BESIDE_TEXT[model]} tokens that are no text"
            assert told in str(result.row["message"])
