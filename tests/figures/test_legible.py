from __future__ import annotations

import itertools
import random
from xml.etree import ElementTree

import pandas as pd
import pytest
from drawings import assert_legible, notes
from learned_runs import OF_LEARNING
from made_up_records import fidelity, run, saved
from stored import storage

from lorafa_prof.figures import FIGURES
from lorafa_prof.figures.figure import Figure
from lorafa_prof.figures.kit.page import PageFullError
from lorafa_prof.figures.kit.style import PAGES, style
from lorafa_prof.figures.save import SavedFigure, save_all

GIB = 2**30
LONG = "meta-llama/A-Very-Long-Name-Of-A-Model-On-The-Hub-That-Never-Ends-70b-Instruct-$x_1$"
#: `memory-over-time` runs real cells, and figures of learning need runs: they have such tests of their own.
MADE_UP = sorted(set(FIGURES) - {"memory-over-time"} - set(OF_LEARNING))
FROM_TABLE = sorted(name for name, figure in FIGURES.items() if isinstance(figure, Figure))


def record(layers):
    """Saved tensors, lengths and fidelity, in modules with long names."""
    names = ["input_layernorm", "self_attn.q_proj", "block.dense.LayerNormOfAVeryLongName.weight_norm"]
    entries = [storage(f"h.{layer}.{name}", 2**20, "norm") for layer in range(layers) for name in names]
    weights = [(f"h.{layer}.{name}", 0.1, 1.2, 0.9, 0.8) for layer in range(layers) for name in names]
    held = saved(*entries, storage("lm_head", GIB, "logits_loss"))
    return held | run((512, 2048, 64), GIB) | fidelity("lora-fa", *weights)


def verification(methods):
    rows = [
        {
            "cell_id": f"{LONG}_{method}",
            "method": method,
            "status": "placed",
            "predicted_peak_allocated_bytes": (index + 3) * GIB + index,
            "measured_peak_allocated_bytes": (index + 3) * GIB,
        }
        for index, method in enumerate(methods)
    ]
    return pd.DataFrame(rows)


def draw(figure, results, style_name):
    """On the first page that has room, as when it is saved."""
    for page in PAGES[style_name]:
        with style(page):
            try:
                return figure.draw(results.table if isinstance(figure, Figure) else results)
            except PageFullError:
                continue
    raise AssertionError(f"{figure.name} fits no {style_name}")


def crowded(models):
    """Rows of models, methods and lengths; every fifth setting differs, and some are out of memory."""
    methods = ("full-ft", "lora", "peft-lora-fa")
    rows = [
        {
            "model": model,
            "params_total": 10**8 * 7**index,
            "method": method,
            "seq": seq,
            "status": "oom" if seq == 2048 else "ok",
            "peak_reserved_bytes": None if seq == 2048 else batch * 3 * GIB,
            "batch": batch,
        }
        for (index, model), method, seq, batch in itertools.product(
            enumerate(models), methods, (128, 2048), (4, 8)
        )
    ]
    targets = "q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj"
    return [
        *rows,
        *({"method": "mine", "rank": rank, "targets": targets, "params_total": 10**9} for rank in (8, 9)),
        *({"method": "lora", "parallel": "fsdp2", "gpus": gpus, "params_total": 10**9} for gpus in (2, 64)),
    ]


@pytest.mark.parametrize("name", MADE_UP)
def test_no_text_overlaps_another_or_leaves_the_page(results, name):
    rows = crowded(("llama-2-7b", LONG))
    details = {f"cell{index}": record(40) for index in range(len(rows))}
    made = results(*rows, details=details, verification=verification(("full-ft", "lora", "$mine_x$")))
    assert_legible(draw(FIGURES[name], made, "paper"))


