"""A cell: one point of the sweep, with every setting fixed."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any, Literal, cast

from pydantic import Field, StrictInt

from lorafa_prof.frozen_data import Frozen
from lorafa_prof.parallel.shard import Parallel, Shard

Dtype = Literal["fp32", "bf16", "fp16", "fp64"]
DeviceKind = Literal["cuda", "cpu", "sim"]
Weights = Literal["random", "pretrained"]
Update = Literal["step", "backward"]
Autocast = Literal["none", "bf16", "fp16"]
CellPhase = Literal["train", "eval"]
Loss = Literal["full", "chunked"]
Launch = Literal["eager", "graph"]
Instrument = Literal["fidelity"]
"""What costs extra, and so is observed only where it is asked for."""

OWN_CODE = "own-code"
"""The method of a cell that stands for code of the user's own: it was profiled, and cannot be built again."""

_TWIN = "sim:"
_NAME_LENGTH = 60
# Settings that came after the first ids were given: what is at its default is not in the digest, so that a
# cell of before keeps its id and its record.
_ADDED_LATER = (
    "padding",
    "accumulation",
    "max_grad_norm",
    "update",
    "quantization",
    "double_quant",
    "autocast",
    "kbit_prepare",
    "phase",
    "kept_logits",
    "lengths",
    "packing",
    "loss",
    "launch",
    "parallel",
    "gpus",
    "shard",
    "instruments",
)


def device_kind(device: str) -> DeviceKind:
    """Return the kind of a resolved device: "cuda", "cpu", or "sim" for the twin of a GPU, ``sim:<gpu>``."""
    return cast(DeviceKind, device.split(":")[0])


def twin_device(gpu: str) -> str:
    """Return the name of the device that is the twin of `gpu`: ``sim:<gpu>``."""
    return f"{_TWIN}{gpu}"


def twin_gpu(device: str) -> str | None:
    """Return the GPU whose twin `device` is; None if `device` is no twin."""
    return device.removeprefix(_TWIN) if device.startswith(_TWIN) else None


@dataclass(frozen=True)
class ResolvedDevice:
    """Where cells run, for one pair of a scenario's `device` and `gpu`.

    Attributes:
        device: ``cuda``, ``cpu`` or ``sim:<gpu>``; no longer ``auto``.
        gpu: the catalogue's name of the GPU that is measured or predicted; None on the CPU.
    """

    device: str
    gpu: str | None

    @property
    def kind(self) -> DeviceKind:
        """The kind of device: "cuda", "cpu" or "sim"."""
        return device_kind(self.device)


class ModelChoice(Frozen):
    """Which network a cell trains.

    Attributes:
        name: a preset, a local config.json or directory, or a hub id.
        folder: where a relative path starts; empty: the current directory. It is no part of a cell's id.
    """

    name: str
    weights: Weights = "random"
    trust_remote_code: bool = False
    folder: str = ""


class Steps(Frozen):
    """How many steps run before measuring, and how many are timed."""

    warmup: StrictInt = Field(default=3, ge=1)
    timed: StrictInt = Field(default=10, ge=1)


class MethodChoice(Frozen):
    """A method and its options, each fixed and complete (defaults filled in)."""

    name: str
    options: dict[str, Any] = Field(default_factory=dict)


