"""The frozen method: no weight has a gradient, and the embeddings' output has one."""

from __future__ import annotations

import torch
from tiny_cells import tiny_cell

from lorafa_prof.running.measure import measure_cell
from lorafa_prof.running.prepare import prepare_step


def test_gradients_flow_and_nothing_trains() -> None:
    prepared, step = prepare_step(tiny_cell("tiny-llama", "frozen"), torch.device("cpu"))
    came: list[torch.Tensor] = []
    layer = prepared.model.get_submodule("model.layers.0")
    layer.register_full_backward_hook(lambda module, by_input, by_output: came.append(by_output[0]))
    before = {name: value.clone() for name, value in prepared.model.state_dict().items()}
    step.run()
    assert came[0].abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in prepared.model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in prepared.model.state_dict().items())


def test_its_row_says_that_nothing_trains() -> None:
    row = measure_cell(tiny_cell("tiny-llama", "frozen", device="sim:h200")).row
    assert row["status"] == "ok"
    assert row["params_trainable"] == 0
    assert "nothing trains" in str(row["message"])
