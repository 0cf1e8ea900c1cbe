"""The documentation names what is there: columns, scenario keys, options, files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lorafa_prof.methods.base import METHODS
from lorafa_prof.optim.optimizer import OPTIMIZERS
from lorafa_prof.results.columns import COLUMNS
from lorafa_prof.scenario.schema import Scenario

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "reports/h100/README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_every_column_is_described_as_the_code_describes_it() -> None:
    page = (ROOT / "docs/results.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*) \|$", page, flags=re.MULTILINE)
    assert rows == [(column.name, column.unit, column.meaning) for column in COLUMNS]


def test_every_scenario_key_has_a_row() -> None:
    page = (ROOT / "docs/scenario.md").read_text()
    keys = re.findall(r"^\| `(\w+)` \|", page, flags=re.MULTILINE)
    fields = [field.alias or name for name, field in Scenario.model_fields.items()]
    assert sorted(keys) == sorted(fields)


def test_every_method_and_optimizer_is_named() -> None:
    page = (ROOT / "docs/methods.md").read_text()
    for name in (*METHODS, *OPTIMIZERS):
        assert f"`{name}`" in page, name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", page.read_text())
    missing = [t for t in targets if not t.startswith("http") and not (page.parent / t).exists()]
    assert not missing
