"""The line that had a tensor saved is code of the model or its user, and says nothing of the machine."""

from __future__ import annotations

import json
import sysconfig
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tiny_cells import observe, tiny_cell
from torch import Tensor, nn

import lorafa_prof
from lorafa_prof.instruments.saved.recorder import SavedTensorsRecorder
from lorafa_prof.instruments.saved.saving_line import shown_file

HERE = Path(__file__)
ME = "tests/instruments/saved/test_saving_line.py"
INSTALLED = Path(transformers.__file__).parents[1]
CHECKOUT = Path(lorafa_prof.__file__).parents[1]


def lines_saved_by(module: nn.Module) -> list[str]:
    with SavedTensorsRecorder(module, device_type="cpu", before=[]) as recorder:
        out = module(torch.rand(3, 8))
        saved = recorder.result()
    del out
    return [storage.line for storage in saved.storages]


def here(marked: str) -> str:
    """The line of this file that ends in this comment."""
    (number,) = [n for n, text in enumerate(HERE.read_text().splitlines(), 1) if text.endswith(f"# {marked}")]
    return f"{ME}:{number}"


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Any:
        h = self.linear(x.exp())  # called
        return torch.sigmoid(h)  # returned


class Squared(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x + 0)
        return x * x

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad


class AppliesSquared(nn.Module):
    def forward(self, x: Tensor) -> Any:
        x.requires_grad_()
        return Squared.apply(x)  # applied


def test_inside_of_pytorch_it_is_the_line_that_called_it() -> None:
    assert lines_saved_by(Net()) == [here("called"), here("returned")]


def test_of_an_autograd_function_it_is_the_line_that_applied_it() -> None:
    assert lines_saved_by(AppliesSquared()) == [here("applied")]


def test_lines_of_a_step_are_those_of_the_source() -> None:
    _, saved = observe(tiny_cell("tiny-llama", "lora"))
    by_op: dict[str, set[str]] = {}
    for storage in saved.storages:
        assert storage.line
        by_op.setdefault(storage.op, set()).add(source_at(storage.line))
    assert by_op["silu"] == {"return nn.functional.silu(input)"}
    (loss,) = by_op["cross_entropy"]
    assert loss.startswith("loss = nn.functional.cross_entropy(")
    assert by_op["rsqrt"] == {"hidden_states = hidden_states * torch.rsqrt(variance + self.variance_epsilon)"}
    # LoRA's own function, which no operation of PyTorch surrounds.
    assert "y: Tensor = self.function.apply(" in by_op[""]


def source_at(line: str) -> str:
    file, _, number = line.rpartition(":")
    path = CHECKOUT / file if file.startswith("lorafa_prof/") else INSTALLED / file
    return path.read_text().splitlines()[int(number) - 1].strip()


def test_lines_name_neither_machine_nor_user() -> None:
    _, saved = observe(tiny_cell("tiny-llama", "peft-lora", checkpointing="full"))
    told = json.dumps(saved.as_records())
    assert str(Path.home()) not in told
    assert {storage.line.split("/")[0] for storage in saved.storages} <= {
        "transformers",
        "peft",
        "lorafa_prof",
    }


SHOWN = [
    ("/home/ann/env/lib/python3.12/site-packages/peft/tuners/lora/layer.py", "peft/tuners/lora/layer.py"),
    ("/usr/lib/python3/dist-packages/somelib.py", "somelib.py"),
    (str(Path(sysconfig.get_path("stdlib")) / "functools.py"), "functools.py"),
    ("/home/ann/secret/net.py", "net.py"),
    ("<string>", "<string>"),
    (str(CHECKOUT / "lorafa_prof/layers/low_rank_linear.py"), "lorafa_prof/layers/low_rank_linear.py"),
    (str(CHECKOUT / "lorafa_prof/devices/sim/attention.py"), None),
    (str(CHECKOUT / "lorafa_prof/instruments/saved/recorder.py"), None),
    (torch.nn.functional.__file__, None),
    (str(Path(torch.__file__).parents[1] / "torchvision/ops/misc.py"), "torchvision/ops/misc.py"),
]


@pytest.mark.parametrize(("file", "shown"), SHOWN)
def test_files_are_shown_without_what_is_the_machines(file: str, shown: str | None) -> None:
    assert shown_file(file) == shown


def test_files_below_the_current_directory_are_shown_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert shown_file(str(tmp_path / "models" / "net.py")) == "models/net.py"
