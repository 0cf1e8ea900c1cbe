from __future__ import annotations

import itertools

import pytest
from drawings import crosses, finite, lines, texts
from matplotlib.lines import Line2D

from lorafa_prof.devices.gpus.gpu import GPUS
from lorafa_prof.figures import FIGURES
from lorafa_prof.figures.figure import NoDataError
from lorafa_prof.figures.kit.capacities import CARDS, capacities_near
from lorafa_prof.figures.kit.lines import LineChart
from lorafa_prof.figures.kit.points import points_of
from lorafa_prof.figures.kit.series import series_of

GIB = 2**30
PEAK = "peak_allocated_bytes"


def test_a_line_joins_the_cells_of_one_setting_in_order_of_the_axis(table):
    rows = table(*({"seq": seq, PEAK: seq * GIB} for seq in (1024, 256, 512)))
    drawing = FIGURES["memory-over-seq"].draw(rows)
    assert lines(drawing, PEAK) == [([256, 512, 1024], [256, 512, 1024], True)]


@pytest.mark.parametrize(
    ("setting", "values"),
    [
        ("batch", (4, 8)),
        ("rank", (8, 64)),
        ("adapter_dtype", ("bf16", "fp32")),
        ("gpu", ("a100", "h100")),
        ("padding", (0.0, 0.5)),
        ("accumulation", (1, 4)),
        ("max_grad_norm", (None, 1.0)),
        ("autocast", ("none", "bf16")),
    ],
)
def test_cells_of_different_settings_are_never_joined(table, setting, values):
    rows = table(*({"seq": seq, setting: value, PEAK: seq * GIB} for seq in (256, 512) for value in values))
    drawing = FIGURES["memory-over-seq"].draw(rows)
    assert [xs for xs, _, _ in lines(drawing, PEAK)] == [[256, 512], [256, 512]]


def test_cells_of_an_older_table_are_joined_to_those_of_today(table):
    """It had no columns for what was added since: nothing was padded, accumulated or clipped."""
    today = {"seq": 512, "padding": 0.0, "accumulation": 1, PEAK: 512 * GIB}
    drawing = FIGURES["memory-over-seq"].draw(table({"seq": 256, PEAK: 256 * GIB}, today))
    assert lines(drawing, PEAK) == [([256, 512], [256, 512], True)]
    assert not any("padding" in text or "clipping" in text for text in texts(drawing))


def test_lines_of_one_method_look_different(table):
    rows = table(*({"seq": 512, "batch": batch} for batch in range(1, 25)))
    looks = {line.style for line in series_of(points_of(rows), "seq")}
    assert len({(look.color, look.dash, look.filled) for look in looks}) == 24


def test_reference_lines_of_one_method_look_different(table):
    rows = table(*({"method": "full-ft", "batch": batch} for batch in range(1, 13)))
    looks = {line.style for line in series_of(points_of(rows), "rank")}
    assert len({(look.color, look.dash) for look in looks}) == 12


def test_cells_that_settings_do_not_tell_apart_are_points_not_a_line(table):
    drawing = FIGURES["memory-over-seq"].draw(table({"seq": 256}, {"seq": 256}, {"seq": 512}))
    assert [joined for _, _, joined in lines(drawing, PEAK)] == [False]
    assert any(text.startswith("Not joined") for text in texts(drawing))


def test_out_of_memory_is_a_cross_above_the_data_at_its_place(table):
    rows = table({"seq": 512}, {"seq": 1024}, {"seq": 2048, "status": "oom"})
    drawing = FIGURES["memory-over-seq"].draw(rows)
    ((xs, ys, _),) = lines(drawing, PEAK)
    assert xs == [512, 1024, 2048]
    assert finite(ys) == [60, 60]
    assert crosses(drawing, PEAK) == [2048]
    (cross,) = [line for line in drawing.findobj(Line2D) if (line.get_gid() or "").startswith(f"oom:{PEAK}")]
    assert cross.get_ydata()[0] > max(finite(ys))
    assert max(cross.axes.get_yticks()) < cross.get_ydata()[0] < cross.axes.get_ylim()[1]
    assert "OOM" in texts(drawing)


def test_a_line_breaks_where_a_value_is_missing(table):
    rows = table({"seq": 256}, {"seq": 512, PEAK: None}, {"seq": 1024, "status": "error"}, {"seq": 2048})
    drawing = FIGURES["memory-over-seq"].draw(rows)
    ((xs, ys, _),) = lines(drawing, PEAK)
    assert [x for x, y in zip(xs, ys, strict=True) if y == 60] == [256, 2048]
    assert len(xs) == 4
    assert "Not drawn: 1 cell without a result (error)." in texts(drawing)
    assert "Not drawn: 1 cell without peak allocated." in texts(drawing)


def capacities(drawing):
    return {
        line.get_gid().rpartition(":")[2]: line.get_ydata()[0]
        for line in drawing.findobj(Line2D)
        if (line.get_gid() or "").startswith(f"capacity:{PEAK}")
    }


