"""Predicting a cell on the twin: every column it should have, and the CPU where paths agree."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tiny_cells import FAMILIES, TOKENS, tiny_cell
from torch import Tensor

from lorafa_prof.cell import Cell, ModelChoice, Steps, twin_device
from lorafa_prof.devices.gpus.gpu import GPUS, Gpu
from lorafa_prof.devices.sim.twin import Twin
from lorafa_prof.instruments.flops.counter import FlopCounter
from lorafa_prof.instruments.memory.sim import SimMemoryMeter
from lorafa_prof.results.columns import METRICS
from lorafa_prof.results.measured import Measured
from lorafa_prof.results.record import CellResult
from lorafa_prof.running import on_twin
from lorafa_prof.running.measure import measure_cell
from lorafa_prof.running.on_twin import BuiltOnTwin, TwinWatch, make_twin, run_on_twin
from lorafa_prof.running.passes import saved_observer
from lorafa_prof.running.predict import MeasuredOnTwin
from lorafa_prof.running.prepare import prepare_step
from lorafa_prof.step import Observer, PhaseTracker

METHODS = ("full-ft", "lora", "lora-fa")
NO_DROPOUT = ("tiny-llama", "tiny-mistral", "tiny-qwen2")
WITHOUT_A_GPU = {
    *("peak_reserved_bytes", "device_used_bytes", "host_rss_bytes", "mfu", "energy_j_per_token"),
    *(column.name for column in METRICS if column.group in ("time", "fidelity")),
} - {"peak_reserved_bytes"}
CUBLAS = 32 << 20


def predicted_cell(
    model: str = "tiny-llama", method: str = "lora-fa", gpu: str = "h100-80gb", **settings: Any
) -> Cell:
    return tiny_cell(model, method, device=twin_device(gpu), **settings)


def requested_by_forward(result: CellResult) -> int:
    forward = result.details["memory"]["phases"]["forward"]
    return int(forward["end"]["requested"] - forward["start"]["requested"])


@pytest.mark.parametrize("method", METHODS)
def test_every_column_the_twin_can_fill(method: str) -> None:
    result = measure_cell(predicted_cell(method=method))
    row: Any = result.row
    assert row["status"] == "ok"
    assert (row["device"], row["gpu"]) == ("sim:h100-80gb", "h100-80gb")
    names = {column.name for column in METRICS}
    assert names & row.keys() == names - WITHOUT_A_GPU
    assert all(row[name] > 0 for name in names - WITHOUT_A_GPU)
    assert row["peak_allocated_bytes"] == max(
        row[f"peak_{phase}_bytes"] for phase in ("forward", "backward", "optimizer")
    )
    assert row["peak_reserved_bytes"] % (2 << 20) == 0
    assert row["peak_reserved_bytes"] >= row["peak_allocated_bytes"]
    assert set(result.details["seconds"]) == {"build", "warmup", "memory", "explain"}
    assert CellResult.model_validate_json(result.model_dump_json()).row == row


def test_nothing_but_workspaces_is_held_between_steps_beside_model_optimizer_and_inputs() -> None:
    result = measure_cell(predicted_cell(dtype="bf16"))
    row: Any = result.row
    memory = result.details["memory"]
    held = row["weights_bytes"] + row["optimizer_bytes"] + memory["inputs_bytes"]
    assert memory["phases"]["forward"]["start"]["requested"] == held + 2 * CUBLAS
    # The loss lives as long as its step.
    assert memory["phases"]["optimizer"]["end"]["requested"] == held + 2 * CUBLAS + 4


# Every model, method and attention; the other settings take turns.
TURNS: dict[str, tuple[Any, ...]] = {
    "gpu": ("h100-80gb", "t4"),
    "dtype": ("bf16", "fp16", "fp32"),
    "optimizer": ("adamw", "adamw-foreach", "sgd", "adamw-loop", "adafactor", "sgd-momentum", "adamw-8bit"),
    "checkpointing": ("none", "full", "full-reentrant", "none", "none"),
    "padding": (0.5, 0.0, 0.5),
    "accumulation": (1, 2, 1, 1, 2),
    "max_grad_norm": (None, 0.5, None, 0.5, 0.5, None, None),
}
TAKING_TURNS = {name: cycle(values) for name, values in TURNS.items()}
MIXED = [
    (family, method, attention, {name: next(values) for name, values in TAKING_TURNS.items()})
    for family in FAMILIES
    for method in METHODS
    for attention in ("sdpa", "eager")
]


@pytest.mark.parametrize(("family", "method", "attention", "settings"), MIXED)
def test_activations_reconcile_to_the_byte(
    family: str, method: str, attention: str, settings: dict[str, Any]
) -> None:
    dropout = 0.0 if method == "full-ft" else 0.1
    result = measure_cell(predicted_cell(family, method, attention=attention, dropout=dropout, **settings))
    assert result.row["status"] == "ok"
    assert result.details["reconciliation"]["residual_bytes"] == 0
    assert sum(result.details["saved"]["by_kind"].values()) == result.row["saved_bytes"]


@pytest.mark.parametrize("checkpointing", ["none", "full"])
@pytest.mark.parametrize("family", FAMILIES)
def test_what_does_not_depend_on_kernels_is_as_on_the_cpu(family: str, checkpointing: str) -> None:
    settings: Any = {"attention": "eager", "checkpointing": checkpointing, "padding": 0.25, "accumulation": 2}
    on_cpu, on_sim = (
        measure_cell(cell) for cell in (tiny_cell(family, **settings), predicted_cell(family, **settings))
    )
    same = ["params_total", "params_trainable", "weights_bytes", "gradients_bytes", "optimizer_bytes"]
    same += ["flops_forward", "flops_backward", "flops_step"]
    assert {name: on_sim.row[name] for name in same} == {name: on_cpu.row[name] for name in same}
    for details in ("by_phase", "by_module"):
        assert on_sim.details["flops"][details] == on_cpu.details["flops"][details]
    if family in NO_DROPOUT:
        assert requested_by_forward(on_sim) == requested_by_forward(on_cpu)
        assert on_sim.row["saved_bytes"] == on_cpu.row["saved_bytes"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", sorted(set(FAMILIES) - set(NO_DROPOUT)))
def test_dropout_holds_a_byte_where_the_cpu_holds_a_number(
    family: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropped: list[int] = []
    dropout = F.dropout

    def counting(x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        if training and p > 0 and x.requires_grad:
            dropped.append(x.numel())
        return dropout(x, p, training, inplace)

    cell = tiny_cell(family, method, attention="eager")
    with monkeypatch.context() as patch:
        patch.setattr(F, "dropout", counting)
        prepare_step(cell, torch.device("cpu"))[1].run()
    on_cpu, on_sim = (
        measure_cell(each) for each in (cell, predicted_cell(family, method, attention="eager"))
    )
    assert dropped
    assert requested_by_forward(on_cpu) - requested_by_forward(on_sim) == 3 * sum(dropped)


def test_layer_norm_holds_its_statistics_in_float32_as_cuda_does() -> None:
    # Five of them: on the CPU their mean and factor have the input's type.
    settings: Any = {"attention": "eager", "checkpointing": "full", "dtype": "bf16"}
    on_cpu, on_sim = (
        measure_cell(cell)
        for cell in (tiny_cell("tiny-gpt2", **settings), predicted_cell("tiny-gpt2", **settings))
    )
    # Checkpointed, only the last one's are held, and the embeddings' dropout.
    dropped = TOKENS * 64
    assert requested_by_forward(on_cpu) - requested_by_forward(on_sim) == dropped - 2 * TOKENS * 2


@pytest.mark.parametrize(("dtype", "more"), [("fp32", 2 * 2 * 4 * (64 - 48) * 4), ("bf16", 2 * 16)])
def test_fused_attention_holds_what_its_kernel_wants(dtype: str, more: int) -> None:
    """Two layers: float32 pads its log sums to 64 rows; cuDNN has a random state of 16 bytes."""
    on_cpu, on_sim = (
        measure_cell(cell)
        for cell in (tiny_cell("tiny-mistral", dtype=dtype), predicted_cell("tiny-mistral", dtype=dtype))
    )
    assert requested_by_forward(on_sim) - requested_by_forward(on_cpu) == more
    assert on_sim.row["flops_step"] == on_cpu.row["flops_step"]


def test_the_same_cell_gives_the_same_result() -> None:
    cell = predicted_cell("tiny-roberta", "lora", dropout=0.1, padding=0.5, max_grad_norm=1.0)
    one, other = (measure_cell(cell) for _ in range(2))
    assert one.row == other.row
    details = [dict(result.details, seconds=None) for result in (one, other)]
    assert details[0] == details[1]


@pytest.mark.parametrize("family", ["tiny-llama", "tiny-gpt2"])
def test_the_explained_step_has_the_peaks_of_the_one_for_memory(family: str) -> None:
    cell, measured = predicted_cell(family, "lora", checkpointing="full"), Measured()
    with make_twin(cell) as twin:
        watch = MeasuredOnTwin(measured, PhaseTracker())
        built = run_on_twin(cell, twin, watch)
        watch.keep_memory()
        prepared, step = built.prepared, built.step
        meter = SimMemoryMeter(twin.allocator, prepared.model)
        with FlopCounter(prepared.model) as counter:
            step.run((counter, saved_observer(cell, prepared, step, explained=True), meter))
    assert measured.memory is not None
    assert meter.profile() == measured.memory


class TestSteadiness:
    def test_steps_end_once_one_changes_nothing(self) -> None:
        cell = predicted_cell(steps=Steps(warmup=50, timed=1))
        watch = CountingWatch()
        with make_twin(cell) as twin:
            built = run_on_twin(cell, twin, watch)
            assert 3 <= watch.forwards < 10
            assert twin.allocator.state() == watch.steady
            del built

    @pytest.mark.parametrize("warmup", [1, 2])
    def test_there_are_no_more_than_the_cell_wants(self, warmup: int) -> None:
        cell, watch = predicted_cell(steps=Steps(warmup=warmup, timed=1)), CountingWatch()
        with make_twin(cell) as twin:
            run_on_twin(cell, twin, watch)
        assert watch.forwards <= warmup + 1


class CountingWatch(TwinWatch):
    """Counts forwards, and keeps the state in which the allocator is before the steady step."""

    def __init__(self) -> None:
        self.tracker = PhaseTracker()
        self.observers = (self.tracker,)
        self.steady: object = None

    def settled(self, built: BuiltOnTwin) -> Sequence[Observer]:
        self.steady = built.twin.allocator.state()
        return ()

    @property
    def forwards(self) -> int:
        return self.tracker.step


class TestOutOfMemory:
    @pytest.fixture
    def only(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        def give(mib: int) -> None:
            def small(gpu: Gpu, **given: Any) -> Twin:
                return Twin(gpu, **{**given, "capacity_bytes": mib << 20})

            monkeypatch.setattr(on_twin, "Twin", small)

        return give

    # GPT-2 in fp32: 475 MiB of weights, as much of gradients, twice that of AdamW's state.
    @pytest.mark.parametrize(
        ("mib", "phase", "batch", "words"),
        [
            (300, "build", 1, "CUDA out of memory. Tried to allocate"),
            (700, "forward", 4, "CUDA out of memory in transformer.h."),
            (800, "backward", 1, "CUDA out of memory in lm_head (aten.mm.default)."),
            (1000, "backward", 1, "CUDA out of memory in transformer.h."),
            (1300, "backward", 1, "CUDA out of memory in transformer.wte (aten."),
            (1600, "optimizer", 1, "CUDA out of memory outside of all submodules (aten."),
        ],
    )
    def test_the_row_says_where_it_ran_out(
        self, only: Any, mib: int, phase: str, batch: int, words: str
    ) -> None:
        only(mib)
        cell = predicted_cell("gpt2", "full-ft", batch=batch, seq=128)
        row: Any = measure_cell(cell).row
        assert (row["status"], row["failed_phase"]) == ("oom", phase)
        assert row["message"].startswith(words)
        assert "Tried to allocate" in row["message"]
        if phase != "build":
            assert "(aten." in row["message"]
            assert row["weights_bytes"] > 0
        assert "peak_allocated_bytes" not in row

    def test_afterwards_another_cell_runs(self, only: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        before = F.dropout, torch._C._len_torch_dispatch_stack()
        only(300)
        assert measure_cell(predicted_cell("gpt2", "full-ft")).row["status"] == "oom"
        assert (F.dropout, torch._C._len_torch_dispatch_stack()) == before
        monkeypatch.undo()
        assert measure_cell(predicted_cell()).row["status"] == "ok"

    def test_what_fits_to_the_byte_fits(self, only: Any) -> None:
        cell = predicted_cell("tiny-gpt2", "full-ft")
        reserved: Any = measure_cell(cell).row["peak_reserved_bytes"]
        only(reserved >> 20)
        row: Any = measure_cell(cell).row
        assert (row["status"], row["peak_reserved_bytes"]) == ("ok", reserved)
        only((reserved >> 20) - 2)
        result = measure_cell(cell)
        tight: Any = result.row
        # Giving cached blocks back may still save it, and then says so.
        assert tight["status"] == "oom" or result.details["memory"]["num_alloc_retries"] > 0


def test_a_gpu_whose_memory_is_not_known_never_runs_out_and_says_so() -> None:
    name = next(gpu.name for gpu in GPUS.values() if gpu.memory_bytes is None)
    row: Any = measure_cell(predicted_cell(gpu=name)).row
    assert row["status"] == "ok"
    assert f"the memory of {name} is not known: out of memory is not predicted" in row["message"]


def test_what_was_measured_needs_no_note() -> None:
    assert "message" not in measure_cell(predicted_cell()).row


@pytest.mark.parametrize("gpu", {gpu.compute_capability: name for name, gpu in GPUS.items()}.values())
def test_every_generation_has_a_twin(gpu: str) -> None:
    row: Any = measure_cell(predicted_cell(gpu=gpu, dtype="bf16", batch=1, seq=16)).row
    assert row["status"] == "ok"
    assert row["peak_allocated_bytes"] > 0


def test_an_error_leaves_pytorch_as_it_was() -> None:
    before = F.dropout, F.scaled_dot_product_attention, torch._C._len_torch_dispatch_stack()
    with pytest.raises(Exception, match="no-such-model"):
        measure_cell(predicted_cell().model_copy(update={"model": ModelChoice(name="no-such-model")}))
    assert (F.dropout, F.scaled_dot_product_attention, torch._C._len_torch_dispatch_stack()) == before
