"""pytest with the plugin, run on tests as a user writes them."""

from __future__ import annotations

from pathlib import Path

import pytest
from user_tests import PLUGIN, UserRun, run_user_tests

TESTS = """
import pytest
import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, stray):
        super().__init__()
        self.up, self.down = nn.Linear(16, 64).bfloat16(), nn.Linear(64, 16).bfloat16()
        self.stray = stray

    def forward(self, x):
        h = self.up(x).relu()
        if self.stray:
            h = h.float()
            h = (h * h).bfloat16()
        return x + self.down(h)


def step(stray=False, device="cpu"):
    model = nn.Sequential(*[Block(stray) for _ in range(3)]).to(device)
    x = torch.ones(4, 16, dtype=torch.bfloat16, device=device)
    return lambda: model(x).sum()


@pytest.mark.limit_activation("8 KiB")
@pytest.mark.limit_saved("8 KiB")
@pytest.mark.limit_peak("32 KiB")
def test_holds_on_cpu(memory):
    taken = memory.profile(step())
    assert 0 < taken.saved_bytes <= taken.activation_bytes <= taken.peak_bytes
    assert taken.device == "cpu"

@pytest.mark.limit_activation("8 KiB")
def test_holds_on_the_twin(memory):
    with memory.twin("h100-80gb") as device:
        assert memory.profile(step(device=device)).device == "sim:h100-80gb"

def test_holds_without_a_limit(memory):
    assert memory.profile(step()).saved_bytes > 100

@pytest.mark.limit_saved("2 KiB")
def test_stray(memory):
    memory.profile(step(stray=True))

@pytest.mark.limit_saved("2 KiB")
def test_second_of_two(memory):
    memory.profile(lambda: torch.ones(3) + 1)
    memory.profile(step(stray=True))

@pytest.mark.limit_saved("2 KiB")
def test_nothing_without_the_fixture():
    pass

@pytest.mark.limit_saved("2 KiB")
def test_nothing_with_the_fixture(memory):
    pass

class TestOwnFixture:
    @pytest.fixture
    def memory(self):
        return None

    @pytest.mark.limit_saved("2 KiB")
    def test_nothing_with_another_fixture(self, memory):
        pass

@pytest.mark.limit_saved("24 MiBs")
def test_wrong_unit(memory):
    print("it ran")

@pytest.mark.limit_peak()
def test_wrong_without_an_amount(memory):
    print("it ran")

@pytest.mark.limit_activation("1 B", "2 B")
def test_wrong_with_two(memory):
    print("it ran")

@pytest.mark.limit_saved("1 B")
class TestClosest:
    @pytest.mark.limit_saved("1 MiB")
    def test_wider_than_the_class(self, memory):
        memory.profile(step())

    def test_as_the_class(self, memory):
        memory.profile(step())

@pytest.mark.limit_saved("1 B")
def test_fails_itself(memory):
    memory.profile(step())
    assert "mine" == "yours"

@pytest.mark.limit_saved("1 B")
def test_skips(memory):
    pytest.skip("not here")

@pytest.mark.xfail(strict=True)
@pytest.mark.limit_saved("1 B")
def test_known_to_fail(memory):
    memory.profile(step())

def broken_step():
    raise ValueError("of the step")

def test_raises(memory):
    memory.profile(broken_step)
"""


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> UserRun:
    folder = tmp_path_factory.mktemp("user")
    (folder / "test_net.py").write_text(TESTS)
    return run_user_tests(folder)


def test_limits_that_hold(user: UserRun) -> None:
    states = {name: one.state for name, one in user.outcomes.items() if name.startswith("test_holds")}
    assert states == {
        "test_holds_on_cpu": "passed",
        "test_holds_on_the_twin": "passed",
        "test_holds_without_a_limit": "passed",
    }


