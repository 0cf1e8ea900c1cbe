"""All text architectures of transformers, small: do they train on twin and CPU, and what do both save.

Run it with `make bench-architectures`, which writes docs/architectures.md (minutes), or with types::

    python benchmarks/architectures.py bart bloom

Each architecture has a process of its own, so that one that dies is a line of the table like any other. Its
cells share that process: what autograd saves hangs on no other cell, and importing a model takes the longest.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, cast

sys.path.insert(0, str(Path(__file__).parent))

from architecture_configs import small_config

from lorafa_prof.cell import Cell, MethodChoice, ModelChoice, Steps
from lorafa_prof.errors import LorafaProfError, UsageError, described
from lorafa_prof.methods.base import METHODS
from lorafa_prof.models.build import build_model
from lorafa_prof.models.resolve import resolve_model
from lorafa_prof.results.record import CellResult
from lorafa_prof.running.measure import measure_cell
from lorafa_prof.running.worker import run_cell
from lorafa_prof.scenario.options import validated_options
from lorafa_prof.words.markdown import escaped, header, row

GPU = "h100-80gb"
DEVICES = {"twin": f"sim:{GPU}", "CPU": "cpu"}
METHOD_NAMES = ("full-ft", "lora", "lora-fa")
BATCH, SEQ, RANK = 2, 64, 8
LIMIT_S = 300.0
#: Mappings of transformers whose models read pictures or sound.
_OTHER_INPUTS = (
    "MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES",
    "MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES",
    "MODEL_FOR_TEXT_TO_WAVEFORM_MAPPING_NAMES",
    "MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES",
)
_OTHER_PARTS = ("vision", "audio", "acoustic")
HEADER = (
    "architecture", "attention",
    *(f"{method}: {device}" for method in METHOD_NAMES for device in DEVICES), "what is said",
)  # fmt: skip

Outcome = Literal["ok", "refused", "failed"]


@dataclass(frozen=True)
class Tried:
    """One cell of an architecture: whether it ran, what autograd saved, or the line it ended with."""

    outcome: Outcome
    saved_bytes: int | None = None
    line: str = ""


@dataclass(frozen=True)
class Architecture:
    """What came of an architecture: its attention, and each cell by method and device."""

    name: str
    attention: str = ""
    cells: dict[tuple[str, str], Tried] = field(default_factory=dict)

    @property
    def outcome(self) -> Outcome:
        """The worst of its cells."""
        outcomes = {tried.outcome for tried in self.cells.values()}
        return next(outcome for outcome in ("failed", "refused", "ok") if outcome in outcomes)


def text_architectures() -> list[str]:
    """Types that read text alone, and have a causal, sequence-to-sequence or classification class."""
    from transformers import CONFIG_MAPPING
    from transformers.models.auto import modeling_auto as auto

    with_a_class = dict.fromkeys(
        (
            *auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
            *auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
            *auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
        )
    )
    others = {name for mapping in _OTHER_INPUTS for name in getattr(auto, mapping)}
    return [
        name
        for name in sorted(with_a_class)
        if name not in others
        and not any(kind in part for part in CONFIG_MAPPING[name].sub_configs for kind in _OTHER_PARTS)
    ]


def written(name: str, folder: Path) -> Cell:
    """The first cell of an architecture, whose small config is written into `folder`."""
    file = folder / name / "config.json"
    file.parent.mkdir()
    small_config(name).to_json_file(file)
    return _cell(str(file.parent), METHOD_NAMES[0], "cpu", "sdpa")


def try_all(cell: Cell) -> CellResult:
    """Run the cells of the model of `cell` in this process; what came of them is in the result's details."""
    import torch

    torch.set_num_threads(1)
    model = cell.model.name
    attention = _attention(model)
    tried = [
        (method, device, asdict(_tried(_cell(model, method, DEVICES[device], attention))))
        for method in METHOD_NAMES
        for device in DEVICES
    ]
    return CellResult(cell=cell, row={"status": "ok"}, details={"attention": attention, "tried": tried})


def _tried(cell: Cell) -> Tried:
    folder = f"{Path(cell.model.name).parent}/"
    try:
        result = measure_cell(cell)
    except LorafaProfError as error:
        return Tried("refused", line=str(error).replace(folder, ""))
    except Exception as error:  # noqa: BLE001 - whatever it was, it is a line of the table
        return Tried("failed", line=described(error).replace(folder, ""))
    return Tried("ok", int(cast(int, result.row["saved_bytes"])))


def architecture_of(name: str, result: CellResult) -> Architecture:
    """An architecture by the result of `try_all`; of one whose process died there is just a message."""
    if result.row["status"] != "ok":
        return _untried(name, "failed", str(result.row["message"]).split("; its log is")[0])
    cells = {(method, device): Tried(**one) for method, device, one in result.details["tried"]}
    return Architecture(name, result.details["attention"], cells)


def _untried(name: str, outcome: Outcome, line: str) -> Architecture:
    cells = {(method, device): Tried(outcome, line=line) for method in METHOD_NAMES for device in DEVICES}
    return Architecture(name, cells=cells)


