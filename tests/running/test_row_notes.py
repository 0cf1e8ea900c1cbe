"""What a row's message says of its numbers, and the record behind it in full."""

from __future__ import annotations

import math
import re

import pytest
import torch
from cells import TWIN, make_cell
from tiny_cells import tiny_cell

from lorafa_prof.cell import Cell, Steps
from lorafa_prof.devices.sim import honesty
from lorafa_prof.instruments.flops.formulas import FORMULAS
from lorafa_prof.optim.loss_scaling import LossScaler
from lorafa_prof.running import mixed_precision
from lorafa_prof.running.measure import measure_cell
from lorafa_prof.words.numbers import size
from lorafa_prof.words.phrases import count


def test_a_row_counts_its_unchecked_operations_and_the_record_has_them_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(honesty, "checked_operations", frozenset)
    result = measure_cell(tiny_cell(device=TWIN))
    unchecked = result.details["unchecked_operations"]
    assert {"aten.mm.default", "aten.silu.default", "aten._fused_adamw_.default"} <= set(unchecked)
    assert unchecked == sorted(set(unchecked))
    assert f"what {count(len(unchecked), 'operation')} allocate inside ({unchecked[0]}, " in str(
        result.row["message"]
    )


def test_where_all_is_checked_nothing_is_said_and_the_list_is_empty() -> None:
    result = measure_cell(tiny_cell(device=TWIN))
    assert (result.row.get("message"), result.details["unchecked_operations"]) == (None, [])


def test_a_measured_record_knows_no_unchecked_operations() -> None:
    assert "unchecked_operations" not in measure_cell(tiny_cell()).details


@pytest.mark.parametrize("device", ["cpu", TWIN])
def test_a_row_says_which_products_its_flops_leave_out(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    complete = measure_cell(tiny_cell(device=device))
    monkeypatch.delitem(FORMULAS, torch.ops.aten.bmm)
    monkeypatch.delitem(FORMULAS, torch.ops.aten.mm)
    result = measure_cell(tiny_cell(device=device))
    assert result.row["message"] == (
        "FLOPs leave out 2 operations without a formula that look like matrix products (aten.bmm, aten.mm)"
    )
    assert set(result.details["flops"]["uncounted_products"]) == {"aten.bmm", "aten.mm"}
    assert int(str(result.row["flops_step"])) < int(str(complete.row["flops_step"]))
    assert complete.details["flops"]["uncounted_products"] == {}


@pytest.mark.filterwarnings("ignore")  # PEFT warns that BOFT's own kernel cannot be compiled here
def test_buffers_that_a_method_leaves_on_the_host_are_told_and_take_no_memory_of_the_gpu() -> None:
    config = {"peft_type": "BOFT", "boft_block_size": 4, "target_modules": ["q_proj"]}
    boft = make_cell("peft", model="tiny-llama", options={"config": config}, device=TWIN)
    rows = [measure_cell(each).row for each in (tiny_cell(device=TWIN), boft)]
    # BOFT makes a permutation of each q_proj's inputs in float32 without a device, and PEFT does not move it.
    width, layers = 64, 2
    told = f"{size(layers * 4 * width**2)} of the model's buffers are on the host, copied when used"
    assert told in str(rows[1]["message"])
    assert "on the host" not in str(rows[0].get("message"))
    # Beside the parameters there is rotary embedding's buffer alone, which is smaller.
    beside = int(str(rows[1]["weights_bytes"])) - 4 * int(str(rows[1]["params_total"]))
    assert 0 <= beside < 4 * width**2


class Overflowing(LossScaler):
    """A scaler whose scale is too large for gradients in fp16, until it was halved often enough."""

    def __init__(self, device: torch.device) -> None:
        super().__init__(device)
        self._init_scale = 2.0**30
        self.tensors[0].fill_(self._init_scale)


def fp16_cell(warmup: int, timed: int) -> Cell:
    return tiny_cell(method="full-ft", autocast="fp16", steps=Steps(warmup=warmup, timed=timed))


def test_skipped_updates_are_counted_and_that_of_the_measured_memory_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "message" not in measure_cell(fp16_cell(1, 2)).row
    monkeypatch.setattr(mixed_precision, "LossScaler", Overflowing)
    memory = "so the loss scaler skipped its update, and what the optimizer takes may be missing"
    message = str(measure_cell(fp16_cell(1, 2)).row["message"])
    assert memory in message
    assert "the loss scaler skipped 4 of 4 updates, warm-up included: a gradient was not finite" in message
    # 30 halvings are enough for any gradient: the warm-up's are skipped, then none is.
    message = str(measure_cell(fp16_cell(30, 2)).row["message"])
    assert memory not in message
    skipped, of = map(int, re.findall(r"skipped (\d+) of (\d+) updates", message)[0])
    assert 4 < skipped < 30
    assert of == 33


def test_on_the_twin_no_update_is_skipped() -> None:
    cell = tiny_cell(method="full-ft", autocast="fp16", device=TWIN)
    assert "skipped" not in str(measure_cell(cell).row.get("message"))


def test_skips_are_what_the_scale_lost() -> None:
    scaler = LossScaler(torch.device("cpu"))
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    for number, gradient in enumerate((1.0, math.inf, 1.0, math.nan, math.inf), start=1):
        weight.grad = torch.full((2,), gradient)
        scaler.step(optimizer)
        scaler.update()
        assert scaler.updates == number
    assert scaler.skipped() == 3
    assert LossScaler(torch.device("cpu")).skipped() == 0
