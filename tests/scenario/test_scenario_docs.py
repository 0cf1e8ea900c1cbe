"""The examples of docs/scenario.md work, and its defaults are the code's."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from lorafa_prof.cell import ResolvedDevice
from lorafa_prof.methods.base import METHODS, Method
from lorafa_prof.running.plan import check_cells
from lorafa_prof.scenario.expand import expand
from lorafa_prof.scenario.load import load_scenario
from lorafa_prof.scenario.schema import Scenario

PAGE = (Path(__file__).parents[2] / "docs/scenario.md").read_text()


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)
    assert found
    return found.group(1)


def test_the_example_is_a_scenario(tmp_path):
    (tmp_path / "s.yaml").write_text(block("yaml"))
    loaded = load_scenario(tmp_path / "s.yaml", ["model=tiny-llama", "method[1].rank=4", "method[2].rank=4"])
    planned = expand(loaded, lambda device, gpu: ResolvedDevice("cpu", None))
    check_cells(loaded, planned)
    assert [(p.cell.method.name, p.cell.method.options.get("targets"), p.cell.seq) for p in planned] == [
        ("full-ft", None, 512),
        ("lora", "all-linear", 512),
        ("lora", "all-linear", 1024),
        *(("lora-fa", t, seq) for t in ("q_proj,v_proj", "all-linear") for seq in (512, 1024)),
    ]


def _default(name: str) -> Any:
    return Scenario.model_validate(
        {"schema": 1, "name": "x", "model": "m", "method": "full-ft"}
    ).model_dump()[name]


@pytest.mark.parametrize(
    ("key", "written"), re.findall(r"^\| `(\w+)` \| (\S.*?) \| ", PAGE, flags=re.MULTILINE)
)
def test_the_defaults_are_those_of_the_code(key, written):
    if written == "required":
        field = next(f for n, f in Scenario.model_fields.items() if key in (n, f.alias))
        assert field.is_required()
    elif key in ("adapter_dtype", "seq"):
        assert _default(key) is None  # the method's, the model's
    else:
        default = _default(key)
        value = yaml.safe_load(written.strip("`"))
        value = tuple(value) if isinstance(value, list) else value
        assert default == ([value] if isinstance(default, list) else value)


def test_the_example_of_a_method_works(tmp_path, monkeypatch):
    names: dict[str, Any] = {}
    exec(compile(block("python"), "docs/scenario.md", "exec"), names)
    method = names["METHOD"]
    assert isinstance(method, Method)
    assert f"{method.name} = " in block("toml")
    METHODS["lora"]  # loaded
    monkeypatch.setitem(METHODS._entries, method.name, method)  # type: ignore[arg-type]
    (tmp_path / "s.yaml").write_text(
        f"schema: 1\nname: x\nmodel: tiny-llama\nmethod: {{name: {method.name}, layers: [1, 3]}}\n"
    )
    loaded = load_scenario(tmp_path / "s.yaml")
    planned = expand(loaded, lambda device, gpu: ResolvedDevice("cpu", None))
    check_cells(loaded, planned)
    assert [p.cell.method.options for p in planned] == [{"layers": 1}, {"layers": 3}]
