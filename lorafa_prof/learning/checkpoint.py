"""Checkpoints of a run: all that it takes to go on as if it had never stopped."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lorafa_prof.errors import LorafaProfError, first_line
from lorafa_prof.learning.memory import MemorySoFar
from lorafa_prof.optim.loss_scaling import LossScaler
from lorafa_prof.step import TrainingStep

VERSION = 1


@dataclass
class Standing:
    """Where a run stands.

    Attributes:
        step: steps done; the place in the data follows from it.
        tokens: trained on that are no padding.
        seconds: spent in steps and in loading their batches.
        unreported: losses of the steps since the last evaluation.
        memory: what is known of it.
    """

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    unreported: list[float] = field(default_factory=list)
    memory: MemorySoFar = field(default_factory=MemorySoFar)


class CheckpointError(LorafaProfError):
    """A checkpoint cannot be written, or not be read."""


def save_checkpoint(
    file: Path, run_id: str, step: TrainingStep, standing: Standing, device: torch.device
) -> None:
    """Write what trains, its optimizer, random numbers and scale, whole or not at all.

    Raises:
        CheckpointError: there is no room for it; the one of before is kept.
    """
    scaler = step.scaler
    content = {
        "version": VERSION,
        "run_id": run_id,
        "standing": asdict(standing),
        "trained": trained_weights(step.model),
        "buffers": _on_host(kept_buffers(step.model)),
        "optimizer": step.optimizer.state_dict(),
        "scaler": None if scaler is None else {**scaler.state_dict(), "updates": scaler.updates},
        "random": _random_numbers(device),
    }
    with _written_whole(file, f"the checkpoint at step {standing.step}") as part, part.open("wb") as stream:
        torch.save(content, stream)
        stream.flush()
        os.fsync(stream.fileno())


def load_checkpoint(file: Path, run_id: str, step: TrainingStep, device: torch.device) -> Standing | None:
    """Bring a run to where its checkpoint was written; return where it stands, or None if there is none.

    Raises:
        CheckpointError: it is damaged, or of another version or run.
    """
    try:
        content: Any = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        return None
    except Exception as error:
        raise _unreadable(file, first_line(error)) from error
    if not isinstance(content, dict) or (content.get("version"), content.get("run_id")) != (VERSION, run_id):
        raise _unreadable(file, "it is of another version or run")
    try:
        standing = _brought(content, step, device)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise _unreadable(file, first_line(error)) from error
    return standing


def save_trained(file: Path, model: nn.Module, about: dict[str, str]) -> None:
    """Write the weights that trained, by name, as safetensors, whole or not at all.

    Raises:
        CheckpointError: there is no room for them.
    """
    from safetensors.torch import save_file

    with _written_whole(file, "the trained weights") as part:
        save_file(trained_weights(model), part, about)


def trained_weights(model: nn.Module) -> dict[str, Tensor]:
    """The weights that train, by name, copied to the host."""
    return _on_host({name: p for name, p in model.named_parameters() if p.requires_grad})


def kept_buffers(model: nn.Module) -> dict[str, Tensor]:
    """The buffers that a model saves, such as running means of batches."""
    saved = model.state_dict(keep_vars=True)
    return {name: buffer for name, buffer in model.named_buffers() if name in saved}


def _on_host(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    # Copies, since several may be views of one storage, which would be written whole with each.
    return {name: t.detach().to("cpu", copy=True).contiguous() for name, t in tensors.items()}


def _random_numbers(device: torch.device) -> dict[str, Tensor]:
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


@torch.no_grad()
def _brought(content: dict[str, Any], step: TrainingStep, device: torch.device) -> Standing:
    there = {name: p for name, p in step.model.named_parameters() if p.requires_grad}
    _copy(there, content["trained"])
    _copy(kept_buffers(step.model), content["buffers"])
    step.optimizer.load_state_dict(content["optimizer"])
    if step.scaler is not None:
        _bring_scaler(step.scaler, dict(content["scaler"]))
    torch.set_rng_state(content["random"]["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(content["random"]["cuda"], device)
    standing = dict(content["standing"])
    return Standing(**{**standing, "memory": MemorySoFar(**standing["memory"])})


def _bring_scaler(scaler: LossScaler, state: dict[str, Any]) -> None:
    scaler.updates = state.pop("updates")
    first = scaler._init_scale
    scaler.load_state_dict(state)
    scaler._init_scale = first  # by which `skipped` counts


def _copy(there: Mapping[str, Tensor], kept: dict[str, Tensor]) -> None:
    if there.keys() != kept.keys():
        raise ValueError("it has other weights than train here")
    for name, tensor in there.items():
        tensor.copy_(kept[name])


@contextmanager
def _written_whole(file: Path, what: str) -> Iterator[Path]:
    """A context that gives the path to write to, which takes the place of `file` at its end."""
    part = file.with_name(f".{file.name}.{os.getpid()}.part")  # as `results/files.py` removes them
    try:
        yield part
        part.replace(file)
    except (
        OSError,
        RuntimeError,
    ) as error:  # PyTorch's writer raises a RuntimeError of its own on a full disk
        reason = getattr(error, "strerror", None) or first_line(error)
        raise CheckpointError(
            f"cannot write {what} to '{file.parent}': {reason}; make room there, and the same command with "
            "--rerun failed goes on from the checkpoint before"
        ) from error
    except Exception as error:
        if type(error).__name__ != "SafetensorError":
            raise
        raise CheckpointError(f"cannot write {what} to '{file.parent}': {first_line(error)}") from error
    finally:
        part.unlink(missing_ok=True)


def _unreadable(file: Path, reason: str) -> CheckpointError:
    return CheckpointError(f"'{file}' cannot be gone on from: {reason}; --rerun all trains the run anew")
