"""Whatever a cell's settings do to its FLOPs, the causes named add up to the difference."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cells import GPU
from tiny_cells import tiny_cell

from lorafa_prof.cell import twin_device
from lorafa_prof.explaining.flops import differences as why
from lorafa_prof.explaining.flops.modules import Opinions
from lorafa_prof.explaining.flops.opinions import opinions_on
from lorafa_prof.explaining.flops.rows import Row, rows_of


def asked(method: str = "lora", model: str = "tiny-llama", **settings: object) -> Opinions:
    fields = {"dtype": "bf16", "device": twin_device(GPU), "gpu": GPU, **settings}
    return opinions_on(tiny_cell(model, method, **fields))


def by_name(opinions: Opinions, phase: str) -> dict[str, Row]:
    return {row.name: row for row in rows_of(opinions) if row.phase == phase}


def causes(opinions: Opinions, name: str) -> dict[tuple[str, str], tuple[str, ...]]:
    """Those of an opinion's rows that are not the executed ones, by module and phase."""
    rows = rows_of(opinions)
    assert all(bool(row.causes[name]) == (row.others[name] not in (None, row.executed)) for row in rows)
    return {(row.name, row.phase): row.causes[name] for row in rows if row.causes[name]}


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("full-ft", {}),
        ("lora", {"attention": "eager"}),
        ("lora-fa", {}),
        ("peft-lora", {"accumulation": 2}),
        ("lora", {"quantization": "nf4"}),
        ("lora", {"packing": True}),
        ("lora", {"phase": "eval", "kept_logits": 3}),
        ("peft-lora", {"model": "tiny-gpt2"}),
    ],
)
def test_the_closed_form_is_what_is_executed_in_every_module(method, settings):
    opinions = asked(method, **settings)
    assert causes(opinions, "closed form") == {}
    fvcore = causes(opinions, "fvcore")
    assert set(fvcore.values()) == (set() if method == "full-ft" else {(why.ADAPTERS,)})
    assert sum(
        row.executed for row in rows_of(opinions)
    ) == opinions.counted.step - opinions.counted.by_phase.get("optimizer", 0)


def test_what_checkpointing_does_is_told_apart():
    found = causes(asked("lora-fa", checkpointing="full"), "closed form")
    again = (why.RECOMPUTED,)
    assert found["model.layers.0.self_attn.q_proj", "backward"] == (why.RECOMPUTED, why.INPUT_GRADIENT)
    assert found["model.layers.1.self_attn.q_proj", "backward"] == again
    assert found["model.layers.*.self_attn", "backward"] == again
    assert ("lm_head", "backward") not in found
    # Recomputing stops as soon as all that was saved is there again: before the last product.
    full = causes(asked("full-ft", checkpointing="full"), "closed form")
    assert ("model.layers.*.mlp.up_proj", "backward") in full
    assert ("model.layers.*.mlp.down_proj", "backward") not in full


@pytest.mark.parametrize(
    "settings", [{"kernels": "fused-loss"}, {"loss": "chunked"}, {"kernels": "liger"}], ids=str
)
@pytest.mark.parametrize("method", ["full-ft", "lora"])
def test_a_loss_without_logits_has_its_gradients_in_forward(method, settings):
    if settings == {"kernels": "liger"}:
        pytest.importorskip("liger_kernel")
    found = causes(asked(method, **settings), "closed form")
    assert found == {
        ("lm_head", "forward"): (why.LOSS_IN_FORWARD,),
        ("lm_head", "backward"): (why.LOSS_IN_FORWARD,),
    }


def test_packed_layers_are_told_as_the_modules_that_do_their_products():
    opinions = asked("lora-fa", kernels="packed")
    forward = by_name(opinions, "forward")
    assert set(forward) == {"model.rotary_emb", "model.layers.*.self_attn", "model.layers.*.mlp", "lm_head"}
    assert causes(opinions, "closed form")["model.layers.*.mlp", "forward"] == (why.PACKED,)


def test_what_no_cause_explains_is_said_to_be_unknown():
    opinions = asked("full-ft")
    assert opinions.closed is not None
    path, products = "lm_head", opinions.closed["lm_head"]
    wrong = replace(
        opinions, closed={**opinions.closed, path: products._replace(forward=products.forward + 2)}
    )
    assert why.why_not_closed(wrong, path, "forward") == (why.UNKNOWN,)
    assert why.why_not_closed(wrong, path, "backward") == ()
    outside = replace(opinions, executed={**opinions.executed, "extra": products})
    assert why.why_not_closed(outside, "extra", "forward") == (why.NO_FORMULA,)
    assert why.why_not_fvcore(outside, "extra") == (why.NOT_TRACED,)


def test_of_other_tasks_there_is_one_opinion_and_why():
    opinions = asked("lora", model="tiny-roberta")
    assert opinions.closed is None
    assert set(opinions.missing) == {"closed form", "fvcore"}
    assert "sequence-classification" in opinions.missing["fvcore"]
    assert {row.others["closed form"] for row in rows_of(opinions)} == {None}


def test_a_model_that_fvcore_cannot_trace_is_told(monkeypatch):
    def fails(*_):
        raise RuntimeError("no such thing\nas a trace")

    monkeypatch.setattr("lorafa_prof.explaining.flops.opinions.fvcore_forward_flops", fails)
    assert asked("full-ft").missing == {"fvcore": "it cannot trace this model: RuntimeError: no such thing"}


def test_without_fvcore_the_others_are_told(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "fvcore.nn", None)
    opinions = asked("full-ft")
    assert "lorafa-prof[flops]" in opinions.missing["fvcore"]
    assert causes(opinions, "closed form") == {}
