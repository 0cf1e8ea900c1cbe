"""What a cell keeps in a type that its GPU does not compute in."""

from __future__ import annotations

import re

import pytest
from tiny_cells import tiny_cell

from lorafa_prof.devices.gpus.gpu import GPUS
from lorafa_prof.devices.gpus.types import check_autocast_type, note_of_types
from lorafa_prof.errors import UsageError
from lorafa_prof.running.measure import measure_cell

HAS = "t4 does not compute in bf16 (compute capability 7.5)"
EMULATED = f"{HAS}, PyTorch emulates it there; fp16 and fp32 are what it has"


@pytest.mark.parametrize(
    ("method", "settings", "said"),
    [
        ("full-ft", {"dtype": "bf16"}, "dtype 'bf16': "),
        ("lora", {"dtype": "bf16", "adapter_dtype": "bf16"}, "dtype 'bf16' and adapter_dtype 'bf16': "),
        ("peft-lora", {"dtype": "fp16", "adapter_dtype": "bf16"}, "adapter_dtype 'bf16': "),
        ("full-ft", {"dtype": "fp32", "adapter_dtype": "bf16"}, None),
        ("lora", {"dtype": "fp16"}, None),
    ],
)
def test_what_is_emulated_is_named(method: str, settings: dict[str, str], said: str | None) -> None:
    expected = f"{said}{EMULATED}" if said else ""
    for device in ("sim:t4", "cuda"):
        assert note_of_types(tiny_cell(method=method, device=device, gpu="t4", **settings)) == expected
    assert note_of_types(tiny_cell(method=method, device="cuda", gpu="a10", **settings)) == ""
    assert note_of_types(tiny_cell(method=method, device="cuda", gpu="a-new-one", **settings)) == ""
    assert note_of_types(tiny_cell(method=method, device="cpu", **settings)) == ""


def test_autocast_needs_the_type_that_the_catalogue_knows_of() -> None:
    with pytest.raises(UsageError, match=re.escape(f"autocast 'bf16': {HAS}, from 8.0 on GPUs do")) as raised:
        check_autocast_type(tiny_cell(device="sim:t4", gpu="t4", autocast="bf16"))
    assert raised.value.about == "autocast"
    for gpu, autocast in (("t4", "fp16"), ("a10", "bf16"), ("a-new-one", "bf16")):
        check_autocast_type(tiny_cell(device="cuda", gpu=gpu, autocast=autocast))


def test_the_first_generation_with_bf16_is_ampere() -> None:
    without = {name for name, gpu in GPUS.items() if not gpu.computes_in_bf16}
    assert {"t4", "rtx-2080-ti", "v100-16gb"} <= without
    assert not without & {"a100-40gb", "a10", "rtx-3090", "l4", "h100-80gb"}
    # What has a peak in bf16 computes in it, whoever wrote the entry.
    assert not without & {name for name, gpu in GPUS.items() if "bf16" in gpu.peak_flops}


def test_a_predicted_row_says_so() -> None:
    message = str(measure_cell(tiny_cell(device="sim:t4", gpu="t4", dtype="bf16")).row["message"])
    assert f"dtype 'bf16' and adapter_dtype 'bf16': {EMULATED}" in message
