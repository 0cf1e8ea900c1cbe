from __future__ import annotations

import itertools
from typing import Any

import pytest
from claimed import cell
from hypothesis import given, settings
from hypothesis import strategies as st

from lorafa_prof.cell import Cell, MethodChoice, ModelChoice
from lorafa_prof.claims.pairs import PairingError, grown_pairs, reference_pairs

RANKS = (8, 64)
BOTH = [cell(method, rank) for method in ("lora", "lora-fa") for rank in RANKS]
LORA, LORA_FA = BOTH[:2], BOTH[2:]
FULL = cell("full-ft")

FEW = settings(max_examples=40)
ranks = st.lists(st.integers(1, 300), min_size=2, max_size=8, unique=True)


def refused(*arguments: Any) -> str:
    with pytest.raises(PairingError) as caught:
        reference_pairs(*arguments)
    return str(caught.value)


def test_each_cell_has_the_one_that_is_like_it_in_all_that_is_not_named():
    pairs = reference_pairs(LORA_FA, BOTH, {"method": "lora"}, None)
    assert pairs == list(zip(LORA_FA, LORA, strict=True))


def test_the_cells_that_are_compared_with_are_not_judged_themselves():
    assert reference_pairs(BOTH, BOTH, {"method": "lora"}, None) == list(zip(LORA_FA, LORA, strict=True))


@pytest.mark.parametrize("method", ["lora", "peft-lora"])
@pytest.mark.parametrize("adapter_dtype", ["fp32", "bf16"])
def test_what_means_nothing_to_one_of_the_two_does_not_keep_them_apart(method, adapter_dtype):
    full = cell("full-ft", dtype="bf16")
    adapted = [cell(method, rank, dtype="bf16", adapter_dtype=adapter_dtype) for rank in RANKS]
    pairs = reference_pairs(adapted, [full, *adapted], {"method": "full-ft"}, None)
    assert pairs == [(each, full) for each in adapted]


def test_several_to_be_compared_with_are_told_by_what_keeps_them_apart():
    said = refused([FULL], [FULL, *LORA], {"method": "lora"}, None)
    assert said == (
        f"{FULL.label} has 2 cells to be compared with, which differ in rank: name it here or in for_each"
    )
    more = [*LORA, cell("lora", 8, dropout=0.1)]
    assert "3 cells to be compared with, which differ in dropout, rank: name them here" in refused(
        [FULL], [FULL, *more], {"method": "lora"}, None
    )


def test_naming_what_keeps_them_apart_is_enough():
    assert reference_pairs([FULL], [FULL, *LORA], {"method": "lora", "rank": 64}, None) == [(FULL, LORA[1])]


def test_none_to_be_compared_with_is_told_by_the_closest_and_both_values():
    bf16 = cell("lora-fa", 8, dtype="bf16", adapter_dtype="bf16")
    fp32 = cell("lora", 8, dtype="bf16", adapter_dtype="fp32")
    far = cell("lora", 64, dtype="bf16", adapter_dtype="fp32", batch=9)
    said = refused([bf16], [bf16, far, fp32], {"method": "lora"}, None)
    assert said == (
        f"{bf16.label} has no cell to be compared with: "
        "the closest one differs in adapter_dtype (bf16 and fp32)"
    )


def test_for_each_names_the_settings_that_have_to_be_the_same():
    eager = cell("lora-fa", 8, batch=4)
    fused = cell("lora-fa", 8, kernels="fused-loss", batch=4, dropout=0.1)
    assert "dropout (0.1 and 0.0)" in refused([fused], [eager, fused], {"kernels": "eager"}, None)
    assert reference_pairs([fused], [eager, fused], {"kernels": "eager"}, ["rank", "batch"]) == [
        (fused, eager)
    ]
    other = cell("lora-fa", 8, batch=2)
    pairs = reference_pairs([fused], [other, eager, fused], {"kernels": "eager"}, ["batch"])
    assert pairs == [(fused, eager)]
    assert "differ in batch: name it" in refused([fused], [other, eager], {"kernels": "eager"}, ["rank"])


def test_a_rule_that_matches_nothing_or_all():
    assert refused(LORA, BOTH, {"method": "full-ft"}, None) == "no cell of the scenario matches this"
    said = "it selects the very cells that it is compared with"
    assert refused(LORA, BOTH, {"method": "lora"}, None) == said
    assert refused(BOTH, BOTH, {}, None) == said


