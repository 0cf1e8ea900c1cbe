"""As many GPUs, or ranks, as a cell asks for."""

from __future__ import annotations

import pytest
import torch
from cells import make_cell

from lorafa_prof.errors import UsageError
from lorafa_prof.running.ranks.limits import check_gpus_here

CELL = make_cell(device="cuda", gpu="h200", parallel="fsdp2", gpus=4)


@pytest.mark.parametrize(("there", "words"), [(0, "0 GPUs"), (1, "1 GPU"), (3, "3 GPUs")])
def test_more_gpus_than_there_are(monkeypatch: pytest.MonkeyPatch, there: int, words: str) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: there)
    with pytest.raises(UsageError, match=f"gpus is 4, and PyTorch sees {words} here"):
        check_gpus_here(CELL)
    check_gpus_here(CELL.model_copy(update={"device": "sim:h200"}))
    check_gpus_here(CELL.model_copy(update={"device": "cpu"}))


def test_as_many_as_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    check_gpus_here(CELL)


def test_more_ranks_than_were_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "MASTER_ADDR": "here"}.items():
        monkeypatch.setenv(name, value)
    for device in ("cuda", "cpu"):
        with pytest.raises(UsageError, match="gpus is 4, and 2 ranks were started; set gpus to 2 or less"):
            check_gpus_here(CELL.model_copy(update={"device": device}))
        check_gpus_here(CELL.model_copy(update={"device": device, "gpus": 2}))
