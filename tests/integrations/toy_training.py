"""A small training by transformers' `Trainer`, and a callback that keeps what is logged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers

ROWS = [{"input_ids": torch.arange(8), "labels": torch.arange(8)} for _ in range(16)]


def trained(
    folder: Path,
    callback: Any,
    *more: Any,
    rows: int = len(ROWS),
    resume: Path | None = None,
    **arguments: Any,
) -> None:
    """Four steps of two micro-batches of two rows each, if `arguments` say nothing else."""
    config = transformers.GPT2Config(n_embd=8, n_head=2, n_layer=1, vocab_size=16, n_positions=8)
    given = {
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 2,
        "max_steps": 4,
        "report_to": [],
        "use_cpu": True,
        "save_strategy": "no",
        "disable_tqdm": True,
        **arguments,
    }
    transformers.Trainer(
        transformers.GPT2LMHeadModel(config),
        transformers.TrainingArguments(str(folder), **given),
        train_dataset=ROWS[:rows],
        eval_dataset=ROWS[:2],
        callbacks=[callback, *more],
    ).train(resume_from_checkpoint=str(resume) if resume else None)  # trained


class Log(transformers.TrainerCallback):
    def __init__(self) -> None:
        self.logged: list[dict[str, Any]] = []

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **others: Any) -> None:
        self.logged.append(dict(logs))
