"""Text that somebody wrote who means harm, a folder of results full of it, and what must never come of it."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

from cells import TWIN
from report.reported_runs import details, record, storage, write_run
from tiny_cells import tiny_cell

from lorafa_prof.cell import Cell, ModelChoice
from lorafa_prof.one_line import all_texts
from lorafa_prof.results.record import CellResult

#: Terminal escapes of both kinds, bidirectional and invisible characters, line ends of all kinds, and what
#: HTML, LaTeX, Markdown, rich, GitHub's runner and spreadsheets read.
HOSTILE = (
    "=cmd \x1b[31mRED\x1b[0m \u202eevil\u202c \x9b31m \x9d0;t\x07 <script>alert(1)</script> \\input{x} $x$ "
    "| ``x`` [red]r[/red] 100%_#&~^ \u200bzero \u2028 \x85 \n\r\n\n::error::line"
)
#: The same as a part of a path can have it.
HOSTILE_NAME = HOSTILE.replace("/", "")


def hostile(about: str) -> str:
    """Such a text that says where it stood."""
    return f"{about} {HOSTILE} end"


def steering(text: str) -> set[str]:
    """The characters of `text` that steer a terminal, turn a line or are not seen; line feeds may be."""
    return {c for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")}


def hostile_environment() -> dict[str, Any]:
    """A machine, all of whose words are hostile."""
    return {
        "device": TWIN,
        "packages": {"torch": hostile("torch"), "transformers": hostile("hf"), hostile("package"): "1"},
        "torch": {"cuda": hostile("cuda")},
        "gpu": {"name": hostile("gpu name"), "driver": hostile("driver")},
        "allocator": {"conf": hostile("conf")},
        "host": {"cpu": hostile("cpu")},
    }


def hostile_record(cell: Cell, status: str = "ok", **row: Any) -> CellResult:
    """What a cell yielded, if everything that it says is hostile."""
    saved = [
        storage(hostile("module"), 2**20, hostile("kind"), op=hostile("op"), line=hostile("line")),
        storage("layers.0.norm", 2**20, dtype=hostile("dtype")),
    ]
    kept = details(*saved, notes=[hostile("note")], unavailable={hostile("what"): hostile("why")})
    words = {"message": hostile("message"), "failed_phase": hostile("phase")}
    made = record(cell, status, kept, **{**words, **row})
    return made.model_copy(update={"environment": hostile_environment()})


def hostile_cells() -> list[Cell]:
    """Two that can be predicted, and one of a model with a hostile name."""
    other = tiny_cell(device=TWIN, method="lora").model_copy(
        update={"model": ModelChoice(name=f"./{HOSTILE_NAME}"), "batch": 7}
    )
    return [tiny_cell(device=TWIN, method="lora"), tiny_cell(device=TWIN, method="lora-fa"), other]


def hostile_folder(out: Path, **row: Any) -> Path:
    """A folder as `lorafa-prof run` writes it; `row` are columns of its finished cells."""
    first, second, other = hostile_cells()
    records = [
        hostile_record(first, **row),
        hostile_record(second, "error"),
        hostile_record(other, gpu=hostile("gpu"), optimizer=hostile("optimizer"), **row),
    ]
    claims = [
        {
            "name": hostile(f"claim {number}"),
            "source": hostile("source https://x.y/z"),
            "metric": metric,
            "of": {"method": "lora", "model": first.model.name},
            "at_most": at_most,
        }
        for number, (metric, at_most) in enumerate(
            [("activation_bytes", "1 KiB"), ("peak_allocated_bytes", "1 GiB"), ("saved_bytes", "1 MiB")]
        )
    ]
    write_run(out, records, claims=claims, name="mine", description=hostile("description"))
    provenance = json.loads((out / "provenance.json").read_text())
    provenance |= {
        "command": ["lorafa-prof", "run", hostile("argument")],
        "environments": [hostile_environment()],
        "written": hostile("written"),
        hostile("key"): 1,
    }
    (out / "provenance.json").write_text(json.dumps(provenance))
    for each in records:
        log = out / "logs" / f"{each.cell.cell_id}.log"
        log.write_text(HOSTILE)
    return out


def texts_of(data: Any) -> list[str]:
    """All text in data of JSON."""
    found: list[str] = []
    all_texts(data, lambda text: found.append(text) or text)
    return found
