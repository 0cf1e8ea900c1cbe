"""Whose a line is: the user's own, or a library's."""

from __future__ import annotations

import sysconfig
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn

import lorafa_prof
from lorafa_prof.instruments.saved.recorder import SavedTensorsRecorder
from lorafa_prof.instruments.user_line import is_users, user_frame, user_line, user_line_of

ME = "tests/instruments/test_user_line.py"
STDLIB = sysconfig.get_path("stdlib")


def number(marked: str) -> int:
    """The number of this file's line that ends in this comment."""
    lines = Path(__file__).read_text().splitlines()
    (found,) = [n for n, text in enumerate(lines, 1) if text.endswith(f"# {marked}")]
    return found


def frame_in(filename: str, module: str) -> FrameType:
    """A frame of code that says it is of this file and module."""
    told: dict[str, Any] = {"__name__": module}
    exec(compile("import sys\nframe = sys._getframe()", filename, "exec"), told)
    frame: FrameType = told["frame"]
    return frame


@pytest.mark.parametrize(
    ("filename", "module", "users"),
    [
        ("/home/ann/work/train.py", "__main__", True),
        ("/home/ann/work/helpers/model.py", "helpers.model", True),
        ("/tmp/ipykernel_3/12.py", "__main__", True),
        ("<string>", "__main__", True),
        ("<stdin>", "__main__", True),
        ("<frozen runpy>", "__main__", False),
        ("<string>", "dataclasses", False),
        (f"{STDLIB}/runpy.py", "runpy", False),
        (f"{sysconfig.get_path('scripts')}/accelerate", "__main__", False),
        (transformers.__file__, "transformers", False),
        ("/home/ann/transformers/src/transformers/trainer.py", "transformers.trainer", False),
        ("/home/ann/trl/trl/trainer/sft_trainer.py", "trl.trainer.sft_trainer", False),
        ("/x/lib/python3.12/site-packages/axolotl/train.py", "axolotl.train", False),
        ("/usr/lib/python3/dist-packages/numpy/core.py", "numpy.core", False),
        (f"{Path(lorafa_prof.__file__).parent}/step.py", "lorafa_prof.step", False),
    ],
)
def test_whose_a_frame_is(filename: str, module: str, users: bool) -> None:
    assert is_users(frame_in(filename, module)) is users


def test_the_innermost_own_frame_is_told_from_inside_a_library() -> None:
    told: list[str] = []

    class Net(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x

    net = Net()
    net.register_forward_hook(lambda *args: told.append(user_line(frame_in_torch())))
    net(torch.rand(2))  # called
    assert told == [f"{ME}:{number('called')}"]


def frame_in_torch() -> FrameType | None:
    """The innermost frame of PyTorch's that called."""
    import sys

    frame: FrameType | None = sys._getframe()
    while frame is not None and not str(frame.f_globals["__name__"]).startswith("torch"):
        frame = frame.f_back
    return frame


def test_of_an_error_it_is_the_users_innermost_line() -> None:
    with pytest.raises(RuntimeError) as raised:
        nn.Linear(2, 2)(torch.rand(3, 5))  # wrong
    assert user_line_of(raised.value) == f"{ME}:{number('wrong')}"
    trace: TracebackType | None = raised.value.__traceback__
    assert trace is not None


def test_nothing_is_told_where_all_is_a_library() -> None:
    assert user_frame(None) is None
    assert user_line_of(ValueError()) == ""


def test_a_saved_tensor_has_the_library_s_line_and_the_user_s() -> None:
    # The model is transformers'; this file calls it.
    config = transformers.GPT2Config(n_embd=8, n_head=2, n_layer=1, vocab_size=16, n_positions=8)
    model = transformers.GPT2LMHeadModel(config)
    ids = torch.zeros(1, 4, dtype=torch.int64)
    with SavedTensorsRecorder(model, device_type="cpu", before=[ids]) as recorder:
        out = model(ids, labels=ids)  # forward
        storages = recorder.result().storages
    del out
    assert {storage.user_line for storage in storages} == {f"{ME}:{number('forward')}"}
    assert any(storage.line.startswith("transformers/") for storage in storages)


def test_the_words_that_started_a_process_are_nobodys_line() -> None:
    told: dict[str, Any] = {"__name__": "__main__", "user_line": user_line}
    between: dict[str, Any] = {"__name__": "multiprocessing.forkserver", "sys": __import__("sys")}
    exec("def main(call):\n return call(sys._getframe())", between)
    told["main"] = between["main"]
    exec(compile("line = main(user_line)", "<string>", "exec"), told)
    assert told["line"] == ""
