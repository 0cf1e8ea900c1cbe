from __future__ import annotations

import pytest
from drawings import by_gid, stack, texts

from lorafa_prof.figures import FIGURES
from lorafa_prof.figures.figure import NoDataError

GIB = 2**30


def test_memory_bar_totals_the_peak_of_the_table(table):
    drawing = FIGURES["memory-by-method"].draw(table({}))
    parts = stack(drawing, "cell0")
    assert parts == {
        "weights_bytes": 13,
        "optimizer_bytes": 2,
        "gradients_bytes": 1,
        "activation_bytes": 42,
        "other": 2,
    }
    assert list(by_gid(drawing, "mark:cell0")["mark:cell0"].get_xdata()) == [60, 60]
    assert "60.0" in texts(drawing)


def test_parts_beyond_the_peak_are_never_called_the_peak(table):
    drawing = FIGURES["memory-by-method"].draw(table({"peak_allocated_bytes": 50 * GIB}))
    parts = stack(drawing, "cell0")
    assert "other" not in parts
    assert sum(parts.values()) == 58
    assert list(by_gid(drawing, "mark:cell0")["mark:cell0"].get_xdata()) == [50, 50]
    assert "50.0" in texts(drawing)
    assert any("Faded beyond the mark" in text for text in texts(drawing))


def test_a_part_that_is_not_measured_is_named_in_a_note(table):
    drawing = FIGURES["memory-by-method"].draw(table({"optimizer_bytes": None}))
    assert stack(drawing, "cell0")["other"] == 4
    assert any("part of other there: optimizer state." in text for text in texts(drawing))


def test_without_a_peak_the_bar_says_so(table):
    drawing = FIGURES["memory-by-method"].draw(table({"peak_allocated_bytes": None}))
    assert not by_gid(drawing, "mark:")
    assert "58.0 (peak not measured)" in texts(drawing)


@pytest.mark.parametrize("name", ["memory-by-method", "throughput", "flops"])
def test_out_of_memory_is_written_where_the_bar_would_be(table, name):
    rows = table({}, {"method": "lora-fa", "status": "oom", "failed_phase": "backward", "weights_bytes": GIB})
    drawing = FIGURES[name].draw(rows)
    assert not stack(drawing, "cell1")
    assert by_gid(drawing, "text:cell1")["text:cell1"].get_text() == "× OOM in backward"


def test_flops_are_stacked_to_the_step(table):
    drawing = FIGURES["flops"].draw(table({}))
    assert stack(drawing, "cell0") == {"flops_forward": 100, "flops_backward": 120, "rest": 1}
    assert "221" in texts(drawing)


def test_flops_of_one_phase_only_say_what_is_lacking(table):
    drawing = FIGURES["flops"].draw(table({"flops_backward": None}))
    assert stack(drawing, "cell0") == {"flops_forward": 100}
    assert "100 (backward not counted)" in texts(drawing)


def test_throughput_and_its_spread(table):
    drawing = FIGURES["throughput"].draw(table({}))
    assert stack(drawing, "cell0") == {"tokens_per_s": 12800}
    low, high = by_gid(drawing, "spread:cell0")["spread:cell0"].get_xdata()
    assert (low, high) == pytest.approx((8 * 1024 / 0.7, 8 * 1024 / 0.6))


def test_throughputs_spread_counts_all_micro_batches(table):
    drawing = FIGURES["throughput"].draw(table({"accumulation": 3, "tokens_per_s": 3 * 12800.0}))
    low, high = by_gid(drawing, "spread:cell0")["spread:cell0"].get_xdata()
    assert (low, high) == pytest.approx((3 * 8 * 1024 / 0.7, 3 * 8 * 1024 / 0.6))


def test_padding_accumulation_and_clipping_are_told_where_they_are_not_the_usual(table):
    unusual = {"padding": 0.25, "accumulation": 4, "max_grad_norm": 1.0}
    shared = " ".join(FIGURES["throughput"].draw(table(unusual, {**unusual, "rank": 64})).caption)
    assert "padding 0.25, accumulation 4, clipping 1" in shared
    # One method with it and another without: it differs, though the other one's column is empty.
    mixed = " ".join(texts(FIGURES["throughput"].draw(table({}, {"method": "full-ft", **unusual}))))
    assert "padding 0.25, accumulation 4, clipping 1" in mixed
    assert "padding 0, accumulation 1, clipping none" in mixed


