from __future__ import annotations

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner, Result
from learned_runs import OF_LEARNING
from matplotlib.image import imread

from lorafa_prof.cli.report import report_command
from lorafa_prof.errors import NothingToJudgeError, UsageError
from lorafa_prof.figures import FIGURES
from lorafa_prof.figures.kit.style import PAGES
from lorafa_prof.results.table import write_table

ROW = {
    "cell_id": "a",
    "status": "ok",
    "model": "tiny-llama",
    "method": "lora",
    "rank": 8,
    "batch": 2,
    "seq": 16,
    "device": "cpu",
    "activation_bytes": 4096,
    "flops_forward": 1000,
    "flops_backward": 2000,
}


@pytest.fixture
def out(tmp_path):
    write_table([ROW], tmp_path / "out" / "results.csv")
    return tmp_path / "out"


def report(*args: object) -> Result:
    return CliRunner().invoke(report_command, [str(arg) for arg in args])


def test_paths_go_to_stdout_and_reasons_to_stderr(out):
    result = report(out, "--format", "png")
    assert result.exit_code == 0
    names = ["flops", "memory-by-method"]
    assert result.stdout.splitlines() == [
        str(out / "figures" / f"{name}.{kind}") for name in names for kind in ("png", "txt", "tex")
    ]
    assert "\nthroughput: not drawn: no finished cell has tokens_per_s" in result.stderr
    reasons = dict(line.split(": not drawn: ") for line in result.stderr.splitlines())
    assert sorted([*reasons, *names, *OF_LEARNING]) == sorted(FIGURES)  # there is no learning.csv


def test_without_options_there_are_the_report_and_its_figures(out):
    result = report(out)
    assert result.exit_code == 0
    paths = result.stdout.splitlines()
    assert paths[:3] == [str(out / name) for name in ("report.html", "report.md", "tables.tex")]
    assert str(out / "figures/flops.pdf") in paths
    assert "note: there is no provenance.json" in result.stderr


def test_what_the_report_begins_with_is_told_on_stderr_and_in_json(out):
    assert "in short: " not in report(out, "--figure", "flops").stderr
    lora = {**ROW, "peak_allocated_bytes": 9000}
    lora_fa = {**lora, "cell_id": "b", "method": "lora-fa", "activation_bytes": 1024}
    write_table([lora, lora_fa], out / "results.csv")
    told = "LoRA-FA holds 3.000 KiB (75 %) less than LoRA at rank 8, batch 2, seq 16."
    assert f"\nin short: {told}\n" in report(out, "--format", "html").stderr
    assert json.loads(report(out, "--format", "html", "--json").stdout)["conclusion"] == told


def test_a_report_alone_in_the_folder_asked_for(out, tmp_path):
    result = report(out, "--format", "html", "-o", tmp_path / "here")
    assert result.stdout.splitlines() == [str(tmp_path / "here/report.html")]
    assert "not drawn" not in result.stderr
    assert not (out / "figures").exists()


def test_a_table_without_rows_is_told(out, tmp_path):
    write_table([], tmp_path / "empty" / "results.csv")
    assert "no rows" in str(_error(NothingToJudgeError, tmp_path / "empty"))


def test_png_and_pdf_of_the_figures_asked_for_in_the_folder_asked_for(out, tmp_path):
    result = report(out, "--figure", "flops", "--figure", "flops", "-o", tmp_path / "here")
    assert result.stdout.splitlines() == [
        str(tmp_path / "here" / f"flops.{kind}") for kind in ("png", "pdf", "txt", "tex")
    ]
    assert all((tmp_path / "here" / name).stat().st_size > 1000 for name in ("flops.png", "flops.pdf"))
    assert not (out / "figures").exists()


def test_a_record_is_found_and_one_that_is_damaged_is_the_reason_for_its_figure_alone(out):
    (out / "cells").mkdir()
    (out / "cells/a.json").write_text("{")
    result = report(out, "--figure", "memory-by-kind", "--figure", "flops", "--format", "png")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0] == str(out / "figures/flops.png")
    assert f"memory-by-kind: not drawn: {out / 'cells/a.json'}: this record is damaged" in result.stderr


def test_a_folder_of_verify_alone_is_drawn(tmp_path):
    names = "cell_id,method,status,predicted_peak_allocated_bytes,measured_peak_allocated_bytes"
    (tmp_path / "verify.csv").write_text(f"{names}\na,lora,exact,4096,4096\n")
    result = report(tmp_path, "--format", "png")
    assert result.stdout.splitlines()[0] == str(tmp_path / "figures/predicted-against-measured.png")


@pytest.mark.parametrize(("arguments", "pixels"), [((), 1050), (("--style", "slide"), 2000)])
def test_style_is_a_papers_column_unless_told_otherwise(out, arguments, pixels):
    report(out, "--figure", "flops", "--format", "png", *arguments)
    assert imread(out / "figures/flops.png").shape[1] == pytest.approx(pixels, abs=1)


def test_every_style_can_be_chosen():
    (option,) = [parameter for parameter in report_command.params if "--style" in parameter.opts]
    assert list(option.type.choices) == list(PAGES)


def test_unknown_figures_and_formats_are_wrong_usage(out):
    assert "did you mean 'throughput'" in str(_error(UsageError, out, "--figure", "thruput"))
    assert "unknown format 'jpg'" in str(_error(UsageError, out, "--format", "png,jpg"))
    assert "--figure draws figures" in str(_error(UsageError, out, "--figure", "flops", "--format", "html"))
    assert "no format" in str(_error(UsageError, out, "--format", ","))
    assert "no such folder" in str(_error(UsageError, out / "nowhere"))


def test_nothing_drawn_is_nothing_to_judge(out):
    assert "throughput is not drawn: " in str(_error(NothingToJudgeError, out, "--figure", "throughput"))


def _error(kind: type[Exception], *args: object) -> BaseException:
    result = report(*args)
    assert type(result.exception) is kind
    return result.exception


def test_help_loads_nothing_slow():
    code = (
        "import sys, lorafa_prof.cli.report; "
        "print(sorted({'pandas', 'matplotlib', 'torch', 'jinja2'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
