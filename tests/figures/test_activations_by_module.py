from __future__ import annotations

import numpy as np
import pytest
from drawings import notes, texts
from hypothesis import given
from hypothesis import strategies as st
from made_up_records import saved
from matplotlib.collections import QuadMesh
from stored import storage

from lorafa_prof.figures import FIGURES
from lorafa_prof.figures.figure import NoDataError
from lorafa_prof.figures.kit.heat_rows import heat_rows
from lorafa_prof.figures.kit.layer_bytes import LayerBytes, Module, layer_bytes, merged, split_path

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


def test_fields_of_the_map_are_the_bytes_of_the_record(results):
    record = saved(
        storage("h.0.attn", 8 * MIB),
        storage("h.0.attn", 2 * MIB),
        storage("h.0.mlp", 5 * MIB),
        storage("h.1.attn", 4 * MIB),
        storage("h.1.attn", MIB, from_before=True),
        storage("head", 3 * MIB),
    )
    drawing = FIGURES["activation-heatmap"].draw(results({}, details={"cell0": record}))
    (mesh,) = drawing.axes[0].findobj(QuadMesh)
    assert np.array_equal(mesh.get_array().filled(-1), [[10, 4], [5, -1]])
    assert [label.get_text() for label in drawing.axes[0].get_yticklabels()] == ["attn", "mlp"]
    assert "lora 19.000 MiB (3.000 MiB)" in notes(drawing)
    assert "saved in one layer (MiB)" in texts(drawing)


def test_one_map_for_each_method_of_the_group_that_has_most_on_one_scale(results):
    record = saved(storage("h.0.a", 8 * MIB))
    larger = saved(storage("h.0.a", 16 * MIB), storage("h.0.b", MIB))
    rows = [
        {"batch": 1, "method": "full-ft"},
        *({"method": method, "rank": rank} for method in ("lora", "lora-fa") for rank in (8, 64)),
        {"method": "peft-lora", "status": "oom"},
    ]
    details = {f"cell{index}": larger if index > 2 else record for index in range(len(rows))}
    drawing = FIGURES["activation-heatmap"].draw(results(*rows, details=details))
    meshes = [axes.findobj(QuadMesh)[0] for axes in drawing.axes if axes.get_label().startswith("lora")]
    assert [axes.get_label() for axes in drawing.axes] == ["lora", "lora-fa", "colors"]
    assert [mesh.get_clim() for mesh in meshes] == [(0, 16), (0, 16)]
    assert [mesh.get_array().shape for mesh in meshes] == [(2, 1), (2, 1)]
    assert "Not drawn: 4 of 6 cells" in notes(drawing)


def test_four_methods_at_most_have_a_map(results):
    methods = ("full-ft", "lora", "lora-fa", "peft-lora", "peft-lora-fa")
    details = {f"cell{index}": saved(storage("h.0.a", MIB)) for index in range(5)}
    drawing = FIGURES["activation-heatmap"].draw(results(*({"method": m} for m in methods), details=details))
    assert [axes.get_label() for axes in drawing.axes] == [*methods[:4], "colors"]
    assert "Not drawn: 1 of 5 cells" in notes(drawing)


def test_of_many_modules_the_smallest_are_one_row_and_sum_to_the_same():
    held = LayerBytes({Module("h", f"m{index}"): {0: index + 1} for index in range(30)}, 0)
    rows = heat_rows([held])
    assert rows.count == 20
    assert len(rows.rest) == 11
    assert np.nansum(rows.values(held)) == held.total_bytes
    assert rows.labels(len, 100)[-1] == "11 other modules"


def test_long_names_lose_their_middle_and_stacks_are_named_where_there_are_several():
    names = ["layer.1.DenseReluDense.wo", "an_endless_name_without_dots_in_it"]
    held = LayerBytes({Module("encoder.block", name): {0: 1} for name in names}, 0)
    assert heat_rows([held]).labels(len, 20) == ["layer.1…wo", "an_endless_name_wit…"]
    other = LayerBytes({Module("decoder.block", ""): {0: 1}}, 0)
    assert heat_rows([held, other]).labels(len, 99)[-1] == "decoder (the layer itself)"


def test_a_record_without_layers_is_nothing_to_draw(results):
    with pytest.raises(NoDataError, match="numbered layers"):
        FIGURES["activation-heatmap"].draw(results({}, details={"cell0": saved(storage("head", 1))}))
