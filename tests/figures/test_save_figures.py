from __future__ import annotations

import re

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure as Drawing
from matplotlib.image import imread

from lorafa_prof.errors import UsageError
from lorafa_prof.figures import FIGURES, save
from lorafa_prof.figures.figure import Figure
from lorafa_prof.figures.kit.style import PAGES, looks, style
from lorafa_prof.figures.save import SavedFigure, SkippedFigure, save_all
from lorafa_prof.results.records import Results

FROM_TABLE = [
    "batch-per-budget",
    "flops",
    "memory-against-throughput",
    "memory-by-method",
    "memory-over-batch",
    "memory-over-gpus",
    "memory-over-model-size",
    "memory-over-rank",
    "memory-over-seq",
    "throughput",
]
FROM_RECORDS = [
    "activations-by-module",
    "fidelity-by-layer",
    "memory-by-kind",
    "memory-over-steps",
    "memory-over-time",
    "predicted-against-measured",
]
OF_LEARNING_RUNS = [
    "loss-over-seconds",
    "loss-over-steps",
    "loss-over-tokens",
    "quality-against-memory",
    "quality-against-time",
    "quality-by-seed",
    "quality-over-rank",
]


def test_every_figure_is_found_by_its_file():
    assert sorted(FIGURES) == sorted(FROM_TABLE + FROM_RECORDS + OF_LEARNING_RUNS)


def test_files_are_written_in_each_format(table, tmp_path):
    (saved,) = save_all(table({}), tmp_path / "new", ["flops"], ["png", "pdf", "svg"])
    assert saved.paths == tuple(tmp_path / "new" / f"flops.{kind}" for kind in ("png", "pdf", "svg"))
    heads = [path.read_bytes()[:5] for path in saved.paths]
    assert heads == [b"\x89PNG\r", b"%PDF-", b"<?xml"]


def test_the_same_table_gives_the_same_bytes(table, tmp_path):
    for run in ("a", "b"):
        save_all(table({}, {"seq": 2048}), tmp_path / run, ["memory-over-seq"], ["png", "pdf", "svg"])
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    assert b"CreationDate" not in (tmp_path / "a" / "memory-over-seq.pdf").read_bytes()


def test_a_figure_without_data_is_reported_and_not_written(table, tmp_path):
    outcomes = save_all(table({"tokens_per_s": None}), tmp_path, ["throughput", "flops"], ["png"])
    assert outcomes[0] == SkippedFigure(
        "throughput", "no finished cell has tokens_per_s; a predicted step is not timed"
    )
    assert {path.stem for path in tmp_path.iterdir()} == {"flops"}


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


def test_a_table_alone_has_no_records_to_draw_from(table, tmp_path):
    outcomes = save_all(table({}), tmp_path, FROM_RECORDS, ["png"])
    assert [type(outcome) for outcome in outcomes] == [SkippedFigure] * len(FROM_RECORDS)


def test_a_record_that_cannot_be_read_is_the_reason_and_others_are_drawn(table, tmp_path):
    def damaged(cell_id):
        raise UsageError(f"{cell_id}.json: this record is damaged")

    outcomes = save_all(Results(table({}), damaged), tmp_path, ["memory-by-kind", "flops"], ["png"])
    assert outcomes[0] == SkippedFigure("memory-by-kind", "cell0.json: this record is damaged")
    assert isinstance(outcomes[1], SavedFigure)


def test_a_figure_of_third_parties_is_given_the_table_in_the_style_asked_for(table, tmp_path, monkeypatch):
    def draw(rows):
        assert list(rows["cell_id"]) == ["cell0"]
        return Drawing(label=str(mpl.rcParams["font.size"]))

    theirs = Figure("theirs", "a figure as of version 0.1", draw)
    monkeypatch.setattr(save, "FIGURES", {"theirs": theirs})
    for style_name in ("paper", "slide"):
        outcomes = save_all(table({}), tmp_path / style_name, None, ["pdf"], style_name)
        assert outcomes == [SavedFigure("theirs", (tmp_path / style_name / "theirs.pdf",))]
    sizes = {name: _media_box(tmp_path / name / "theirs.pdf") for name in ("paper", "slide")}
    assert sizes == {"paper": pytest.approx((3.5, 2.625)), "slide": pytest.approx((13.333, 7.5), abs=0.01)}


