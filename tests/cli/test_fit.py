"""`lorafa-prof fit` as a user sees it, with so little memory that tiny models reach its end."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lorafa_prof.cell import Cell
from lorafa_prof.cli.main import main
from lorafa_prof.fitting import question
from lorafa_prof.fitting.answer import FitQuestion

ROOM = 96 * 2**20
TINY = ("--model", "tiny-llama", "--gpu", "rtx-4090", "--jobs", "1")
SCENARIO = """\
schema: 1
name: mine
model: tiny-llama
method: [full-ft, {name: lora, rank: [2, 4]}]
batch: 2
seq: 64
device: cpu
"""
FitCommand = Callable[..., tuple[int, str, str]]


@pytest.fixture
def fit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> FitCommand:
    monkeypatch.setattr(question, "allocator_capacity", lambda gpu: ROOM if gpu.memory_bytes else None)
    monkeypatch.chdir(tmp_path)
    Path("s.yaml").write_text(SCENARIO)

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["fit", *arguments])
        told = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, told.out, told.err

    return run


def rows(out: str) -> list[list[str]]:
    return [line.split() for line in out.splitlines()[2:]]


def data(fit: FitCommand, *arguments: str) -> list[dict[str, Any]]:
    code, out, _ = fit(*arguments, "--json")
    assert code == 0
    return json.loads(out)  # type: ignore[no-any-return]


def test_the_table_has_a_row_for_each_method_and_says_what_is_assumed(fit: FitCommand) -> None:
    code, out, err = fit(*TINY, "--seq", "256")
    assert code == 0
    first, *_, last = out.splitlines()
    assert first == "# model tiny-llama, gpu rtx-4090, rank 8, batch 1, seq 256"
    assert [row[:2] for row in rows(out)[:-1]] == [["full-ft", "yes"], ["lora", "yes"], ["lora-fa", "yes"]]
    assert re.fullmatch(r"All 3 fit: full-ft leaves the most, [0-9.]+ MiB\.", last)
    assert err.count("the memory of rtx-4090 is not known to the byte") == 1
    assert err.count("the CUDA context of rtx-4090 is not measured; h100-80gb's 766.812 MiB is assumed") == 1
    assert "[1] rtx-4090 tiny-llama full-ft b1 s256: peak" in err
    assert " predictions in " in err


def test_json_has_the_same_in_bytes_and_every_setting(fit: FitCommand) -> None:
    (row,) = data(fit, *TINY, "--method", "lora", "--rank", "4", "--seq", "128")
    assert row["fits"] is True
    assert (row["method"], row["rank"], row["batch"], row["seq"], row["gpu"]) == (
        "lora", 4, 1, 128, "rtx-4090"
    )  # fmt: skip
    assert row["left_bytes"] == ROOM - row["peak_reserved_bytes"]
    assert row["tokens_per_step"] == 128 * row["largest_batch"]
    assert row["longest_seq"] == 256
    assert row["longest_seq_is_limit"] is True


def test_rotary_positions_may_be_asked_beyond_the_configs_and_are_then_the_limit(fit: FitCommand) -> None:
    (row,) = data(fit, *TINY, "--method", "lora-fa", "--seq", "320")
    assert (row["fits"], row["longest_seq"], row["longest_seq_is_limit"]) == (True, 320, True)


def test_what_does_not_fit_is_an_answer_and_no_failure(fit: FitCommand) -> None:
    code, out, err = fit(*TINY, "--method", "full-ft", "--seq", "256", "--batch", "40")
    assert code == 0
    (row, told) = rows(out)
    assert row[0] == "no:"
    assert row[1] in ("forward", "backward")
    assert float(row[3]) < 0
    assert 1 <= int(row[4]) < 40
    assert " ".join(told).startswith("Does not fit: ")
    assert f"with batch {row[4]}" in " ".join(told)
    assert "where it does not fit, peak and left are of a step with memory enough" in err
    assert "without a limit" in err


def test_settings_reach_the_cells_and_defaults_are_a_scenarios(
    fit: FitCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = asked_cells(fit, monkeypatch, *TINY, "--method", "lora-fa")
    assert len(cells) == 1
    names = {"batch", "seq", "dtype", "adapter_dtype", "attention", "optimizer", "autocast"}
    assert cells[0].model_dump(include=names) == {
        "batch": 1, "seq": 1024, "dtype": "bf16", "adapter_dtype": "bf16", "attention": "sdpa",
        "optimizer": "adamw", "autocast": "none",
    }  # fmt: skip
    given = {
        "dtype": "fp32", "adapter-dtype": "fp16", "attention": "eager", "checkpointing": "full",
        "optimizer": "sgd", "autocast": "bf16", "batch": 3, "seq": 64,
    }  # fmt: skip
    written = [word for name, value in given.items() for word in (f"--{name}", str(value))]
    more = ["--rank", "2", "--rank", "4", "--targets", "q_proj,v_proj", "--dropout", "0.5"]
    cells = asked_cells(fit, monkeypatch, *TINY, "--method", "lora", *written, *more)
    assert [cell.method.options["rank"] for cell in cells] == [2, 4]
    for cell in cells:
        assert {name.replace("_", "-"): value for name, value in cell} | given == {
            name.replace("_", "-"): value for name, value in cell
        }
        assert (cell.method.options["targets"], cell.method.options["dropout"]) == ("q_proj,v_proj", 0.5)
        assert (cell.device, cell.gpu) == ("sim:rtx-4090", "rtx-4090")


def test_methods_on_one_gpu_stand_together_and_short_models_get_all_their_positions(
    fit: FitCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    several = ["--model", "tiny-roberta", "--gpu", "t4", "--method", "lora", "--method", "full-ft"]
    cells = asked_cells(fit, monkeypatch, *TINY, *several)
    assert [(cell.model.name, cell.gpu, cell.method.name) for cell in cells] == [
        (model, gpu, method)
        for model in ("tiny-llama", "tiny-roberta")
        for gpu in ("rtx-4090", "t4")
        for method in ("lora", "full-ft")
    ]
    assert {cell.model.name: cell.seq for cell in cells} == {"tiny-llama": 1024, "tiny-roberta": 256}


def test_a_scenario_is_asked_about_on_the_twin_and_options_stand_before_it(
    fit: FitCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = asked_cells(fit, monkeypatch, "s.yaml")
    assert [cell.label for cell in cells] == [
        "tiny-llama full-ft b2 s64", "tiny-llama lora r2 b2 s64", "tiny-llama lora r4 b2 s64"
    ]  # fmt: skip
    assert {cell.device for cell in cells} == {"sim:h100-80gb"}
    cells = asked_cells(
        fit, monkeypatch, "s.yaml", "--gpu", "t4", "--method", "lora-fa", "--rank", "3", "--seq", "32"
    )
    assert [(cell.gpu, cell.label) for cell in cells] == [("t4", "tiny-llama lora-fa r3 b2 s32")]
    cells = asked_cells(fit, monkeypatch, "s.yaml", "--rank", "8")
    assert [cell.label for cell in cells] == ["tiny-llama full-ft b2 s64", "tiny-llama lora r8 b2 s64"]


def test_every_axis_may_be_given_more_than_once(fit: FitCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    twice = ["--checkpointing", "none", "--checkpointing", "full", "--batch", "1,2"]
    cells = asked_cells(fit, monkeypatch, *TINY, "--method", "lora", *twice)
    assert [(cell.checkpointing, cell.batch) for cell in cells] == [
        ("none", 1), ("full", 1), ("none", 2), ("full", 2)
    ]  # fmt: skip


def test_a_prepared_quantized_base_can_be_asked_about(
    fit: FitCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ["--method", "lora", "--quantization", "nf4", "--double-quant", "--kbit-prepare"]
    (cell,) = asked_cells(fit, monkeypatch, *TINY, *given)
    assert (cell.quantization, cell.double_quant, cell.kbit_prepare) == ("nf4", True, True)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--gpu", "t4"), "--model is missing, or a SCENARIO; `lorafa-prof list models` and"),
        (("--model", "tiny-llama"), "--gpu is missing; `lorafa-prof list gpus` shows what there is"),
        (("--model", "llama-2-7", "--gpu", "t4"), "unknown model 'llama-2-7' (did you mean 'llama-2-7b'?)"),
        ((*TINY, "--gpu", "rtx-409"), "unknown GPU 'rtx-409' (did you mean 'rtx-4090'?)"),
        ((*TINY, "--gpu", "rtx-4070"), "get on rtx-4070 is not known, so nobody can say what fits"),
        ((*TINY, "--method", "lra"), "--method lra: method: unknown method 'lra' (did you mean 'lora'?)"),
        ((*TINY, "--rank", "0"), "--rank 0: method[1].rank: it should be at least 1, not 0"),
        ((*TINY, "--rank", "65"), "rank 65 is larger than layer"),
        ((*TINY, "--method", "full-ft", "--rank", "8"), "--rank 8: none of full-ft has a rank"),
        ((*TINY, "--dtype", "bf61"), "--dtype bf61: dtype: it should be 'fp32', 'bf16', 'fp16' or 'fp64'"),
        ((*TINY, "--autocast", "bf61"), "--autocast bf61: autocast: it should be 'none', 'bf16' or 'fp16'"),
        ((*TINY, "--gpu", "t4", "--autocast", "bf16"), "autocast 'bf16': t4 does not compute in bf16"),
        ((*TINY, "--kbit-prepare"), "--kbit-prepare true: kbit_prepare: kbit_prepare is what PEFT's"),
        ((*TINY, "--autocast", "fp16"), "weights that train must be in fp32"),
        ((*TINY, "--optimizer", "adm"), "unknown optimizer 'adm' (did you mean 'adamw'?)"),
        ((*TINY, "--batch", "0"), "--batch 0: batch: it should be at least 1, not 0"),
        (("--model", "tiny-roberta", "--gpu", "t4", "--seq", "300"), "it has 256 positions"),
        (("s.yaml", "--method", "full-ft", "--rank", "8"), "--rank 8: none of full-ft has a rank"),
        (("nope.yaml",), "nope.yaml: no such file"),
    ],
)
def test_wrong_usage_is_one_line_that_names_the_option(
    arguments: tuple[str, ...], line: str, fit: FitCommand
) -> None:
    code, out, err = fit(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("lorafa-prof: ")
    assert err.count("\n") == 1
    assert line in err


def test_in_processes_it_says_the_same(fit: FitCommand) -> None:
    one = data(fit, *TINY, "--method", "lora", "--seq", "128")
    two = data(fit, *TINY[:-1], "2", "--method", "lora", "--seq", "128")
    assert one == two


def asked_cells(fit: FitCommand, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> list[Cell]:
    """The cells that the command would predict; none is."""
    from lorafa_prof.fitting import answering

    seen: list[Cell] = []

    def note(asked: list[FitQuestion], *_: Any, **__: Any) -> list[Any]:
        seen.extend(each.cell for each in asked)
        return []

    with monkeypatch.context() as patch:
        patch.setattr(
            answering, "answer_all", lambda asked, *_, **__: seen.extend(a.cell for a in asked) or []
        )
        code, _, err = fit(*arguments)
    assert code == 0, err
    return seen
