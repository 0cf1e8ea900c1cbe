"""The JSON Schema of a scenario says what the loader says, as far as an editor can know."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from jsonschema import Draft7Validator

from lorafa_prof.cell import ResolvedDevice
from lorafa_prof.claims.gate import gate_of
from lorafa_prof.claims.metric import CLAIM_METRICS
from lorafa_prof.cli.main import cli
from lorafa_prof.errors import ScenarioError
from lorafa_prof.methods.base import METHODS
from lorafa_prof.scenario.expand import expand
from lorafa_prof.scenario.json_schema import schema_text
from lorafa_prof.scenario.load import load_scenario
from lorafa_prof.scenario.shipped import schema_file, shipped_scenarios
from lorafa_prof.scenario.yaml_data import parse_yaml
from lorafa_prof.scenario.yaml_lines import read_document

FILE = schema_file()
LINE = "# yaml-language-server: $schema="


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return dict(json.loads(schema_text(list(CLAIM_METRICS))))


@pytest.fixture(scope="module")
def validator(schema: dict[str, Any]) -> Draft7Validator:
    Draft7Validator.check_schema(schema)
    return Draft7Validator(schema)


def test_the_shipped_one_is_what_the_command_prints() -> None:
    printed = CliRunner().invoke(cli, ["schema"]).stdout
    assert FILE.read_text(encoding="utf-8") == printed, "lorafa-prof schema > scenarios/scenario.schema.json"


@pytest.mark.parametrize("name", shipped_scenarios())
def test_every_shipped_scenario_names_it_and_is_valid_by_it(name: str, validator: Draft7Validator) -> None:
    file = shipped_scenarios()[name]
    named = [line for line in file.read_text(encoding="utf-8").splitlines() if line.startswith(LINE)]
    assert [(file.parent / line.removeprefix(LINE)).resolve() for line in named] == [FILE.resolve()]
    assert [error.message for error in validator.iter_errors(read_document(file).data)] == []


def _loads(text: str, folder: Path) -> bool:
    file = folder / "s.yaml"
    file.write_text(text)
    try:
        loaded = load_scenario(file)
        if loaded.scenario.claims:
            gate_of(loaded, None)
        expand(loaded, lambda *_: ResolvedDevice("cpu", None))
    except ScenarioError:
        return False
    return True


BASE = "schema: 1\nname: x\nmodel: tiny-llama\n"


@pytest.mark.parametrize(
    "text",
    [
        "method: {name: lora-fa, targets: [[q_proj, v_proj], all-linear]}",
        "method: {name: lora, targets: 'q_proj,v_proj', layers_to_transform: [[0, 1], 1, '0,1']}",
        "method: {name: lora-fa, correction: [true, batched, false]}",
        "method: {name: peft-lora, targets: [q_proj, [v_proj]], rank_pattern: {q_proj: 2}}",
        "method: {name: lora, modules_to_save: [[lm_head]]}",
        "method: [lora, {name: full-ft, batch: 1, seq: [8, 16]}]",
        "method: [{name: peft, config: [{peft_type: LORA}], tag: x}]",
        "method: lora\nseq: [12, {lengths: [1, 2]}]",
        "method: lora\nmax_grad_norm: [null, 1]\npadding: 0\ninstruments: [[fidelity], []]",
        "method: lora\ninstruments: fidelity\nadapter_dtype: null\ncheckpointing: offload=0.5",
        "method: lora\ngpu: NVIDIA A10G\ndevice: 'sim:Tesla T4'\nattention: flex",
        "method: [lora, lora-fa]\nexclude: {method: lora}\nbatch: [1, 2]",
        "method: lora\ntask: sst2\ntraining: {steps: 3, learning_rate: 1e-3}",
        "method: lora\nclaims: [{name: x, metric: fits, equals: true, of: {method: lora}}]",
        "method: lora\nclaims: [{name: x, metric: [mfu, fidelity_cosine], at_most: 80 %}]",
    ],
)
def test_what_it_takes_loads(text: str, validator: Draft7Validator, tmp_path: Path) -> None:
    written = BASE + text
    assert [error.message for error in validator.iter_errors(parse_yaml(written)[0])] == []
    assert _loads(written, tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "method: loraa",
        "method: {name: lora, rnk: 3}",
        "method: {name: lora, rank: 0}",
        "method: {name: lora, rank: '8'}",
        "method: {name: lora, correction: true}",
        "method: {name: lora-fa, correction: each of them}",
        "method: {name: peft}",
        "method: []",
        "method: lora\nbach: 3",
        "method: lora\nbatch: 0",
        "method: lora\nbatch: '3'",
        "method: lora\nbatch: []",
        "method: lora\nseq: {lengths: [0]}",
        "method: lora\ndtype: bf61",
        "method: lora\nsteps: {timd: 3}",
        "method: lora\nexclude: {bach: 2}",
        "method: lora\ntraining: {steps: 3, warmup: 1}",
        "method: lora\nclaims: [{name: x, metric: fit, equals: 1}]",
        "method: lora\nclaims: [{name: x, metric: mfu, of: {bach: 1}, at_least: 1}]",
    ],
)
def test_what_it_refuses_does_not_load(text: str, validator: Draft7Validator, tmp_path: Path) -> None:
    assert not validator.is_valid(parse_yaml(BASE + text)[0])
    assert not _loads(BASE + text, tmp_path)


def test_an_editor_has_names_and_words_to_show(schema: dict[str, Any]) -> None:
    keys, parts = schema["properties"], schema["$defs"]
    assert "llama-2-7b" in str(keys["model"])
    assert "'h100-80gb'" in str(keys["gpu"])
    assert "'adamw-8bit'" in str(parts["optimizer"])
    for key in keys.values():
        part = parts[key["$ref"].removeprefix("#/$defs/")] if "$ref" in key else key
        assert part["description"], key
    assert parts["TaskChoice"]["properties"]["train_items"]["description"].startswith("at most so many items")
    for name, method in METHODS.items():
        assert parts[f"method {name}"]["description"] == method.summary
