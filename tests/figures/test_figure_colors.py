"""One colour has one meaning over all figures, and drawings for dark pages."""

from __future__ import annotations

import itertools

from matplotlib.colors import to_hex, to_rgb
from matplotlib.lines import Line2D
from matplotlib.text import Text

from lorafa_prof.figures import FIGURES
from lorafa_prof.figures.kit.dark import darken, on_dark
from lorafa_prof.figures.kit.shades import DARK_INK, DARK_PAGE, contrast, shades
from lorafa_prof.figures.kit.style import LOST, looks, style
from lorafa_prof.figures.kit.wishes import Wishes
from lorafa_prof.figures.save import save_all
from lorafa_prof.parts import PEAK_PARTS

PEAK = "peak_allocated_bytes"


def test_methods_parts_and_cells_without_a_result_have_no_colour_in_common():
    methods = {
        look.color for look in looks(["full-ft", "lora", "lora-fa", "peft-lora", "peft-lora-fa"]).values()
    }
    parts = {part.color for part in PEAK_PARTS.values()}
    for one, other in itertools.combinations((methods, parts, {LOST}), 2):
        assert not {color.lower() for color in one} & {color.lower() for color in other}


def test_phases_are_shades_of_their_methods_colour(table):
    drawing = FIGURES["flops"].draw(table({}, {"method": "lora-fa"}))
    look = looks(["lora", "lora-fa"])
    drawn = {patch.get_gid(): to_hex(patch.get_facecolor()) for patch in drawing.axes[0].patches}
    assert drawn["flops_forward:cell0"] == look["lora"].color.lower()
    assert drawn["flops_forward:cell1"] == look["lora-fa"].color.lower()
    assert len(set(drawn.values())) == 6


def test_on_dark_greys_turn_around_and_colours_are_those_of_the_pages_charts():
    assert to_hex(on_dark((0, 0, 0, 1))) == DARK_INK
    assert to_hex(on_dark((1, 1, 1, 1))) == DARK_PAGE
    assert on_dark((0, 0, 0, 0.5))[3] == 0.5
    look = looks(["lora"])["lora"]
    assert to_hex(on_dark((*to_rgb(look.color), 1.0))) == shades(look.color).dark


def test_a_dark_drawing_has_no_text_that_cannot_be_read_and_crosses_that_are_seen(table):
    rows = table({"seq": 512}, {"seq": 1024}, {"method": "full-ft", "seq": 512, "status": "oom"})
    with style():
        drawing = FIGURES["memory-over-seq"].draw(rows)
        darken(drawing)
    assert to_hex(drawing.get_facecolor()) == DARK_PAGE
    for text in drawing.findobj(Text):
        if text.get_text():
            assert contrast(to_hex(text.get_color()), DARK_PAGE) > 3, text.get_text()
    (cross,) = {line for line in drawing.axes[0].lines if (line.get_gid() or "").startswith(f"oom:{PEAK}")}
    assert isinstance(cross, Line2D)
    assert to_hex(cross.get_markeredgecolor()) == DARK_INK


def test_for_both_pages_there_are_two_files_and_the_light_one_is_as_ever(table, tmp_path):
    for name, grounds in (("light", ("light",)), ("dark", ("dark",)), ("both", ("light", "dark"))):
        save_all(table({}), tmp_path / name, ["flops"], ["png", "svg"], "paper", Wishes(grounds=grounds))
    for kind in ("png", "svg"):
        light, dark = ((tmp_path / name / f"flops.{kind}").read_bytes() for name in ("light", "dark"))
        assert light != dark
        assert (tmp_path / "both" / f"flops.{kind}").read_bytes() == light
        assert (tmp_path / "both" / f"flops-dark.{kind}").read_bytes() == dark