def test_updates_in_backward_are_told_where_they_differ_from_an_older_table(table):
    mixed = " ".join(texts(FIGURES["throughput"].draw(table({}, {"update": "backward"}))))
    assert "update in backward" in mixed
    assert "update in step" in mixed
    assert "update" not in " ".join(texts(FIGURES["throughput"].draw(table({}, {"rank": 64}))))


def test_small_values_get_a_small_unit(table):
    small = {"weights_bytes": 4096, "gradients_bytes": 0, "optimizer_bytes": 0, "activation_bytes": 1024}
    drawing = FIGURES["memory-by-method"].draw(table({**small, "peak_allocated_bytes": 6144}))
    assert stack(drawing, "cell0") == {
        "weights_bytes": 4,
        "activation_bytes": 1,
        "other": 1,
    }
    assert "allocated (KiB)" in texts(drawing)


def test_settings_that_differ_head_the_bars_and_the_rest_is_in_the_caption(table):
    rows = table({"batch": 4}, {"batch": 8}, {"batch": 8, "rank": 64}, {"method": "full-ft", "batch": 8})
    drawing = FIGURES["memory-by-method"].draw(rows)
    shown = texts(drawing)
    assert {"batch 4", "batch 8", "lora r8", "lora r64", "full-ft"} <= set(shown)
    assert "seq 1024, bf16 weights, sdpa attention" in " ".join(drawing.caption)
    assert not any("sdpa" in text for text in shown)


def test_cells_the_table_cannot_tell_apart_are_told_apart_by_their_id(table):
    rows = table({"cell_id": "a_111111"}, {"cell_id": "b_222222"})
    shown = texts(FIGURES["memory-by-method"].draw(rows))
    assert {"lora [111111]", "lora [222222]"} <= set(shown)


def test_a_panel_for_each_model_even_if_all_of_it_is_out_of_memory(table):
    drawing = FIGURES["memory-by-method"].draw(table({}, {"model": "llama-65b", "status": "oom"}))
    assert [axes.get_label() for axes in drawing.axes] == ["llama-2-7b", "llama-65b"]
    assert "× OOM" in texts(drawing)


@pytest.mark.parametrize(
    ("name", "lacking", "reason"),
    [
        (
            "memory-by-method",
            [
                "peak_allocated_bytes",
                "weights_bytes",
                "gradients_bytes",
                "optimizer_bytes",
                "activation_bytes",
            ],
            "peak_allocated_bytes",
        ),
        ("throughput", ["tokens_per_s"], "tokens_per_s"),
        ("flops", ["flops_forward", "flops_backward"], "flops_forward"),
    ],
)
def test_nothing_to_draw_is_an_error_with_a_reason(table, name, lacking, reason):
    with pytest.raises(NoDataError, match=reason):
        FIGURES[name].draw(table(dict.fromkeys(lacking)))


def test_numbers_of_a_cell_that_did_not_finish_are_not_drawn(table):
    with pytest.raises(NoDataError):
        FIGURES["memory-by-method"].draw(table({"status": "oom", "peak_allocated_bytes": 80 * GIB}))


def test_what_peft_trains_by_default_is_not_what_others_were_told_to(table):
    """An empty value of `targets` is PEFT's own choice, of Full-FT it is that there is nothing to choose."""
    rows = table({}, {"method": "peft-lora", "targets": None}, {"method": "full-ft"})
    shown = " ".join(texts(FIGURES["memory-by-method"].draw(rows)))
    assert "peft-lora on default targets" in shown
    assert "lora on all-linear" in shown
    assert "full-ft on" not in shown
    alike = FIGURES["memory-by-method"].draw(table({}, {"method": "full-ft"}))
    assert "on all-linear" in " ".join(alike.caption)
