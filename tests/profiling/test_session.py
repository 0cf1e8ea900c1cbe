"""A context around any code: its steps, phases and saved tensors, each against a computation by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor, nn

import lorafa_prof
from lorafa_prof.cli.main import cli
from lorafa_prof.devices.sim.out_of_memory import SimOutOfMemoryError
from lorafa_prof.errors import UsageError
from lorafa_prof.profiling.result import Profile
from lorafa_prof.results.store import Store
from lorafa_prof.results.table import read_table

ME = "tests/profiling/test_session.py"
NUMBERS = 1000
VECTOR, SCALAR = 4 * NUMBERS, 4


def number(marked: str) -> int:
    """The number of this file's line that ends in this comment."""
    lines = Path(__file__).read_text().splitlines()
    (found,) = [n for n, text in enumerate(lines, 1) if text.endswith(f"# {marked}")]
    return found


class Exp(nn.Module):
    """exp(weight x): autograd keeps exp's result, and x, which is there before."""

    def __init__(self, device: str = "cpu") -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(NUMBERS, device=device))
        self.register_buffer("x", torch.ones(NUMBERS, device=device))

    def forward(self) -> Tensor:
        result: Tensor = (self.weight * self.x).exp().sum()  # kept
        return result


@pytest.fixture(autouse=True)
def nothing_stays_behind() -> Iterator[None]:
    functions = lambda: (  # noqa: E731
        torch.autograd.backward,
        torch.autograd.grad,
        torch.optim.Optimizer.zero_grad,
        nn.Module.zero_grad,
    )
    before = functions()
    yield
    assert functions() == before
    assert torch.overrides._get_current_function_mode() is None


