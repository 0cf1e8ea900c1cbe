"""Axes that are given one by one make a scenario, or stand before what one says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lorafa_prof.devices.device import resolve_twin_by_default
from lorafa_prof.errors import UsageError
from lorafa_prof.scenario.expand import expand
from lorafa_prof.scenario.given_axes import put_over, scenario_of_axes
from lorafa_prof.scenario.load import loaded_document, validated_scenario
from lorafa_prof.scenario.saved import save_scenario, scenario_text
from lorafa_prof.scenario.schema import AXES
from lorafa_prof.scenario.yaml_data import parse_yaml
from lorafa_prof.scenario.yaml_lines import Document, read_document


def made(**given: str | tuple[str, ...]) -> Document:
    """The scenario of these options, each written once or several times."""
    written = {name: (texts,) if isinstance(texts, str) else texts for name, texts in given.items()}
    document = scenario_of_axes({"model": ("tiny-llama",), **written}, "lorafa-prof run")
    put_over(document, {"model": ("tiny-llama",), **written})
    return document


def over(data: dict[str, Any], **given: str) -> dict[str, Any]:
    """What a scenario says after these options."""
    document = Document(Path("s.yaml"), {"schema": 1, "name": "s", "model": "tiny-llama", **data})
    put_over(document, {name: (text,) for name, text in given.items()})
    said: dict[str, Any] = document.data
    return said


def test_values_stand_with_commas_or_again_and_are_those_of_a_scenario() -> None:
    data = made(batch=("1,2", "4"), seq="64", padding="0.5", max_grad_norm="null,1", double_quant="true").data
    assert data == {
        "schema": 1,
        "name": "tiny-llama",
        "method": ["full-ft", "lora", "lora-fa"],
        "model": "tiny-llama",
        "batch": [1, 2, 4],
        "seq": 64,
        "padding": 0.5,
        "max_grad_norm": [None, 1],
        "double_quant": True,
    }
    assert made(seq="64,{lengths: [8, 4]}").data["seq"] == [64, {"lengths": [8, 4]}]


def test_options_of_methods_go_to_those_that_have_them() -> None:
    data = made(method="full-ft,lora", rank="2,4", targets=("q_proj,v_proj", "all-linear")).data
    assert data["method"] == [
        "full-ft",
        {"name": "lora", "rank": [2, 4], "targets": ["q_proj,v_proj", "all-linear"]},
    ]
    assert made(method="lora", targets="[q_proj, v_proj]").data["method"]["targets"] == [["q_proj", "v_proj"]]


def test_with_a_quantized_base_only_methods_that_freeze_it_are_meant() -> None:
    assert made(quantization="nf4").data["method"] == ["lora", "lora-fa"]
    assert made(quantization="none").data["method"] == ["full-ft", "lora", "lora-fa"]


def test_a_gpu_that_is_named_is_predicted_for_unless_a_device_is_given() -> None:
    assert made(gpu="t4,h200").data["device"] == ["sim:t4", "sim:h200"]
    document = Document(Path("s.yaml"), {})
    put_over(document, {"gpu": ("t4",)}, device_is_given=True)
    assert document.data == {"gpu": "t4"}


def test_every_axis_that_a_command_takes_is_one_of_a_scenario() -> None:
    values = {"seq": "64", "adapter_dtype": "fp32", "max_grad_norm": "1.0", "shard": "{mp: bf16}"}
    assert set(values) < set(AXES)
    loaded = validated_scenario(made(**values), [])
    assert loaded.scenario.shard[0].mp == "bf16"


def test_over_a_file_they_stand_before_what_it_says_in_entries_too() -> None:
    entries = ["full-ft", {"name": "lora", "rank": 8, "batch": 1}]
    data = over({"method": entries, "batch": 2}, batch="4", rank="16")
    assert (data["batch"], data["method"]) == (
        4,
        ["full-ft", {"name": "lora", "rank": 16, "batch": 4}],
    )
    assert over({"method": "lora"}, rank="16")["method"] == {"name": "lora", "rank": 16}
    assert over({"method": ["lora"]}, method="lora-fa", rank="3")["method"] == {"name": "lora-fa", "rank": 3}


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"rank": "2", "method": "full-ft"}, "--rank 2: none of full-ft has a rank"),
        ({"batch": "[1"}, "--batch [1: this is no YAML"),
        ({"method": "lora,,"}, "--method lora,,: a name is empty"),
        ({"batch": "1.5"}, "--batch 1.5: batch: it should be a whole number, not 1.5"),
        ({"adapter_dtype": "fp32,fp3"}, "--adapter-dtype fp32,fp3: adapter_dtype[1]: it should be"),
        ({"method": "lora", "alpha": "0"}, "--alpha 0: method.alpha: it should be greater than 0, not 0"),
    ],
)
def test_what_is_wrong_is_told_of_the_option(given: dict[str, str], line: str) -> None:
    with pytest.raises(UsageError) as raised:
        expand(validated_scenario(made(**given), []), resolve_twin_by_default)
    assert str(raised.value).startswith(line)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("meta-llama/Llama-3.1-8B", "Llama-3.1-8B"),
        ("./mine/config.json", "mine"),
        ("a,b", "a-b"),
        ("{name: x/y, weights: pretrained}", "y"),
        ("../..", "model"),
    ],
)
def test_the_scenario_is_called_as_its_models(model: str, name: str) -> None:
    assert made(model=model).data["name"] == name


def test_a_saved_scenario_has_the_same_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    document = made(
        method="lora,lora-fa", rank="2", targets="q_proj,v_proj", gpu="t4", batch="1,2", max_grad_norm="0.001"
    )
    file = tmp_path / "s.yaml"
    save_scenario(document, file)
    assert file.read_text() == (
        "schema: 1\n"
        "name: tiny-llama\n"
        "model: tiny-llama\n"
        "method:\n"
        "  - {name: lora, rank: 2, targets: 'q_proj,v_proj'}\n"
        "  - {name: lora-fa, rank: 2, targets: 'q_proj,v_proj'}\n"
        "batch: [1, 2]\n"
        "max_grad_norm: 0.001\n"
        "device: sim:t4\n"
    )
    cells = [
        [plan.cell for plan in expand(loaded_document(each), resolve_twin_by_default)]
        for each in (document, read_document(file))
    ]
    assert cells[0] == cells[1]
    save_scenario(document, file)  # as who goes on with a run does
    with pytest.raises(UsageError, match="is there already, with other content"):
        save_scenario(made(batch="3"), file)
    with pytest.raises(UsageError, match="cannot be written: No such file"):
        save_scenario(document, tmp_path / "none" / "s.yaml")


def test_text_that_yaml_1_2_would_not_take_for_text_is_quoted() -> None:
    document = Document(Path("run"), {"schema": 1, "name": "s", "model": ["0o17", "1e3", "no", "null"]})
    assert parse_yaml(scenario_text(document, Path("s.yaml")))[0] == document.data


@pytest.mark.parametrize(
    ("file", "model", "written"),
    [
        ("s.yaml", "./m/config.json", "./m/config.json"),
        ("sub/s.yaml", "./m/config.json", "../m/config.json"),
        ("s.yaml", "{name: ./m, weights: pretrained}", "./m"),
        ("sub/s.yaml", "owner/name", "owner/name"),
        ("sub/s.yaml", "/m/config.json", "/m/config.json"),
    ],
)
def test_a_saved_path_is_that_from_the_file(
    file: str, model: str, written: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = parse_yaml(scenario_text(made(model=model), Path(file)))[0]["model"]
    assert (said["name"] if isinstance(said, dict) else said) == written