def _attention(model: str) -> str:
    """The default attention, or the one that is named where a model has not that."""
    import torch

    try:
        build_model(
            resolve_model(ModelChoice(name=model)),
            device=torch.device("meta"),
            dtype=torch.float32,
            attention="sdpa",
            checkpointing="none",
        )
    except UsageError as error:
        return "eager" if str(error).endswith("set attention: eager") else "sdpa"
    return "sdpa"


def _cell(model: str, method: str, device: str, attention: str) -> Cell:
    options = {} if method == "full-ft" else {"rank": RANK}
    return Cell(
        model=ModelChoice(name=model),
        method=MethodChoice(name=method, options=validated_options(METHODS[method], options)),
        batch=BATCH,
        seq=SEQ,
        dtype="fp32",
        adapter_dtype="fp32",
        attention=attention,
        kernels="eager",
        checkpointing="none",
        optimizer="adamw",
        device=device,
        gpu=GPU if device != "cpu" else None,
        steps=Steps(warmup=3, timed=1),
    )


def run_all(names: Sequence[str], jobs: int) -> Iterator[Architecture]:
    """Each architecture in order, when all its cells have run."""
    with tempfile.TemporaryDirectory() as temporary, ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(lambda name: _run(name, Path(temporary)), names)


def _run(name: str, folder: Path) -> Architecture:
    try:
        cell = written(name, folder)
    except Exception as error:  # noqa: BLE001 - transformers' own, of types without a config by default
        return _untried(name, "refused", f"no config by default ({described(error)})")
    return architecture_of(name, run_cell(cell, folder / f"{name}.log", LIMIT_S, try_all))


def line_of(architecture: Architecture) -> str:
    """An architecture as a line of the table."""
    cells = architecture.cells
    numbers = []
    for method in METHOD_NAMES:
        for device in DEVICES:
            one = cells[method, device]
            numbers.append(f"{one.saved_bytes:,}" if one.saved_bytes is not None else one.outcome)
    return row(architecture.name, architecture.attention, *numbers, said_of(architecture))


def said_of(architecture: Architecture) -> str:
    """The lines that cells ended with, each once, with the cells that it is of where not all said it."""
    saying: dict[str, list[tuple[str, str]]] = {}
    for key, one in architecture.cells.items():
        if one.line:
            saying.setdefault(one.line, []).append(key)
    parts = []
    for line, keys in saying.items():
        whose = "" if len(keys) == len(architecture.cells) else f"{_cells_named(keys)}: "
        parts.append(escaped(whose + line))
    return "; ".join(parts)


def _cells_named(keys: Sequence[tuple[str, str]]) -> str:
    methods = list(dict.fromkeys(method for method, _ in keys))
    devices = list(dict.fromkeys(device for _, device in keys))
    return ", ".join(methods) + (f" on the {devices[0]}" if len(devices) == 1 else "")


def page(architectures: Sequence[Architecture]) -> str:
    """The text of docs/architectures.md."""
    import torch
    import transformers

    outcomes = Counter(architecture.outcome for architecture in architectures)
    pairs = [
        (architecture.cells[method, "twin"].saved_bytes, architecture.cells[method, "CPU"].saved_bytes)
        for architecture in architectures
        if architecture.outcome == "ok"
        for method in METHOD_NAMES
    ]
    equal = sum(twin == cpu for twin, cpu in pairs)
    share = outcomes["ok"] / len(architectures)
    return f"""# Architectures

All {len(architectures)} text architectures for which transformers {transformers.__version__} has a causal, a
sequence-to-sequence or a sequence-classification class: a small config of each, shaped as the published one
(`benchmarks/architecture_configs.py`), trained with three methods on the twin of an H100 and on the CPU.
`make bench-architectures` writes this page; tests hold a sample of it.
Of this one: torch {torch.__version__}, batch {BATCH}, seq {SEQ}, rank {RANK}, fp32.

- **{outcomes["ok"]} work** ({share:.1%}) with all three methods on both.
- {outcomes["refused"]} are refused in some cell, in one line that the last column has.
- {outcomes["failed"]} fail in some cell, with an error that nobody foresaw.
- The numbers are `saved_bytes`: what autograd keeps for backward. Of {len(pairs)} pairs {equal} are equal.
  They need not be: for attention (`sdpa`) and fused operations CUDA keeps other things than the CPU.
- `eager` is the attention where the model has no `sdpa`.

Types whose models read pictures or sound too are not in the table.
{header(*HEADER)}{"".join(map(line_of, architectures))}"""


def main() -> int:
    """Write the page, or print the lines of some architectures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("types", nargs="*", metavar="TYPE")
    parser.add_argument("-o", "--output", type=Path, help="the page; without it lines are printed")
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    architectures = []
    for architecture in run_all(arguments.types or text_architectures(), arguments.jobs):
        architectures.append(architecture)
        print(line_of(architecture), end="", flush=True)
    if arguments.output:
        arguments.output.write_text(page(architectures), encoding="utf-8")
    return 1 if any(architecture.outcome == "failed" for architecture in architectures) else 0


if __name__ == "__main__":
    sys.exit(main())
