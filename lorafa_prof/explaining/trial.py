"""What the twin says of a remedy."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from lorafa_prof.devices.sim.allocator import AllocatorSettings
from lorafa_prof.errors import LorafaProfError, first_line
from lorafa_prof.explaining.composition import Piece
from lorafa_prof.explaining.remedies import Remedy
from lorafa_prof.instruments.memory.profile import MemoryProfile
from lorafa_prof.results.tensors import Tensors, saved_tensors
from lorafa_prof.running.predict_memory import predict_memory
from lorafa_prof.running.prediction import UNLIMITED


@dataclass(frozen=True)
class Trial:
    """A remedy, and the memory of the step with it.

    Attributes:
        memory: with as much of it as the step wants; None where the cell cannot be built.
        fits: whether it fits into the GPU.
        saved: by autograd.
        failure: why it cannot be built.
    """

    remedy: Remedy
    memory: MemoryProfile | None = None
    fits: bool = False
    saved: Tensors | None = None
    failure: str = ""


def tried(remedy: Remedy, settings: AllocatorSettings | None = None) -> Trial:
    """Predict the remedied cell, whose device is a twin."""
    try:
        prediction = predict_memory(remedy.cell, None, settings, with_saved=True)
        fits = prediction.fits
        if not fits:
            prediction = predict_memory(remedy.cell, UNLIMITED, settings, with_saved=True)
    except LorafaProfError as error:
        return Trial(remedy, failure=str(error))
    except Exception as error:  # noqa: BLE001 - whatever it was, it is said, and the other remedies are not lost
        return Trial(remedy, failure=f"{type(error).__name__}: {first_line(error)}")
    assert prediction.saved is not None
    storages = {"storages": prediction.saved.as_records(), "held_otherwise": []}
    return Trial(remedy, prediction.memory, fits, saved_tensors({"saved": storages}))


def bytes_left(piece: Piece, pieces: tuple[Piece, ...], trial: Trial) -> int | None:
    """What is left of `piece` after the remedy; None where that cannot be told.

    That is the same tensors, if there are such, or as many numbers in another type, new at the same place. Of
    tensors that may be kept at another place after the remedy nothing is told.

    Args:
        piece: of saved tensors.
        pieces: all that was saved without the remedy.
        trial: of the remedy.
    """
    if trial.saved is None or not trial.remedy.same_places:
        return None
    if piece.key in trial.saved:
        return trial.saved[piece.key].nbytes
    if trial.remedy.cell.checkpointing.startswith("full") and any(each.into_layer_bytes for each in pieces):
        return piece.into_layer_bytes
    before = {each.key for each in pieces}
    as_large = {
        key: held
        for key, held in trial.saved.items()
        if key not in before and prod(key.shape) == prod(piece.key.shape)
    }
    if any(key.dtype == piece.key.dtype for key in as_large):
        return None
    place = (piece.key.module, piece.key.kind)
    left = sum(held.nbytes for key, held in as_large.items() if (key.module, key.kind) == place)
    return min(piece.nbytes, left)
