"""Steps as CUDA graphs: what is refused, what a capture that fails says, what the twin shows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from cells import TWIN
from tiny_cells import FAMILIES, METHOD_NAMES, tiny_cell
from torch import nn

from lorafa_prof.cell import Cell, Steps
from lorafa_prof.errors import LorafaProfError, UsageError
from lorafa_prof.models.mask_answers import MaskAnswers
from lorafa_prof.results.record import CellResult
from lorafa_prof.running.graphed_step import GraphedStep
from lorafa_prof.running.launch import check_launch
from lorafa_prof.running.measure import measure_cell
from lorafa_prof.running.prepare import prepare_step
from lorafa_prof.step import Phase, PhaseTracker, TrainingStep

GRAPH: dict[str, Any] = {"launch": "graph", "device": TWIN}
METHODS = [name for name in METHOD_NAMES if name != "peft-lora-fa"]


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"device": "cpu"}, "set device to cuda, or launch to eager"),
        ({"phase": "eval"}, "set phase to train"),
        ({"lengths": (16, 48)}, "set seq to a number"),
        ({"padding": 0.5}, "does not go with padding 0.5"),
        ({"packing": True}, "does not go with packing"),
        ({"kernels": "compile"}, "does not go with kernels 'compile'"),
        ({"kernels": "liger"}, "does not go with kernels 'liger'"),
        ({"kernels": "packed", "dropout": 0.1}, "set dropout to 0, or kernels to eager or fused"),
        ({"attention": "flex"}, "does not go with attention 'flex'"),
        ({"checkpointing": "full"}, "does not go with checkpointing 'full'"),
        ({"checkpointing": "full+offload"}, "does not go with checkpointing 'full.offload'"),
        ({"update": "backward"}, "set update to step"),
        ({"autocast": "fp16"}, "set autocast to bf16"),
    ],
)
def test_what_the_host_takes_part_in_is_refused(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError, match=f"^launch 'graph' .*{named}") as refused:
        check_launch(tiny_cell(**{**GRAPH, **settings}))
    assert refused.value.about == "launch"
    check_launch(tiny_cell(**{**GRAPH, **settings, "launch": "eager"}))


def test_what_drops_by_pytorchs_generators_is_not_refused() -> None:
    check_launch(tiny_cell(dropout=0.1, **GRAPH))
    check_launch(tiny_cell(kernels="packed", **GRAPH))


@pytest.mark.parametrize(
    ("method", "optimizer", "whose"),
    [("lora", "adafactor", "Adafactor"), ("lora", "adamw-8bit", ""), ("peft-lora-fa", "adamw", "")],
)
def test_an_optimizer_that_counts_on_the_host_is_refused(method: str, optimizer: str, whose: str) -> None:
    cell = tiny_cell("tiny-llama", method, optimizer=optimizer, **GRAPH)
    with pytest.raises(UsageError, match=f"launch 'graph': {whose}.*has no capturable mode"):
        measure_cell(cell)


@pytest.mark.parametrize("optimizer", ["adamw", "adamw-foreach", "adamw-loop", "sgd", "sgd-momentum"])
def test_other_optimizers_keep_their_steps_on_the_device(optimizer: str) -> None:
    assert on_twin("tiny-llama", "lora", optimizer=optimizer).row["status"] == "ok"


def on_twin(*args: Any, **settings: Any) -> CellResult:
    return measure_cell(tiny_cell(*args, **{"dtype": "bf16", "steps": Steps(warmup=3), **GRAPH, **settings}))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", ["tiny-llama", "tiny-t5"])
def test_the_twin_holds_what_launches_one_by_one_hold(family: str, method: str) -> None:
    graph, eager = (on_twin(family, method, launch=launch).row for launch in ("graph", "eager"))
    assert graph["launch"] == "graph"
    assert eager["launch"] is None
    for name in ("saved_bytes", "flops_step", "gradients_bytes", "optimizer_bytes"):
        assert graph[name] == eager[name], name
    # The pool is kept beside the memory of weights and states, and shares no segment with it.
    assert int(str(graph["peak_reserved_bytes"])) >= int(str(eager["peak_reserved_bytes"]))


class Refusing(nn.Module):
    """A network whose forward ends with an error."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))
        self.fails = False

    def forward(self) -> Any:
        if self.fails:
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nmore")
        return type("Output", (), {"loss": self.weight.sum()})()


