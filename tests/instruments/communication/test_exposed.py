from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lorafa_prof.instruments.communication.exposed import uncovered

intervals = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 10)).map(lambda p: (p[0], p[0] + p[1])))


def test_what_others_cover_is_hidden() -> None:
    assert uncovered([(0, 10), (20, 30)], [(5, 8), (25, 40)]) == 2 + 5 + 5
    assert uncovered([(0, 10)], []) == 10
    assert uncovered([], [(0, 10)]) == 0


@given(intervals, intervals)
def test_it_is_what_counting_each_moment_gives(
    these: list[tuple[int, int]], others: list[tuple[int, int]]
) -> None:
    def runs(moment: int, among: list[tuple[int, int]]) -> bool:
        return any(start <= moment < end for start, end in among)

    assert uncovered(these, others) == sum(runs(t, these) and not runs(t, others) for t in range(60))