@pytest.mark.parametrize("name", MADE_UP)
def test_nor_on_a_slide(results, name):
    axis = name.removeprefix("memory-over-")
    axis = axis if axis in ("rank", "seq", "gpus") else "batch"
    rows = [
        {"model": model, "params_total": size, "method": method, axis: value, "peak_reserved_bytes": GIB}
        for model, size in (("gpt2", 10**8), ("llama-2-7b", 7 * 10**9))
        for method in ("full-ft", "lora")
        for value in (4, 8)
    ]
    details = {f"cell{index}": record(12) for index in range(len(rows))}
    made = results(*rows, details=details, verification=verification(("full-ft", "lora")))
    if name == "memory-over-model-size":  # a row of panels for each batch is more than a slide holds
        made = results(*rows[::2], details={})
    assert_legible(draw(FIGURES[name], made, "slide"))


def test_labels_of_close_ticks_do_not_overlap(table):
    rows = table(*({"seq": 2**power} for power in range(5, 18)))
    assert_legible(FIGURES["memory-over-seq"].draw(rows))


@pytest.mark.parametrize("text", ["<script>alert('$x_1$')</script>", "a_b^c &amp; $\\frac{"])
def test_any_name_is_only_a_name(results, tmp_path, text):
    rows = [{"model": text, "method": text, "params_total": 10**7}, {"params_total": 10**9}]
    rows += [{"params_total": 10**9, axis: 2048} for axis in ("batch", "gpus", "rank", "seq")]
    details = {f"cell{index}": record(2) for index in range(2)}
    made = results(*rows, details=details, verification=verification([text]))
    outcomes = save_all(made, tmp_path, None, ["svg"])
    undrawn = {outcome.name for outcome in outcomes if not isinstance(outcome, SavedFigure)}
    assert undrawn == {"batch-per-budget", "memory-over-time"}
    for path in tmp_path.glob("*.svg"):
        tags = {element.tag.rpartition("}")[2] for element in ElementTree.parse(path).iter()}
        assert "script" not in tags


def test_no_rows_and_one_row(results, tmp_path):
    nothing = save_all(results(details={}), tmp_path, None, ["png"])
    reasons = {outcome.name: outcome.reason for outcome in nothing}
    assert [reasons[name] for name in FROM_TABLE] == ["the results table has no rows"] * len(FROM_TABLE)
    assert all(reasons.values())
    one = save_all(results({}, details={"cell0": record(1)}), tmp_path, None, ["png"])
    undrawn = {outcome.name: outcome.reason for outcome in one if not isinstance(outcome, SavedFigure)}
    assert set(undrawn) == {
        "batch-per-budget",
        "memory-over-batch",
        "memory-over-gpus",
        "memory-over-rank",
        "memory-over-seq",
        "memory-over-model-size",
        "memory-over-time",
        "predicted-against-measured",
    }


def test_bars_with_labels_of_several_lines_are_fewer(table):
    targets = "q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj"
    rows = [{"rank": rank, "targets": targets, "dropout": 0.1} for rank in range(1, 61)]
    drawing = FIGURES["memory-by-method"].draw(table({}, *rows))
    assert drawing.get_figheight() < 11
    assert "Not drawn, for want of room:" in notes(drawing)


@pytest.fixture(scope="module")
def five_thousand(table):
    dice = random.Random(0)
    rows = [
        {
            "model": dice.choice(["a", "b", *(f"model-{index}" for index in range(20))]),
            "method": dice.choice(["full-ft", "lora", "lora-fa", "peft-lora", "mine"]),
            "rank": 2 ** dice.randrange(8),
            "batch": 2 ** dice.randrange(6),
            "seq": 2 ** dice.randrange(7, 11),
            "status": dice.choice(["ok"] * 9 + ["oom"]),
            "params_total": dice.randrange(10**6, 10**11),
            "peak_reserved_bytes": dice.randrange(2**30, 2**37),
        }
        for _ in range(5000)
    ]
    return table(*rows)


@pytest.mark.parametrize(
    "name",
    [
        "memory-by-method",  # bars
        "memory-over-seq",  # lines
        "batch-per-budget",
        "memory-over-model-size",
        "memory-against-throughput",
    ],
)
def test_of_five_thousand_rows_it_draws_what_is_readable_and_counts_the_rest(five_thousand, name):
    drawing = FIGURES[name].draw(five_thousand)
    assert drawing.get_figheight() < 14
    assert "Not drawn, for want of room:" in notes(drawing)
    assert_legible(drawing)
