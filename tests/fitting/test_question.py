"""A scenario becomes what is asked about its cells, each with the memory and the sequences that there are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lorafa_prof.devices.gpus.gpu import GPUS
from lorafa_prof.errors import UsageError
from lorafa_prof.fitting.answer import FitQuestion, Largest, fit_as_asked, longest_seq
from lorafa_prof.fitting.question import DEFAULT_SEQ_LIMIT, asked_of
from lorafa_prof.running.predict_memory import predict_memory
from lorafa_prof.scenario.load import validated_scenario
from lorafa_prof.scenario.yaml_lines import Document


def asked(model: Any = "tiny-llama", method: Any = "lora", **keys: Any) -> list[FitQuestion]:
    """What is asked about a scenario of these keys."""
    data = {"schema": 1, "name": "s", "model": model, "method": method, **keys}
    return asked_of(validated_scenario(Document(Path("s.yaml"), data), []))


def test_a_cell_has_what_the_allocator_can_get_on_its_gpu() -> None:
    capacities = {each.cell.gpu: each.capacity_bytes for each in asked(gpu=["t4", "h100-80gb"])}
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
    (question,) = asked(model, "full-ft", seq=seq)
    assert (question.cell.seq, question.seq_limit) == (seq, limit)


def test_of_a_network_that_sees_images_the_one_sequence_is_looked_at() -> None:
    (question,) = asked("tiny-vit", "full-ft")
    assert (question.cell.seq, question.seq_limit, question.seq_unit) == (17, 17, 17)
    fit = fit_as_asked(question, predict_memory)
    assert longest_seq(fit, predict_memory) == Largest(17, is_limit=True)


@pytest.mark.parametrize(
    ("keys", "gpu"),
    [({"gpu": "t4"}, "t4"), ({"gpu": "t4", "device": "cpu"}, "t4"), ({"device": "sim:t4"}, "t4")],
)
def test_it_is_asked_about_the_twin_that_the_scenario_names(keys: dict[str, str], gpu: str) -> None:
    (question,) = asked(**keys)
    assert (question.cell.device, question.cell.gpu) == (f"sim:{gpu}", gpu)


def test_what_is_of_one_model_on_one_gpu_stands_together() -> None:
    questions = asked(["tiny-llama", "tiny-gpt2"], ["lora", "full-ft"], gpu=["t4", "h100-80gb"])
    assert [(q.cell.model.name, q.cell.gpu, q.cell.method.name) for q in questions] == [
        (model, gpu, method)
        for model in ("tiny-llama", "tiny-gpt2")
        for gpu in ("t4", "h100-80gb")
        for method in ("lora", "full-ft")
    ]


def test_a_run_of_lengths_has_no_longest_sequence() -> None:
    with pytest.raises(UsageError, match="seq: fit asks about steps of one length"):
        asked(seq={"lengths": [8, 4]})


def test_a_gpu_whose_memory_nobody_knows_is_an_error() -> None:
    unknown = next(name for name, gpu in GPUS.items() if gpu.memory_bytes is None)
    with pytest.raises(UsageError, match=f"can get on {unknown} is not known"):
        asked(gpu=unknown)
