"""What a row's message says of its numbers, and the record behind it in full."""

from __future__ import annotations

import pytest
import torch
from cells import TWIN
from tiny_cells import tiny_cell

from lorafa_prof.devices.sim import honesty
from lorafa_prof.instruments.flops.formulas import FORMULAS
from lorafa_prof.running.measure import measure_cell
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
