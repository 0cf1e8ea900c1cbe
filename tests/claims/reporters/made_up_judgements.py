"""Judgements to tell of: one of each state, and any that hypothesis comes up with."""

from __future__ import annotations

from hypothesis import strategies as st

from lorafa_prof.claims.finding import Finding, Item, Judgement
from lorafa_prof.results.tensors import Held, TensorChange, TensorKey

GIB = 2**30

HOLDS = Finding(
    "freezing A pays",
    tuple(
        Item(f"lora-fa r{rank} / lora r{rank}", "pass", "holds", str(ratio), "≤ 0.85", "", ratio)
        for rank, ratio in ((8, 0.781), (64, 0.792))
    ),
    "holds",
)
LINEAR_INPUTS = TensorChange(
    TensorKey("layers.*.q_proj", "linear_input", "linear", "bfloat16", (8, 1024, 4096)),
    Held(0, 0),
    Held(32, 2 * GIB, "peft/layer.py:812"),
)
FAILS = Finding(
    "held bytes, of PEFT",
    (Item("peft-lora-fa r8", "fail", "fails", "42.729 GiB", "≤ 33.354 GiB", "+9.375 GiB", 42.7),),
    "fails",
    about="activation_bytes of peft-lora-fa",
    source="arXiv 2308.03303, https://example.org/a_b",
    file="claims.yaml",
    line=31,
    culprits_of="peft-lora-fa r8",
    culprits=(LINEAR_INPUTS,),
)
UNKNOWN = Finding(
    "step time",
    (Item("lora r8", "unknown", "cannot be judged", "", "≤ 700 ms", "the twin has no clock"),),
    "cannot be judged",
)
ALL_STATES = Judgement(
    "claims", (HOLDS, FAILS, UNKNOWN), 3, notes=("predicted for 5.17",), machine="sim:h100-80gb, torch 2.13.0"
)
WELL = Judgement("well", (HOLDS,), 0)
NOTHING = Judgement("empty", (), 4, notes=("no rows in out/x",))
CELL_FAILED = Judgement("broken", (HOLDS,), 1, cells_failed=("lora r8 b2",))

#: With what breaks lines, tables and markup far more often than chance would have it.
texts = st.text(
    st.one_of(st.characters(), st.sampled_from("|`<>&*_[]\\@#%:,\n\r\x00\x1b\x85\u2028\ud800~$\"'")),
    max_size=40,
)
_states = st.sampled_from(["pass", "fail", "unknown"])
_items = st.builds(
    Item, texts, _states, texts, texts, texts, texts, st.one_of(st.none(), st.integers(), st.floats())
)
_held = st.builds(Held, st.integers(0, 99), st.integers(0, 2**40), texts)
_keys = st.builds(TensorKey, texts, texts, texts, texts, st.tuples(st.integers(0, 9)))
_changes = st.builds(TensorChange, _keys, _held, _held)
findings = st.builds(
    Finding,
    texts,
    st.lists(_items, min_size=1, max_size=10).map(tuple),
    texts,
    texts,
    texts,
    st.one_of(st.none(), texts.filter(lambda text: "\x00" not in text)),
    st.one_of(st.none(), st.integers(1, 99)),
    texts,
    st.lists(_changes, max_size=12).map(tuple),
    texts,
)
judgements = st.builds(
    Judgement,
    texts,
    st.lists(findings, max_size=4).map(tuple),
    st.sampled_from([0, 1, 3, 4]),
    st.lists(texts, max_size=2).map(tuple),
    texts,
    st.lists(texts, max_size=2).map(tuple),
)


def many(finding: Finding, times: int) -> Judgement:
    return Judgement("many", (finding,) * times, 3)
