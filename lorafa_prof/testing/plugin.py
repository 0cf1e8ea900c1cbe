"""The pytest plugin: limits on memory as markers, and the fixture `memory` that measures.

pytest imports this module in every run of an environment that has the package, so it imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from lorafa_prof.testing.limits import Limit, What
    from lorafa_prof.testing.memory import Memory

_LIMITED: tuple[What, ...] = ("activation", "saved", "peak")
_MEANING = {
    "activation": "allocated at the end of forward less at the start",
    "saved": "held by autograd for backward",
    "peak": "allocated at the most less at the start",
}
_LIMITS = pytest.StashKey[tuple["Limit", ...]]()
_MEMORY = pytest.StashKey["Memory"]()


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers."""
    for what in _LIMITED:
        config.addinivalue_line(
            "markers",
            f'limit_{what}(amount): at most so many bytes {_MEANING[what]}, such as "24 MiB", in every '
            "memory.profile(step) of the test",
        )


@pytest.fixture
def memory(request: pytest.FixtureRequest) -> Memory:
    """Measures the memory of any code: memory.profile(step); memory.twin(gpu) is a GPU that is not here."""
    from lorafa_prof.testing.memory import Memory

    taken = Memory()
    request.node.stash[_MEMORY] = taken
    return taken


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Read the limits of a test; a wrong one is its error, before anything runs."""
    marks = {what: mark for what in _LIMITED if (mark := item.get_closest_marker(f"limit_{what}"))}
    if not marks:
        return
    from lorafa_prof.errors import UsageError
    from lorafa_prof.testing.limits import limit_of

    wrong = ""
    try:
        item.stash[_LIMITS] = tuple(limit_of(what, mark.args, mark.kwargs) for what, mark in marks.items())
    except UsageError as error:
        wrong = f"{item.nodeid}: {error}"
    # Here, or pytest would show the error above too.
    if wrong:
        pytest.fail(wrong, pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Hold the limits once the test itself has passed."""
    result = yield
    limits = item.stash.get(_LIMITS, ())
    if limits:
        from lorafa_prof.testing.limits import broken

        taken = item.stash.get(_MEMORY, None)
        if text := broken(limits, taken.profiles if taken is not None else ()):
            pytest.fail(text, pytrace=False)
    return result
