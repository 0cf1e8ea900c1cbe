from __future__ import annotations

from histories import HELD, PEAK, history

from lorafa_prof.figures.history import draw_history


def test_a_line_for_each_cell_that_moved_in_percent_of_its_first_value():
    told = history(
        {("a", HELD): 200, ("b", HELD): 10, ("a", PEAK): 7},
        {("a", HELD): 300, ("b", HELD): 10, ("a", PEAK): 7},
        {("b", HELD): 11, ("a", PEAK): 7},
    )
    drawing = draw_history(told)
    assert drawing is not None
    (axes,) = drawing.axes
    assert axes.get_title(loc="left") == HELD
    lines = {line.get_gid(): [float(y) for y in line.get_ydata()] for line in axes.get_lines()}
    assert lines[f"{HELD}:a"][:2] == [100.0, 150.0]
    assert lines[f"{HELD}:a"][2] != lines[f"{HELD}:a"][2]  # no value
    assert lines[f"{HELD}:b"] == [100.0, 100.0, 110.0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["c1", "c2", "c3"]


def test_panels_stand_on_one_edge_and_the_last_names_the_moments():
    drawing = draw_history(
        history({("a", HELD): 1, ("a", PEAK): 10_000}, {("a", HELD): 2, ("a", PEAK): 10_001})
    )
    assert drawing is not None
    first, last = drawing.axes
    assert first.get_position().x0 == last.get_position().x0
    assert [label.get_text() for label in first.get_xticklabels()] == ["", ""]
    assert [label.get_text() for label in last.get_xticklabels()] == ["c1", "c2"]


def test_six_cells_at_most_and_how_many_there_are_more():
    cells = [(f"c{number}", HELD) for number in range(9)]
    drawing = draw_history(history(dict.fromkeys(cells, 10), {cell: 20 + n for n, cell in enumerate(cells)}))
    assert drawing is not None
    assert len(drawing.axes[0].get_lines()) == 6
    assert any("3 other cells" in text.get_text() for text in drawing.texts)


def test_nothing_that_moved_is_no_figure():
    assert draw_history(history({("a", HELD): 1}, {("a", HELD): 1})) is None
