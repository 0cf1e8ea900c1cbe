from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from lorafa_prof.devices.gpus.gpu import GPUS
from lorafa_prof.devices.sim.twin import Twin

Predict = Callable[..., Any]

LOOP = """\
import torch
model = torch.nn.Linear(1000, 500, bias=False).cuda()
optimizer = torch.optim.AdamW(model.parameters())
for step in range(5):
    loss = model(torch.randn(8, 1000).cuda()).sum()
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
"""
READING = LOOP + "    {}\n"


def test_bytes_are_those_of_the_twin_on_the_same_code(predict: Predict) -> None:
    prediction = predict(LOOP)
    with Twin(GPUS["h100-80gb"]) as twin:
        model = nn.Linear(1000, 500, bias=False).cuda()
        optimizer = torch.optim.AdamW(model.parameters())
        for _ in range(2):
            loss = model(torch.randn(8, 1000).cuda()).sum()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        counters = twin.allocator
        expected = (counters.requested.peak, counters.allocated.peak, counters.reserved.peak)
    peaks = (
        prediction.peak_requested_bytes,
        prediction.peak_allocated_bytes,
        prediction.peak_reserved_bytes,
    )
    assert peaks == expected
    assert (prediction.status, prediction.steps) == ("ok", 2)
    assert prediction.message.startswith("needs ")
    assert "to spare" in prediction.message


def test_lines_hold_what_they_made(predict: Predict) -> None:
    prediction = predict(LOOP)
    held = {(one.line, one.kind): one.bytes for one in prediction.holders}
    weight = 4 * 1000 * 500
    assert held["train.py:2", "weights"] >= weight
    assert held["train.py:6", "gradients"] >= weight
    assert held["train.py:7", "optimizer"] >= 2 * weight
    assert sum(prediction.by_kind().values()) == prediction.peak_allocated_bytes


