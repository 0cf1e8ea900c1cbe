"""Schedule, batches, losses, ids: the parts of a learning run, each by itself."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from cells import TWIN, make_cell
from learning.toy_task import toy_run

from lorafa_prof.errors import UsageError
from lorafa_prof.learning.batches import Batches
from lorafa_prof.learning.files import LOSS_COLUMNS, append_losses, keep_losses_until, last_step
from lorafa_prof.learning.limits import check_trainable
from lorafa_prof.learning.losses import UnreadLosses
from lorafa_prof.learning.schedule import set_weight_decay, share_of_rate
from lorafa_prof.tasks.choice import TaskChoice
from lorafa_prof.tasks.task import NO_LOSS, Example


def examples(*lengths: int) -> list[Example]:
    """Item number n has only tokens 100 + n, and a loss on the last two."""
    return [
        Example((100 + n,) * length, (*[NO_LOSS] * (length - 2), 100 + n, 100 + n))
        for n, length in enumerate(lengths)
    ]


def batches(items: list[Example], **settings: Any) -> Batches:
    fields: dict[str, Any] = {
        "size": 2, "seq": 9, "seed": 0, "pad_id": 7, "packing": False,
        "device": torch.device("cpu"), "dtype": torch.float32, **settings,
    }  # fmt: skip
    return Batches(items, **fields)


def test_a_batch_is_as_long_as_its_longest_item_and_padded_on_the_right() -> None:
    made = batches(examples(3, 6)).micro_batch(0)
    ids, mask, labels = (made.inputs[name] for name in ("input_ids", "attention_mask", "labels"))
    assert ids.shape == mask.shape == labels.shape == (2, 6)
    short = int(mask.sum(1).argmin())
    assert ids[short].tolist() == [100] * 3 + [7] * 3
    assert mask[short].tolist() == [1] * 3 + [0] * 3
    assert labels[short].tolist() == [NO_LOSS, 100, 100] + [NO_LOSS] * 3
    assert labels[1 - short].tolist() == [NO_LOSS] * 4 + [101] * 2
    assert (made.tokens, made.numbers) == (9, 12)


def test_packed_items_lie_one_after_the_other() -> None:
    made = batches(examples(3, 6), packing=True).micro_batch(0)
    assert made.inputs["input_ids"].shape == (1, 9)
    assert sorted(made.inputs["position_ids"][0].tolist()) == sorted([*range(3), *range(6)])
    assert (made.inputs["labels"] != NO_LOSS).sum() == 4
    assert (made.tokens, made.numbers) == (9, 9)


def items_of(made: Batches, number: int) -> list[int]:
    return [int(row[0]) - 100 for row in made.micro_batch(number).inputs["input_ids"]]


def test_each_pass_has_each_item_once_in_an_order_of_its_own() -> None:
    made = batches(examples(*[3] * 7))
    drawn = [item for number in range(7) for item in items_of(made, number)]
    first, second = drawn[:7], drawn[7:]
    assert sorted(first) == sorted(second) == list(range(7))
    assert first != second
    assert [items_of(batches(examples(*[3] * 7)), number) for number in (3, 6)] == [drawn[6:8], drawn[12:]]
    assert drawn != [i for n in range(7) for i in items_of(batches(examples(*[3] * 7), seed=1), n)]


def test_a_batch_may_be_larger_than_all_there_is() -> None:
    assert sorted(items_of(batches(examples(3, 3), size=5), 0))[:4] in ([0, 0, 0, 1], [0, 0, 1, 1])


def test_classes_and_images() -> None:
    made = batches([Example((1, 2), 0), Example((3,), 1)]).micro_batch(0)
    assert sorted(made.inputs["labels"].tolist()) == [0, 1]
    pixels = [Example((), n, torch.full((3, 2, 2), float(n))) for n in (0, 1)]
    seen = batches(pixels, dtype=torch.bfloat16).micro_batch(0)
    assert seen.inputs["pixel_values"].shape == (2, 3, 2, 2)
    assert seen.inputs["pixel_values"].dtype == torch.bfloat16
    assert seen.inputs["pixel_values"].flatten(1)[:, 0].tolist() == seen.inputs["labels"].tolist()
    assert (seen.tokens, seen.numbers) == (0, 24)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([], "no items to train on"),
        (examples(3, 10), "item 1 to train on has 10 tokens, and seq is 9"),
        ([Example((1, 2), (5, NO_LOSS))], "item 0 to train on has no token with a loss"),
        ([Example((1, 2), (1,))], "item 0 to train on has no label for each of its 2 tokens"),
        ([Example((1, 2), 1), Example((1, 2), (1, 2))], "items with one class and items with labels"),
    ],
)
def test_items_that_cannot_be_trained_on_are_one_line(items: list[Example], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        batches(items)


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_the_rate_rises_in_warm_up_and_then_follows_its_schedule(schedule: Any) -> None:
    shares = [share_of_rate(step, 100, schedule=schedule, warmup=0.1) for step in range(100)]
    assert shares[:11] == pytest.approx([(step + 1) / 11 for step in range(11)])
    assert max(shares) == shares[10] == 1
    falling = shares[10:]
    if schedule == "constant":
        assert set(falling) == {1.0}
        return
    assert all(later < earlier for earlier, later in pairwise(falling))
    assert shares[55] == pytest.approx(0.5)
    assert 0 < shares[-1] < 0.02
    if schedule == "linear":
        assert shares[-1] == pytest.approx(1 / 90)


def test_an_optimizer_that_decays_nothing_says_so() -> None:
    class Plain(torch.optim.Optimizer):
        def __init__(self) -> None:
            super().__init__([torch.zeros(1)], {"lr": 1.0})

    set_weight_decay(Plain(), 0.0, name="mine")
    with pytest.raises(UsageError, match="optimizer 'mine' decays no weights"):
        set_weight_decay(Plain(), 0.1, name="mine")


def test_losses_are_means_over_micro_batches_and_are_read_once() -> None:
    losses = UnreadLosses(2, torch.device("cpu"))
    for step in (1.0, 2.0):
        for micro_batch in (0.0, 1.0):
            losses.take(torch.tensor(step + micro_batch, dtype=torch.bfloat16))
        losses.end_step()
    assert losses.steps == 2
    assert losses.read() == [1.5, 2.5]
    assert losses.read() == []
    losses.take(torch.tensor(math.inf))
    losses.end_step()
    assert losses.read() == [math.inf]


def test_the_file_of_losses_goes_on_where_a_checkpoint_is(tmp_path: Any) -> None:
    file = tmp_path / "x.losses.csv"
    assert last_step(file) == 0
    append_losses(file, [(1, 0.5, 10, 0.1), (2, 0.25, 20, 0.2)])
    append_losses(file, [(3, 0.125, 30, 0.30000000000000004)])
    with file.open("a") as stream:
        stream.write("4,0.1")  # killed within a line
    assert last_step(file) == 3
    keep_losses_until(file, 3)
    lines = file.read_text().splitlines()
    assert lines == [
        ",".join(LOSS_COLUMNS),
        "1,0.5,10,0.1",
        "2,0.25,20,0.2",
        "3,0.125,30,0.30000000000000004",
    ]
    keep_losses_until(file, 1)
    assert last_step(file) == 1


def test_run_ids_are_stable_and_tell_apart_what_is_trained_otherwise() -> None:
    cell = make_cell("lora", options={"rank": 4})
    run = toy_run(cell)
    assert run.run_id == "net_lora_r4_b1_s16_toy_lr0.01_s0_d0_e9e81f1aea"
    same = [
        run.model_copy(update={"keep_trained": False, "checkpoint_every": 3}),
        run.model_copy(update={"task": TaskChoice(name="toy")}),
        run.model_copy(update={"task": TaskChoice(name="toy", answer_by="name")}),
    ]
    assert {other.run_id for other in same} == {run.run_id}
    there = [run.model_copy(update={"task": TaskChoice(name="toy", data=f"{d}/x.json")}) for d in "ab"]
    assert there[0].run_id == there[1].run_id != run.run_id
    for changed in (
        {"seed": 1},
        {"draw_seed": 1},
        {"learning_rate": 1e-3},
        {"steps": 13},
        {"schedule": "cosine"},
        {"task": TaskChoice(name="toy", answer_by="text")},
    ):
        assert run.model_copy(update=changed).run_id != run.run_id


@pytest.mark.parametrize(
    ("epochs", "items", "steps"), [(3.0, 20, 15), (1.0, 21, 6), (0.1, 30, 1), (0.3, 40, 3), (0.001, 4, 1)]
)
def test_epochs_are_whole_steps_that_are_enough(epochs: float, items: int, steps: int) -> None:
    run = toy_run(make_cell("lora", options={"rank": 4}, batch=2, accumulation=2), epochs=epochs, steps=None)
    assert run.total_steps(items) == steps


@pytest.mark.parametrize(
    ("settings", "about"),
    [
        ({"device": TWIN}, "device"),
        ({"parallel": "ddp", "gpus": 2}, "parallel"),
        ({"phase": "eval"}, "phase"),
        ({"lengths": (3, 4)}, "seq"),
        ({"padding": 0.5}, "padding"),
        ({"launch": "graph"}, "launch"),
        ({"method": "frozen"}, "method"),
    ],
)
def test_cells_that_cannot_be_trained_on_a_task_are_one_line(settings: dict[str, Any], about: str) -> None:
    cell = make_cell(settings.pop("method", "full-ft"), **settings)
    with pytest.raises(UsageError, match=r"^learn: ") as error:
        check_trainable(cell)
    assert error.value.about == about
