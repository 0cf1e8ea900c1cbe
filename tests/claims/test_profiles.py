"""Saved profiles of code of one's own, judged by what `check`'s options expect, and compared."""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
import torch
from torch import nn

import lorafa_prof
from lorafa_prof.cli.main import main
from lorafa_prof.results.table import read_table

ME = "tests/claims/test_profiles.py"


def saved(out: Path, width: int, name: str = "net") -> Path:
    with lorafa_prof.profile(device="sim:rtx-4090", name=name) as run:
        model = nn.Linear(width, width, device="cuda")
        optimizer = torch.optim.AdamW(model.parameters())
        for _ in range(2):
            model(torch.rand(64, width, device="cuda")).exp().sum().backward()
            optimizer.step()
            optimizer.zero_grad()
    return run.result.save(out)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("profiles") / "small", 256)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("profiles") / "large", 512)


def lorafa(*arguments: object) -> tuple[int, str]:
    """Exit code, and what was printed, on stdout and stderr."""
    told = io.StringIO()
    with redirect_stdout(told), redirect_stderr(told), pytest.raises(SystemExit) as ended:
        main([str(one) for one in arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code, told.getvalue()


def test_without_options_a_profile_is_to_fit(small: Path) -> None:
    code, told = lorafa("check", small)
    assert code == 0, told
    assert "✓ holds  it fits" in told


def test_one_that_ran_out_of_memory_does_not_fit(tmp_path: Path) -> None:
    run = lorafa_prof.profile(device="sim:rtx-4090")

    def code() -> None:
        with run:
            nn.Linear(4, 4, device="cuda")(torch.rand(2, 4, device="cuda"))
            torch.empty(2**42, device="cuda")

    with pytest.raises(torch.OutOfMemoryError):
        code()
    assert lorafa("check", run.result.save(tmp_path / "out"))[0] == 3


def test_an_expectation_holds_or_fails_with_the_tensors_and_their_lines(small: Path) -> None:
    peak = int(read_table(small)["peak_allocated_bytes"][0])
    assert lorafa("check", small, "--at-most", f"peak_allocated_bytes={peak}")[0] == 0
    code, told = lorafa(
        "check", small, "--at-most", f"peak_allocated_bytes={peak - 512}", "--at-least", "saved_bytes=1B"
    )
    assert code == 3
    assert "512 B too much" in told
    assert f"{ME}:" in told
    assert "2 claims: 1 holds, 1 fails" in told


def test_each_of_several_profiles_and_folders_is_judged(small: Path, large: Path, tmp_path: Path) -> None:
    code, told = lorafa("check", small, large, "--at-most", "weights_bytes=0.5 MiB")
    assert code == 3
    assert "small  sim:rtx-4090" in told
    assert "2 claims: 1 holds, 1 fails" in told
    both = saved(saved(tmp_path / "both", 64, "narrow"), 512, "wide")
    code, told = lorafa("check", both, "--at-most", "weights_bytes=0.5 MiB")
    assert code == 3
    assert "wide on sim:rtx-4090" in told


def test_a_baseline_is_kept_beside_the_folder(large: Path, tmp_path: Path) -> None:
    out = saved(tmp_path / "mine", 256)
    expect = ("--at-most", "peak_allocated_bytes=baseline")
    assert lorafa("check", out, *expect)[0] == 4, "there is none yet"
    assert lorafa("check", out, *expect, "--update-baseline")[0] == 0
    baseline = tmp_path / "mine.baseline.json"
    code, told = lorafa("check", large, *expect, "--baseline", baseline)
    assert code == 3
    assert "holds more than in the baseline" in told


@pytest.mark.parametrize(
    ("wrong", "code", "said"),
    [
        (["--at-most", "peak_allocated_byts=1"], 2, "did you mean 'peak_allocated_bytes'"),
        (["--at-most", "peak_allocated_bytes"], 2, "write METRIC=AMOUNT"),
        (["--at-most", "step_ms_median=5"], 4, "the twin has no clock"),
        (["--claim", "nothing"], 2, "no claim of"),
        (["--device", "cpu"], 2, "results are judged as they are"),
    ],
)
def test_what_cannot_be_judged(small: Path, wrong: list[str], code: int, said: str) -> None:
    found, told = lorafa("check", small, *wrong)
    assert (found, said in told) == (code, True), told


def test_two_profiles_are_compared_within_tolerances(small: Path, large: Path, tmp_path: Path) -> None:
    again = saved(tmp_path / "again", 256)
    assert lorafa("compare", small, again)[0] == 0
    code, told = lorafa("compare", small, large)
    assert code == 3
    assert f"{ME}:" in told
    metrics = ("activation", "saved", "weights", "gradients", "optimizer", "peak_allocated", "peak_reserved")
    wide = [option for name in metrics for option in ("--tolerance", f"{name}_bytes=1000%")]
    assert lorafa("compare", small, large, *wide, "--tolerance", "flops_step=1000%")[0] == 0
