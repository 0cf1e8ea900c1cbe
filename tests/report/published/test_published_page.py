"""A page says what its folder's tables say, whatever the folder is about."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from published_folders import MB, NAME, PAGE, SCENARIO, add_run, folder_of_mine
from tiny_cells import tiny_cell

from lorafa_prof.cell import MethodChoice
from lorafa_prof.errors import NothingToJudgeError, ScenarioError, UsageError
from lorafa_prof.report.published.folder import read_folder
from lorafa_prof.report.published.page import filled, write_page
from lorafa_prof.report.published.settings import settings_of_row

TWIN, GPU = "sim:a100-40gb", "cuda"
PREDICTED_OF_16 = "(1) 0.06 GB ✓<br>(2) × 1.500 ✓<br>(3) × 1.500 ✓<br>(4) 2.000 MB per seq ✓"


def predicted(method: str, seq: int) -> int:
    """LoRA-FA takes 44 and 60 MB, LoRA 1.5 times as much."""
    return (28 + 2 * seq) * MB * (3 if method == "lora" else 2) // 2


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = folder_of_mine(tmp_path / "any-name")
    add_run(path, "forecast/some-run", TWIN, predicted)
    return path


def table_of(path: Path) -> list[list[str]]:
    """The cells of the scenario's table."""
    text = filled(read_folder(path)).partition(f"<!-- settings: {NAME} -->")[2].partition("<!-- end")[0]
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [line.strip("| ").split(" | ") for line in lines[2:]]


def test_predictions_alone_are_judged(folder: Path) -> None:
    assert table_of(folder) == [
        ["2 × 8", "–", "(1) 0.04 GB ✗<br>(3) × 1.500 ✓", "in part"],
        [
            "2 × 16",
            "–",
            PREDICTED_OF_16,
            "reproduced",
        ],
    ]


def test_a_place_is_measured_if_its_rows_are_whatever_its_name(folder: Path) -> None:
    add_run(folder, "twin/another-run", GPU, lambda method, seq: 66 * MB if seq == 16 else None)
    assert [row[1:] for row in table_of(folder)] == [
        ["–", "(1) 0.04 GB ✗<br>(3) × 1.500 ✓", "in part"],
        [
            "(1) 0.07 GB ✓<br>(2) × 1.000 ✗<br>(3) × 1.000 ✗<br>"
            "(4) tiny-llama lora-fa r8 b2 s8: not measured",
            PREDICTED_OF_16,
            "in part",
        ],
    ]


def test_of_equal_cells_that_of_the_scenarios_own_run_counts(folder: Path) -> None:
    add_run(folder, f"a-gpu/{NAME}", GPU, lambda method, seq: 60 * MB)
    add_run(folder, "a-gpu/zzz", GPU, lambda method, seq: 80 * MB)
    assert [row[1].partition("<br>")[0] for row in table_of(folder)] == ["(1) 0.06 GB ✓"] * 2


def test_of_rows_that_fare_alike_the_summary_has_a_measured_one(tmp_path: Path) -> None:
    path = folder_of_mine(tmp_path / "any-name")
    add_run(path, "forecast/some-run", TWIN, lambda method, seq: 60 * MB)
    add_run(path, "a-gpu/another-run", GPU, lambda method, seq: 60 * MB if seq == 16 else None)
    line = next(line for line in filled(read_folder(path)).splitlines() if "LoRA-FA takes 60 MB" in line)
    assert "| 0.06 GB ✓ | 0.06 GB ✓ | tiny-llama, 2 × 16 |" in line


def test_what_stands_outside_of_marks_stays(folder: Path) -> None:
    assert list(write_page(read_folder(folder))) == [str(folder / "README.md")]
    text = (folder / "README.md").read_text()
    assert text.startswith(
        "# Mine\n\n<!-- picture: Where it was measured. -->\n<!-- summary -->\n| published"
    )
    assert text.endswith("<!-- end figure: mine memory-by-method -->\nThe end.\n")
    assert "an older table" not in text
    assert list(write_page(read_folder(folder)))
    assert (folder / "README.md").read_text() == text, "filling twice is filling once"


def test_sources_are_told_as_far_as_there_are_any_and_break_no_table(folder: Path) -> None:
    text = filled(read_folder(folder))
    assert "1. LoRA-FA takes 60 MB (= 60 MB ± 10 %; a page | of a blog)" in text
    assert "2. LoRA takes 1.5 times as much (= 1.5 ± 10 %)" in text
    assert "| LoRA-FA takes 60 MB | a page &#124; of a blog | – | 0.06 GB ✓ | tiny-llama, 2 × 16 | " in text


def test_few_bytes_are_not_rounded_to_nothing(folder: Path) -> None:
    add_run(folder, "forecast/some-run", TWIN, lambda method, seq: 1_234_567)
    assert table_of(folder)[0][2].startswith("(1) 1.235 MB ✗<br>")


def test_rows_that_differ_in_what_is_rarely_said_are_kept_apart(folder: Path) -> None:
    kinds = "checkpointing: [none, full]\nclaims:"
    (folder / f"{NAME}.yaml").write_text(SCENARIO.replace("claims:", kinds))
    add_run(folder, "forecast/some-run", TWIN, predicted)
    assert [row[0] for row in table_of(folder)] == [
        f"2 × {seq}, checkpointing {kind}" for seq in (8, 16) for kind in ("none", "full")
    ]


def test_a_figure_of_measurements_goes_before_one_of_predictions(folder: Path) -> None:
    assert "(mine: no figure memory-by-method yet)" in filled(read_folder(folder))
    add_run(folder, "z-gpu/some-run", GPU, predicted)
    for place in ("forecast", "z-gpu"):
        figure = folder / place / NAME / "figures" / "memory-by-method.png"
        figure.parent.mkdir(parents=True)
        figure.touch()
        link = f"![mine, memory-by-method, {place}]({place}/mine/figures/memory-by-method.png)"
        assert link in filled(read_folder(folder))


def test_methods_of_one_origin_share_a_row_and_others_have_their_own() -> None:
    lora, lora_fa = (settings_of_row(tiny_cell(method=name)) for name in ("lora", "lora-fa"))
    assert lora == lora_fa
    assert settings_of_row(tiny_cell(method="peft-lora"))["variant"] == "PEFT's"
    config = {"config": {"peft_type": "LORA", "use_dora": True}, "tag": "dora"}
    other = tiny_cell().model_copy(update={"method": MethodChoice(name="peft", options=config)})
    assert settings_of_row(other)["variant"] == "peft:dora"


def test_a_mark_without_an_end_is_told(folder: Path) -> None:
    (folder / "README.md").write_text(PAGE.replace("<!-- end summary -->\n", ""))
    with pytest.raises(UsageError, match=r"README\.md: .*end summary"):
        filled(read_folder(folder))


def test_what_is_missing_is_told(folder: Path) -> None:
    (folder / f"{NAME}.yaml").unlink()
    with pytest.raises(ScenarioError, match="any-name/mine"):
        filled(read_folder(folder))
    (folder / "README.md").write_text("No marks.\n")
    with pytest.raises(NothingToJudgeError, match="settings: SCENARIO"):
        filled(read_folder(folder))
    (folder / "README.md").unlink()
    with pytest.raises(UsageError, match=r"README\.md"):
        filled(read_folder(folder))
    shutil.rmtree(folder / "forecast")
    with pytest.raises(NothingToJudgeError, match="any-name"):
        read_folder(folder)
