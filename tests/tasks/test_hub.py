"""Data sets through `datasets`: a stand-in for the package, so that neither it nor a network is needed."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from small_models import BYTES

from lorafa_prof.errors import UsageError
from lorafa_prof.tasks.choice import TaskChoice
from lorafa_prof.tasks.open import open_task

BOOLQ = [{"question": f"do {name} run", "passage": "", "answer": True} for name in ("ants", "bees", "cats")]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What the stand-in is asked for; it has BoolQ, by whatever id."""
    calls: list[tuple[Any, ...]] = []
    module = ModuleType("datasets")

    def load_dataset(name: str, config: str | None, *, split: str) -> list[dict[str, Any]]:
        calls.append((name, config, split))
        if name == "no/such":
            raise FileNotFoundError("Dataset 'no/such' doesn't exist on the Hub or cannot be accessed.\nmore")
        if name == "no/network":
            raise ConnectionError("Couldn't reach 'no/network' on the Hub (LocalEntryNotFoundError)")
        return BOOLQ

    module.load_dataset = load_dataset  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", module)
    return calls


def test_a_task_without_data_is_read_from_its_place_on_the_hub(asked: list[Any]) -> None:
    task: Any = open_task(TaskChoice(name="boolq"), BYTES, 200)
    assert asked == [("google/boolq", None, "train"), ("google/boolq", None, "validation")]
    assert len(task.training_examples()) == 2
    assert task.items.of("test")[0].prompt.endswith("question: do ants run?\n\nAnswer format: true/false")


def test_data_may_be_another_id(asked: list[Any]) -> None:
    open_task(TaskChoice(name="boolq", data="mine/boolq"), BYTES, 200)
    assert asked[0] == ("mine/boolq", None, "train")


def test_a_set_of_several_is_asked_for_by_its_configuration(asked: list[Any]) -> None:
    with pytest.raises(UsageError, match="'nyu-mll/glue', split 'train', item 1: there is no 'sentence1'"):
        open_task(TaskChoice(name="rte"), BYTES, 200)
    assert asked == [("nyu-mll/glue", "rte", "train"), ("nyu-mll/glue", "rte", "validation")]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("no/such", "(FileNotFoundError: Dataset 'no/such' doesn't exist on the Hub or cannot be accessed.)"),
        ("no/network", "(ConnectionError: Couldn't reach 'no/network' on the Hub (LocalEntryNotFoundError))"),
    ],
)
def test_what_cannot_be_had_is_one_line(asked: list[Any], name: str, said: str) -> None:
    with pytest.raises(UsageError) as raised:
        open_task(TaskChoice(name="boolq", data=name), BYTES, 200)
    assert str(raised.value) == (
        f"the data set '{name}', split 'train', cannot be read from the hub {said}; check its name and the "
        "network, or set data to a local file or folder"
    )


def test_a_missing_package_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UsageError) as raised:
        open_task(TaskChoice(name="boolq"), BYTES, 200)
    assert str(raised.value) == (
        "the data set 'google/boolq' is read by the package `datasets`, which is not installed: pip install "
        "'lorafa-prof[learn]', or set data to a local file or folder"
    )


def test_a_saved_data_set_needs_the_package_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    (tmp_path / "dataset_dict.json").write_text("{}")
    with pytest.raises(UsageError, match="is read by the package `datasets`, which is not installed"):
        open_task(TaskChoice(name="boolq", data=str(tmp_path)), BYTES, 200)
