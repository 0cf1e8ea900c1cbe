from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from outcomes import on, outcome

from lorafa_prof.comparing.pairs import nearest_pair, pair_cells

H100, A100, B200 = "h100-80gb", "a100-40gb", "b200"


METHODS = ("lora", "lora-fa")


def sides(base, new, *across):
    """Pairs as positions in the two lists, and what is left as positions."""
    before, after = ([outcome(cell) for cell in cells] for cells in (base, new))
    pairing = pair_cells(before, after, frozenset(across))

    def at(some, among):
        return next(i for i, each in enumerate(among) if each is some)

    return (
        [(at(one, before), at(other, after)) for one, other in pairing.pairs],
        [at(one, before) for one in pairing.only_base],
        [at(one, after) for one in pairing.only_new],
    )


def test_the_same_cells_are_pairs_in_the_order_of_base():
    base = [on("sim", batch=batch) for batch in (1, 2, 3)]
    assert sides(base, [base[2], on("sim", batch=4), base[0]]) == ([(0, 2), (2, 0)], [1], [1])


def test_another_device_or_gpu_pairs_too():
    for one, other in (
        (("sim", H100), ("sim", A100)),
        (("sim", H100), ("cuda", A100)),
        (("cpu",), ("cuda",)),
    ):
        assert sides([on(*one)], [on(*other)]) == ([(0, 0)], [], [])


@pytest.mark.parametrize(
    "setting",
    [
        {"batch": 2},
        {"dtype": "bf16"},
        {"seed": 1},
        {"padding": 0.5},
        {"method": "lora-fa"},
        {"lengths": (8, 16)},
    ],
    ids=str,
)
def test_a_setting_that_is_another_throughout_pairs_too(setting):
    assert sides([on("sim")], [on("sim", **setting)]) == ([(0, 0)], [], [])
    base, new = [on("sim", seq=16), on("sim", seq=32)], [on("sim", seq=s, kernels="fused") for s in (32, 16)]
    assert sides(base, new) == ([(0, 1), (1, 0)], [], [])


def test_a_setting_with_a_value_on_both_sides_pairs_only_when_it_is_named():
    base, new = [on("sim"), on("sim", batch=2)], [on("sim"), on("sim", batch=4)]
    assert sides(base, new) == ([(0, 0)], [1], [1])
    assert sides(base, new, "batch") == ([(0, 0), (1, 1)], [], [])
    assert sides(base, new, "seq") == ([(0, 0)], [1], [1])


def test_cells_of_another_method_pair_by_what_both_have():
    base, new = ([on("sim", method=method, options={"rank": rank}) for rank in (4, 8)] for method in METHODS)
    assert sides(base, new) == sides(base, new, "method") == ([(0, 0), (1, 1)], [], [])
    assert sides([on("sim", method="full-ft"), base[0]], [new[0]], "method") == ([], [0, 1], [0])
    assert sides([on("sim", method="full-ft")], base) == ([], [0], [0, 1])


def test_cells_of_two_methods_pair_each_with_its_own_across_another_setting():
    mixed = [on("sim", method="full-ft"), *(on("sim", options={"rank": rank}) for rank in (4, 8))]
    other = [cell.model_copy(update={"optimizer": "sgd"}) for cell in mixed]
    assert sides(mixed, other) == ([(0, 0), (1, 1), (2, 2)], [], [])


def test_the_nearest_pair_differs_in_least():
    base = [outcome(on("sim", batch=1, seed=3)), outcome(on("sim", batch=2))]
    new = [outcome(on("sim", batch=3, kernels="fused")), outcome(on("sim", batch=3))]
    assert nearest_pair(base, new) == (base[1], new[1])


def test_of_several_the_same_cell_the_same_gpu_the_same_kind():
    assert sides([on("sim"), on("sim", A100)], [on("sim", A100), on("sim")]) == ([(0, 1), (1, 0)], [], [])
    assert sides([on("cuda"), on("cuda", A100)], [on("sim", A100), on("sim")]) == ([(0, 1), (1, 0)], [], [])
    assert sides([on("cuda"), on("sim")], [on("sim", A100), on("cuda", A100)]) == ([(0, 1), (1, 0)], [], [])
    assert sides([on("cuda")], [on("cuda", A100), on("sim")]) == ([(0, 1)], [], [0])


def test_where_that_leaves_a_choice_none_is_taken():
    assert sides([on("sim", H100), on("sim", A100)], [on("sim", B200)]) == ([], [0, 1], [0])
    assert sides([on("sim", B200)], [on("sim", H100), on("sim", A100)]) == ([], [0], [0, 1])


CELLS = [on(kind, gpu, batch=batch) for kind in ("sim", "cuda") for gpu in (H100, A100) for batch in (1, 2)]
SOME = st.lists(st.sampled_from(CELLS), unique_by=lambda cell: cell.cell_id)


@given(SOME, SOME)
def test_each_cell_is_in_one_pair_or_left(base, new):
    pairs, only_base, only_new = sides(base, new)
    assert sorted([*(one for one, _ in pairs), *only_base]) == list(range(len(base)))
    assert sorted([*(other for _, other in pairs), *only_new]) == list(range(len(new)))
    assert [one for one, _ in pairs] == sorted(one for one, _ in pairs)
    for one, other in pairs:
        # Else it is another one throughout.
        assert base[one].batch == new[other].batch or not {c.batch for c in base} & {c.batch for c in new}
        assert base[one] == new[other] or base[one] not in new
    assert not [one for one in only_base if base[one] in new]


@given(SOME, SOME)
def test_pairing_is_the_same_from_either_side(base, new):
    there, only_base, only_new = sides(base, new)
    back, also_new, also_base = sides(new, base)
    assert sorted(there) == sorted((one, other) for other, one in back)
    assert (only_base, only_new) == (also_base, also_new)