@pytest.fixture
def captures(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """CUDA's graphs, of which nothing runs; what is asked of them is in the list."""
    asked: list[str] = []

    class Graph:
        def replay(self) -> None:
            asked.append("replay")

    @contextmanager
    def graph(cuda_graph: Graph, pool: str, stream: str) -> Iterator[None]:
        asked.append(f"capture in {pool} on {stream}")
        try:
            yield
        finally:
            if asked[-1] == "fail":
                raise RuntimeError("the capture was invalidated")

    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", graph)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: "a pool")
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: "a stream")
    return asked


class Told:
    """Writes down the phases that it is told of."""

    def __init__(self) -> None:
        self.phases: list[str] = []

    def phase_started(self, phase: Phase) -> None:
        self.phases.append(f"{phase} starts")

    def phase_ended(self, phase: Phase) -> None:
        self.phases.append(f"{phase} ends")


def toy() -> tuple[Refusing, GraphedStep]:
    net = Refusing()
    training = TrainingStep(net, {}, torch.optim.SGD(net.parameters(), lr=1.0), accumulation=2)
    return net, GraphedStep(training)


def test_a_step_is_made_and_captured_once_then_replayed(captures: list[str]) -> None:
    _, step = toy()
    phases = [
        f"{phase} {event}"
        for phase in ("forward", "backward", "forward", "backward", "optimizer")
        for event in ("starts", "ends")
    ]
    for asked in (["capture in a pool on a stream"] * 5, ["replay"] * 5):
        told = Told()
        step.run((told,))
        assert told.phases == phases
        assert captures == asked
        captures.clear()


def test_a_capture_that_fails_says_where(captures: list[str]) -> None:
    net, step = toy()
    tracker = PhaseTracker()

    def fail_in_capture(*_: Any) -> None:
        net.fails = bool(captures)
        captures.extend(["fail"] * net.fails)

    net.register_forward_pre_hook(fail_in_capture)
    with pytest.raises(LorafaProfError) as failed:
        step.run((tracker,))
    assert str(failed.value) == (
        "launch 'graph': forward cannot be captured in a CUDA graph: 'raise RuntimeError(\"CUDA error: "
        "operation not permitted when stream is capturing\\nmore\")' "
        f"(tests/running/test_graphed_step.py:{line_of('raise RuntimeError(')}): RuntimeError: CUDA error: "
        "operation not permitted when stream is capturing; set launch to eager"
    )
    assert tracker.phase == "forward"


def line_of(text: str) -> int:
    lines = Path(__file__).read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


def test_a_capture_without_memory_is_no_memory(captures: list[str]) -> None:
    net, step = toy()

    def run_out(*_: Any) -> None:
        if captures:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    net.register_forward_pre_hook(run_out)
    with pytest.raises(torch.OutOfMemoryError):
        step.run()


@pytest.mark.parametrize("family", FAMILIES)
def test_masks_are_decided_without_the_device_as_they_were_with_it(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a stream is captured transformers cannot look at a mask, and makes one in any case."""
    from transformers.utils import import_utils

    _, step = prepare_step(tiny_cell(family, "frozen"), torch.device("cpu"))
    answers, losses, masks = MaskAnswers(), [], []

    def note_loss(_module: Any, _args: Any, output: Any) -> None:
        losses.append(output.loss.item())

    real = nn.functional.scaled_dot_product_attention

    def note_mask(*args: Any, **kwargs: Any) -> Any:
        masks.append((kwargs.get("attn_mask") is None, kwargs.get("is_causal")))
        return real(*args, **kwargs)

    step.model.register_forward_hook(note_loss)
    monkeypatch.setattr(nn.functional, "scaled_dot_product_attention", note_mask)
    torch.manual_seed(0)
    with answers.noted():
        step.model(**step.inputs)
    before = list(masks)
    masks.clear()
    monkeypatch.setattr(import_utils, "is_cuda_stream_capturing", lambda: True)
    torch.manual_seed(0)
    with answers.given():
        step.model(**step.inputs)
    assert masks == before
    assert losses[0] == losses[1]


def test_masks_that_are_asked_about_anew_are_an_error() -> None:
    from transformers import masking_utils

    answers = MaskAnswers()
    with answers.noted():
        assert masking_utils.fast_all(torch.ones(2, dtype=torch.bool))
    with pytest.raises(LorafaProfError, match="asks about its masks"), answers.given():
        pass
    with answers.given():
        assert masking_utils.fast_all(torch.zeros(2, dtype=torch.bool)) is True
        with pytest.raises(LorafaProfError, match="asks about its masks"):
            masking_utils.fast_all(torch.ones(2, dtype=torch.bool))


def test_no_capture_is_left_on_the_cpu() -> None:
    """A cell whose launch is eager makes the step itself."""
    cell: Cell = tiny_cell()
    assert isinstance(prepare_step(cell, torch.device("cpu"))[1], TrainingStep)
