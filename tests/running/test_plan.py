from __future__ import annotations

import json
import resource

import pytest
import torch
import yaml

from lorafa_prof.cell import ResolvedDevice
from lorafa_prof.errors import ScenarioError
from lorafa_prof.running import prepare
from lorafa_prof.running.plan import check_cells
from lorafa_prof.scenario.expand import expand
from lorafa_prof.scenario.load import load_scenario


@pytest.fixture
def check(tmp_path):
    def run(**settings: object) -> None:
        written = {
            "schema": 1,
            "name": "x",
            "model": "tiny-llama",
            "method": "lora",
            "dtype": "fp32",
            **settings,
        }
        (tmp_path / "s.yaml").write_text(yaml.safe_dump(written, sort_keys=False))
        loaded = load_scenario(tmp_path / "s.yaml")
        check_cells(loaded, expand(loaded, lambda device, gpu: ResolvedDevice("cpu", None)))

    return run


def test_no_memory_is_taken_for_a_model_of_any_size(check):
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    check(model="llama-65b", method=["full-ft", "lora-fa"], seq=4096, dtype="bf16")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 4 * 2**20, (
        "its weights are 120 GiB"
    )


def test_each_shape_is_built_once_whatever_the_batches_and_lengths(check, monkeypatch):
    built = []
    real = prepare.prepare_model
    monkeypatch.setattr(prepare, "prepare_model", lambda *args: built.append(1) or real(*args))
    check(method={"name": "lora", "rank": [2, 4]}, batch=[1, 2, 3], seq=[16, 32], padding=[0, 0.5])
    assert len(built) == 2
    check(accumulation=[1, 2], max_grad_norm=[None, 1.0])
    assert len(built) == 3


def test_every_length_is_checked_though_its_shape_was_built(check):
    with pytest.raises(ScenarioError, match=r"seq\[1\]: seq 257 is too long"):
        check(model=["tiny-llama", "tiny-gpt2"], seq=[256, 257])


def test_a_default_that_does_not_fit_is_told_at_the_method(check, tmp_path):
    shape = {"hidden_size": 4, "intermediate_size": 4, "num_attention_heads": 1, "num_hidden_layers": 1}
    config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 32, **shape}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ScenarioError, match=r"s\.yaml:4: method: rank 8 is larger"):
        check(model=str(tmp_path / "config.json"))


def test_checking_draws_no_adapters_and_leaves_initialisation_as_it_was(check, monkeypatch):
    """PEFT draws adapters on the CPU: for Llama-2-7B at rank 256 that alone takes 11 s."""
    before = dict(vars(torch.nn.init))

    def draw(tensor: torch.Tensor, *args: object, **kwargs: object) -> None:
        assert tensor.is_meta, "values were drawn"

    monkeypatch.setattr(torch.nn.init, "kaiming_uniform_", draw)
    check(method=["peft-lora", "peft-lora-fa", {"name": "peft", "config": {"peft_type": "LORA", "r": 4}}])
    monkeypatch.undo()
    assert dict(vars(torch.nn.init)) == before


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"kept_logits": [0, 2]}, r"s\.yaml:\d+: kept_logits\[1\]: kept_logits 2 is of an evaluation"),
        ({"phase": "eval", "seq": {"lengths": [8, 4]}}, r"s\.yaml:\d+: seq: phase 'eval' has batches of one"),
        (
            {"update": "backward", "accumulation": [1, 2]},
            r"s\.yaml:\d+: update: update 'backward' frees each",
        ),
        ({"update": ["step", "backward"], "max_grad_norm": 1.0}, r"s\.yaml:\d+: update\[1\]: .*common norm"),
        ({"optimizer": ["adamw", "adamw-8bit"]}, r"s\.yaml:\d+: optimizer\[1\]: .*is for a GPU"),
        ({"method": "peft-lora-fa", "update": "backward"}, r"update: .*has an optimizer of its own"),
    ],
)
def test_what_does_not_go_together_is_told_at_its_line(check, settings, said):
    """Also where another cell of the same shape was built before."""
    with pytest.raises(ScenarioError, match=said):
        check(**settings)
