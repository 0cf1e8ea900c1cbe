"""A method of another distribution is found by its entry point."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lorafa_prof.errors import UsageError
from lorafa_prof.methods.base import METHODS

MODULE = """
from lorafa_prof.methods.base import Method, MethodOptions

METHOD = Method("{name}", "made elsewhere", MethodOptions, lambda model, options, setting: None, None)
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put a distribution with one method on the path, as pip would, before METHODS is loaded."""

    def installed(name: str) -> None:
        module = f"somebodys_{name.replace('-', '_')}"
        (tmp_path / f"{module}.py").write_text(MODULE.format(name=name))
        info = tmp_path / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[lorafa_prof.methods]\n{name} = {module}:METHOD\n")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setattr(METHODS, "_entries", None)

    return installed


def test_it_stands_beside_those_of_the_package(install: Callable[[str], None]) -> None:
    install("bit-fit")
    assert METHODS["bit-fit"].summary == "made elsewhere"
    assert {"bit-fit", "lora", "full-ft"} <= set(METHODS)


def test_a_name_taken_twice_is_refused(install: Callable[[str], None]) -> None:
    install("lora")
    with pytest.raises(UsageError, match="two definitions of the method 'lora'"):
        METHODS["lora-fa"]


def test_an_unknown_method_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"unknown method 'lora-af' \(did you mean 'lora-fa'\?\)"):
        METHODS["lora-af"]
