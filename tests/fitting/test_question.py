"""Options become the cells they ask about, each with the memory and the sequences that there are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lorafa_prof.devices.gpus.gpu import GPUS
from lorafa_prof.errors import UsageError
from lorafa_prof.fitting.answer import FitQuestion, Largest, fit_as_asked, longest_seq
from lorafa_prof.fitting.question import DEFAULT_SEQ_LIMIT, asked_by_options, asked_by_scenario
from lorafa_prof.running.predict_memory import predict_memory

SCENARIO = """\
schema: 1
name: mine
model: tiny-llama
method: [full-ft, {name: lora, rank: [2, 4]}]
batch: 2
seq: 64
gpu: h100-80gb
"""


def options(model: str = "tiny-llama", *gpus: str, **given: Any) -> dict[str, Any]:
    """As the command line gives them: what was not written is None or empty."""
    nothing = {"method": (), "rank": (), "targets": (), "dropout": (), "batch": None, "seq": None}
    return {"model": (model,), "gpu": gpus or ("h100-80gb",), **nothing, **given}


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    file = tmp_path / "s.yaml"
    file.write_text(SCENARIO)
    return file


def asked_of_scenario(file: Path, **given: Any) -> list[FitQuestion]:
    return asked_by_scenario(file, {**options(), "model": (), "gpu": (), **given})


def test_a_cell_has_what_the_allocator_can_get_on_its_gpu() -> None:
    asked = asked_by_options(options("tiny-llama", "t4", "h100-80gb", method=("lora",)))
    capacities = {each.cell.gpu: each.capacity_bytes for each in asked}
    assert list(capacities) == ["t4", "h100-80gb"]
    for gpu, capacity in capacities.items():
        memory = GPUS[gpu].memory_bytes
        assert memory is not None
        assert memory - 2**30 < capacity < memory, "all but the CUDA context"


@pytest.mark.parametrize(
    ("model", "seq", "limit"),
    [
        ("tiny-gpt2", 64, 256),  # a table of positions
        ("tiny-llama", 64, 256),  # rotary ones: what the config speaks of
        ("tiny-llama", 320, 320),  # and as many as are asked for
        ("tiny-t5", 64, DEFAULT_SEQ_LIMIT),  # relative ones: no end
    ],
)
def test_the_longest_sequence_that_is_looked_at(model: str, seq: int, limit: int) -> None:
    (asked,) = asked_by_options(options(model, method=("full-ft",), seq=seq))
    assert (asked.cell.seq, asked.seq_limit) == (seq, limit)


def test_of_a_network_that_sees_images_the_one_sequence_is_looked_at() -> None:
    (asked,) = asked_by_options(options("tiny-vit", method=("full-ft",)))
    assert (asked.cell.seq, asked.seq_limit, asked.seq_unit) == (17, 17, 17)
    fit = fit_as_asked(asked, predict_memory)
    assert longest_seq(fit, predict_memory) == Largest(17, is_limit=True)


def test_without_options_the_three_methods_are_asked_about() -> None:
    cells = [each.cell for each in asked_by_options(options("tiny-gpt2"))]
    assert [cell.method.name for cell in cells] == ["full-ft", "lora", "lora-fa"]
    assert {(cell.batch, cell.seq) for cell in cells} == {(1, 256)}


def test_a_model_named_twice_is_asked_about_once() -> None:
    assert len(asked_by_options({**options(method=("lora",)), "model": ("tiny-gpt2", "tiny-gpt2")})) == 1


def test_an_option_of_methods_goes_to_those_that_have_it() -> None:
    asked = asked_by_options(options(method=("full-ft", "lora"), rank=(2, 3)))
    assert [each.cell.method.options.get("rank") for each in asked] == [None, 2, 3]


def test_an_option_that_no_method_has_is_an_error() -> None:
    with pytest.raises(UsageError, match=r"^--dropout 0\.1: none of full-ft has a dropout$"):
        asked_by_options(options(method=("full-ft",), dropout=(0.1,)))


def test_a_scenarios_cells_are_asked_about(scenario: Path) -> None:
    asked = asked_of_scenario(scenario)
    assert [each.cell.method.options.get("rank") for each in asked] == [None, 2, 4]
    assert {(each.cell.device, each.cell.batch, each.seq_limit) for each in asked} == {
        ("sim:h100-80gb", 2, 256)
    }


def test_options_stand_before_a_scenario(scenario: Path) -> None:
    asked = asked_of_scenario(scenario, batch=5, gpu=("t4",), method=("lora-fa",), rank=(3,))
    (cell,) = (each.cell for each in asked)
    assert (cell.batch, cell.seq, cell.gpu) == (5, 64, "t4")
    assert (cell.method.name, cell.method.options["rank"]) == ("lora-fa", 3)


def test_options_of_methods_need_to_know_which(scenario: Path) -> None:
    with pytest.raises(UsageError, match="--rank 3 --rank 4: say of which --method"):
        asked_of_scenario(scenario, rank=(3, 4))


def test_a_run_of_lengths_has_no_longest_sequence(scenario: Path) -> None:
    with pytest.raises(UsageError, match="seq: fit asks about steps of one length"):
        asked_of_scenario(scenario, seq={"lengths": [8, 4]})


def test_a_gpu_whose_memory_nobody_knows_is_an_error() -> None:
    unknown = next(name for name, gpu in GPUS.items() if gpu.memory_bytes is None)
    with pytest.raises(UsageError, match=f"can get on {unknown} is not known"):
        asked_by_options(options("tiny-llama", unknown))
