"""The columns of learning.csv: one row for each evaluation of a learning run."""

from __future__ import annotations

#: What tells one run from another beside the settings of its cell, which come first as in results.csv.
RUN_COLUMNS = ("run_id", "task", "learning_rate", "schedule", "train_seed", "draw_seed")
#: What one evaluation found. `split` is "validation", or "test" at a run's end.
EVALUATION_COLUMNS = (
    "status",  # of the run so far: ok, error, oom, timeout, diverged
    "message",
    "step",  # optimizer steps done; 0 is before the first
    "epoch",  # passes over the training items done, a fraction
    "tokens",  # tokens trained on so far that are no padding
    "seconds",  # spent in training steps and in loading their batches, without evaluations and checkpoints
    "split",
    "train_loss",  # mean over the steps since the evaluation before
    "eval_loss",  # nats a token of the answers, or of the classes
    "metric_name",
    "metric",  # from 0 to 1
    "items",  # how many were evaluated
    "peak_allocated_bytes",  # of the training so far, evaluations left out
    "peak_reserved_bytes",
    "activation_bytes",  # held at the end of the last step's forward with the longest batch so far
    "params_trainable",
)
