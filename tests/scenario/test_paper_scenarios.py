"""scenarios/paper claims what was published, and reports/paper/README.md says what its tables say."""

from __future__ import annotations

import csv
import importlib
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from lorafa_prof.claims.checks import Check
from lorafa_prof.claims.gate import Gate, gate_of
from lorafa_prof.scenario.load import load_scenario
from lorafa_prof.scenario.shipped import shipped_scenarios

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "reports" / "paper"
NAMES = sorted(name.removeprefix("paper/") for name in shipped_scenarios() if name.startswith("paper/"))
GB = 10**9


def gate(name: str) -> Gate:
    return gate_of(load_scenario(shipped_scenarios()[f"paper/{name}"]), None)


@pytest.mark.parametrize("name", NAMES)
def test_each_claim_names_its_source(name: str) -> None:
    assert all(check.claim.source for check in gate(name).checks)
    assert len(gate(name).planned) <= 100


#: scenario, method, metric, setting that must be there, published number.
PUBLISHED = [
    ("roberta-large", "peft-lora", "peak_reserved_bytes", "value", 22.5 * GB),
    ("roberta-large", "peft-lora-fa", "peak_reserved_bytes", "value", 15.7 * GB),
    ("roberta-large", "peft-lora", "peak_reserved_bytes", "ratio", 22.5 / 15.7),
    ("t5-base", "peft-lora", "peak_reserved_bytes", "value", 32.1 * GB),
    ("t5-base", "peft-lora-fa", "peak_reserved_bytes", "value", 25.3 * GB),
    ("t5-base", "peft-lora", "peak_reserved_bytes", "ratio", 32.1 / 25.3),
    ("models", "peft-lora", "peak_reserved_bytes", "ratio", 1.4),
    ("llama-2-7b", "peft-lora-fa", "activation_bytes", "value", 36 * GB),
    ("llama-2-7b", "peft-lora", "activation_bytes", "value", 60 * GB),
    ("llama-65b", "lora", "saved_bytes", "difference", 50 * GB / 16),
    ("metamathqa", "peft-lora", "peak_reserved_bytes", "value", 22.29 * GB),
    ("metamathqa", "peft-lora-fa-after-eval", "peak_reserved_bytes", "value", 22.24 * GB),
    ("metamathqa", "peft-lora-fa", "peak_reserved_bytes", "value", 20.21 * GB),
    ("metamathqa", "peft-lora", "step_ms_median", "value", 117),
    ("metamathqa", "peft-lora-fa", "step_ms_median", "value", 155),
    ("metamathqa", "peft-lora-fa", "step_ms_median", "ratio", 155 / 117),
]


@pytest.mark.parametrize(("name", "method", "metric", "kind", "number"), PUBLISHED)
def test_a_published_number_is_just_inside_its_claim(
    name: str, method: str, metric: str, kind: str, number: float
) -> None:
    about = [
        check
        for check in gate(name).checks
        if (check.cell.method.name, check.metric.name, check.kind) == (method, metric, kind)
    ]
    holding = [check for check in about if not check.expected.excess(number)]
    assert holding
    assert any(bites(check, number) for check in holding), "a claim that any number fulfils says nothing"


def bites(check: Check, number: float) -> bool:
    """Whether the number less or more by 15 % would fail."""
    return bool(check.expected.excess(0.85 * number) or check.expected.excess(1.15 * number))


def test_amounts_of_a_layer_are_the_formulas() -> None:
    tokens, blocks, h, i = 8 * 1024, 32, 4096, 11008
    widths = {
        "down_proj": i,
        "gate_proj": h,
        "q_proj": h,
        "o_proj": h,
        "q_proj,v_proj": 2 * h,
        "all-linear": 6 * h + i,
    }
    seen = set()
    for check in gate("layer").checks:
        targets = check.cell.method.options["targets"]
        if check.kind == "difference":
            assert check.expected.low == check.expected.high == 2 * tokens * blocks * widths[targets]
            seen.add(targets)
        else:
            linears = 7 if targets == "all-linear" else 1
            assert check.expected.low == check.expected.high == 2 * tokens * blocks * linears
    assert seen == set(widths)


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(FOLDER)
    yield importlib.import_module("page")
    for name in ("page", "experiments"):
        del sys.modules[name]


def test_the_page_has_every_scenario_and_is_as_its_tables_make_it(page: ModuleType) -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    for name in NAMES:
        assert f"<!-- settings: {name} -->" in text
    assert page.filled(text, FOLDER) == text, "run python reports/paper/page.py"


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The predictions alone, as before anything was measured."""
    shutil.copytree(FOLDER / "twin", tmp_path / "twin", ignore=shutil.ignore_patterns("figures"))
    return tmp_path


TEXT = (
    "<!-- summary -->\n<!-- end summary -->\n<!-- settings: llama-65b -->\n<!-- end settings: llama-65b -->\n"
)


def edit(file: Path, change: Callable[[dict[str, str]], None]) -> None:
    with file.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    for row in rows:
        change(row)
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="") as lines:
        writer = csv.DictWriter(lines, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


def test_a_number_of_the_table_is_the_one_in_the_csv(page: ModuleType, copied: Path) -> None:
    file = copied / "twin" / "llama-65b" / "results.csv"

    def hold(row: dict[str, str]) -> None:
        held = {"all-linear": 9_870_000_000, "attention": 1_110_000_000}.get(row["targets"], 2_220_000_000)
        row["saved_bytes"] = str(held + 10**10 if row["method"] == "lora" else 10**10)

    edit(file, hold)
    filled = page.filled(TEXT, copied)
    rows = [line for line in filled.splitlines() if line.startswith("| on ")]
    assert rows == [
        "| on all-linear | – | (1) 9.87 GB ✓ | reproduced |",
        "| on attention | – | (1) 1.11 GB ✗ | not reproduced |",
        "| on q_proj,v_proj | – | (1) 2.22 GB ✗ | not reproduced |",
    ]
    assert "| – | 9.87 GB ✓ | llama-65b, on all-linear | reproduced only under stated conditions |" in filled


def test_what_was_measured_decides(page: ModuleType, copied: Path) -> None:
    twin = copied / "twin" / "llama-65b" / "results.csv"
    measured = copied / "h100" / "some-run" / "results.csv"
    measured.parent.mkdir(parents=True)
    shutil.copy(twin, measured)

    def less(row: dict[str, str]) -> None:
        row["device"] = "cuda"
        row["cell_id"] += "-measured"
        if row["method"] == "lora":
            row["saved_bytes"] = str(int(row["saved_bytes"]) // 2 + 6 * GB)

    edit(measured, less)
    filled = page.filled(TEXT, copied)
    decided = [line.split("|")[2:5] for line in filled.splitlines() if line.startswith("| on all-linear")]
    assert decided == [[" (1) 2.14 GB ✗ ", " (1) 3.15 GB ✓ ", " not reproduced "]]


def test_a_missing_mark_is_told(page: ModuleType, copied: Path) -> None:
    with pytest.raises(SystemExit, match="end summary"):
        page.filled("<!-- summary -->\n", copied)
