"""Runs from beginning to end, in this process."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from cells import make_cell
from learning import toy_task
from learning.toy_task import open_toys_only, toy_run
from safetensors.torch import load_file
from transformers import LlamaForCausalLM

from lorafa_prof.cell import Cell
from lorafa_prof.learning import train
from lorafa_prof.learning.files import RunFiles
from lorafa_prof.learning.record import RunRecord, read_record
from lorafa_prof.learning.run import LearningRun
from lorafa_prof.learning.work import LAST_ROW, learn_cell
from lorafa_prof.results.record import CellResult
from lorafa_prof.tasks.task import Evaluation


@pytest.fixture(autouse=True)
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    open_toys_only(monkeypatch)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "learning").mkdir()
    return tmp_path


def tiny(method: str = "lora-fa", model: str = "tiny-llama", **settings: Any) -> Cell:
    options = settings.pop("options", {"rank": 4, "alpha": 4.0, "targets": "all-linear", "dropout": 0.1})
    fields: dict[str, Any] = {"batch": 4, "seq": 12, "model": model, **settings}
    return make_cell(method, options=options if method != "full-ft" else {}, **fields)


def learned(run: LearningRun, out: Path) -> CellResult:
    return learn_cell(run.cell, run.model_dump_json(), str(out))


def kept(run: LearningRun, out: Path) -> RunRecord:
    record = read_record(RunFiles(out, run.run_id))
    assert record is not None
    return record


def losses(run: LearningRun, out: Path) -> list[dict[str, str]]:
    with RunFiles(out, run.run_id).losses.open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("method", ["full-ft", "lora", "lora-fa"])
def test_a_run_learns_and_keeps_what_it_found(method: str, out: Path) -> None:
    run = toy_run(tiny(method), steps=60, evaluate_every=30, learning_rate=1e-2)
    assert learned(run, out).row["status"] == "ok"
    rows = kept(run, out).rows
    assert [(row["step"], row["split"]) for row in rows] == [
        (0, "validation"), (30, "validation"), (60, "validation"), (60, "test"),
    ]  # fmt: skip
    first, last = rows[0], rows[2]
    assert last["eval_loss"] < first["eval_loss"] - 0.5  # type: ignore[operator]
    assert last["metric"] > first["metric"]  # type: ignore[operator]
    assert last["epoch"] == 60 * 4 / 20
    assert last["metric_name"] == "accuracy"
    assert last["activation_bytes"] > 0  # type: ignore[operator]
    found = losses(run, out)
    assert [int(row["step"]) for row in found] == list(range(1, 61))
    later = [float(row["loss"]) for row in found[30:]]
    assert rows[2]["train_loss"] == pytest.approx(math.fsum(later) / 30)
    assert int(found[-1]["tokens"]) == last["tokens"]
    assert float(found[-1]["seconds"]) == last["seconds"]
    files = RunFiles(out, run.run_id)
    assert not files.checkpoint.exists()
    assert sum(t.numel() for t in load_file(files.trained).values()) == last["params_trainable"]


class KilledError(Exception):
    """Stands for a process that is no more."""


def killed_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    one_step = train.Training._one_step

    def dying(self: train.Training, number: int) -> int:
        if number == step:
            raise KilledError
        return one_step(self, number)

    monkeypatch.setattr(train.Training, "_one_step", dying)


SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "clipped micro-batches": {"accumulation": 2, "max_grad_norm": 0.1},
    "scaled": {"autocast": "fp16"},
    "packed rows": {"packing": True},
    "in backward": {"update": "backward"},
    "momentum": {"optimizer": "sgd-momentum"},
    "recomputed": {"checkpointing": "full"},
}


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("method", ["lora-fa", "lora"])
def test_a_run_that_was_ended_goes_on_as_if_it_had_not_been(
    name: str, method: str, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = toy_run(tiny(method, **SETTINGS[name]), steps=10, evaluate_every=4, weight_decay=0.1)
    undisturbed = tmp_path / "undisturbed"
    (undisturbed / "learning").mkdir(parents=True)
    learned(run, undisturbed)
    with monkeypatch.context() as patch:
        killed_at(7, patch)  # after a checkpoint at 4; the losses of 5 to 7 are unread
        with pytest.raises(KilledError):
            learned(run, out)
    assert [row["step"] for row in kept(run, out).rows] == [0, 4]
    assert learned(run, out).row["status"] == "ok"

    def without_times(record: RunRecord) -> list[dict[str, Any]]:
        return [{k: v for k, v in row.items() if k not in ("seconds", "message")} for row in record.rows]

    assert without_times(kept(run, out)) == without_times(kept(run, undisturbed))
    one, other = losses(run, out), losses(run, undisturbed)
    assert [(row["step"], row["loss"], row["tokens"]) for row in one] == [
        (row["step"], row["loss"], row["tokens"]) for row in other
    ]
    weights, expected = (load_file(RunFiles(where, run.run_id).trained) for where in (out, undisturbed))
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[key], expected[key]) for key in expected)


def test_evaluations_do_not_change_what_is_trained(out: Path) -> None:
    runs = [toy_run(tiny(), evaluate_every=every, steps=6) for every in (None, 2)]
    for run in runs:
        learned(run, out)
    one, other = (load_file(RunFiles(out, run.run_id).trained) for run in runs)
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(("eval_batch", "batch"), [(None, 4), (7, 7)])
def test_as_many_are_evaluated_at_once_as_the_task_says(
    eval_batch: int | None, batch: int, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    evaluate = toy_task.ToyTask.evaluate

    def noting(self: toy_task.ToyTask, *args: Any, batch: int, **options: Any) -> Evaluation:
        asked.append(batch)
        return evaluate(self, *args, batch=batch, **options)

    monkeypatch.setattr(toy_task.ToyTask, "evaluate", noting)
    run = toy_run(tiny(), steps=1)
    run = run.model_copy(update={"task": run.task.model_copy(update={"eval_batch": eval_batch})})
    assert learned(run, out).row["status"] == "ok"
    assert set(asked) == {batch}


def test_a_loss_that_is_no_number_ends_the_run_at_its_step(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = toy_run(tiny(), steps=40, evaluate_every=10)
    one_step = train.Training._one_step

    def breaking(self: train.Training, number: int) -> int:
        if number == 16:
            with torch.no_grad():
                next(p for p in self._step.model.parameters() if p.requires_grad).fill_(math.nan)
        return one_step(self, number)

    monkeypatch.setattr(train.Training, "_one_step", breaking)
    result = learned(run, out)
    assert result.row["status"] == "diverged"
    assert str(result.row["message"]).startswith("the loss of step 17 is not a number")
    assert result.details[LAST_ROW]["step"] == 17
    assert [int(row["step"]) for row in losses(run, out)] == list(range(1, 17))
    assert [row["step"] for row in kept(run, out).rows] == [0, 10]
    assert RunFiles(out, run.run_id).checkpoint.exists(), "what was trained is kept"


def test_a_full_disk_costs_the_checkpoint_alone(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = toy_run(tiny(), steps=12, evaluate_every=4)
    files = RunFiles(out, run.run_id)
    save = torch.save
    saved = []

    def full(content: Any, stream: Any) -> None:
        saved.append(content["standing"]["step"])
        with Path("/dev/full").open("wb") as no_room:
            save(content, no_room if len(saved) == 2 else stream)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        result = learned(run, out)
    assert result.row["status"] == "error"
    assert str(result.row["message"]).startswith("cannot write the checkpoint at step 8 to ")
    assert "\n" not in str(result.row["message"])
    assert not list((out / "learning").glob("*.part"))
    assert torch.load(files.checkpoint, weights_only=True)["standing"]["step"] == 4
    assert learned(run, out).row["status"] == "ok"
    assert saved[:2] == [4, 8]


def test_out_of_memory_is_a_result_that_says_where(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = toy_run(tiny(), steps=12, evaluate_every=4)

    def full(self: train.Training, number: int) -> int:
        if number < 6:
            return one_step(self, number)
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has")

    one_step = train.Training._one_step
    monkeypatch.setattr(train.Training, "_one_step", full)
    result = learned(run, out)
    assert result.row["status"] == "oom"
    assert ": CUDA out of memory. Tried to allocate 2.00 GiB." in str(result.row["message"])


def test_what_a_model_wrote_is_kept_beside_the_table(out: Path) -> None:
    run = toy_run(tiny(), "toy-writing", steps=2)
    learned(run, out)
    lines = [json.loads(line) for line in RunFiles(out, run.run_id).outputs.read_text().splitlines()]
    assert len(lines) == 20
    assert lines[0].keys() == {"step", "split", "item", "correct", "output"}
    assert {line["split"] for line in lines} == {"test"}


@pytest.mark.parametrize("model", ["tiny-roberta", "tiny-llama"])
def test_a_classifier_has_a_head_for_the_tasks_classes(model: str, out: Path) -> None:
    run = toy_run(tiny("lora", model), "toy-classes", steps=30, evaluate_every=None)
    assert learned(run, out).row["status"] == "ok"
    trained = load_file(RunFiles(out, run.run_id).trained)
    heads = [
        t.shape for name, t in trained.items() if name.startswith(("score", "classifier.out_proj.weight"))
    ]
    assert heads == [(2, 64)]
    assert kept(run, out).rows[-1]["metric"] > 0.6  # type: ignore[operator]


def test_a_task_that_is_none_for_the_model_is_one_line(out: Path) -> None:
    result = learned(toy_run(tiny("lora", "tiny-roberta"), "toy"), out)
    assert result.row["status"] == "error"
    assert "is a sequence-classification model and cannot be trained on a task of causal-lm" in str(
        result.row["message"]
    )


@pytest.mark.parametrize("settings", [{"loss": "chunked"}, {"kernels": "fused"}, {"kernels": "packed"}])
def test_losses_without_logits_train_and_are_evaluated_alike(settings: dict[str, str], out: Path) -> None:
    runs = [toy_run(tiny(options={"rank": 4, "targets": "all-linear"}, **own)) for own in ({}, settings)]
    for run in runs:
        assert learned(run, out).row["status"] == "ok"
    (plain, other) = (kept(run, out).rows for run in runs)
    for one, same in zip(plain, other, strict=True):
        assert same["eval_loss"] == pytest.approx(one["eval_loss"], rel=1e-3)
    assert other[1]["train_loss"] == pytest.approx(plain[1]["train_loss"], rel=1e-3)


def test_a_model_that_gives_no_logits_is_refused_before_it_trains(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(self: Any, input_ids: Any, attention_mask: Any, labels: Any = None) -> Any:
        return SimpleNamespace(loss=None)

    monkeypatch.setattr(LlamaForCausalLM, "forward", silent)
    result = learned(toy_run(tiny()), out)
    assert "the model gives no logits, by which task 'toy' is evaluated" in str(result.row["message"])
