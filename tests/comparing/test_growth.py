from __future__ import annotations

from outcomes import compared, on, only, result
from stored import storage

from lorafa_prof.comparing.metrics import Comparison
from lorafa_prof.comparing.tolerance import COMPARED

UP, DOWN = storage("layers.0.up", 64), storage("layers.0.down", 32)
ROW = {"activation_bytes": 1000, "weights_bytes": 500, "optimizer_bytes": 10, "peak_allocated_bytes": 2000}


def finding(storages, *metrics: str, base_storages=(DOWN,), **row):
    """Of a cell that saved DOWN before, and has these storages and this row now."""
    before = result(on("sim"), storages=base_storages, **ROW)
    after = result(on("sim"), storages=storages, **(ROW | row))
    return only(compared(before, after, Comparison(tuple(COMPARED[name] for name in metrics))))


def told(found) -> list[tuple[str, str, int]]:
    return [(each.key.module, each.key.kind, each.delta_bytes) for each in found.culprits]


def test_the_tensors_that_make_activations_grow_largest_first():
    found = finding(
        [UP, storage("layers.1.up", 64), storage("layers.0.norm", 4, "norm")], activation_bytes=1104
    )
    assert found.culprits_of == "activation_bytes"
    assert told(found) == [
        ("layers.*.up", "linear_input", 128),
        ("layers.*.norm", "norm", 4),
        ("layers.*.down", "linear_input", -32),
    ]


def test_a_peak_has_weights_gradients_and_optimizer_in_it_too():
    row = {
        "peak_allocated_bytes": 3000,
        "activation_bytes": 1064,
        "optimizer_bytes": 100,
        "weights_bytes": 499,
    }
    found = finding([UP, DOWN], **row)
    assert found.culprits_of == "peak_allocated_bytes"
    assert told(found) == [("", "optimizer", 90), ("layers.*.up", "linear_input", 64), ("", "weights", -1)]
    # What autograd saved alone has none of these.
    assert told(finding([UP, DOWN], "activation_bytes", **row)) == [("layers.*.up", "linear_input", 64)]


def test_reserved_is_explained_only_where_nothing_nearer_is_worse():
    found = finding([UP, DOWN], activation_bytes=1064)
    before = result(on("sim"), storages=[DOWN], peak_reserved_bytes=0, activation_bytes=0)
    after = result(on("sim"), storages=[UP, DOWN], peak_reserved_bytes=10**6, activation_bytes=64)
    assert only(compared(before, after)).culprits_of == found.culprits_of == "activation_bytes"
    after.row["activation_bytes"] = 0
    assert only(compared(before, after)).culprits_of == "peak_reserved_bytes"


def test_nothing_is_explained_where_nothing_got_worse():
    for row in ({}, {"activation_bytes": 900}):
        found = finding([UP], **row)
        assert (found.culprits_of, found.culprits) == ("", ())


def test_flops_times_and_the_host_have_no_tensors():
    for name, column in COMPARED.items():
        if column.better == "lower" and (column.group != "memory" or name == "host_rss_bytes"):
            before = result(on("sim"), storages=[DOWN], **{name: 10**9})
            after = result(on("sim"), storages=[UP], **{name: 2 * 10**9})
            found = only(compared(before, after, Comparison((column,))))
            assert (found.culprits_of, found.culprits) == ("", ()), name


def test_what_was_not_recorded_on_both_sides_has_not_grown():
    found = finding(None, activation_bytes=1064)
    assert (found.culprits_of, found.culprits) == ("", ())
    assert told(finding([UP], base_storages=None, peak_allocated_bytes=9000, optimizer_bytes=11)) == [
        ("", "optimizer", 1)
    ]
