from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from tiny_cells import BATCH, SEQ, tiny_cell

from lorafa_prof.cell import Cell
from lorafa_prof.cli import main as command_line
from lorafa_prof.cli.compare import compare_command
from lorafa_prof.models.resolve import resolve_model
from lorafa_prof.results.record import CellResult
from lorafa_prof.results.row import setting_columns
from lorafa_prof.results.store import Store
from lorafa_prof.running.measure import measure_cell

GPU = "h100-80gb"


def cell_of(method: str) -> Cell:
    return tiny_cell("tiny-llama", method, dtype="bf16", device=f"sim:{GPU}", gpu=GPU)


@pytest.fixture(scope="module")
def predicted() -> dict[str, CellResult]:
    """Two cells, really run on the twin."""
    return {method: measure_cell(cell_of(method)) for method in ("lora", "lora-fa")}


def as_cell(result: CellResult, cell: Cell, **row: object) -> CellResult:
    """What `result` measured, as if `cell` had given it."""
    return result.model_copy(update={"cell": cell, "row": {**result.row, **setting_columns(cell), **row}})


def write(out: Path, *results: CellResult) -> Path:
    store = Store(out)
    store.prepare()
    kept = {result.cell.cell_id: result for result in results}
    for result in results:
        store.save(result)
    store.write_table(list(kept), kept)
    return out


@pytest.fixture
def base(tmp_path, predicted) -> Path:
    return write(tmp_path / "base", *predicted.values())


@pytest.fixture
def holding_inputs(tmp_path, predicted) -> Path:
    """LoRA-FA that trains A and so keeps its linears' inputs, which is LoRA: a mistake that is soon made."""
    return write(
        tmp_path / "new", predicted["lora"], as_cell(predicted["lora"], cell_of("lora-fa"), method="lora-fa")
    )


def command(monkeypatch, capsys, *arguments: object) -> tuple[int, str, str]:
    monkeypatch.setitem(command_line.COMMANDS, "compare", ("lorafa_prof.cli.compare", "compare_command"))
    with pytest.raises(SystemExit) as ended:
        command_line.main(["compare", *map(str, arguments)])
    assert isinstance(ended.value.code, int)
    return ended.value.code, *capsys.readouterr()


@pytest.fixture
def again(tmp_path, predicted) -> Path:
    """The same once more, in a folder of its own."""
    return write(tmp_path / "again", *predicted.values())


def test_the_same_run_once_more_is_the_same(base, again, monkeypatch, capsys):
    code, out, err = command(monkeypatch, capsys, base, again)
    assert (code, err) == (0, "")
    assert "2 same" in out


def test_one_folder_against_itself_is_nothing_to_judge(base, tmp_path, monkeypatch, capsys):
    (tmp_path / "link").symlink_to(base)
    for new in (base, tmp_path / "link", base / ".." / "base"):
        code, _, err = command(monkeypatch, capsys, base, new)
        assert code == 4
        assert "are one folder: there is nothing to compare" in err


def test_what_new_lacks_is_no_pass_unless_it_may(base, tmp_path, predicted, monkeypatch, capsys):
    half = write(tmp_path / "half", predicted["lora"])
    code, out, _ = command(monkeypatch, capsys, base, half)
    assert code == 4
    assert "NEW lacks 1 cell of BASE's; --allow-missing compares the rest" in out
    assert command(monkeypatch, capsys, base, half, "--allow-missing")[0] == 0
    lost = [
        each.model_copy(update={"row": {**each.row, "saved_bytes": float("nan")}})
        for each in predicted.values()
    ]
    without = write(tmp_path / "without", *lost)
    code, out, _ = command(monkeypatch, capsys, base, without)
    assert code == 4
    assert "NEW has lost saved_bytes in some or all cells" in out
    assert command(monkeypatch, capsys, base, without, "--metric", "saved_bytes")[0] == 4
    assert command(monkeypatch, capsys, base, without, "--allow-missing")[0] == 0


def test_a_row_that_is_not_of_its_cell_or_of_nobody_knows_what_is_not_compared(
    base, tmp_path, predicted, monkeypatch, capsys
):
    of_another = predicted["lora"].model_copy(update={"row": {**predicted["lora"].row, "batch": 99}})
    of_nobody = predicted["lora-fa"].model_copy(update={"environment": {}})
    code, out, _ = command(monkeypatch, capsys, base, write(tmp_path / "new", of_another, of_nobody))
    assert code == 4
    assert "NEW: its row is not of its cell: batch differ" in out
    assert "NEW: nobody knows what made it" in out


