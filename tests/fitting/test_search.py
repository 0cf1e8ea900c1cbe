"""The search for the largest number that fits: right whatever is guessed, cheap where the guess is good."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from lorafa_prof.fitting.search import Guess, guess_from, largest


class Tries:
    """Numbers up to `border` fit; remembers what was tried."""

    def __init__(self, border: int) -> None:
        self.border = border
        self.tried: list[int] = []

    def __call__(self, n: int) -> bool:
        self.tried.append(n)
        return n <= self.border


@st.composite
def borders(draw: st.DrawFn) -> tuple[int, int, int]:
    low = draw(st.integers(0, 5000))
    high = draw(st.integers(low + 1, low + 5000))
    return low, draw(st.integers(low, high - 1)), high


@given(borders(), st.lists(st.integers(-10, 20000)))
def test_whatever_is_guessed_the_border_is_found_and_both_sides_are_tried(
    place: tuple[int, int, int], guesses: list[int]
) -> None:
    low, border, high = place
    fits, left = Tries(border), list(guesses)
    found = largest(fits, low=low, high=high, guess=lambda low, high: left.pop() if left else 0)
    assert found == border
    assert border in fits.tried or border == low
    assert border + 1 in fits.tried or border + 1 == high
    assert len(set(fits.tried)) == len(fits.tried)
    assert all(low < n < high for n in fits.tried)


@given(borders())
def test_a_right_guess_costs_two_tries(place: tuple[int, int, int]) -> None:
    low, border, high = place
    fits = Tries(border)
    largest(fits, low=low, high=high, guess=lambda low, high: border)
    assert len(fits.tried) <= 2


@given(borders(), st.integers(-1000, 1000))
def test_a_wrong_guess_costs_the_logarithm_of_its_error(place: tuple[int, int, int], error: int) -> None:
    low, border, high = place
    fits = Tries(border)
    largest(fits, low=low, high=high, guess=lambda low, high: border + error)
    assert len(fits.tried) <= 3 + 2 * (abs(error) + 1).bit_length()


@given(st.integers(0, 50), st.integers(1, 40), st.integers(1, 2000), st.integers(2, 4000))
def test_needs_on_a_line_take_at_most_four_tries_from_one_known_point(
    start: int, slope: int, budget: int, limit: int
) -> None:
    points = {1: start + slope}
    found, tried = searched(lambda n: start + slope * n, points, start, budget, limit)
    assert found == min(max(budget - start, 0) // slope, limit)
    assert len(tried) <= 4


@given(st.integers(0, 50), st.integers(1, 40), st.integers(1, 9), st.integers(1, 10**6))
def test_a_curve_is_followed_too(start: int, slope: int, curve: int, budget: int) -> None:
    def need(n: int) -> int:
        return start + slope * n + curve * n * n

    found, tried = searched(need, {1: need(1)}, start, budget, 4000)
    assert need(found) <= budget < need(found + 1) or found in (0, 4000)
    assert len(tried) <= 26  # twice the logarithm of 4000, and two


def test_needs_that_do_not_grow_are_looked_at_far_up() -> None:
    found, tried = searched(lambda n: 10 if n < 1000 else 99, {1: 10}, 10, 50, 4000)
    assert found == 999
    assert len(tried) <= 24


def test_where_not_even_the_least_fits_one_try_says_so() -> None:
    assert searched(lambda n: 100 + n, {16: 116}, 100, 50, 64) == (0, [1])


def test_nothing_known_is_no_error() -> None:
    assert searched(lambda n: n, {}, 0, 50, 64)[0] == 50


def test_the_second_point_is_half_way_to_a_far_guess() -> None:
    guess: Guess = guess_from({1: 20}, 10, 1010)
    assert guess(1, 4097) == 50
    assert guess(1, 40) == 20
    assert guess_from({1: 20}, 10, 30)(1, 4097) == 2  # next to the known one: no need to halve


def test_with_two_points_the_line_through_the_largest_decides() -> None:
    assert guess_from({1: 20, 2: 31, 10: 111}, 0, 1000)(10, 4097) == 98


def searched(
    need: Callable[[int], int], points: dict[int, int], start: int, budget: int, limit: int
) -> tuple[int, list[int]]:
    """As for a cell: 1 is known to fit, or no n is; what fits adds a point."""
    tried = []

    def fits(n: int) -> bool:
        tried.append(n)
        if need(n) <= budget:
            points[n] = need(n)
        return need(n) <= budget

    low, high = (1, limit + 1) if 1 in points and need(1) <= budget else (0, limit + 1)
    if 1 in points and need(1) > budget:
        high = 1
    return largest(fits, low=low, high=high, guess=guess_from(points, start, budget)), tried
