"""Callbacks: rows every so many steps, a result at the end, and nothing that stays behind."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import toy_training
import transformers
from torch.utils.data import DataLoader
from toy_training import Log, trained

from lorafa_prof.errors import UsageError
from lorafa_prof.integrations import TrainerCallback
from lorafa_prof.results.table import read_table

ME = "tests/integrations/toy_training.py"


def test_a_training_is_profiled_step_by_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = torch.autograd.backward
    callback, log = TrainerCallback(every=2, out=tmp_path / "out"), Log()
    trained(tmp_path, callback, log, logging_steps=100, eval_strategy="steps", eval_steps=2)
    assert torch.autograd.backward is before
    assert list(callback.rows) == [2, 4]
    with_rows = [row for row in log.logged if "lorafa_prof/activation_bytes" in row]
    assert [row["lorafa_prof/activation_bytes"] for row in with_rows] == [
        row["lorafa_prof/activation_bytes"] for row in callback.rows.values()
    ]
    found = callback.result
    assert found is not None
    assert len(found.steps) == 4
    assert found.name == "GPT2LMHeadModel"
    number = (
        Path(toy_training.__file__)
        .read_text()
        .splitlines()
        .index("    ).train(resume_from_checkpoint=str(resume) if resume else None)  # trained")
    )
    lines = {int(one.user_line.partition(":")[2]) for one in found.tensors}
    assert {one.user_line.partition(":")[0] for one in found.tensors} == {ME}
    assert max(lines) <= number + 1
    assert any(" → transformers/" in line for line in found.table().splitlines())
    assert "GPT2LMHeadModel on cpu: 4 steps" in capsys.readouterr().out
    assert read_table(tmp_path / "out")["activation_bytes"][0] == found.activation_bytes


def test_a_training_after_one_that_failed_begins_anew(tmp_path: Path) -> None:
    class Fails(transformers.TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            raise ZeroDivisionError

    before = torch.autograd.backward
    callback = TrainerCallback(show=False, log=False)
    with pytest.raises(ZeroDivisionError):
        trained(tmp_path, callback, Fails())
    assert callback.result is None
    trained(tmp_path, callback, max_steps=1)
    assert callback.result is not None
    assert len(callback.result.steps) == 1
    assert torch.autograd.backward is before


class Fails(transformers.TrainerCallback):
    """Runs out of memory after a step, with batches that are too large."""

    def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        if state.train_batch_size > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def held(callback: TrainerCallback) -> list[int | None]:
    assert callback.result is not None
    return [step.held_bytes for step in callback.result.steps]


def test_trainings_that_look_for_a_batch_tell_the_one_that_ended(tmp_path: Path) -> None:
    small, found = (TrainerCallback(show=False, log=False) for _ in range(2))
    trained(tmp_path, small)
    trained(tmp_path, found, Fails(), auto_find_batch_size=True, per_device_train_batch_size=3)
    assert held(found) == held(small)


def test_of_several_trainings_the_last_is_told(tmp_path: Path) -> None:
    callback = TrainerCallback(every=1, show=False, log=False)
    trained(tmp_path, callback)
    first = callback.result
    trained(tmp_path, callback, max_steps=2)
    assert list(callback.rows) == [1, 2]
    assert len(held(callback)) == 2
    assert first is not None
    assert len(first.steps) == 4


def test_a_training_that_goes_on_counts_as_the_trainer_does(tmp_path: Path) -> None:
    trained(tmp_path, TrainerCallback(show=False), max_steps=2, save_strategy="steps", save_steps=2)
    callback = TrainerCallback(every=3, show=False, log=False)
    trained(tmp_path, callback, max_steps=4, resume=tmp_path / "checkpoint-2")
    assert list(callback.rows) == [3]
    assert len(held(callback)) == 2


def test_a_training_that_takes_no_step_has_no_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = torch.autograd.backward
    callback = TrainerCallback(out=tmp_path / "out")
    trained(tmp_path, callback, max_steps=0, num_train_epochs=0)
    assert callback.result is None
    assert not (tmp_path / "out").exists()
    assert "GPT2LMHeadModel on" not in capsys.readouterr().out
    assert torch.autograd.backward is before


def test_an_epoch_s_last_step_may_have_fewer_micro_batches(tmp_path: Path) -> None:
    callback = TrainerCallback(every=50, show=False, log=False)
    # Five batches of two rows: two steps of two of them, and one of one.
    trained(tmp_path, callback, rows=10, max_steps=-1, num_train_epochs=2)
    assert callback.rows == {}
    assert len(held(callback)) == 2 * 3


def test_of_several_processes_the_first_alone_writes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = torch.nn.Linear(8, 4)
    optimizer = torch.optim.SGD(model.parameters())
    callback = TrainerCallback(out=tmp_path / "out")
    callback.on_train_begin(None, None, None, model=model)
    model(torch.rand(2, 8)).sum().backward()
    optimizer.step()
    callback.on_train_end(None, SimpleNamespace(is_world_process_zero=False), None)
    assert len(held(callback)) == 1
    assert not (tmp_path / "out").exists()
    assert capsys.readouterr().out == ""


def test_a_row_every_none_is_refused() -> None:
    with pytest.raises(UsageError, match="every=0"):
        TrainerCallback(every=0)


def test_lightning(tmp_path: Path) -> None:
    pytest.importorskip("lightning")
    from lightning.pytorch import LightningModule, Trainer

    from lorafa_prof.integrations import LightningCallback

    class Module(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(8, 4)

        def training_step(self, batch: Any, index: int) -> Any:
            return self.linear(batch).exp().mean()

        def configure_optimizers(self) -> Any:
            return torch.optim.AdamW(self.parameters())

    callback = LightningCallback(every=2)
    Trainer(
        max_steps=4,
        accumulate_grad_batches=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        default_root_dir=tmp_path,
        callbacks=[callback],
    ).fit(Module(), DataLoader(torch.rand(32, 8), batch_size=2))
    assert list(callback.rows) == [2, 4]
    assert callback.result is not None
    assert len(callback.result.steps) == 4
    assert {one.module for one in callback.result.tensors} >= {"linear"}