def test_a_broken_limit_names_the_line_and_shows_no_traceback(user: UserRun) -> None:
    stray = user.outcomes["test_stray"]
    assert stray.state == "failure"
    first, *_, head, largest = stray.text.splitlines()[:5]
    assert first.startswith("saved ")
    assert first.endswith(" > limit 2.000 KiB on cpu")
    assert head.split() == ["bytes", "tensors", "kind", "saved", "at", "module"]
    # h * h of three blocks saves h, of 4 bytes for each of 4 × 64 numbers.
    line = TESTS.splitlines().index("            h = (h * h).bfloat16()") + 1
    assert largest.split() == ["3.000", "KiB", "3", "×", "float32[4×64]", "other", f"test_net.py:{line}", "*"]
    for trace in ("Traceback", "lorafa_prof/testing", ">  "):
        assert trace not in stray.text.removeprefix(first)
    assert f"FAILED test_net.py::test_stray - Failed: {first}"[:70] in user.printed


def test_each_profile_of_a_test_is_held_to_the_limit(user: UserRun) -> None:
    assert user.outcomes["test_second_of_two"].text.splitlines()[0].endswith("on cpu, profile 2 of 2")


@pytest.mark.parametrize("which", ["without_the_fixture", "with_the_fixture", "with_another_fixture"])
def test_nothing_measured_is_never_a_pass(user: UserRun, which: str) -> None:
    outcome = user.outcomes[f"test_nothing_{which}"]
    assert outcome.state == "failure"
    assert outcome.text.startswith("limit_saved: the test measured nothing; call memory.profile")


@pytest.mark.parametrize(
    ("name", "mark"),
    [
        ("unit", "limit_saved('24 MiBs'): unknown unit"),
        ("without_an_amount", "limit_peak(): it takes one amount"),
        ("with_two", "limit_activation('1 B', '2 B'): it takes one amount"),
    ],
)
def test_a_wrong_limit_is_one_line_and_nothing_runs(user: UserRun, name: str, mark: str) -> None:
    outcome = user.outcomes[f"test_wrong_{name}"]
    assert outcome.state == "error"
    assert f"test_net.py::test_wrong_{name}: {mark}" in outcome.text
    assert len(outcome.text.splitlines()) == 1
    assert "it ran" not in user.printed


def test_the_closest_mark_counts(user: UserRun) -> None:
    assert user.outcomes["test_wider_than_the_class"].state == "passed"
    assert "limit 1 B" in user.outcomes["test_as_the_class"].text


def test_a_tests_own_outcome_comes_first(user: UserRun) -> None:
    assert "limit" not in user.outcomes["test_fails_itself"].text.split("AssertionError")[1]
    assert user.outcomes["test_skips"].state == "skipped"
    assert user.outcomes["test_known_to_fail"].state == "skipped"  # so JUnit calls what is expected to fail


def test_what_a_step_raises_is_shown_from_the_step_on(user: UserRun) -> None:
    text = user.outcomes["test_raises"].text
    assert ">       memory.profile(broken_step)" in text
    assert "E       ValueError: of the step" in text
    assert "lorafa_prof/testing" not in text


def test_markers_are_described(tmp_path: Path) -> None:
    printed = run_user_tests(tmp_path, "--markers").printed
    for what in ("activation", "saved", "peak"):
        assert f"@pytest.mark.limit_{what}(amount): at most so many bytes" in printed


def test_tests_that_do_not_use_it_pay_nothing(tmp_path: Path) -> None:
    """A heavy import in the plugin would cost every pytest run of the environment seconds."""
    (tmp_path / "test_plain.py").write_text(
        "import sys\n\ndef test_plain():\n"
        "    heavy = {'torch', 'numpy', 'pandas', 'transformers', 'matplotlib', 'pydantic', 'yaml'}\n"
        "    assert not heavy & sys.modules.keys()\n"
        f"    assert {PLUGIN!r} in sys.modules\n"
    )
    assert run_user_tests(tmp_path).outcomes["test_plain"].state == "passed"
