"""Tasks of classes of images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import numpy
import torch
from torch import Tensor, nn

from lorafa_prof.errors import UsageError, described
from lorafa_prof.tasks.asking import asked, class_logits
from lorafa_prof.tasks.classifying import judged
from lorafa_prof.tasks.entry import Opening
from lorafa_prof.tasks.image_format import ImageFormat
from lorafa_prof.tasks.items import Items
from lorafa_prof.tasks.task import Evaluation, Example, Split, TaskKind

if TYPE_CHECKING:
    from PIL.Image import Image

#: Images that are decoded at once; decoding and resizing let other threads run.
_THREADS = 4


@dataclass(frozen=True)
class Picture:
    """An image of a class, which is read when it is asked for.

    Attributes:
        read: gives the image.
        where: names it, for messages.
        label: its class.
    """

    read: Callable[[], Image]
    where: str
    label: int


def pixels_of(picture: Picture, form: ImageFormat) -> Tensor:
    """Return an image as the model takes it: resized, from 0 to 1, then shifted and scaled; float32.

    Shape [channels, height, width].

    Raises:
        UsageError: it cannot be read.
    """
    try:
        image = picture.read().convert("RGB" if form.channels == 3 else "L")
        resized = image.resize((form.width, form.height), resample=_bilinear())
    except (OSError, ValueError, SyntaxError) as error:
        raise UsageError(f"{picture.where} is no image that can be read ({described(error)})") from error
    values = numpy.asarray(resized, dtype=numpy.float32).reshape(form.height, form.width, form.channels) / 255
    mean, std = (numpy.asarray(each, dtype=numpy.float32) for each in (form.mean, form.std))
    scaled = (values - mean) / std
    return torch.from_numpy(numpy.ascontiguousarray(scaled.transpose(2, 0, 1)))


def _bilinear() -> Any:
    from PIL.Image import Resampling

    return Resampling.BILINEAR


class _Examples(Sequence[Example]):
    """Examples whose pixels are read when they are asked for: a data set may be larger than the memory."""

    def __init__(self, pictures: Sequence[Picture], form: ImageFormat) -> None:
        self._pictures = pictures
        self._form = form

    def __len__(self) -> int:
        return len(self._pictures)

    @overload
    def __getitem__(self, place: int) -> Example: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Example]: ...
    def __getitem__(self, place: int | slice) -> Example | Sequence[Example]:
        if isinstance(place, slice):
            return _Examples(self._pictures[place], self._form)
        picture = self._pictures[place]
        return Example((), picture.label, pixels_of(picture, self._form))


class ImageTask:
    """A task of classes of images, judged by accuracy.

    Args:
        opening: what it is opened with.
        items: which there are.
        classes: how many.
    """

    kind: TaskKind = "image-classification"
    metric = "accuracy"

    def __init__(self, opening: Opening, items: Items[Picture], classes: int) -> None:
        if opening.images is None:
            raise UsageError(f"task '{opening.choice.name}' is of images: the model takes none", about="task")
        self.name = opening.choice.name
        self.classes: int | None = classes
        self.notes = items.notes
        self._items = items
        self._form = opening.images
        self._most = opening.choice.train_items

    def training_examples(self) -> Sequence[Example]:
        """Return the items to train on in the order of their draw; their pixels are read on access.

        Raises:
            UsageError: the data has nothing to train on.
        """
        return _Examples(self._items.drawn()[: self._most], self._form)

    def evaluate(self, model: nn.Module, split: Split, *, batch: int, device: torch.device) -> Evaluation:
        """Evaluate `model`: see `Task.evaluate`.

        Raises:
            UsageError: the data has no such split, an image cannot be read, or the head has other classes.
        """
        pictures = self._items.of(split)
        dtype = next(each.dtype for each in model.parameters() if each.is_floating_point())
        with asked(model):
            logits = [
                class_logits(model, self.classes or 0, pixel_values=pixels.to(device, dtype))
                for pixels in self._batches(pictures, batch)
            ]
        labels = [picture.label for picture in pictures]
        return judged(torch.cat(logits), range(len(labels)), labels, self.metric)

    def _batches(self, pictures: Sequence[Picture], batch: int) -> Iterator[Tensor]:
        """Pixels [batch, channels, height, width], the next ones being read while the model runs."""
        with ThreadPoolExecutor(_THREADS) as pool:
            parts = [pictures[start : start + batch] for start in range(0, len(pictures), batch)]
            coming = [pool.submit(pixels_of, picture, self._form) for picture in parts[0]]
            for following in [*parts[1:], []]:
                now = coming
                coming = [pool.submit(pixels_of, picture, self._form) for picture in following]
                yield torch.stack([each.result() for each in now])
