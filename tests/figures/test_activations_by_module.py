from __future__ import annotations

import pytest
from drawings import notes, texts
from hypothesis import given
from hypothesis import strategies as st
from made_up_records import saved
from matplotlib.colors import to_hex
from stored import storage

from lorafa_prof.figures import FIGURES
from lorafa_prof.figures.figure import NoDataError
from lorafa_prof.figures.kit.layer_bytes import LayerBytes, Module, layer_bytes, merged, split_path
from lorafa_prof.figures.kit.module_rows import layer_rows
from lorafa_prof.figures.kit.style import looks

MIB = 2**20


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("model.layers.3.self_attn.q_proj", ("model.layers", "self_attn.q_proj", 3)),
        ("base_model.model.model.layers.3.mlp.up_proj.lora_A.default", ("model.layers", "mlp.up_proj", 3)),
        ("base_model.model.model.layers.3.mlp.up_proj.base_layer", ("model.layers", "mlp.up_proj", 3)),
        ("encoder.block.11.layer.1.DenseReluDense.wo", ("encoder.block", "layer.1.DenseReluDense.wo", 11)),
        ("transformer.h.0", ("transformer.h", "", 0)),
        ("lm_head", None),
        ("", None),
        ("model.v2.norm", None),
    ],
)
def test_a_path_is_split_at_its_first_number(path, place):
    found = split_path(path)
    assert found == (None if place is None else (Module(place[0], place[1]), place[2]))


def test_modules_come_in_the_order_of_the_fullest_layer():
    """The first layer of LoRA has no norm: its input needs no gradient."""
    paths = ["h.0.attn", "h.0.mlp", "h.1.norm", "h.1.attn", "h.1.mlp"]
    held = layer_bytes(saved(*(storage(path, 1) for path in paths))["saved"])
    assert [module.inner for module in held.by_module] == ["norm", "attn", "mlp"]


def test_stacks_stay_together():
    encoder, decoder = Module("encoder", "a"), Module("decoder", "a")
    extra = Module("encoder", "b")
    assert merged([[encoder, decoder], [extra]]) == [encoder, extra, decoder]


@given(
    st.lists(
        st.tuples(st.sampled_from(["", "head", "h.0.a", "h.0.b", "h.2.a", "g.1.b"]), st.integers(1, 2**40))
    )
)
def test_no_byte_is_lost_and_none_counted_twice(entries):
    held = layer_bytes(saved(*(storage(path, nbytes) for path, nbytes in entries))["saved"])
    assert held.total_bytes + held.outside_bytes == sum(nbytes for _, nbytes in entries)


def bars(drawing, panel):
    """Bytes of each module's bars in a panel, by its label, in MiB."""
    (axes,) = [axes for axes in drawing.axes if axes.get_label() == panel]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    found = {label: [] for label in labels}
    for bar in axes.patches:
        found[bar.get_gid().partition(":")[2]].append(bar.get_width())
    return found


LAYER, OUTSIDE = "in a typical layer", "outside of the layers"


def test_bars_are_the_bytes_of_a_layer_that_most_are_like_and_of_what_is_in_none(results):
    record = saved(
        storage("h.0.attn", 8 * MIB),
        *(storage(f"h.{layer}.{name}", MIB) for layer in (1, 2) for name in ("attn", "attn", "mlp")),
        storage("h.1.attn", MIB, from_before=True),
        storage("head", 3 * MIB),
        storage("base_model.model.head", 2 * MIB),
    )
    drawing = FIGURES["activations-by-module"].draw(results({}, details={"cell0": record}))
    assert bars(drawing, LAYER) == {"attn": [2], "mlp": [1]}
    assert bars(drawing, OUTSIDE) == {"head": [5]}
    assert "lora: 14.000 MiB in 3 layers (2 of them as drawn), 5.000 MiB outside." in notes(drawing)
    assert "saved (MiB)" in texts(drawing)


def test_the_largest_cell_of_each_method_of_the_largest_group_that_has_most(results):
    record = saved(storage("h.0.a", 8 * MIB))
    larger = saved(storage("h.0.a", 16 * MIB), storage("h.0.b", MIB))
    rows = [
        {"batch": 1, "method": "full-ft"},
        {"batch": 2, "peak_allocated_bytes": 90 * 2**30},
        *(
            {"method": method, "rank": rank, "seq": seq, "peak_allocated_bytes": rank * seq}
            for method in ("lora", "lora-fa")
            for seq in (512, 1024)
            for rank in (64, 8)
        ),
        {"method": "peft-lora", "status": "oom"},
    ]
    details = {f"cell{index}": record for index in range(len(rows))} | {"cell4": larger}
    drawing = FIGURES["activations-by-module"].draw(results(*rows, details=details))
    assert bars(drawing, LAYER) == {"a": [16, 8], "b": [1, 0]}
    assert "seq 1024" in " ".join(drawing.caption)
    assert "Not drawn: 9 of 11 cells" in notes(drawing)


def test_four_methods_at_most_have_bars_in_their_own_colours(results):
    methods = ("full-ft", "lora", "lora-fa", "peft-lora", "peft-lora-fa")
    details = {f"cell{index}": saved(storage("h.0.a", MIB)) for index in range(5)}
    drawing = FIGURES["activations-by-module"].draw(
        results(*({"method": m} for m in methods), details=details)
    )
    colors = [to_hex(bar.get_facecolor()) for bar in drawing.axes[0].patches]
    assert colors == [looks(methods)[method].color.lower() for method in methods[:4]]
    assert "Not drawn: 1 of 5 cells" in notes(drawing)


def test_of_many_modules_the_smallest_are_one_row_and_sum_to_the_same():
    held = LayerBytes({Module("h", f"m{index}"): {0: index + 1} for index in range(30)}, {})
    rows = layer_rows([held], len, 100)
    assert len(rows) == 20
    assert rows[-1].label == "11 other modules"
    assert sum(row.values[0] for row in rows) == held.total_bytes


def test_long_names_lose_their_middle_and_stacks_are_named_where_there_are_several():
    names = ["layer.1.DenseReluDense.wo", "an_endless_name_without_dots_in_it"]
    held = LayerBytes({Module("encoder.block", name): {0: 1} for name in names}, {})
    assert [row.label for row in layer_rows([held], len, 20)] == ["layer.1…wo", "an_endless_name_wit…"]
    other = LayerBytes({Module("decoder.block", ""): {0: 1}}, {})
    assert layer_rows([held, other], len, 99)[-1].label == "decoder (the layer itself)"


def test_each_stack_has_a_typical_layer():
    held = LayerBytes(
        {
            Module("encoder", "a"): {0: 1, 1: 2, 2: 2},
            Module("decoder", "a"): {0: 7},
            Module("encoder", "b"): {0: 3},
        },
        {},
    )
    assert held.typical() == {Module("encoder", "a"): 2, Module("decoder", "a"): 7}
    assert held.typical_share == (3, 4)


def test_a_record_without_layers_is_nothing_to_draw(results):
    with pytest.raises(NoDataError, match="numbered layers"):
        FIGURES["activations-by-module"].draw(results({}, details={"cell0": saved(storage("head", 1))}))
