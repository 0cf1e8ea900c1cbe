from __future__ import annotations

import pytest
from outcomes import HOST, environment, on, outcome

from lorafa_prof.comparing.comparable import ACROSS, bars, differences, parse_across, told_versions
from lorafa_prof.errors import UsageError


def between(before, after, *, kind="sim", method="lora"):
    """Differences of one cell on two machines."""
    cell = on(kind, method=method)
    return differences(outcome(cell, machine=before), outcome(cell, machine=after))


SAME = environment()


def test_versions_that_bear_on_every_row():
    assert between(SAME, SAME) == {}
    assert between(SAME, environment(torch="2.14.0")) == {"torch": "2.13.0 → 2.14.0"}
    assert between(SAME, environment(transformers="5.18.0")) == {"transformers": "5.17.0 → 5.18.0"}
    assert between(SAME, environment(numpy="3.0")) == {}


def test_where_torch_was_installed_from_is_no_version():
    assert between(SAME, environment(torch="2.13.0+cpu")) == {}


def test_peft_counts_for_its_own_methods():
    other = environment(peft="0.22.0")
    assert between(SAME, other) == {}
    for method in ("peft", "peft-lora", "peft-lora-fa"):
        assert between(SAME, other, method=method) == {"peft": "0.21.0 → 0.22.0"}


@pytest.mark.parametrize("settings", [{"quantization": "nf4"}, {"optimizer": "adamw-8bit"}], ids=str)
def test_bitsandbytes_counts_where_it_does_the_work(settings):
    one, other = environment(bitsandbytes="0.50.2"), environment(bitsandbytes="0.51.0")

    def between_kinds(before, after, **settings):
        cells = (on(before, **settings), on(after, **settings))
        sides = (outcome(cell, machine=machine) for cell, machine in zip(cells, (one, other), strict=True))
        return differences(*sides)

    assert between_kinds("cuda", "cuda") == {}
    assert between_kinds("cuda", "cuda", **settings) == {"bitsandbytes": "0.50.2 → 0.51.0"}
    assert between_kinds("sim", "sim", **settings) == {}
    assert between_kinds("sim", "cuda", **settings) == {"device": "the twin → a GPU"}


def test_what_bears_on_the_device_counts_there_only():
    cuda, cpu = {"torch": {"cuda": "12.8"}}, {"host": HOST | {"cpu": "another"}}
    cores, allocator = {"host": HOST | {"cores_logical": 64}}, {"allocator": {"PYTORCH_ALLOC_CONF": "x:True"}}
    counts = {
        kind: [
            name
            for changes in (cuda, cpu, cores, allocator)
            for name in between(SAME, environment(**changes), kind=kind)
        ]
        for kind in ("cuda", "sim", "cpu")
    }
    assert counts == {"cuda": ["torch", "allocator"], "sim": ["allocator"], "cpu": ["cpu", "cpu"]}


def test_devices_and_gpus():
    twin, gpu, other, cpu = (outcome(cell) for cell in (on("sim"), on("cuda"), on("sim", "b200"), on("cpu")))
    assert differences(twin, gpu) == {"device": "the twin → a GPU"}
    assert differences(twin, other) == {"gpu": "h100-80gb → b200"}
    assert differences(gpu, other) == {"device": "a GPU → the twin", "gpu": "h100-80gb → b200"}
    assert differences(cpu, gpu) == {"device": "the CPU → a GPU"}


def test_settings_that_both_have():
    lora = outcome(on("sim", gpu="b200"))
    fused = outcome(on("sim", kernels="fused", seed=1))
    assert differences(lora, fused) == {
        "kernels": "eager → fused",
        "seed": "0 → 1",
        "gpu": "b200 → h100-80gb",
    }
    full = outcome(on("sim", method="full-ft", gpu="b200"))
    assert differences(lora, full) == {"method": "lora → full-ft"}


def test_an_unknown_version_is_not_a_known_one_and_no_machine_bars_nothing():
    unknown = environment() | {"packages": {"transformers": "5.17.0", "torch": None}}
    assert between(unknown, SAME) == {"torch": "unknown → 2.13.0"}
    assert between({}, SAME) == between(SAME, {}) == {}


def test_what_is_asked_for_bars_no_more_and_another_cpu_never_bars_a_row():
    differing = {"gpu": "a → b", "torch": "1 → 2", "cpu": "x → y"}
    assert set(bars(differing, frozenset())) == {"gpu", "torch"}
    assert set(bars(differing, frozenset({"gpu"}))) == {"torch"}
    assert bars(differing, frozenset(ACROSS)) == {}


def test_across_is_parsed():
    assert parse_across(()) == frozenset()
    assert parse_across(("gpu, torch", "device")) == {"gpu", "torch", "device"}
    assert parse_across(("optimizer,rank", "seed")) == {"optimizer", "rank", "seed"}
    for wrong, near in (
        ("transformer", "did you mean 'transformers'"),
        ("", "it takes gpu, device"),
        ("gpu,", "unknown ''"),
        ("optimiser", "did you mean 'optimizer'"),
    ):
        with pytest.raises(UsageError, match=near):
            parse_across((wrong,))


def test_versions_are_told_once_and_only_where_both_are_known():
    new = environment(torch="2.14.0") | {"source": {"commit": "0123456789"}}
    base = outcome(on("sim"), machine=SAME | {"source": {"commit": "abcdef0123"}})
    pairs = [(base, outcome(on("sim", batch=batch), machine=new)) for batch in (1, 2)]
    assert told_versions(pairs) == ["commit of lorafa-prof abcdef0 → 0123456", "torch 2.13.0 → 2.14.0"]
    without_commit = outcome(on("sim"))
    assert told_versions([(without_commit, pairs[0][1]), (base, outcome(on("sim"), machine={}))]) == [
        "torch 2.13.0 → 2.14.0"
    ]
