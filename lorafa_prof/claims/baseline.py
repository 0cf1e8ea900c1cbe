"""The baseline of a scenario: what its cells had when people last looked, in a small file for git."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from lorafa_prof.cell import Cell, Steps
from lorafa_prof.claims.checks import Check
from lorafa_prof.claims.metric import UnknownValueError, value_of
from lorafa_prof.errors import UsageError
from lorafa_prof.results.record import CellResult
from lorafa_prof.results.tensors import Held, TensorKey, Tensors, saved_tensors, static_tensors
from lorafa_prof.scenario.select import chosen_settings, differing_chosen
from lorafa_prof.words.amounts import Number

#: A prediction depends on these, and on nothing else of the machine.
TELLING_PACKAGES = ("torch", "transformers", "peft")

# Line ends, which no string of JSON has in it.
_PAIR = re.compile(r"\[\n\s*(\d+),\n\s*(\d+)\n\s*\]")
_FIELD = " | "


#: As a column of the results holds it.
Whole = Annotated[int, Field(gt=-(2**63), lt=2**63)]


class BaselineCell(BaseModel):
    """What a cell had.

    Attributes:
        label: what people call it.
        metrics: the values that claims compare with, in the unit of their column.
        tensors: number and bytes of what is held, by what it is.
        settings: those that its scenario chose; empty in a file of before there were any.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    label: str
    metrics: dict[str, Whole | FiniteFloat]
    tensors: dict[str, tuple[Whole, Whole]] = {}
    settings: dict[str, Any] = {}

    def held(self) -> Tensors:
        """What is held: saved tensors, weights, gradients, optimizer state."""
        return {_key_of(text): Held(count, nbytes) for text, (count, nbytes) in self.tensors.items()}


class Baseline(BaseModel):
    """A baseline file: cells by `baseline_id`, and the packages whose code they were made with."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    form: Literal["lorafa-prof baseline 1"] = "lorafa-prof baseline 1"
    packages: dict[str, str | None]
    cells: dict[str, BaselineCell]

    def cell(self, cell: Cell, across: Collection[str] = ()) -> BaselineCell | None:
        """What is known of `cell`, or of the one cell that differs from it only in settings of `across`."""
        known = self.cells.get(baseline_id(cell))
        if known is not None or not across:
            return known
        like = [known for known, apart in self.others(cell) if apart.keys() <= set(across)]
        return like[0] if len(like) == 1 else None

    def value(self, cell: Cell, metric: str, across: Collection[str] = ()) -> Number | None:
        """What the cell had, or None; arguments as of `cell`."""
        known = self.cell(cell, across)
        return None if known is None else known.metrics.get(metric)

    def others(self, cell: Cell) -> list[tuple[BaselineCell, dict[str, str]]]:
        """The other cells whose settings are known, each with those in which it differs from `cell`."""
        mine = chosen_settings(cell)
        return [
            (known, apart)
            for known in self.cells.values()
            if known.settings and (apart := differing_chosen(known.settings, mine))
        ]

    def differing_packages(self, now: Mapping[str, str | None]) -> list[str]:
        """Packages of another version now, each as "torch 2.13.0 (now 2.14.0)"."""
        return [
            f"{name} {then or 'none'} (now {now.get(name) or 'none'})"
            for name, then in sorted(self.packages.items())
            if now.get(name) != then
        ]


def baseline_id(cell: Cell) -> str:
    """The name of a cell in a baseline: its id without what changes no byte, the seed and `steps`."""
    return cell.model_copy(update={"seed": 0, "steps": Steps()}).cell_id


def baseline_beside(scenario: Path) -> Path:
    """Where the baseline of a scenario's file is kept."""
    return scenario.with_name(f"{scenario.stem}.baseline.json")


def read_baseline(file: Path) -> Baseline | None:
    """The baseline in `file`, or None where there is no such file.

    Raises:
        UsageError: it cannot be read, or is no baseline of this version of lorafa-prof.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise UsageError(f"{file}: this baseline cannot be read: {reason}") from error
    try:
        return Baseline.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise UsageError(
            f"{file}: this is no baseline that this version of lorafa-prof reads ({where}: "
            f"{first['msg'][0].lower()}{first['msg'][1:]}); --update-baseline writes it anew"
        ) from error


def made_baseline(checks: Iterable[Check], records: Mapping[str, CellResult]) -> Baseline:
    """The baseline of what `checks` compare with it.

    Args:
        checks: those of a scenario; whose bounds are not the baseline's are passed over.
        records: full ones, of the cells by id.

    Raises:
        UsageError: a cell has no value for a metric, or no claim compares with the baseline.
    """
    cells: dict[str, BaselineCell] = {}
    wanted = [check for check in checks if check.expected.from_baseline]
    if not wanted:
        raise UsageError("no claim compares with the baseline ('at_most: baseline'): there is none to write")
    for check in wanted:
        cell_id = baseline_id(check.cell)
        record = records.get(check.cell.cell_id)
        try:
            value = value_of(record, check.metric)
        except UnknownValueError as error:
            raise UsageError(
                f"the baseline is left as it is: {check.cell.label} has no {check.metric.name} ({error})"
            ) from error
        assert record is not None
        metrics = {**(cells[cell_id].metrics if cell_id in cells else {}), check.metric.name: value}
        tensors = {**static_tensors(record.row), **(saved_tensors(record.details) or {})}
        texts = {_text_of(key): (held.count, held.nbytes) for key, held in tensors.items()}
        cells[cell_id] = BaselineCell(
            label=check.cell.label, metrics=metrics, tensors=texts, settings=chosen_settings(check.cell)
        )
    packages = next(iter(records.values())).environment.get("packages", {})
    return Baseline(packages={name: packages.get(name) for name in TELLING_PACKAGES}, cells=cells)


def baseline_text(baseline: Baseline) -> str:
    """The file's text: sorted, one value or tensor a line, so that a diff tells what changed."""
    text = json.dumps(baseline.model_dump(mode="json"), indent=1, sort_keys=True, ensure_ascii=False)
    return _PAIR.sub(r"[\1, \2]", text) + "\n"


def _text_of(key: TensorKey) -> str:
    shape = "x".join(map(str, key.shape))
    return _FIELD.join((key.module, key.kind, key.op, f"{key.dtype}[{shape}]" if key.dtype else ""))


def _key_of(text: str) -> TensorKey:
    # From the right: a module may be called anything.
    module, kind, op, stored = [*text.rsplit(_FIELD, 3), "", "", ""][:4]
    dtype, _, shape = stored.removesuffix("]").partition("[")
    sizes = tuple(int(size) for size in shape.split("x") if size.isdecimal())
    return TensorKey(module, kind, op, dtype, sizes)
