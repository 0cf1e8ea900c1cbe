"""Callbacks: rows every so many steps, a result at the end, and nothing that stays behind."""

from __future__ import annotations

from pathlib import Path
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
    number = Path(toy_training.__file__).read_text().splitlines().index("    ).train()  # trained")
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
