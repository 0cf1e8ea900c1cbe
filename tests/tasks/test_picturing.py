"""Images in folders of their classes: which are read, how they are scaled, and what is said of damage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from PIL import Image
from small_models import CPU, small_model

from lorafa_prof.errors import UsageError
from lorafa_prof.tasks.choice import TaskChoice
from lorafa_prof.tasks.image_format import ImageFormat, image_format
from lorafa_prof.tasks.open import open_task

FORM = ImageFormat(32, 32)


def pictures(folder: Path, **numbers: int) -> Path:
    """So many images of each class, of a gray of its own each."""
    for name, number in numbers.items():
        (folder / name).mkdir(parents=True)
        for place in range(number):
            Image.new("RGB", (20, 10), (place * 10,) * 3).save(folder / name / f"{place}.png")
    return folder


def choice(folder: Path, **settings: Any) -> TaskChoice:
    return TaskChoice(name="images", data=str(folder), **settings)


def test_classes_are_folders_in_their_order(tmp_path: Path) -> None:
    pictures(tmp_path / "train", cat=6, ant=4)
    pictures(tmp_path / "test", cat=1, ant=2)
    task = open_task(choice(tmp_path, validation=0.2), None, 1, images=FORM)
    assert (task.kind, task.classes, task.metric) == ("image-classification", 2, "accuracy")
    examples = task.training_examples()
    assert len(examples) == 8
    labels = [example.labels for example in examples]
    assert set(labels) == {0, 1}
    assert labels != sorted(labels), "they are drawn"
    assert examples[0].tokens == ()
    pixels = examples[0].pixels
    assert pixels is not None
    assert (pixels.shape, pixels.dtype) == ((3, 32, 32), torch.float32)


def test_pixels_are_scaled_as_the_models_processor_does(tmp_path: Path) -> None:
    Image.new("RGB", (5, 5), (255, 0, 51)).save(pictures(tmp_path, a=0, b=0) / "a" / "1.png")
    Image.new("L", (5, 5), 51).save(tmp_path / "b" / "1.png")
    form = ImageFormat(4, 6, 3, (0.5, 0.5, 0.1), (0.5, 0.25, 0.1))
    examples = open_task(choice(tmp_path, validation=0.01), None, 1, images=form).training_examples()
    (pixels,) = [example.pixels for example in examples] if len(examples) == 1 else [None]
    values = {0: (1.0, -2.0, 1.0), 1: (-0.6, -1.2, 1.0)}[examples[0].labels]  # type: ignore[index]
    assert pixels is not None
    assert pixels.shape == (3, 4, 6)
    assert numpy.allclose(pixels.numpy(), numpy.array(values)[:, None, None], atol=1e-6)


@pytest.mark.parametrize("batch", [1, 2, 16])
def test_evaluation_is_that_of_each_image_alone(tmp_path: Path, batch: int) -> None:
    pictures(tmp_path / "train", ant=2, cat=2)
    pictures(tmp_path / "test", ant=2, cat=3)
    task = open_task(choice(tmp_path), None, 1, images=FORM)
    model = small_model("tiny-vit", num_labels=2)
    evaluation = task.evaluate(model, "test", batch=batch, device=CPU)
    model.eval()
    losses, correct = [], []
    for label, number in ((0, 2), (1, 3)):
        for place in range(number):
            pixels = torch.full((1, 3, 32, 32), place * 10 / 255 * 2 - 1)
            with torch.no_grad():
                logits = model(pixel_values=pixels).logits[0].double()
            losses.append(-float(logits.log_softmax(0)[label]))
            correct.append(int(logits.argmax()) == label)
    assert evaluation.loss == pytest.approx(sum(losses) / 5, rel=1e-5)
    assert evaluation.correct == tuple(correct)


def test_without_a_test_folder_there_is_only_what_is_held_out(tmp_path: Path) -> None:
    task = open_task(choice(pictures(tmp_path, ant=5, cat=5)), None, 1, images=FORM)
    model = small_model("tiny-vit", num_labels=2)
    assert task.evaluate(model, "validation", batch=2, device=CPU).items == 1
    with pytest.raises(UsageError, match="has no test split"):
        task.evaluate(model, "test", batch=2, device=CPU)


def test_damage_is_named(tmp_path: Path) -> None:
    pictures(tmp_path, ant=1, cat=1)
    for name in ("ant", "cat"):
        (tmp_path / name / "0.png").write_bytes(b"no image")
    task = open_task(choice(tmp_path, validation=0.01), None, 1, images=FORM)
    with pytest.raises(UsageError, match=r"0\.png is no image that can be read"):
        task.training_examples()[0]


def test_a_class_of_the_test_alone_is_named(tmp_path: Path) -> None:
    pictures(tmp_path / "train", ant=2, cat=2)
    pictures(tmp_path / "test", dog=1)
    with pytest.raises(UsageError, match="has the class 'dog', which there is nothing to train on of"):
        open_task(choice(tmp_path), None, 1, images=FORM)


def test_one_class_is_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has not two folders, one for each class"):
        open_task(choice(pictures(tmp_path, ant=2)), None, 1, images=FORM)


def test_a_model_of_text_takes_no_images(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is of images: the model takes none"):
        open_task(choice(pictures(tmp_path, ant=2, cat=2)), None, 1)
    with pytest.raises(UsageError, match="is for models of image-classification, not of causal-lm"):
        open_task(choice(tmp_path, kind="causal-lm"), None, 1)


def test_data_must_be_said() -> None:
    with pytest.raises(UsageError, match="task 'images': set data to a folder"):
        open_task(TaskChoice(name="images"), None, 1, images=FORM)


def test_the_scale_is_that_of_the_models_processor(tmp_path: Path) -> None:
    assert image_format(8, 9, 1, folder=tmp_path) == ImageFormat(8, 9, 1, (0.5,), (0.5,))
    said = tmp_path / "preprocessor_config.json"
    said.write_text(json.dumps({"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]}))
    assert image_format(8, 9, 3, folder=tmp_path) == ImageFormat(8, 9, 3, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    with pytest.raises(UsageError, match="3 numbers for 1 channels"):
        image_format(8, 9, 1, folder=tmp_path)
    said.write_text("{")
    with pytest.raises(UsageError, match="does not say how images are scaled"):
        image_format(8, 9, 3, folder=tmp_path)