@pytest.mark.parametrize(
    "rule", [{"gpu": "h200"}, {"device": "sim:h200"}, {"gpu": "h200", "device": "sim:h200"}]
)
def test_a_gpu_and_its_twin_are_named_by_either(rule):
    h100, h200 = cell(), cell(device="sim:h200")
    assert reference_pairs([h100], [h100, h200], rule, None) == [(h100, h200)]


def test_a_prediction_is_compared_with_what_another_device_has():
    on_cpu, twin = cell(device="cpu"), cell()
    assert reference_pairs([twin], [on_cpu, twin], {"device": "cpu"}, None) == [(twin, on_cpu)]


def test_a_network_with_other_weights_is_another_one():
    random = cell()
    loaded = random.model_copy(update={"model": ModelChoice(name="tiny-llama", weights="pretrained")})
    lora = cell("lora")
    assert reference_pairs([random], [random, loaded, lora], {"method": "lora"}, None) == [(random, lora)]
    assert "weights (pretrained and random)" in refused([loaded], [lora, loaded], {"method": "lora"}, None)


@FEW
@given(st.permutations([8, 64, 128]))
def test_growth_is_between_neighbours_whatever_their_order_in_the_file(order):
    pairs = grown_pairs([cell("lora", rank) for rank in order], "rank")
    assert pairs == [(cell("lora", 8), cell("lora", 64)), (cell("lora", 64), cell("lora", 128))]


@FEW
@given(ranks, st.lists(st.integers(1, 9), min_size=1, max_size=3, unique=True), st.randoms())
def test_growth_is_along_each_line_of_cells_that_are_alike_in_all_else(ranks, batches, random):
    cells = [cell("lora", rank, batch=batch) for rank, batch in itertools.product(ranks, batches)]
    shuffled = random.sample(cells, len(cells))
    steps = list(itertools.pairwise(sorted(ranks)))
    wanted = {(batch, less, more) for batch in batches for less, more in steps}
    found = [
        (less.batch, *(each.method.options["rank"] for each in (less, more)))
        for less, more in grown_pairs(shuffled, "rank")
        if less.batch == more.batch
    ]
    assert len(found) == len(wanted) == len(grown_pairs(shuffled, "rank"))
    assert set(found) == wanted


def test_growth_over_an_axis_of_the_scenario():
    cells = [cell(seq=seq, dropout=dropout) for seq in (2048, 512) for dropout in (0.0, 0.1)]
    pairs = grown_pairs(cells, "seq")
    assert [(less.seq, more.seq) for less, more in pairs] == [(512, 2048)] * 2
    assert all(less.method == more.method for less, more in pairs)


def test_cells_to_which_the_axis_means_nothing_or_that_leave_it_open_are_passed_over():
    assert grown_pairs([FULL, *LORA], "rank") == [tuple(LORA)]
    norms: list[float | None] = [None, 2.0, 1.0]
    cells = [cell(max_grad_norm=norm) for norm in norms]
    assert grown_pairs(cells, "max_grad_norm") == [(cells[2], cells[1])]


def test_cells_that_differ_in_their_weights_too_are_on_two_lines():
    loaded = ModelChoice(name="tiny-llama", weights="pretrained")
    pairs = grown_pairs([*LORA, *(each.model_copy(update={"model": loaded}) for each in LORA)], "rank")
    assert [(less.model.weights, more.model.weights) for less, more in pairs] == [
        ("random", "random"),
        ("pretrained", "pretrained"),
    ]


def configured(rank: int) -> Cell:
    options = {"config": {"peft_type": "LORA", "r": rank}, "tag": None}
    return FULL.model_copy(update={"method": MethodChoice(name="peft", options=options)})


@pytest.mark.parametrize(
    ("cells", "axis"),
    [
        ([FULL, *LORA], "method"),
        (LORA, "targets"),
        (LORA, "rslora"),
        (LORA, "weights"),
        ([configured(8), configured(16)], "config"),
    ],
)
def test_nothing_grows_over_what_is_no_number(cells, axis):
    with pytest.raises(PairingError, match=f"'{axis}' is no number, so nothing grows over it"):
        grown_pairs(cells, axis)


@pytest.mark.parametrize(
    ("cells", "axis"),
    [
        (LORA[:1], "rank"),
        ([LORA[0], LORA_FA[1]], "rank"),
        (LORA, "batch"),
        ([FULL], "rank"),
        ([], "rank"),
    ],
)
def test_growth_needs_two_that_differ_in_nothing_else(cells, axis):
    with pytest.raises(PairingError, match=f"no two of its cells differ in {axis} alone"):
        grown_pairs(cells, axis)