def test_a_regression_is_found_to_the_byte_and_what_grew_is_named(
    base, holding_inputs, tmp_path, monkeypatch, capsys
):
    code, out, _ = command(monkeypatch, capsys, base, holding_inputs, "--json", tmp_path / "c.json")
    assert code == 3
    assert "worse" in out
    # The input of q, k and v, that of gate and up, and that of down; that of o is attention's own output.
    config = resolve_model(cell_of("lora").model).config
    inputs = {
        "self_attn.q_proj": config.hidden_size,
        "mlp.gate_proj": config.hidden_size,
        "mlp.down_proj": config.intermediate_size,
    }
    each = {
        f"model.layers.*.{name}": 2 * BATCH * SEQ * width * config.num_hidden_layers
        for name, width in inputs.items()
    }
    more = sum(each.values())
    assert f"(+{more:,} B)" in out
    (judgement,) = json.loads((tmp_path / "c.json").read_text())["judgements"]
    worse = judgement["findings"][1]
    assert worse["culprits_of"] == "peak_allocated_bytes"
    inputs_of = [tensor for tensor in worse["culprits"] if tensor["kind"] == "linear_input"]
    assert {tensor["module"]: tensor["delta_bytes"] for tensor in inputs_of} == each
    assert {tensor["kind"] for tensor in worse["culprits"]} == {"linear_input", "gradients", "optimizer"}
    code, out, _ = command(monkeypatch, capsys, base, holding_inputs, "--metric", "saved_bytes")
    assert code == 3
    assert f"(+{more:,} B)" in out


def test_the_other_way_round_it_is_better(base, holding_inputs, monkeypatch, capsys):
    code, out, _ = command(monkeypatch, capsys, holding_inputs, base)
    assert code == 0
    assert "1 better" in out


def test_a_tolerance_and_a_metric_are_taken(base, holding_inputs, monkeypatch, capsys):
    saved = ("--metric", "saved_bytes", "--metric", "activation_bytes")
    assert command(monkeypatch, capsys, base, holding_inputs, *saved, "--tolerance", "1GiB")[0] == 0
    per_metric = ("--tolerance", "saved_bytes=1GiB")
    assert command(monkeypatch, capsys, base, holding_inputs, *saved, *per_metric)[0] == 3
    assert command(monkeypatch, capsys, base, holding_inputs, "--metric", "saved_bytes", *per_metric)[0] == 0


def test_a_crash_is_exit_code_1(base, tmp_path, predicted, monkeypatch, capsys):
    died = CellResult(
        cell=cell_of("lora-fa"), row={**predicted["lora-fa"].row, "status": "error", "message": "it died"}
    )
    code, out, _ = command(monkeypatch, capsys, base, write(tmp_path / "new", predicted["lora"], died))
    assert code == 1
    assert "it died" in out
    assert "%" not in out


def test_the_twin_has_no_clock_to_compare(base, again, monkeypatch, capsys):
    code, out, _ = command(monkeypatch, capsys, base, again, "--metric", "step_ms_median")
    assert code == 4
    assert "the twin has no clock" in out


def test_another_gpu_only_when_asked(base, tmp_path, predicted, monkeypatch, capsys):
    other = predicted["lora"].cell.model_copy(update={"device": "sim:a100-40gb", "gpu": "a100-40gb"})
    new = write(tmp_path / "new", as_cell(predicted["lora"], other, gpu="a100-40gb"))
    code, out, _ = command(monkeypatch, capsys, base, new)
    assert code == 4
    assert "--across gpu compares them" in out
    code, out, _ = command(monkeypatch, capsys, base, new, "--across", "gpu", "--allow-missing")
    assert code == 0
    assert "only in BASE: 1 cell: tiny-llama lora-fa r4 b2 s48" in out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--metric", "peak_bytes"], "--metric: unknown metric 'peak_bytes' (did you mean"),
        (["--tolerance", "1 parsec"], "--tolerance 1 parsec: unknown unit 'parsec'"),
        (["--across", "optimiser"], "--across: unknown 'optimiser' (did you mean 'optimizer'?)"),
    ],
)
def test_wrong_usage_is_one_line(base, monkeypatch, capsys, arguments, told):
    code, out, err = command(monkeypatch, capsys, base, base, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"lorafa-prof: {told}")
    assert err.count("\n") == 1


def test_folders_that_are_none_are_one_line(base, tmp_path, monkeypatch, capsys):
    (tmp_path / "empty").mkdir()
    for arguments, wanted in (((base, "nowhere"), 2), ((tmp_path / "empty", base), 4)):
        code, out, err = command(monkeypatch, capsys, *arguments)
        assert (code, out) == (wanted, "")
        assert err.count("\n") == 1


def test_help_loads_nothing_heavy():
    assert "BASE NEW" in CliRunner().invoke(compare_command, ["--help"]).stdout
    code = (
        "import sys, lorafa_prof.cli.compare; "
        "print(sorted({'numpy', 'pandas', 'torch', 'pydantic'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