def test_it_ends_after_the_steps_that_were_asked_for(
    predict: Predict, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(READING.format("print('after step', step)"), steps=3).steps == 3
    assert capsys.readouterr().out.splitlines() == ["after step 0", "after step 1"]


def test_fewer_steps_are_told(predict: Predict) -> None:
    prediction = predict(LOOP, steps=9)
    assert (prediction.status, prediction.steps) == ("ok", 5)
    assert "the script ended after 5 optimizer steps of 9" in prediction.notes


@pytest.mark.parametrize(
    "line",
    [
        "print(f'{loss.item():.3f}', loss, float(loss), loss.tolist(), f'{loss:.2f}')",
        "mean = sum([loss.detach().cpu().item()] * 3) / 3; print(round(mean, 2), str(mean))",
        "import math; assert math.isfinite(loss.item())",
        "import numpy; print(numpy.mean([loss.item()] * 2), numpy.round(loss.item(), 3))",
        "import json; json.dumps({'loss': loss.item()})",
        "assert torch.stack([loss.detach().cpu()] * 2).mean().item() is not None",
    ],
)
def test_a_number_that_is_printed_does_no_harm(predict: Predict, line: str) -> None:
    prediction = predict(READING.format(line))
    assert prediction.status == "ok", prediction.message


def test_that_numbers_are_nan_is_said_once(predict: Predict) -> None:
    notes = predict(READING.format("print(loss.item(), loss.item())")).notes
    told = [note for note in notes if "nan" in note]
    assert told == ["numbers that only the GPU could tell are nan, such as that at train.py:9"]


@pytest.mark.parametrize(
    "line",
    [
        "if loss.item() > 3: break",
        "if loss > 3: break",
        "best = min(9.0, loss.item())",
        "if loss.cpu() < 1: break",
        "if loss: break",
        "if loss.cpu().cuda() > 3: break",
        "if torch.nn.Linear(2, 2).weight.sum() > 3: break",
        "import numpy; better = numpy.less(loss.item(), 9.0)",
        "n = int(loss.item())",
        "few = [0, 1][loss.item() == 0]",
        "some = model.weight[model.weight > 0]",
        "some = model.weight.cpu().nonzero()",
    ],
)
def test_a_branch_on_a_number_is_refused_with_its_line(predict: Predict, line: str) -> None:
    prediction = predict(READING.format(line))
    assert prediction.status == "refused"
    assert prediction.error_line == "train.py:9"
    assert "train.py:9" in prediction.message


def test_a_branch_in_a_library_has_both_lines(predict: Predict) -> None:
    line = "import statistics; statistics.median([loss.item(), 2.0])"
    assert predict(READING.format(line)).message.startswith("train.py:9, by way of statistics.py:")


def test_a_refusal_that_the_script_swallows_is_one_all_the_same(predict: Predict) -> None:
    swallowing = "try:\n        stop = loss.item() > 3\n    except Exception:\n        pass"
    prediction = predict(READING.format(swallowing))
    assert (prediction.status, prediction.error_line) == ("refused", "train.py:10")


def test_integers_go_to_the_device_and_back(predict: Predict) -> None:
    line = "lengths = torch.tensor([3, 5]).cuda(); assert (lengths * 2).sum().item() == 16"
    assert predict(READING.format(line)).status == "ok"


def test_out_of_memory_names_line_step_and_phase(predict: Predict) -> None:
    prediction = predict(READING.format("more = torch.empty(40 * 2**30, device='cuda')"), gpu="rtx-4090")
    assert prediction.status == "oom"
    assert prediction.out_of_memory is not None
    assert prediction.out_of_memory.line == "train.py:9"
    assert "at train.py:9, step 2, " in prediction.message
    # 160 GiB are asked for, and the card has less than 24.
    assert 136 * 2**30 < prediction.out_of_memory.short_bytes < 160 * 2**30


RAN_OUT = "torch.empty(40 * 2**30, device='cuda')"
NO_GRAD = "with torch.no_grad(): model(torch.ones(8, 1000, device='cuda'))"


@pytest.mark.parametrize(
    ("lines", "phase"),
    [
        ([NO_GRAD, RAN_OUT], "evaluation"),
        (["model.eval()", NO_GRAD.replace("no_grad", "inference_mode"), RAN_OUT], "evaluation"),
        ([NO_GRAD, "model(torch.ones(8, 1000, device='cuda'))", RAN_OUT], "forward"),
        # A reference beside the model that trains.
        (["model(torch.ones(8, 1000, device='cuda'))", NO_GRAD, RAN_OUT], "forward"),
        (["with torch.no_grad(): model.weight.clone()", RAN_OUT], "forward"),
    ],
)
def test_a_forward_without_gradients_is_an_evaluation(predict: Predict, lines: list[str], phase: str) -> None:
    prediction = predict(READING.format("\n    ".join(lines)), gpu="rtx-4090")
    assert prediction.out_of_memory.moment.phase == phase


def test_a_part_of_forward_without_gradients_is_no_evaluation(predict: Predict) -> None:
    script = LOOP.replace(
        "optimizer =",
        """\
class Outer(torch.nn.Module):
    def forward(self, x):
        with torch.no_grad():
            model(x)
        return model(x + torch.zeros(40 * 2**30, device='cuda')[0])
outer = Outer()
optimizer =""",
    ).replace("loss = model(", "loss = outer(")
    assert predict(script, gpu="rtx-4090").out_of_memory.moment.phase == "forward"


def test_a_script_may_catch_out_of_memory(predict: Predict) -> None:
    caught = (
        "try:\n        torch.empty(40 * 2**30, device='cuda')\n"
        "    except torch.cuda.OutOfMemoryError:\n        print('smaller')"
    )
    prediction = predict(READING.format(caught), gpu="rtx-4090")
    assert (prediction.status, prediction.out_of_memory) == ("ok", None)
    assert "memory ran out at train.py:10, and the script went on" in prediction.notes


def test_that_memory_ran_out_is_told_of_a_script_that_makes_it_an_error_of_its_own(predict: Predict) -> None:
    wrapped = (
        "try:\n        torch.empty(40 * 2**30, device='cuda')\n"
        "    except torch.OutOfMemoryError:\n        raise SystemExit('too large')"
    )
    prediction = predict(READING.format(wrapped), gpu="rtx-4090")
    assert (prediction.status, prediction.message) == ("error", "the script ended itself: too large")
    assert "memory ran out at train.py:10, and the script went on" in prediction.notes


def test_what_the_failed_try_held_is_free_again(predict: Predict) -> None:
    trying = (
        "def attempt(gib):\n        some = torch.empty(15 * 2**30, dtype=torch.uint8, device='cuda')\n"
        "        more = torch.empty(gib * 2**30, dtype=torch.uint8, device='cuda')\n"
        "    try:\n        attempt(40)\n    except torch.OutOfMemoryError:\n        pass\n    attempt(5)"
    )
    assert predict(READING.format(trying), gpu="rtx-4090").status == "ok"


def test_a_failing_script_shows_its_own_traceback(
    predict: Predict, capsys: pytest.CaptureFixture[str]
) -> None:
    prediction = predict(READING.format("raise ValueError('no data')"))
    assert prediction.status == "error"
    assert prediction.message == "the script failed: ValueError: no data"
    assert prediction.error_line == "train.py:9"
    shown = capsys.readouterr().err
    assert 'train.py", line 9' in shown
    assert "runpy" not in shown
    assert "lorafa_prof" not in shown


@pytest.mark.parametrize(
    ("script", "status", "words"),
    [
        ("import sys\nsys.exit(5)\n", "error", "exit code 5"),
        ("import sys\nsys.exit('no data\\nat all')\n", "error", "the script ended itself: no data at all"),
        ("import torch\ntorch.ones(9, 9) @ torch.ones(9, 9)\n", "nothing", "never moved a tensor to cuda"),
        ("x = 1\n", "nothing", "no memory"),
        ("import torch\ntorch.ones(4, device='cuda')\n", "nothing", "without an optimizer step"),
        ("x = (\n\n", "error", "SyntaxError"),
    ],
)
def test_a_script_that_takes_no_step(predict: Predict, script: str, status: str, words: str) -> None:
    prediction = predict(script)
    assert prediction.status == status
    assert words in prediction.message
    assert prediction.notes == ()


def test_weights_are_read_for_their_shapes(predict: Predict) -> None:
    save_file({"weight": torch.ones(500, 1000)}, "weights.safetensors")
    loading = (
        "from transformers.modeling_utils import load_state_dict\n"
        "    read = load_state_dict('weights.safetensors', map_location='cpu')['weight']\n"
        "    assert read.shape == (500, 1000) and read.half().dtype == torch.half\n"
        "    if read[0, 0] == 1: break"
    )
    prediction = predict(READING.format(loading))
    assert (prediction.status, prediction.error_line) == ("refused", "train.py:12")


def test_checkpoints_are_zeros_or_not_written(predict: Predict, tmp_path: Path) -> None:
    saving = READING.format("torch.save(model.state_dict(), 'all.pt')")
    assert any("train.py:9 writes are zeros" in note for note in predict(saving).notes)
    saved = torch.load("all.pt", weights_only=True, map_location="cpu")
    assert saved["weight"].shape == (500, 1000)
    assert not saved["weight"].any()
    Path("all.pt").unlink()
    notes = predict(saving, dry=[tmp_path]).notes
    assert "weights were not written, by --dry, such as all.pt" in notes
    assert not Path("all.pt").exists()


def test_what_the_script_asks_of_the_memory_is_answered(predict: Predict) -> None:
    line = (
        "stats = torch.cuda.memory_stats(); free, total = torch.cuda.mem_get_info(); "
        "assert stats['allocated_bytes.all.current'] == torch.cuda.memory_allocated() > 0; "
        "assert free < total"
    )
    assert predict(READING.format(line)).status == "ok"


@pytest.mark.parametrize(
    "asked",
    ['torch.nn.Linear(4, 4).to("cuda:1")', 'torch.ones(3, device="cuda:1")', "torch.cuda.set_device(1)"],
)
def test_a_second_gpu_is_refused(predict: Predict, asked: str) -> None:
    prediction = predict(f"import torch\nx = torch.ones(3).cuda()\n{asked}\n")
    assert prediction.status == "refused"
    assert prediction.message.startswith("train.py:3: cuda:1 is asked for")


def test_the_first_gpu_by_its_number_is_the_gpu(predict: Predict) -> None:
    prediction = predict(
        "import torch\ntorch.cuda.set_device(0)\nmodel = torch.nn.Linear(4, 4).to('cuda:0')\n"
        "optimizer = torch.optim.SGD(model.parameters())\n"
        "model(torch.ones(2, 4, device='cuda:0')).sum().backward()\noptimizer.step()\n"
        "assert torch.cuda.memory_stats_as_nested_dict()['allocated_bytes']['all']['current'] > 0\n"
    )
    assert prediction.status == "ok", prediction.message
