"""Cells with each optimizer, with updates in backward, and with reentrant checkpointing."""

from __future__ import annotations

from collections import Counter
from math import prod
from typing import Any

import pytest
import torch
from cells import TWIN, make_cell
from tiny_cells import FAMILIES, tiny_cell
from torch import Tensor, nn

from lorafa_prof.cell import Cell
from lorafa_prof.errors import UsageError
from lorafa_prof.optim.eight_bit import PAGED, PLAIN
from lorafa_prof.optim.optimizer import OPTIMIZERS
from lorafa_prof.running.measure import measure_cell
from lorafa_prof.running.prepare import prepare_step
from lorafa_prof.running.recorded_step import record_step

CUBLAS = 32 << 20
ON_A_CPU = [name for name in OPTIMIZERS if name not in (PLAIN, PAGED)]


def state_bytes(name: str, shape: tuple[int, ...], width: int) -> int:
    """What is kept for a weight of this shape, in numbers of `width` bytes, by the optimizer's definition."""
    count = prod(shape)
    if name == "adamw":
        return 2 * width * count + 4  # its count of steps is on the device
    if name in ("adamw-foreach", "adamw-loop"):
        return 2 * width * count
    if name == "sgd-momentum":
        return width * count
    if name == "adafactor":
        factored = prod(shape[:-1]) + prod(shape[:-2] + shape[-1:]) if len(shape) > 1 else count
        return 4 * (factored + 1)  # and the root mean square of the weight
    if name in (PLAIN, PAGED):
        return 8 * count if count < 4096 else 2 * count + 8 * -(-count // 256)
    assert name == "sgd"
    return 0


@pytest.mark.parametrize("update", ["step", "backward"])
@pytest.mark.parametrize("method", ["full-ft", "lora"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_what_is_held_between_steps_is_model_inputs_and_state(name: str, method: str, update: Any) -> None:
    cell = tiny_cell(method=method, optimizer=name, update=update, dtype="bf16", device=TWIN)
    trained = [p for p in prepare_step(cell, torch.device("meta"))[0].model.parameters() if p.requires_grad]
    result = measure_cell(cell)
    row: Any = result.row
    memory = result.details["memory"]
    states = sum(state_bytes(name, tuple(param.shape), 2) for param in trained)
    large = sum(param.numel() >= 4096 for param in trained)
    if name in (PLAIN, PAGED) and large:
        states += 2 * 1024 * (large if update == "backward" else 1)
    assert row["optimizer_bytes"] == states
    held = row["weights_bytes"] + states + memory["inputs_bytes"]
    assert memory["phases"]["forward"]["start"]["requested"] == held + 2 * CUBLAS
    assert memory["phases"]["optimizer"]["end"]["requested"] == held + 2 * CUBLAS + 4
    assert result.details["reconciliation"]["residual_bytes"] == 0
    assert row["gradients_bytes"] == (0 if update == "backward" else sum(2 * p.numel() for p in trained))


@pytest.mark.parametrize("update", ["step", "backward"])
@pytest.mark.parametrize("name", ON_A_CPU)
def test_the_cpu_keeps_what_the_twin_keeps(name: str, update: Any) -> None:
    on_cpu, on_twin = (
        measure_cell(tiny_cell(optimizer=name, update=update, attention="eager", device=device)).row
        for device in ("cpu", TWIN)
    )
    same = ["gradients_bytes", "flops_forward", "flops_backward", "flops_step"]
    # AdamW's count of steps is on the device where it is fused, so it is on the CPU in any case.
    same += [] if name in ("adamw-foreach", "adamw-loop") else ["optimizer_bytes"]
    assert {key: on_cpu[key] for key in same} == {key: on_twin[key] for key in same}
    assert on_cpu["update"] == on_twin["update"] == (None if update == "step" else update)


@pytest.mark.parametrize("method", ["full-ft", "lora-fa"])
@pytest.mark.parametrize("name", ON_A_CPU)
def test_weights_of_a_cell_do_not_depend_on_when_they_are_updated(name: str, method: str) -> None:
    weights = []
    for update in ("step", "backward"):
        prepared, step = prepare_step(
            tiny_cell(method=method, optimizer=name, update=update), torch.device("cpu")
        )
        for _ in range(3):
            step.run()
        weights.append(list(prepared.model.parameters()))
    for ours, theirs in zip(*weights, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_gradients_that_do_not_outlive_backward_are_still_known_as_gradients() -> None:
    cell = tiny_cell(method="full-ft", update="backward", dtype="bf16", device=TWIN)
    recorded = record_step(cell)
    kinds = list(recorded.timeline.kinds.values())
    model = prepare_step(cell, torch.device("meta"))[0].model
    steps = max(span.step for span in recorded.timeline.spans)
    assert kinds.count("gradients") == steps * sum(1 for _ in model.parameters())
    names = {
        recorded.notes[number].name for number, kind in recorded.timeline.kinds.items() if kind == "gradients"
    }
    assert names == {name for name, _ in model.named_parameters()}


def test_one_gradient_at_a_time_lowers_the_peak_of_full_fine_tuning() -> None:
    at_end, early = (
        measure_cell(make_cell("full-ft", model="t5-small", batch=1, update=update, device=TWIN)).row
        for update in ("step", "backward")
    )
    assert early["peak_allocated_bytes"] < at_end["peak_allocated_bytes"]  # type: ignore[operator]
    assert early["peak_optimizer_bytes"] < at_end["peak_optimizer_bytes"]  # type: ignore[operator]


def test_gradients_corrected_together_are_copied_and_nothing_else_changes() -> None:
    rows, peaks = [], []
    for correction in ("each", "batched"):
        plain = tiny_cell(method="lora-fa", dtype="bf16", device=TWIN)
        options = {**plain.method.options, "correction": correction}
        cell = plain.model_copy(update={"method": plain.method.model_copy(update={"options": options})})
        result = measure_cell(cell)
        assert result.row.get("message") is None  # every operation is one that a GPU has shown
        rows.append(
            {name: result.row[name] for name in ("optimizer_bytes", "gradients_bytes", "saved_bytes")}
        )
        optimizer = result.details["memory"]["phases"]["optimizer"]
        peaks.append(optimizer["peak"]["requested"] - optimizer["start"]["requested"])
    assert rows[0] == rows[1]
    widths = Counter(
        tuple(param.shape)
        for name, param in prepare_step(plain, torch.device("meta"))[0].model.named_parameters()
        if name.endswith("lora_B")
    )
    assert peaks == [2 * max(map(prod, widths)), 2 * max(prod(shape) * n for shape, n in widths.items())]


def test_the_row_says_what_is_in_managed_memory() -> None:
    cell = make_cell("full-ft", model="t5-small", optimizer=PAGED, device=TWIN)
    model = prepare_step(cell, torch.device("meta"))[0].model
    managed = sum(2 * p.numel() for p in model.parameters() if p.numel() >= 100_000)
    row = measure_cell(cell).row
    said = f"{managed / 2**20:.3f} MiB of the optimizer's state are in memory that GPU and host share"
    assert said in str(row["message"])
    plain = measure_cell(cell.model_copy(update={"optimizer": PLAIN})).row
    assert row["optimizer_bytes"] + managed == plain["optimizer_bytes"]  # type: ignore[operator]
    assert "share" not in str(plain.get("message"))


@pytest.mark.parametrize("method", ["peft-lora-fa", "peft-lora-fa-after-eval"])
def test_a_method_with_an_optimizer_of_its_own_does_not_update_in_backward(method: str) -> None:
    with pytest.raises(UsageError, match=f"'{method}' has an optimizer of its own") as caught:
        measure_cell(tiny_cell(method=method, update="backward"))
    assert caught.value.about == "update"


def gradients(cell: Cell) -> dict[str, Tensor]:
    """Of one batch, without dropout."""
    prepared, step = prepare_step(cell, torch.device("cpu"))
    for module in prepared.model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    step.model(**step.inputs).loss.backward()
    return {name: p.grad for name, p in prepared.model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("method", ["full-ft", "lora", "lora-fa"])
@pytest.mark.parametrize("family", FAMILIES)
def test_reentrant_checkpointing_gives_the_gradients_there_are_without(family: str, method: str) -> None:
    given = gradients(tiny_cell(family, method, dtype="fp64", checkpointing="full-reentrant"))
    expected = gradients(tiny_cell(family, method, dtype="fp64"))
    assert given.keys() == expected.keys()
    for name, gradient in given.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("method", ["full-ft", "lora-fa"])
@pytest.mark.parametrize("family", FAMILIES)
def test_reentrant_checkpointing_holds_what_the_other_holds(family: str, method: str) -> None:
    other, reentrant = (
        measure_cell(tiny_cell(family, method, checkpointing=checkpointing, device=TWIN))
        for checkpointing in ("full", "full-reentrant")
    )
    for name in ("saved_bytes", "activation_bytes", "flops_forward"):
        assert reentrant.row[name] == other.row[name]
    assert reentrant.details["reconciliation"]["residual_bytes"] == 0
    assert reentrant.row["flops_backward"] >= other.row["flops_backward"]  # type: ignore[operator]


@pytest.mark.parametrize("device", ["cpu", TWIN])
def test_flops_of_a_backward_inside_of_backward_are_those_of_their_modules(device: str) -> None:
    """Backward of what is recomputed has the FLOPs, module by module, of backward without checkpointing."""
    plain, reentrant = (
        measure_cell(
            tiny_cell("tiny-llama", "full-ft", checkpointing=checkpointing, attention="eager", device=device)
        ).details["flops"]
        for checkpointing in ("none", "full-reentrant")
    )
    for module, (forward, backward) in plain["by_module"].items():
        again = forward if ".layers." in module else 0
        assert tuple(reentrant["by_module"][module]) == (forward, backward + again), module
    assert (
        sum(forward for path, (forward, _) in plain["by_module"].items() if ".layers." in path)
        == (reentrant["recomputed"])
    )
