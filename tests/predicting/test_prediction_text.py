from __future__ import annotations

from dataclasses import replace

from lorafa_prof.predicting.prediction import Holder, Prediction
from lorafa_prof.predicting.prediction_text import prediction_text
from lorafa_prof.predicting.savings import Saving

MIB = 2**20
PREDICTION = Prediction(
    status="ok",
    message="needs 100 MiB",
    gpu="rtx-4090",
    capacity_bytes=None,
    steps=2,
    peak_requested_bytes=90 * MIB,
    peak_allocated_bytes=95 * MIB,
    peak_reserved_bytes=100 * MIB,
    holders=(Holder("train.py:2", "torch/nn.py:3", "weights", 95 * MIB, 4),),
    would_free=(Saving("half of it", 40 * MIB, up_to=True), Saving("a crumb", MIB // 2)),
)


def test_what_frees_hardly_anything_is_not_told() -> None:
    text = prediction_text(PREDICTION)
    assert text.endswith("each alone:\n  up to  40.000 MiB  half of it\n")
    assert "this peak" not in prediction_text(replace(PREDICTION, would_free=PREDICTION.would_free[1:]))


def test_where_memory_ran_out_the_run_without_the_limit_is_told() -> None:
    text = prediction_text(
        replace(PREDICTION, status="oom", peak_reserved_bytes=MIB, without_limit=PREDICTION)
    )
    assert "reserved 100.000 MiB at the peak if nothing limits it" in text


def test_without_memory_there_is_no_table() -> None:
    assert prediction_text(replace(PREDICTION, holders=(), would_free=())) == ""
