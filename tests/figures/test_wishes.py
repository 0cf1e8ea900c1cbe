"""Figures as whoever draws them wants them: size, title, labels, axes, and the caption's files."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from drawings import assert_legible, texts
from matplotlib.image import imread

from lorafa_prof.cli.report import report_command
from lorafa_prof.errors import UsageError
from lorafa_prof.figures import FIGURES
from lorafa_prof.figures.figure import NoDataError
from lorafa_prof.figures.kit.page import CaptionedDrawing
from lorafa_prof.figures.kit.style import PAGES, style
from lorafa_prof.figures.kit.wishes import AxisWish, Wishes, wishing
from lorafa_prof.figures.save import SavedFigure, save_all
from lorafa_prof.figures.wished import axes_of, labels_of
from lorafa_prof.results.table import write_table

PEAK = "peak_allocated_bytes"


def sweep(table):
    return table(
        *({"method": method, "seq": seq} for method in ("lora", "lora-fa") for seq in (512, 1024, 2048))
    )


def draw(figure, rows, style_name="paper", **wishes) -> CaptionedDrawing:
    with wishing(Wishes(**wishes)), style(PAGES[style_name][0]):
        drawing = FIGURES[figure].draw(rows)
    assert isinstance(drawing, CaptionedDrawing)
    return drawing


def test_width_and_height_are_inches_of_the_file(table, tmp_path):
    wishes = Wishes(width=4, height=3)
    save_all(sweep(table), tmp_path, ["memory-over-seq", "throughput"], ["png"], "paper", wishes)
    for name in ("memory-over-seq", "throughput"):
        assert imread(tmp_path / f"{name}.png").shape[:2] == (900, 1200)
    assert_legible(draw("memory-over-seq", sweep(table), width=4, height=3))


@pytest.mark.parametrize(("wishes", "needs"), [({"height": 1}, "a height of "), ({"width": 1.2}, "width")])
def test_what_a_size_has_no_room_for_is_not_drawn_and_the_reason_says_what_it_needs(
    table, tmp_path, wishes, needs
):
    (outcome,) = save_all(sweep(table), tmp_path, ["memory-over-seq"], ["png"], "paper", Wishes(**wishes))
    assert outcome.reason.startswith("there is no room for it in the size asked for: ")
    assert needs in outcome.reason


def test_two_columns_hold_panels_side_by_side(table):
    rows = table(*({"seq": seq, "model": model} for seq in (512, 1024) for model in ("a", "b")))
    drawing = draw("memory-over-seq", rows, "two-columns")
    assert drawing.get_size_inches()[0] == pytest.approx(7.16)
    one, other = (axes.get_position() for axes in drawing.axes if axes.get_label().endswith(PEAK))
    assert one.y0 == pytest.approx(other.y0)
    assert_legible(drawing)


def test_what_all_cells_share_is_in_the_captions_files_and_not_in_the_picture(table, tmp_path):
    (saved,) = save_all(sweep(table), tmp_path, ["memory-over-seq"], ["png"])
    assert isinstance(saved, SavedFigure)
    text, latex = (path.read_text() for path in saved.captions)
    assert text.splitlines()[0] == "Memory of one training step over the sequence length."
    assert text.splitlines()[1].startswith(
        "All cells: r8, on all-linear, dropout 0, bf16 adapters, adamw, batch 8"
    )
    assert latex.startswith("\\caption{Memory of one training step over the sequence length. All cells: r8, ")
    assert latex.endswith("}\n\\label{fig:memory-over-seq}\n")
    assert not any("all-linear" in shown for shown in texts(draw("memory-over-seq", sweep(table))))


def test_without_a_title_the_notes_are_in_the_caption_alone(table):
    rows = table({"seq": 512}, {"seq": 1024}, {"seq": 2048, "status": "error"})
    with_title, without = draw("memory-over-seq", rows), draw("memory-over-seq", rows, title="")
    note = "Not drawn: 1 cell without a result (error)."
    assert note in texts(with_title)
    assert not {note, "Memory of one training step over the sequence length"} & set(texts(without))
    assert with_title.caption == without.caption
    assert "Mine" in texts(draw("memory-over-seq", rows, title="Mine"))


def test_labels_stand_in_place_of_names_in_lines_bars_and_legends(table):
    labels = {"lora": "LoRA", "llama-2-7b": "Llama 2", "activations": "Held", "sequence length (tokens)": "L"}
    with wishing(Wishes(labels=labels)) as honoured:
        shown = texts(FIGURES["memory-over-seq"].draw(sweep(table)))
        bars = texts(FIGURES["memory-by-method"].draw(sweep(table)))
    assert {"LoRA", "lora-fa", "Llama 2", "Held (GiB)", "L"} <= set(shown)
    assert {"LoRA", "lora-fa", "Llama 2", "Held"} <= set(bars)
    assert honoured.labels == set(labels)


def test_axes_have_the_limits_and_scale_that_are_wished_for(table):
    rows = sweep(table)
    drawing = draw("memory-over-seq", rows, axes={"x": AxisWish(True), "y": AxisWish(None, (20.0, 90.0))})
    panel = drawing.axes[0]
    assert panel.get_xscale() == "log"
    assert panel.get_ylim() == (20, 90)
    assert min(panel.get_yticks()) >= 20
    points = draw("memory-against-throughput", rows, axes={"x": AxisWish(None, (0.0, 100.0))})
    assert points.axes[0].get_xlim() == (0, 100)
    bars = draw("throughput", rows, axes={"x": AxisWish(None, (0.0, 1e6))})
    assert bars.axes[0].get_xlim() == (0, 1e6)


@pytest.mark.parametrize(
    ("figure", "axes", "reason"),
    [
        ("throughput", {"x": AxisWish(True)}, "bars start at 0"),
        ("throughput", {"x": AxisWish(None, (1.0, 2.0))}, "bars start at 0"),
        ("memory-over-seq", {"y": AxisWish(True)}, "its vertical axis is linear"),
    ],
)
def test_axes_that_a_figure_cannot_have_are_the_reason_not_to_draw_it(table, figure, axes, reason):
    with pytest.raises(NoDataError, match=reason):
        draw(figure, sweep(table), axes=axes)


def test_a_logarithmic_axis_has_no_place_for_nothing(table):
    rows = table({"tokens_per_s": 0.5}, {"seq": 2048, "tokens_per_s": 10, PEAK: 1})
    assert draw("memory-against-throughput", rows, axes={"y": AxisWish(True)}).axes[0].get_yscale() == "log"
    padded = table({"padding": 0.0, "seq": 0}, {"seq": 512})
    with pytest.raises(NoDataError, match="no place for 0"):
        draw("memory-over-seq", padded, axes={"x": AxisWish(True)})


@pytest.mark.parametrize(
    ("text", "wishes"),
    [
        ("", {}),
        ("x=log", {"x": AxisWish(True)}),
        ("x=log, x=1:512,y=0:80.5", {"x": AxisWish(True, (1, 512)), "y": AxisWish(None, (0, 80.5))}),
        ("y=linear", {"y": AxisWish(False)}),
    ],
)
def test_axes_are_read(text, wishes):
    assert axes_of(text) == wishes


@pytest.mark.parametrize(
    "text", ["z=log", "x", "x=", "x=1", "x=1:2:3", "x=a:b", "x=2:1", "x=0:nan", "x=log,x=0:5"]
)
def test_axes_that_are_none_are_told(text):
    with pytest.raises(UsageError, match="--axes"):
        axes_of(text)


def test_labels_are_read_from_yaml_and_what_is_none_is_told(tmp_path):
    file = tmp_path / "labels.yaml"
    file.write_text("lora-fa: LoRA-FA\n")
    assert labels_of(file) == {"lora-fa": "LoRA-FA"}
    for text, reason in (
        ("- a", "write names and their labels"),
        ("a: [1]", "label of 'a'"),
        ("{", "labels.yaml"),
    ):
        file.write_text(text)
        with pytest.raises(UsageError, match=reason):
            labels_of(file)
    with pytest.raises(UsageError, match="cannot be read"):
        labels_of(tmp_path / "none")


def report(*args):
    return CliRunner().invoke(report_command, [str(arg) for arg in args])


@pytest.fixture
def out(tmp_path, table):
    rows = sweep(table).to_dict(orient="records")
    write_table(
        [{k: v for k, v in row.items() if v == v and v is not None} for row in rows], tmp_path / "results.csv"
    )
    return tmp_path


def test_wishes_that_no_figure_has_a_use_for_are_told(out):
    (out / "labels.yaml").write_text("lorra: LoRA\n")
    options = ("--format", "png", "--labels", out / "labels.yaml", "--axes", "y=0:80")
    result = report(out, "--figure", "throughput", *options)
    assert result.exit_code == 0
    assert "note: --labels: no figure says 'lorra' (did you mean 'lora'?)" in result.stderr
    assert "note: --axes: throughput has no y axis that can be set" in result.stderr


def test_a_title_is_of_one_figure(out):
    result = report(out, "--title", "Mine")
    assert isinstance(result.exception, UsageError)
    assert "--title" in str(result.exception)
    assert report(out, "--title", "none", "--figure", "flops", "--format", "png").exit_code == 0
