"""scenarios/paper claims what was published; tests/report/published has the page that is made of them."""

from __future__ import annotations

import pytest

from lorafa_prof.claims.checks import Check
from lorafa_prof.claims.gate import Gate, gate_of
from lorafa_prof.scenario.load import load_scenario
from lorafa_prof.scenario.shipped import shipped_scenarios

NAMES = sorted(name.removeprefix("paper/") for name in shipped_scenarios() if name.startswith("paper/"))
GB = 10**9


def gate(name: str) -> Gate:
    return gate_of(load_scenario(shipped_scenarios()[f"paper/{name}"]), None)


@pytest.mark.parametrize("name", NAMES)
def test_each_claim_names_its_source(name: str) -> None:
    assert all(check.claim.source for check in gate(name).checks)
    assert len(gate(name).planned) <= 100


#: scenario, method, metric, setting that must be there, published number.
PUBLISHED = [
    ("roberta-large", "peft-lora", "peak_reserved_bytes", "value", 22.5 * GB),
    ("roberta-large", "peft-lora-fa", "peak_reserved_bytes", "value", 15.7 * GB),
    ("roberta-large", "peft-lora", "peak_reserved_bytes", "ratio", 22.5 / 15.7),
    ("t5-base", "peft-lora", "peak_reserved_bytes", "value", 32.1 * GB),
    ("t5-base", "peft-lora-fa", "peak_reserved_bytes", "value", 25.3 * GB),
    ("t5-base", "peft-lora", "peak_reserved_bytes", "ratio", 32.1 / 25.3),
    ("autocast", "peft-lora", "peak_reserved_bytes", "value", 22.5 * GB),
    ("autocast", "peft-lora-fa", "peak_reserved_bytes", "value", 15.7 * GB),
    ("autocast", "peft-lora", "peak_reserved_bytes", "value", 32.1 * GB),
    ("autocast", "peft-lora-fa", "peak_reserved_bytes", "value", 25.3 * GB),
    ("models", "peft-lora", "peak_reserved_bytes", "ratio", 1.4),
    ("llama-2-7b", "peft-lora-fa", "activation_bytes", "value", 36 * GB),
    ("llama-2-7b", "peft-lora", "activation_bytes", "value", 60 * GB),
    ("llama-65b", "lora", "saved_bytes", "difference", 50 * GB / 16),
    ("metamathqa", "peft-lora", "peak_reserved_bytes", "value", 22.29 * GB),
    ("metamathqa", "peft-lora-fa-after-eval", "peak_reserved_bytes", "value", 22.24 * GB),
    ("metamathqa", "peft-lora-fa", "peak_reserved_bytes", "value", 20.21 * GB),
    ("metamathqa", "peft-lora", "step_ms_median", "value", 117),
    ("metamathqa", "peft-lora-fa", "step_ms_median", "value", 155),
    ("metamathqa", "peft-lora-fa", "step_ms_median", "ratio", 155 / 117),
]


@pytest.mark.parametrize(("name", "method", "metric", "kind", "number"), PUBLISHED)
def test_a_published_number_is_just_inside_its_claim(
    name: str, method: str, metric: str, kind: str, number: float
) -> None:
    about = [
        check
        for check in gate(name).checks
        if (check.cell.method.name, check.metric.name, check.kind) == (method, metric, kind)
    ]
    holding = [check for check in about if not check.expected.excess(number)]
    assert holding
    assert any(bites(check, number) for check in holding), "a claim that any number fulfils says nothing"


def bites(check: Check, number: float) -> bool:
    """Whether the number less or more by 15 % would fail."""
    return bool(check.expected.excess(0.85 * number) or check.expected.excess(1.15 * number))


def test_amounts_of_a_layer_are_the_formulas() -> None:
    tokens, blocks, h, i = 8 * 1024, 32, 4096, 11008
    widths = {
        "down_proj": i,
        "gate_proj": h,
        "q_proj": h,
        "o_proj": h,
        "q_proj,v_proj": 2 * h,
        "all-linear": 6 * h + i,
    }
    seen = set()
    for check in gate("layer").checks:
        targets = check.cell.method.options["targets"]
        if check.kind == "difference":
            assert check.expected.low == check.expected.high == 2 * tokens * blocks * widths[targets]
            seen.add(targets)
        else:
            linears = 7 if targets == "all-linear" else 1
            assert check.expected.low == check.expected.high == 2 * tokens * blocks * linears
    assert seen == set(widths)
