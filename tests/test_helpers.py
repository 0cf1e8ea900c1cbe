"""A file of tests runs alone: its helpers stand in its folder, or in one above that pytest finds."""

from __future__ import annotations

import ast
from pathlib import Path

TESTS = Path(__file__).parent
HELPERS = {file.stem for file in TESTS.rglob("*.py") if not file.name.startswith(("test_", "conftest"))}


def imported(file: Path) -> set[str]:
    """The first names of the modules that a file imports."""
    nodes = list(ast.walk(ast.parse(file.read_text())))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    given = {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    return {name.split(".")[0] for name in plain | given}


def on_the_path(folder: Path) -> set[str]:
    """Modules that pytest finds for a file of this folder: those in it, and beside a conftest.py above."""
    above = [parent for parent in folder.parents if parent.is_relative_to(TESTS)]
    folders = [folder, *(parent for parent in above if (parent / "conftest.py").exists())]
    return {file.stem for there in folders for file in there.glob("*.py")}


def test_helpers_are_where_they_are_found() -> None:
    missing = {
        str(file.relative_to(TESTS)): names
        for file in sorted(TESTS.rglob("*.py"))
        if (names := imported(file) & HELPERS - on_the_path(file.parent))
    }
    assert missing == {}


def test_no_two_modules_have_one_name() -> None:
    """Python imports one of them and never looks for the other."""
    names = [file.stem for file in TESTS.rglob("*.py") if file.stem != "conftest"]
    assert sorted(names) == sorted(set(names))
