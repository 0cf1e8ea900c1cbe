"""Whatever a folder of results has come to say: every command that reads it ends in words, and in time."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path

import pytest
from fuzzing.effort import effort
from fuzzing.ended import check_command_ends_well
from fuzzing.odd_csv import tables
from fuzzing.odd_json import mutations
from hypothesis import given
from hypothesis import strategies as st

from lorafa_prof.cli.main import main
from lorafa_prof.devices.device import resolve_device
from lorafa_prof.results.provenance_file import write_provenance
from lorafa_prof.results.store import Store
from lorafa_prof.running.measure import measure_cell
from lorafa_prof.scenario.expand import expand
from lorafa_prof.scenario.load import load_scenario

SCENARIO = """\
schema: 1
name: stored
model: tiny-gpt2
method: [{name: lora, rank: 4}, {name: lora-fa, rank: 4}]
batch: 1
seq: 16
device: [cpu, "sim:h100-80gb"]
steps: {warmup: 1, timed: 2}
claims:
  - {name: less, metric: activation_bytes, of: {method: lora-fa}, relative_to: {method: lora}, at_most: 0.1}
  - {name: kept, metric: saved_bytes, at_most: baseline}
"""


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of results, with the scenario beside it."""
    folder = tmp_path_factory.mktemp("stored")
    (folder / "s.yaml").write_text(SCENARIO)
    loaded = load_scenario(folder / "s.yaml")
    cells = [plan.cell for plan in expand(loaded, resolve_device)]
    store = Store(folder / "out")
    store.prepare()
    results = {cell.cell_id: measure_cell(cell) for cell in cells}
    for result in results.values():
        store.save(result)
    store.write_table(list(results), results)
    write_provenance(store, loaded.scenario, list(results.values()), ["run", "s.yaml"])
    with contextlib.suppress(SystemExit):
        main(["check", str(folder / "out"), "--update-baseline"])
    assert len(list((folder / "out").rglob("*.json"))) == 6
    return folder


def commands(folder: Path, forms: str = "md,tex") -> list[list[str]]:
    """Those that read the folder ``odd``; the baseline of its claims lies in it."""
    out = str(folder / "odd")
    return [
        ["run", str(folder / "s.yaml"), "-o", out, "--no-figures", "--dry-run"],
        ["check", out],
        ["compare", str(folder / "out"), out],
        ["history", str(folder / "out"), out],
        ["explain", out, "--no-what-if", "-k", "lora_.*sim|cpu"],
        ["report", out, "--format", forms],
    ]


@effort(25)
@given(st.data())
def test_any_record_and_provenance(stored, capsys, data):
    shutil.rmtree(stored / "odd", ignore_errors=True)
    shutil.copytree(stored / "out", stored / "odd")
    files = sorted((stored / "odd").rglob("*.json"))
    file = data.draw(st.sampled_from(files), label="file")
    changed = data.draw(mutations(json.loads(file.read_text())), label="content")
    file.write_text(json.dumps(changed))
    command = data.draw(st.sampled_from(commands(stored, "html,md,tex")), label="command")
    check_command_ends_well(command, capsys)


@effort(15)
@given(st.data())
def test_any_table(stored, capsys, data):
    shutil.rmtree(stored / "odd", ignore_errors=True)
    shutil.copytree(stored / "out", stored / "odd")
    table = stored / "odd" / "results.csv"
    changed = data.draw(tables(table.read_text()), label="table")
    table.write_bytes(changed.encode(errors="surrogatepass"))
    command = data.draw(st.sampled_from(commands(stored, "html,md,tex")), label="command")
    check_command_ends_well(command, capsys)


@pytest.mark.parametrize(
    "name", ["cells/*.json", "provenance.json", "provenance.baseline.json", "results.csv"]
)
@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 100_000, b"3", b"9" * 5000, b"\0" * 100, b'{"cell": {}}'],
    ids=lambda content: str(content[:6]),
)
def test_a_file_that_is_something_else(stored, capsys, name, content):
    shutil.rmtree(stored / "odd", ignore_errors=True)
    shutil.copytree(stored / "out", stored / "odd")
    for file in [*(stored / "odd").glob(name)] or [stored / "odd" / name]:
        file.write_bytes(content)
    for command in commands(stored):
        check_command_ends_well(command, capsys)