@pytest.mark.parametrize("axis", ["seq", "batch"])
def test_memory_of_gpus_near_the_data_are_lines_with_names(table, axis):
    rows = table({axis: 1, PEAK: 30 * GIB}, {axis: 2, PEAK: 66 * GIB}, {axis: 4, "status": "oom"})
    drawing = FIGURES[f"memory-over-{axis}"].draw(rows)
    found = capacities(drawing)
    # By their datasheets; what CUDA reports is a little less than as many GiB.
    assert set(found) == {"a100-40gb", "h100-80gb"}
    assert 38 < found["a100-40gb"] < 40
    assert 78 < found["h100-80gb"] < 80
    assert {"40 GB", "80 GB"} <= set(texts(drawing))
    (panel,) = [axes for axes in drawing.axes if axes.get_label().endswith(PEAK)]
    (cross,) = [line for line in panel.lines if (line.get_gid() or "").startswith("oom:")]
    assert found["h100-80gb"] < cross.get_ydata()[0] < panel.get_ylim()[1]


def test_no_gpu_is_near_small_models_and_none_is_shown_over_the_rank(table):
    small = table({"seq": 1, PEAK: 2 * GIB}, {"seq": 2, PEAK: 3 * GIB})
    drawing = FIGURES["memory-over-seq"].draw(small)
    assert not capacities(drawing)
    assert not any("Grey lines" in text for text in texts(drawing))
    assert not capacities(FIGURES["memory-over-rank"].draw(table({PEAK: 60 * GIB}, {"rank": 16})))


def test_names_of_gpus_never_stand_closer_than_a_line_of_text():
    for apart in (0.05, 0.1, 0.2):
        sizes = [capacity.size_bytes for capacity in capacities_near(0, 120 * GIB, apart)]
        gaps = [upper - lower for lower, upper in itertools.pairwise(sizes)]
        assert min(gaps) >= apart * max(sizes)


def test_every_card_is_in_the_catalogue_with_its_memory():
    assert all(GPUS[card].memory_bytes for card in CARDS)


def test_full_ft_is_a_dashed_line_across_the_ranks(table):
    rows = table({"method": "full-ft", PEAK: 70 * GIB}, {"rank": 8}, {"rank": 64})
    drawing = FIGURES["memory-over-rank"].draw(rows)
    shown = sorted(lines(drawing, PEAK))
    assert shown == [([0, 1], [70, 70], True), ([8, 64], [60, 60], True)]
    assert "full-ft (no rank)" in texts(drawing)


def test_full_ft_out_of_memory_is_marked_over_rank_without_a_rank(table):
    drawing = FIGURES["memory-over-rank"].draw(
        table({"method": "full-ft", "status": "oom"}, {"rank": 8}, {"rank": 16})
    )
    assert crosses(drawing, PEAK) == [0.5]  # the middle of the axes, not a rank
    assert lines(drawing, PEAK) == [([8, 16], [60, 60], True)]


def test_one_point_is_drawn_where_it_is(table):
    drawing = FIGURES["memory-over-seq"].draw(table({}, {"seq": 2048}, {"method": "lora-fa"}))
    assert lines(drawing, PEAK) == [([1024, 2048], [60, 60], True), ([1024], [60], True)]
    left, right = drawing.axes[0].get_xlim()
    assert left < 1024 < right


def test_panels_are_split_by_context_when_lines_are_many(table):
    rows = table(
        *(
            {"rank": rank, "seq": seq, "method": method, PEAK: seq * GIB}
            for method, seq, rank in itertools.product(("lora", "lora-fa", "mine"), range(1, 7), (8, 64))
        )
    )
    drawing = FIGURES["memory-over-rank"].draw(rows)
    peaks = [axes for axes in drawing.axes if axes.get_label().endswith(PEAK)]
    assert [axes.get_label().split(":")[0] for axes in peaks] == [f"llama-2-7b, seq {n}" for n in range(1, 7)]
    assert len(lines(drawing, PEAK)) == 18
    assert all(len(set(ys)) == 1 for _, ys, _ in lines(drawing, PEAK))


def test_a_metric_no_cell_has_gets_no_panel(table):
    drawing = FIGURES["memory-over-seq"].draw(table({PEAK: None}, {"seq": 2048, PEAK: None}))
    assert [axes.get_label() for axes in drawing.axes] == ["llama-2-7b:activation_bytes"]


def test_a_table_without_ranks_or_without_memory_has_nothing_to_draw(table):
    with pytest.raises(NoDataError, match="the rank was not swept"):
        FIGURES["memory-over-rank"].draw(table({"method": "full-ft"}))
    with pytest.raises(NoDataError, match="the batch was not swept: no two cells differ in it alone"):
        FIGURES["memory-over-batch"].draw(table({"batch": 4}, {"batch": 8, "seq": 512}))
    with pytest.raises(NoDataError, match=PEAK):
        LineChart("t", "seq", "seq").draw(
            table(*({"seq": seq, PEAK: None, "activation_bytes": None} for seq in (512, 1024)))
        )
