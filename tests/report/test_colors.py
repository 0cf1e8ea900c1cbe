from __future__ import annotations

import re
from importlib.resources import files

import pytest

from lorafa_prof.figures.kit.shades import DARK_PAGE, LIGHT_PAGE, contrast, shades
from lorafa_prof.figures.kit.style import BLACK, BLUE, SKY
from lorafa_prof.parts import PEAK_PARTS, Part


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)  # WebAIM's contrast checker
    assert contrast("#0000ff", "#ffffff") == contrast("#ffffff", "#0000ff") == pytest.approx(8.59, abs=0.01)


@pytest.mark.parametrize("part", PEAK_PARTS.values(), ids=lambda part: part.name)
def test_every_part_is_seen_on_a_dark_page(part: Part) -> None:
    assert contrast(shades(part.color).dark, DARK_PAGE) >= 3


def test_a_colour_that_is_seen_stays_as_it_is() -> None:
    assert shades(SKY) == shades(BLUE).__class__(SKY.lower(), SKY.lower())
    assert shades(BLACK).light == "#000000"


def test_the_pages_backgrounds_are_those_of_its_style() -> None:
    style = files("lorafa_prof.report").joinpath("assets", "page.css").read_text()
    assert re.findall(r"--page: (#\w+);", style) == [LIGHT_PAGE, DARK_PAGE]
