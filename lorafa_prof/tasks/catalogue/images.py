"""Classes of images: a local folder with a folder for each class, or any image set of `datasets`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorafa_prof.errors import UsageError
from lorafa_prof.tasks.choice import TaskChoice
from lorafa_prof.tasks.entry import Opening, TaskEntry
from lorafa_prof.tasks.items import choose_items
from lorafa_prof.tasks.picturing import ImageTask, Picture
from lorafa_prof.tasks.rows.hub import from_hub, is_saved, saved_split, split_names
from lorafa_prof.tasks.rows.parts import Parts
from lorafa_prof.tasks.rows.row import Row, Rows

if TYPE_CHECKING:
    from PIL.Image import Image

_ENDS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
_TRAIN = ("train", "training")
_TEST = ("test", "validation", "valid", "val", "dev")


def _open(opening: Opening) -> ImageTask:
    choice = opening.choice
    folder = Path(choice.data).expanduser()
    if not choice.data:
        raise UsageError(
            f"task '{choice.name}': set data to a folder with a folder of images for each class, "
            "or to the hub's id of an image set",
            about="data",
        )
    # Of `os.path`, since that of `Path` raises where a name is too long.
    is_folder = os.path.isdir(folder)  # noqa: PTH112
    if is_folder and not is_saved(folder):
        parts, classes = _from_folder(choice, folder)
    else:
        parts, classes = _from_datasets(choice, folder if is_folder else None)
    return ImageTask(opening, choose_items(choice, parts, lambda row: row["picture"]), len(classes))


def _from_folder(choice: TaskChoice, folder: Path) -> tuple[Parts, Sequence[str]]:
    """``train/<class>/*.png`` and ``test/<class>/*.png``; without ``train`` the classes themselves."""
    train = _folder_of(folder, _TRAIN)
    test = _folder_of(folder, _TEST) if train else None
    classes = [each.name for each in sorted((train or folder).iterdir()) if each.is_dir()]
    if len(classes) < 2:
        raise UsageError(
            f"task '{choice.name}': {train or folder} has not two folders, one for each class", about="data"
        )
    found = [_rows_of_folder(each, classes) if each else None for each in (train or folder, test)]
    return Parts(found[0], found[1], str(folder)), classes


def _folder_of(folder: Path, names: Sequence[str]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_dir()), None)


def _rows_of_folder(folder: Path, classes: Sequence[str]) -> Rows:
    unknown = [each.name for each in sorted(folder.iterdir()) if each.is_dir() and each.name not in classes]
    if unknown:
        raise UsageError(f"{folder} has the class '{unknown[0]}', which there is nothing to train on of")
    rows: list[Row] = []
    for label, name in enumerate(classes):
        inside = sorted((folder / name).iterdir()) if (folder / name).is_dir() else []
        files = [each for each in inside if each.suffix.lower() in _ENDS]
        rows += [{"picture": Picture(partial(_opened, file), str(file), label)} for file in files]
    return Rows(str(folder), rows)


def _opened(file: Path) -> Image:
    from PIL import Image

    with Image.open(file) as image:
        image.load()
        return image


def _from_datasets(choice: TaskChoice, saved: Path | None) -> tuple[Parts, Sequence[str]]:
    if saved is not None:
        train, test = saved_split(saved, _TRAIN), saved_split(saved, _TEST)
    else:
        names = split_names(choice.data)
        of = [next((name for name in wanted if name in names), None) for wanted in (_TRAIN, _TEST)]
        train, test = (from_hub(choice.data, None, name) if name else None for name in of)
    if train is None:
        raise UsageError(f"task '{choice.name}': {choice.data} has no split to train on", about="data")
    picture, label, classes = _columns(choice, train)
    rows = [
        _rows_of_split(split, picture, label, f"{choice.data}, {name}") if split is not None else None
        for split, name in ((train, "train"), (test, "test"))
    ]
    return Parts(rows[0], rows[1], choice.data), classes


def _columns(choice: TaskChoice, split: Any) -> tuple[str, str, Sequence[str]]:
    """The columns of the image and of its class, by their types, and the classes."""
    kinds = {name: type(feature).__name__ for name, feature in split.features.items()}
    images = [name for name, kind in kinds.items() if kind == "Image"]
    labels = [name for name, kind in kinds.items() if kind == "ClassLabel"]
    if len(images) != 1 or not labels:
        raise UsageError(
            f"task '{choice.name}': {choice.data} has not one column of images and one of classes, but "
            f"{', '.join(f'{name} ({kind})' for name, kind in kinds.items())}",
            about="data",
        )
    # Of coarse and fine classes the set's own, "label", or the finest.
    label = "label" if "label" in labels else max(labels, key=lambda name: split.features[name].num_classes)
    return images[0], label, split.features[label].names


def _rows_of_split(split: Any, picture: str, label: str, where: str) -> Rows:
    def read(place: int) -> Image:
        image: Image = split[place][picture]
        return image

    rows = [
        {"picture": Picture(partial(read, place), f"{where}, image {place + 1}", found)}
        for place, found in enumerate(split[label])
    ]
    return Rows(where, rows)


TASKS = TaskEntry(
    "images",
    "accuracy",
    ("image-classification",),
    "data: a folder of folders of images, one for each class, or an image set of the hub",
    _open,
)
