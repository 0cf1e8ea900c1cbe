"""The package `datasets` itself, where it is installed: what it saved is read, without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from small_models import BYTES, CPU, small_model

from lorafa_prof.errors import UsageError
from lorafa_prof.tasks.choice import TaskChoice
from lorafa_prof.tasks.image_format import ImageFormat
from lorafa_prof.tasks.open import open_task

datasets = pytest.importorskip("datasets")
FORM = ImageFormat(32, 32)


def saved(folder: Path, **splits: Any) -> Path:
    datasets.DatasetDict(splits).save_to_disk(str(folder))
    return folder


def arc(number: int) -> Any:
    choices = {"text": ["hay", "fish"], "label": ["A", "B"]}
    return datasets.Dataset.from_list(
        [
            {"id": str(each), "question": f"Who eats {each}?", "choices": choices, "answerKey": "B"}
            for each in range(number)
        ]
    )


def test_a_saved_data_set_is_read(tmp_path: Path) -> None:
    folder = saved(tmp_path / "arc", train=arc(10), validation=arc(2), test=arc(4))
    task: Any = open_task(TaskChoice(name="arc-easy", data=str(folder)), BYTES, 250)
    assert len(task.training_examples()) == 9
    assert len(task.items.of("test")) == 4
    assert task.items.of("test")[0].prompt.startswith(
        "Please choose the correct answer to the question: Who eats 0?"
    )


def test_one_split_is_to_train_on(tmp_path: Path) -> None:
    arc(10).save_to_disk(str(tmp_path / "arc"))
    task: Any = open_task(TaskChoice(name="arc-easy", data=str(tmp_path / "arc")), BYTES, 250)
    assert len(task.training_examples()) == 9
    with pytest.raises(UsageError, match="has no test split"):
        task.evaluate(small_model(), "test", batch=2, device=CPU)


def test_a_glue_set_is_tested_on_its_validation(tmp_path: Path) -> None:
    rows = [{"sentence": "fine", "label": 1, "idx": 0}, {"sentence": "bad", "label": 0, "idx": 1}]
    unlabelled = datasets.Dataset.from_list([{"sentence": "so", "label": -1, "idx": 0}])
    split = datasets.Dataset.from_list(rows)
    folder = saved(tmp_path / "sst2", train=split, validation=split, test=unlabelled)
    task: Any = open_task(TaskChoice(name="sst2", data=str(folder)), BYTES, 250)
    assert [example.labels for example in task._evaluated["test"]] == [1, 0]


def image_split(number: int) -> Any:
    features = datasets.Features(
        {
            "img": datasets.Image(),
            "coarse_label": datasets.ClassLabel(names=["a", "b"]),
            "fine_label": datasets.ClassLabel(names=["a1", "a2", "b1"]),
        }
    )
    rows = [
        {"img": Image.new("RGB", (8, 8), (each, 0, 0)), "coarse_label": each % 2, "fine_label": each % 3}
        for each in range(number)
    ]
    return datasets.Dataset.from_list(rows, features=features)


def test_an_image_set_is_read_by_the_types_of_its_columns(tmp_path: Path) -> None:
    folder = saved(tmp_path / "images", train=image_split(6), test=image_split(4))
    task = open_task(TaskChoice(name="images", data=str(folder)), None, 1, images=FORM)
    assert task.classes == 3, "the finest"
    assert len(task.training_examples()) == 5
    pixels = task.training_examples()[0].pixels
    assert pixels is not None
    assert torch.equal(pixels[1], torch.full((32, 32), -1.0))
    assert task.evaluate(small_model("tiny-vit", num_labels=3), "test", batch=2, device=CPU).items == 4


def test_a_set_without_images_is_said(tmp_path: Path) -> None:
    folder = saved(tmp_path / "arc", train=arc(3))
    with pytest.raises(UsageError, match="has not one column of images and one of classes, but"):
        open_task(TaskChoice(name="images", data=str(folder)), None, 1, images=FORM)


def test_the_hub_is_out_of_reach_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    for name in ("boolq", "images"):
        with pytest.raises(UsageError, match="cannot be read from the hub"):
            open_task(TaskChoice(name=name, data="no/such-set"), BYTES, 99, images=FORM)


def test_a_damaged_folder_is_one_line(tmp_path: Path) -> None:
    folder = saved(tmp_path / "arc", train=arc(3))
    (folder / "train" / "state.json").write_text("{")
    with pytest.raises(UsageError, match="cannot be read by `datasets`"):
        open_task(TaskChoice(name="arc-easy", data=str(folder)), BYTES, 99)
