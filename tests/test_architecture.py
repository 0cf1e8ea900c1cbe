"""docs/architecture.md shows the rooms in the order that `lint-imports` holds imports against."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import lorafa_prof

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def rooms() -> list[str]:
    """From the ground up."""
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    (contract,) = tools["importlinter"]["contracts"]
    return list(reversed(contract["layers"]))


def test_every_module_at_the_top_is_a_room() -> None:
    folder = Path(lorafa_prof.__file__).parent
    there = {
        path.stem for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert there - {"__init__", "__main__"} == set(rooms())


def test_the_picture_has_the_rooms_in_their_order() -> None:
    picture = re.search(r"```mermaid\n(.*?)```", PAGE, flags=re.DOTALL)
    assert picture is not None
    drawn = [name for line in re.findall(r"<br/>(.*?)\"", picture[1]) for name in line.split(" · ")]
    assert drawn == rooms()


def test_the_table_has_every_room() -> None:
    told = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", PAGE, flags=re.MULTILINE))))
    assert set(rooms()) <= told