def trained(steps: int, micro: int = 1, zero: str = "end", device: str = "cpu") -> None:
    model = Exp(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(steps):
        if zero == "start":
            optimizer.zero_grad()
        for _ in range(micro):
            loss = model()
            if zero == "before backward":
                optimizer.zero_grad()
            loss.backward()
            del loss
        optimizer.step()
        if zero == "end":
            model.zero_grad()


@pytest.mark.parametrize("zero", ["end", "start", "before backward"])
def test_steps_end_with_their_optimizer_wherever_gradients_are_dropped(zero: str) -> None:
    with lorafa_prof.profile() as run:
        trained(3, zero=zero)
    found = run.result
    assert len(found.steps) == 3
    assert [step.attributed for step in found.steps] == [True, False, False]
    # exp's result and the loss.
    assert {step.held_bytes for step in found.steps} == {VECTOR + SCALAR}
    assert found.saved_bytes == VECTOR
    # The weight and x, which both live through it; then exp's result, and two gradients that are passed on.
    assert list(found.steps[2].phases) == ["forward", "backward", "optimizer"]
    assert all(step.ms is not None and step.ms > 0 for step in found.steps)
    assert found.sizes == {
        "gradients_bytes": VECTOR,
        "params_total": NUMBERS,
        "params_trainable": NUMBERS,
        "weights_bytes": 2 * VECTOR,
        "optimizer_bytes": 0,
    }
    assert found.name == "Exp"


def test_micro_batches_are_one_step() -> None:
    with lorafa_prof.profile() as run:
        trained(2, micro=3)
    assert len(run.result.steps) == 2
    assert {step.held_bytes for step in run.result.steps} == {VECTOR + SCALAR}


def test_saved_tensors_tell_module_and_line() -> None:
    model = Exp()
    with lorafa_prof.profile(model=model) as run:
        model().backward()
    (one,) = run.result.tensors
    assert one.user_line == one.line == f"{ME}:{number('kept')}"
    assert f"{ME}:{number('kept')}" in run.result.table()


def test_an_update_by_hand_is_the_optimizer_s_where_a_step_is_ended_by_hand() -> None:
    weight = torch.zeros(NUMBERS, requires_grad=True)
    with lorafa_prof.profile() as run:
        for _ in range(2):
            weight.exp().sum().backward()
            with torch.no_grad():
                assert weight.grad is not None
                weight -= 0.1 * weight.grad
            weight.grad = None
            run.step()
    assert [list(step.phases) for step in run.result.steps] == [["forward", "backward", "optimizer"]] * 2


def test_two_optimizers_in_a_row_are_one_step() -> None:
    one, two = Exp(), Exp()
    optimizers = [torch.optim.SGD(each.parameters(), lr=0.1) for each in (one, two)]
    with lorafa_prof.profile() as run:
        for _ in range(2):
            (one() + two()).backward()
            for optimizer in optimizers:
                optimizer.step()
    assert len(run.result.steps) == 2


def test_code_without_backward_is_one_forward() -> None:
    model = Exp()
    with lorafa_prof.profile() as run, torch.no_grad():
        kept = model()
    (step,) = run.result.steps
    assert list(step.phases) == ["forward"]
    assert step.phases["forward"].end.allocated - step.phases["forward"].start.allocated == SCALAR
    assert run.result.saved_bytes == 0
    del kept


def test_flops_are_of_the_attributed_step() -> None:
    linear = nn.Linear(8, 4, bias=False)
    x = torch.rand(3, 8)
    with lorafa_prof.profile() as run:
        for _ in range(2):
            linear(x).sum().backward()
            torch.optim.SGD(linear.parameters()).step()
    assert run.result.flops is not None
    assert run.result.flops.by_phase == {"forward": 2 * 3 * 8 * 4, "backward": 2 * 3 * 8 * 4, "optimizer": 0}


def test_nothing_is_attached_where_nothing_is_attributed() -> None:
    modes: list[Any] = []
    linear = nn.Linear(8, 4)
    with lorafa_prof.profile(attribute=False) as run:
        modes.append(torch.utils._python_dispatch._get_current_dispatch_mode())
        modes.append(torch.overrides._get_current_function_mode())
        linear(torch.rand(3, 8)).sum().backward()
    assert modes == [None, None]
    assert run.result.saved_bytes is run.result.activation_bytes is run.result.peak_bytes is None
    assert run.result.steps[0].ms
    assert "only times are told" in run.result.notes[0]


def test_attribution_stays_where_the_code_entered_a_mode_that_it_does_not_leave() -> None:
    device = torch.device("cpu")
    with lorafa_prof.profile() as run:
        with device:
            trained(2)
        trained(1)
    # The first two steps ended under the code's own mode; the third one, too, began attributed.
    assert [step.attributed for step in run.result.steps] == [True, True, True]


def test_the_twin_counts_blocks_and_has_no_times() -> None:
    with lorafa_prof.profile(device="sim:rtx-4090") as run:
        trained(3, device="cuda")
    found = run.result
    assert found.device == "sim:rtx-4090"
    assert found.steps[2].ms is None
    assert found.saved_bytes == VECTOR
    # Blocks are rounded up to 512 bytes.
    assert found.activation_bytes == 4096 + 512
    assert found.largest is not None
    assert found.largest.reserved == 2**21


def test_a_function_that_makes_its_model_is_called_on_the_twin() -> None:
    found = lorafa_prof.profile(lambda: trained(1, device="cuda"), device="sim:rtx-4090")
    assert found.device == "sim:rtx-4090"
    assert found.saved_bytes == 2 * VECTOR  # with x, which is made in the step
    assert found.activation_bytes == 2 * 4096 + 4096 + 512  # its weight too


def test_running_out_names_the_line_and_is_raised() -> None:
    run = lorafa_prof.profile(device="sim:rtx-4090")

    def code() -> None:
        with run:
            trained(1, device="cuda")
            torch.empty(2**42, device="cuda")  # too much

    with pytest.raises(SimOutOfMemoryError) as raised:
        code()
    told = f"out of memory at {ME}:{number('too much')}, step 2, forward"
    assert run.result.status == "oom"
    assert run.result.notes[0].startswith(told)
    assert any(told in note for note in raised.value.__notes__)


def test_other_errors_go_their_way() -> None:
    run = lorafa_prof.profile()
    with pytest.raises(ZeroDivisionError), run:
        raise ZeroDivisionError
    assert run.result.steps == ()


def test_each_call_of_a_decorated_function_is_profiled() -> None:
    @lorafa_prof.profile()
    def train(steps: int) -> str:
        trained(steps)
        return "done"

    assert [train(2), train(1)] == ["done", "done"]
    assert [len(each.steps) for each in train.profiles] == [2, 1]
    assert train.profiles[0].name == "train"


def test_a_function_is_measured_as_the_fixture_measures_it() -> None:
    model = Exp()
    found = lorafa_prof.profile(lambda: model())
    assert (found.activation_bytes, found.saved_bytes) == (VECTOR + SCALAR, VECTOR)
    assert lorafa_prof.Memory().profile(lambda: model()) == found
    assert found.flops is not None


WRONG: list[tuple[str, Callable[[], Any]]] = [
    ("with brackets", lambda: lorafa_prof.profile(trained)),
    ("after the `with` block", lambda: lorafa_prof.profile().result),
    ("rtx-5", lambda: lorafa_prof.profile(device="sim:rtx-5").__enter__()),
]


@pytest.mark.parametrize(("match", "call"), WRONG)
def test_what_is_wrong_is_said_in_a_line(match: str, call: Callable[[], Any]) -> None:
    with pytest.raises(UsageError, match=match) as raised:
        call()
    assert "\n" not in str(raised.value)


@pytest.fixture(scope="module")
def found() -> Profile:
    with lorafa_prof.profile(name="mine") as run:
        trained(3)
    return run.result


def test_it_is_shown_explained_and_written(found: Profile) -> None:
    assert "forward" in found.table()
    assert found._repr_html_().startswith("<pre>mine on cpu: 3 steps")
    explained = found.explain()
    assert "What forward keeps for backward" in explained
    assert "code of your own" in explained
    told = json.loads(found.to_json())
    assert told["row"]["activation_bytes"] == VECTOR + SCALAR
    assert told["row"]["saved_bytes"] == VECTOR


def test_a_folder_of_it_is_read_by_the_commands(found: Profile, tmp_path: Path) -> None:
    assert found.save(tmp_path / "a") == tmp_path / "a"
    found.save(tmp_path / "b")
    table = read_table(tmp_path / "a")
    assert list(table["method"]) == ["own-code"]
    assert table["activation_bytes"][0] == VECTOR + SCALAR
    assert table["batch"].isna().all()
    store = Store(tmp_path / "a")
    assert store.load(str(table["cell_id"][0])) is not None

    def told(*words: str) -> str:
        result = CliRunner().invoke(cli, list(words), standalone_mode=False)
        assert result.exception is None, result.exception
        return result.output

    assert "mine on cpu" in told("explain", str(tmp_path / "a"))
    assert "mine on cpu" in told("compare", str(tmp_path / "a"), str(tmp_path / "b"))
    assert "report.md" in told("report", str(tmp_path / "a"), "--format", "md")
    assert "holds  it fits" in told("check", str(tmp_path / "a"))