def test_a_slide_is_16_to_9_in_large_letters_and_a_paper_figure_one_column_wide(table, tmp_path):
    names = ("memory-by-method", "memory-over-seq", "memory-against-throughput")
    for style_name in ("paper", "slide"):
        rows = table({}, {"seq": 2048}, {"method": "lora-fa"})
        save_all(rows, tmp_path / style_name, names, ["png", "pdf"], style_name)
    for name in names:
        assert _media_box(tmp_path / "slide" / f"{name}.pdf") == pytest.approx((13.333, 7.5), abs=0.01)
        assert _media_box(tmp_path / "paper" / f"{name}.pdf")[0] == pytest.approx(3.5)
        assert imread(tmp_path / "paper" / f"{name}.png").shape[1] == 3.5 * 300
        height, width = imread(tmp_path / "slide" / f"{name}.png").shape[:2]
        assert width / height == pytest.approx(16 / 9, abs=0.005)
    for style_name, least in (("paper", 7), ("slide", 11.5)):
        for page in PAGES[style_name]:
            with style(page):
                sizes = mpl.rcParams["font.size"], mpl.rcParams["xtick.labelsize"]
                assert min(*sizes, mpl.rcParams["legend.fontsize"]) >= least


def test_pdf_files_embed_their_letters_as_outlines_that_can_be_edited(table, tmp_path):
    save_all(table({}), tmp_path, ["flops"], ["pdf"])
    content = (tmp_path / "flops.pdf").read_bytes()
    assert b"/FontFile2" in content
    assert b"/Type3" not in content


def test_what_does_not_fit_a_slide_is_not_drawn_small(table, tmp_path):
    rows = table(*({"rank": rank} for rank in range(1, 41)))
    (paper,) = save_all(rows, tmp_path, ["throughput"], ["png"], "paper")
    (slide,) = save_all(rows, tmp_path, ["throughput"], ["png"], "slide")
    assert isinstance(paper, SavedFigure)
    assert slide == SkippedFigure(
        "throughput", "there is more to show than a slide has room for; use --style paper, or fewer cells"
    )


def test_an_unknown_style_stops_before_anything_is_written(table, tmp_path):
    with pytest.raises(UsageError, match=r"unknown style 'slides' \(did you mean 'slide'\?\)"):
        save_all(table({}), tmp_path, ["flops"], ["png"], "slides")
    assert not list(tmp_path.iterdir())


def _media_box(path):
    """Width and height of a PDF's page, in inches."""
    found = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+) ([\d.]+) ?\]", path.read_bytes())
    return tuple(float(number) / 72 for number in found.groups())


def test_a_record_of_another_form_takes_no_other_figure_with_it(results, tmp_path):
    made = results({}, details={"cell0": {"saved": {"storages": "x"}}})
    outcomes = save_all(made, tmp_path, ["activations-by-module", "flops"], ["png"])
    assert outcomes[0].reason.startswith("cell0.json holds other than this version writes (KeyError")
    assert isinstance(outcomes[1], SavedFigure)


def test_a_full_disk_is_one_line_and_leaves_the_figure_of_before(table, tmp_path, monkeypatch):
    (tmp_path / "flops.png").write_bytes(b"before")

    def full(path, text):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(save, "write_atomically", full)
    with pytest.raises(UsageError, match=r"cannot write figures there: No space left on device$"):
        save_all(table({}), tmp_path, ["flops"], ["png"])
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("flops.png", b"before")]