class Cell(Frozen):
    """One point of the sweep. Its JSON form is passed to the cell's process and kept with its result.

    `lengths` are those of a run of different steps, in tokens, and `seq` is the longest of them; without any
    all steps have `seq`. `batch` is that of each GPU, if there are several.
    """

    model: ModelChoice
    method: MethodChoice
    batch: int
    seq: int
    dtype: Dtype
    adapter_dtype: Dtype
    attention: str
    kernels: str
    checkpointing: str
    optimizer: str
    device: str
    gpu: str | None = None
    steps: Steps = Steps()
    seed: int = 0
    padding: float = 0.0
    accumulation: int = 1
    max_grad_norm: float | None = None
    update: Update = "step"
    quantization: str = "none"
    double_quant: bool = False
    autocast: Autocast = "none"
    kbit_prepare: bool = False
    phase: CellPhase = "train"
    kept_logits: int = 0
    lengths: tuple[int, ...] = ()
    packing: bool = False
    loss: Loss = "full"
    launch: Launch = "eager"
    parallel: Parallel = "none"
    gpus: int = 1
    shard: Shard = Shard()
    instruments: tuple[Instrument, ...] = ()

    @property
    def device_kind(self) -> DeviceKind:
        """The kind of device the cell runs on: "cuda", "cpu", or "sim" for the twin of a GPU."""
        return device_kind(self.device)

    @property
    def product_dtype(self) -> Dtype:
        """The type that matrix products are computed in."""
        return self.dtype if self.autocast == "none" else self.autocast

    @property
    def is_own_code(self) -> bool:
        """Whether it stands for code of the user's own, of which no setting but the device is known."""
        return self.method.name == OWN_CODE

    @property
    def is_evaluation(self) -> bool:
        """Whether an evaluation is measured, and not the training steps before it."""
        return self.phase == "eval"

    @property
    def seq_text(self) -> str:
        """The length of its steps, or the shortest and the longest: "131-2048"."""
        return f"{min(self.lengths)}-{self.seq}" if self.lengths else str(self.seq)

    @property
    def longest_step(self) -> int:
        """The number of the first step with the longest batch, counted from 0."""
        return self.lengths.index(self.seq) if self.lengths else 0

    @property
    def forwards(self) -> int:
        """Batches of this size in what is measured: micro-batches of a step, or batches of an evaluation."""
        return max(1, self.kept_logits) if self.is_evaluation else self.accumulation

    @property
    def has_ranks(self) -> bool:
        """Whether it is measured on ranks, each a process with a GPU, or on the CPU, of its own."""
        return self.parallel != "none" and not self.is_predicted

    @property
    def is_predicted(self) -> bool:
        """Whether the cell runs on a twin: its bytes are predicted, and it has no times."""
        return self.device_kind == "sim"

    def on_twin(self) -> Cell:
        """Return the same cell on the twin of its GPU; the cell must have one."""
        assert self.gpu is not None
        return self.model_copy(update={"device": twin_device(self.gpu)})

    @property
    def cell_id(self) -> str:
        """The cell's id: a readable name that ends in a digest of all settings.

        It is the same in each run, and safe as a file name.
        """
        at_default = [name for name in _ADDED_LATER if getattr(self, name) == _default_of(name)]
        left_out: Any = {**dict.fromkeys(at_default, True), "model": {"folder"}}
        canonical = json.dumps(self.model_dump(mode="json", exclude=left_out), sort_keys=True)
        digest = hashlib.sha256(canonical.encode()).hexdigest()[:10]
        rank = self.method.options.get("rank")
        model = self.model.name.rstrip("/").removesuffix("/config.json").rsplit("/", 1)[-1]
        parts = [
            # Cut, since file names may have no more than 255 bytes.
            model.removesuffix(".json")[:_NAME_LENGTH],
            self.method.name[:_NAME_LENGTH],
            *([f"r{rank}"] if rank is not None else []),
            *([] if self.is_own_code else [f"b{self.batch}", f"s{self.seq_text}"]),
            *([f"{self.parallel}x{self.gpus}"] if self.parallel != "none" else []),
            digest,
        ]
        return re.sub(r"[^A-Za-z0-9._-]+", "-", "_".join(parts)).lstrip(".-")

    @property
    def label(self) -> str:
        """A short name for progress and messages: model, method, rank, batch, sequence length, GPUs."""
        if self.is_own_code:
            return f"{self.model.name} on {self.device}"
        rank = self.method.options.get("rank")
        ranked = f" r{rank}" if rank is not None else ""
        tag = self.method.options.get("tag")
        tagged = f":{tag}" if tag else ""
        spread = f" {self.parallel} x{self.gpus}" if self.parallel != "none" else ""
        return f"{self.model.name} {self.method.name}{tagged}{ranked} b{self.batch} s{self.seq_text}{spread}"


def _default_of(name: str) -> Any:
    return Cell.model_fields[name].default
