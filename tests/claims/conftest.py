from __future__ import annotations

from pathlib import Path

import pytest

from lorafa_prof.results.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty folder of results."""
    made = Store(tmp_path / "out")
    made.prepare()
    return made
