from __future__ import annotations

from pathlib import Path

import pytest

from lorafa_prof.errors import ScenarioError, UsageError
from lorafa_prof.scenario.load import LoadedScenario, load_scenario

TEXT = """\
schema: 1
name: x
model: tiny-llama
method:
  - full-ft
  - {name: lora, rank: 4}
batch: [1, 2]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "s.yaml").write_text(TEXT)
    return tmp_path / "s.yaml"


def load(file: Path, *overrides: str) -> LoadedScenario:
    return load_scenario(file, overrides)


def test_values_are_yaml_and_the_last_one_counts(file):
    scenario = load(file, "batch=3", "seq=[16, 32]", "batch=4", "description=1 = one").scenario
    assert (scenario.batch, scenario.seq, scenario.description) == ([4], [16, 32], "1 = one")


def test_the_later_axes_can_be_set_too(file):
    scenario = load(file, "padding=0.25", "accumulation=[1, 4]", "max_grad_norm=[null, 1.0]").scenario
    assert (scenario.padding, scenario.accumulation, scenario.max_grad_norm) == ([0.25], [1, 4], [None, 1.0])
    assert load(file, "max_grad_norm=null").scenario.max_grad_norm == [None]


def test_nested_keys_as_errors_show_them(file):
    scenario = load(file, "method[1].rank=[8, 16]", "method[1].dropout=0.1", "steps.timed=7").scenario
    assert scenario.method[1].model_extra == {"rank": [8, 16], "dropout": 0.1}
    assert (scenario.steps.timed, scenario.steps.warmup) == (7, 3)
    assert scenario.method[0].name == "full-ft"


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("batch", "write it as KEY=VALUE"),
        ("=4", "write it as KEY=VALUE"),
        ("method[x].rank=4", "write it as KEY=VALUE"),
        ("batch=[1", "this is no YAML"),
        ("batch=*a", "this is no YAML"),
        ("name=!!bool x", "'x' is no bool"),
        (f"batch={'9' * 500}", "a number of 500 characters"),
        (f"method[{'9' * 500}].rank=4", "write it as KEY=VALUE"),
        (f"name{'.x' * 70}=4", "71 keys inside each other: 64 are the most"),
        ("name.x=4", "'name' has no keys of its own"),
        ("method[0].rank=4", "'method[0]' has no keys of its own"),
        ("method.rank=4", "'method' has no keys of its own"),
        ("method[2].rank=4", "'method' has 2 entries, counted from 0"),
        ("name[0]=4", "'name' is no list"),
    ],
)
def test_what_cannot_be_set_names_the_option(file, override, words):
    with pytest.raises(UsageError) as error:
        load(file, override)
    assert str(error.value).startswith(f"--set {override}: ")
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("override", "key", "words"),
    [
        ("bach=4", "bach", "did you mean 'batch'"),
        ("batch=four", "batch", "a whole number, not 'four'"),
        ("steps.warmup=0", "steps.warmup", "at least 1"),
        ("padding=1", "padding", "less than 1"),
        ("max_grad_norm=0", "max_grad_norm", "greater than 0"),
        ("a.b=1", "a", "unknown key"),
        ("schema=2", "schema", "reads schema 1, not 2"),
    ],
)
def test_an_invalid_value_names_the_option_and_no_line_of_the_file(file, override, key, words):
    with pytest.raises(ScenarioError) as error:
        load(file, override)
    assert str(error.value).startswith(f"--set {override}: {key}: ")
    assert words in str(error.value)
