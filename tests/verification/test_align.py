from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorafa_prof.verification.align import AlignedPair, Key, align

KEYS = st.lists(st.builds(Key, st.sampled_from("ab"), st.tuples(st.integers(0, 1))), max_size=9)


def keys(text: str) -> list[Key]:
    """`a1 b2`: an operation a of size 1, then b of size 2."""
    return [Key(word[0], (int(word[1:]),)) for word in text.split()]


def cost(gpu: Sequence[Key], twin: Sequence[Key], pairs: Sequence[AlignedPair]) -> int:
    return sum(a is None or b is None or gpu[a] != twin[b] for a, b in pairs)


def fewest(gpu: Sequence[Key], twin: Sequence[Key]) -> int:
    @cache
    def until(i: int, j: int) -> int:
        if not i or not j:
            return i + j
        found = 1 + min(until(i - 1, j), until(i, j - 1))
        if gpu[i - 1].name == twin[j - 1].name:
            found = min(found, until(i - 1, j - 1) + (gpu[i - 1] != twin[j - 1]))
        return found

    return until(len(gpu), len(twin))


@given(KEYS, KEYS, st.sampled_from([1, 2, 300]))
@settings(max_examples=300)
def test_every_key_once_in_order_and_only_paired_with_its_name(gpu, twin, search):
    pairs = align(gpu, twin, search)
    assert [a for a, _ in pairs if a is not None] == list(range(len(gpu)))
    assert [b for _, b in pairs if b is not None] == list(range(len(twin)))
    assert all(gpu[a].name == twin[b].name for a, b in pairs if a is not None and b is not None)


@given(KEYS, KEYS)
@settings(max_examples=300)
def test_no_way_has_fewer_differences(gpu, twin):
    assert cost(gpu, twin, align(gpu, twin)) == fewest(gpu, twin)


@pytest.mark.parametrize(
    ("gpu", "twin", "pairs"),
    [
        ("a1 b1 c1", "a1 b1 c1", [(0, 0), (1, 1), (2, 2)]),
        ("a1 a2 b1", "a2 b1", [(0, None), (1, 0), (2, 1)]),
        ("a1 b1", "a1 c1 b1", [(0, 0), (None, 1), (1, 2)]),
        ("a1 b1 c1", "a1 b2 c1", [(0, 0), (1, 1), (2, 2)]),
        ("", "a1", [(None, 0)]),
        ("", "", []),
    ],
)
def test_known_pairs(gpu, twin, pairs):
    assert align(keys(gpu), keys(twin)) == pairs


def test_a_step_that_is_all_other_takes_no_forever():
    """Past the limit of the search it goes on from where it is, and finds the common end all the same."""
    gpu, twin = keys("a1 " * 3000 + "c7 " * 50), keys("b1 " * 3000 + "c7 " * 50)
    pairs = align(gpu, twin, search=50)
    assert sum(a is not None and b is not None for a, b in pairs) == 50
