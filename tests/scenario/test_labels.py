from __future__ import annotations

from cells import make_cell

from lorafa_prof.cell import ModelChoice
from lorafa_prof.scenario.labels import distinct_labels


def test_what_tells_cells_apart_already_gets_nothing_more():
    cells = [
        make_cell(options={"rank": 4}),
        make_cell(options={"rank": 8}),
        make_cell(options={"rank": 8}, seq=32),
    ]
    assert list(distinct_labels(cells).values()) == [
        "net lora r4 b1 s16",
        "net lora r8 b1 s16",
        "net lora r8 b1 s32",
    ]


def test_cells_of_one_label_are_told_apart_by_what_differs():
    cells = [
        make_cell(options={"rank": 4, "targets": "q,v"}),
        make_cell(options={"rank": 4, "targets": "all-linear"}),
        make_cell(options={"rank": 4, "targets": "q,v"}, adapter_dtype="bf16"),
        make_cell(options={"rank": 8}),
    ]
    assert list(distinct_labels(cells).values()) == [
        "net lora r4 b1 s16 targets=q,v adapter_dtype=fp32",
        "net lora r4 b1 s16 targets=all-linear adapter_dtype=fp32",
        "net lora r4 b1 s16 targets=q,v adapter_dtype=bf16",
        "net lora r8 b1 s16",
    ]


def test_also_by_the_axes_added_later():
    cells = [
        make_cell(),
        make_cell(padding=0.25),
        make_cell(padding=0.25, max_grad_norm=1.0),
        make_cell(accumulation=4),
    ]
    assert list(distinct_labels(cells).values()) == [
        "net lora b1 s16 padding=0.0 accumulation=1 max_grad_norm=None",
        "net lora b1 s16 padding=0.25 accumulation=1 max_grad_norm=None",
        "net lora b1 s16 padding=0.25 accumulation=1 max_grad_norm=1.0",
        "net lora b1 s16 padding=0.0 accumulation=4 max_grad_norm=None",
    ]


def test_also_by_what_stands_deeper_and_by_the_model():
    configs = [{"peft_type": "LORA", "r": 8}, {"peft_type": "LORA", "r": 16}]
    cells = [make_cell(options={"config": config}, method="peft") for config in configs]
    pretrained = cells[0].model_copy(update={"model": ModelChoice(name="net", weights="pretrained")})
    labels = distinct_labels([*cells, pretrained])
    assert len(set(labels.values())) == 3
    assert labels[cells[1].cell_id] == "net peft b1 s16 config.r=16 weights=random"
