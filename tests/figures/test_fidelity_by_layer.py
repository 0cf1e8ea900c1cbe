from __future__ import annotations

import math

import pytest
from drawings import assert_legible, by_gid
from made_up_records import fidelity

from lorafa_prof.figures.fidelity_by_layer import FIGURE
from lorafa_prof.figures.figure import NoDataError

WEIGHTS = (
    ("model.layers.0.q", 0.3, 0.8, 0.9, 0.6),
    ("model.layers.0.k", 0.1, 0.4, 0.7, 0.2),
    ("model.layers.1.q", 0.1, 0.5, 0.5, 0.4),
    ("lm_head", 0.5, 9.0, 9.0, 9.0),
)


def heights(drawing, prefix):
    return {gid.partition(":")[2]: list(line.get_ydata()) for gid, line in by_gid(drawing, prefix).items()}


def test_the_weights_of_a_layer_count_together_and_those_outside_of_layers_not(results):
    rows = [{"method": "lora"}, {"method": "lora-fa"}]
    details = {"cell0": fidelity("lora", *WEIGHTS), "cell1": fidelity("lora-fa", *WEIGHTS)}
    drawing = FIGURE.draw(results(*rows, details=details))
    together = math.sqrt((0.3 * 0.8**2 + 0.1 * 0.4**2) / 0.4)
    assert heights(drawing, "plain")["lora"] == pytest.approx([together, 0.5])
    assert heights(drawing, "optimizer")["lora-fa"][1] == pytest.approx(0.5)
    assert heights(drawing, "floor")["lora-fa"][1] == pytest.approx(0.4)
    assert heights(drawing, "floor")["lora"][1] == pytest.approx(0.2)
    assert_legible(drawing)


def test_what_quantizing_the_base_costs_is_a_line_of_its_own(results):
    details = fidelity("lora-fa", *WEIGHTS)
    weights = [("model.layers.0.q", 0.75, 0.2), ("model.layers.0.k", 0.25, 0.1), ("lm_head", 0.0, 3.0)]
    details["base_error"] = {
        "weights": [{"module": m, "step_share": share, "distance": d} for m, share, d in weights]
    }
    drawing = FIGURE.draw(results({"method": "lora-fa"}, details={"cell0": details}))
    first, second = heights(drawing, "base")["lora-fa"]
    assert first == pytest.approx(math.sqrt(0.75 * 0.2**2 + 0.25 * 0.1**2))
    assert math.isnan(second)
    assert_legible(drawing)


def test_whole_weights_are_at_no_distance(results):
    full = fidelity("full", ("layers.0.q", 1.0, 0.0, 0.3, 0.0))
    full["fidelity"]["weights"][0]["floor"] = {}
    drawing = FIGURE.draw(results({"method": "full-ft"}, details={"cell0": full}))
    assert heights(drawing, "floor") == heights(drawing, "plain") == {"full-ft": [0.0]}


def test_a_distance_that_is_not_known_is_a_gap(results):
    unknown = fidelity("lora", *WEIGHTS)
    unknown["fidelity"]["weights"][0]["steps"]["optimizer"]["scaled_distance"] = None
    drawing = FIGURE.draw(results({"method": "lora"}, details={"cell0": unknown}))
    assert [math.isnan(value) for value in heights(drawing, "optimizer")["lora"]] == [True, False]


def test_cells_without_fidelity_are_not_drawn(results):
    with pytest.raises(NoDataError, match="fidelity"):
        FIGURE.draw(results({}, details={"cell0": {}}))
