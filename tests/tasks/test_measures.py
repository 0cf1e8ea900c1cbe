"""Measures, against counting by hand and numpy's correlation."""

from __future__ import annotations

import numpy
import pytest

from lorafa_prof.tasks.measures import accuracy, matthews


def test_accuracy_is_a_share() -> None:
    assert accuracy([1, 0, 1, 1], [1, 1, 1, 0]) == 0.5


def test_matthews_is_the_correlation_of_two_classes() -> None:
    right, predicted = [1, 1, 0, 0, 1, 0, 1], [1, 0, 0, 1, 1, 0, 1]
    assert matthews(right, predicted) == pytest.approx(numpy.corrcoef(right, predicted)[0, 1])


def test_matthews_of_one_class_is_nothing() -> None:
    assert matthews([1, 0, 1], [1, 1, 1]) == 0.0
