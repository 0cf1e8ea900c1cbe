from __future__ import annotations

import itertools

import matplotlib as mpl
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from lorafa_prof.errors import UsageError
from lorafa_prof.figures import FIGURES
from lorafa_prof.figures.save import Saved, Skipped, save_all
from lorafa_prof.figures.style import looks

NAMES = ["flops", "memory-by-method", "memory-over-rank", "memory-over-seq", "throughput"]


def test_every_figure_is_found_by_its_file():
    assert sorted(FIGURES) == NAMES


def test_files_are_written_in_each_format(table, tmp_path):
    outcomes = save_all(table({}), tmp_path / "new", ["flops"], ["png", "pdf", "svg"])
    assert outcomes == [
        Saved("flops", tuple(tmp_path / "new" / f"flops.{kind}" for kind in ("png", "pdf", "svg")))
    ]
    heads = [path.read_bytes()[:5] for path in outcomes[0].paths]
    assert heads == [b"\x89PNG\r", b"%PDF-", b"<?xml"]


def test_the_same_table_gives_the_same_bytes(table, tmp_path):
    for run in ("a", "b"):
        save_all(table({}), tmp_path / run, ["memory-over-seq"], ["png", "pdf", "svg"])
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    assert b"CreationDate" not in (tmp_path / "a" / "memory-over-seq.pdf").read_bytes()


def test_a_figure_without_data_is_reported_and_not_written(table, tmp_path):
    outcomes = save_all(table({"tokens_per_s": None}), tmp_path, ["throughput", "flops"], ["png"])
    assert outcomes[0] == Skipped(
        "throughput", "no finished cell has tokens_per_s; a predicted step is not timed"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["flops.png"]


def test_unknown_names_and_formats_stop_before_anything_is_written(table, tmp_path):
    with pytest.raises(UsageError, match=r"unknown figure 'flop' \(did you mean 'flops'\?\)"):
        save_all(table({}), tmp_path, ["throughput", "flop"])
    with pytest.raises(UsageError, match="unknown format 'gif'"):
        save_all(table({}), tmp_path, ["flops"], ["png", "gif"])
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_a_usage_error(table, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write figures there"):
        save_all(table({}), tmp_path / "file", ["flops"], ["png"])


def test_drawing_leaves_the_users_matplotlib_settings_alone(table, tmp_path):
    with mpl.rc_context({"font.size": 30.0}):
        save_all(table({}), tmp_path, ["flops"], ["png"])
        assert mpl.rcParams["font.size"] == 30.0


def test_methods_keep_their_look_whichever_others_are_there():
    assert looks(["lora"])["lora"] == looks(["lora", "mine", "full-ft"])["lora"]
    assert (
        len(set(looks([*looks(["full-ft", "lora", "lora-fa", "peft-lora", "peft-lora-fa"]), "x"]).values()))
        == 6
    )


@pytest.mark.parametrize("name", NAMES)
def test_no_text_overlaps_another_or_leaves_the_page(table, name):
    long = "meta-llama/A-Very-Long-Name-Of-A-Model-On-The-Hub-That-Never-Ends-70b-Instruct-$x_1$"
    axes = itertools.product(("llama-2-7b", long), ("full-ft", "lora", "peft-lora-fa"), (128, 1024, 2048))
    rows = [
        {"model": model, "method": method, "seq": seq, "status": "oom" if seq == 2048 else "ok"}
        for model, method, seq in axes
    ]
    rows.append({"method": "mine", "targets": "q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj"})
    _assert_legible(FIGURES[name].draw(table(*rows)))


def test_labels_of_close_ticks_do_not_overlap(table):
    drawing = FIGURES["memory-over-seq"].draw(table(*({"seq": 2**power} for power in range(5, 18))))
    _assert_legible(drawing)


def _assert_legible(drawing):
    canvas = FigureCanvasAgg(drawing)
    canvas.draw()
    visible = [text for text in drawing.findobj(Text) if text.get_text().strip() and text.get_visible()]
    boxes = [(text.get_text(), text.get_window_extent(canvas.get_renderer())) for text in visible]
    width, height = drawing.get_size_inches() * drawing.dpi
    for text, box in boxes:
        assert box.x0 >= 0, text
        assert box.x1 <= width, text
        assert box.y0 >= 0, text
        assert box.y1 <= height, text
    for (text, box), (other, beside) in itertools.combinations(boxes, 2):
        assert not box.padded(-2).overlaps(beside.padded(-2)), (text, other)
