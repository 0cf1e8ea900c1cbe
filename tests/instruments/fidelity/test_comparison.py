"""How a change compares with a gradient, and what is not known of it."""

from __future__ import annotations

import math

import pytest
import torch

from lorafa_prof.instruments.fidelity import comparison
from lorafa_prof.instruments.fidelity.comparison import Change, Comparison, Whole, compare


def test_rows_that_are_compared_apart_add_up(monkeypatch):
    monkeypatch.setattr(comparison, "_AT_ONCE_BYTES", 8 * 5 * 2)  # of which each row has 5
    gradient = torch.randn(7, 5)
    left, right = torch.randn(7, 2, dtype=torch.float64), torch.randn(2, 5, dtype=torch.float64)
    found = compare(gradient, {"product": Change(left, right), "whole": Whole(left @ right)})
    g, d = gradient.double(), left @ right
    assert found["product"].distance == pytest.approx(float((d - g).norm() / g.norm()))
    assert found["product"].cosine == pytest.approx(float((d * g).sum() / d.norm() / g.norm()))
    assert found["whole"].cosine == pytest.approx(found["product"].cosine)


def test_the_scaled_distance_is_that_of_the_best_learning_rate_and_1_if_none_helps():
    gradient, change = torch.randn(4, 5).double(), torch.randn(4, 5).double()
    change = change * (change * gradient).sum().sign()
    best = float((change * gradient).sum() / change.square().sum())
    ahead = compare(gradient, {"": Whole(3 * change)})[""]
    back = compare(gradient, {"": Whole(-3 * change)})[""]
    assert ahead.scaled_distance == pytest.approx(float((best * change - gradient).norm() / gradient.norm()))
    assert (back.cosine, back.scaled_distance) == (pytest.approx(-ahead.cosine), 1.0)


@pytest.mark.parametrize(
    ("sums", "known"),
    [
        (Comparison(), (None, None, None)),
        (Comparison(4.0, 0.0, 0.0, 4.0), (1.0, None, None)),
        (Comparison(math.inf, 1.0, math.nan, math.nan), (None, None, None)),
    ],
)
def test_what_is_not_known_is_no_number(sums, known):
    assert (sums.distance, sums.cosine, sums.scaled_distance) == known
