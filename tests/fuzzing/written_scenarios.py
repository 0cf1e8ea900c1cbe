"""Scenario files and ``--set`` values that people, editors and enemies may write."""

from __future__ import annotations

from hypothesis import strategies as st

#: Texts that some reader has tripped over: tags, numbers of other schemas, controls, bidirectional marks.
ODD_VALUES = (
    "",
    "~",
    "no",
    "010",
    "1:30",
    "1_000",
    "0x" + "f" * 200,
    "9" * 5000,
    "1e999",
    ".nan",
    "-.inf",
    "2026-13-45",
    "!!bool x",
    "!!timestamp x",
    "!!python/object:os.system x",
    "!mine [1]",
    "[" * 300,
    "{a: " * 100,
    "- " * 100,
    "&a [*a]",
    "{<<: {a: 1}}",
    "*none",
    '"\\0"',
    '"\\ud800"',
    '"a\\nb"',
    '"\\u202e"',
    "a" * 300,
    "~nobody/x",
    "./" + "b" * 300,
    "/dev/null",
    "/proc/self/mem",
    "owner/" + "c" * 300,
    "[]",
    "{}",
    "[[[]]]",
    "true",
    "null",
    "-1",
    "0",
    "1.5",
    "% @ ` | >",
)
KEYS = (
    "schema",
    "name",
    "description",
    "model",
    "method",
    "batch",
    "seq",
    "dtype",
    "adapter_dtype",
    "attention",
    "kernels",
    "checkpointing",
    "optimizer",
    "padding",
    "accumulation",
    "max_grad_norm",
    "update",
    "autocast",
    "device",
    "gpu",
    "steps",
    "seed",
    "exclude",
    "claims",
)
PLAIN = {
    "schema": "1",
    "name": "x",
    "model": "tiny-gpt2",
    "method": "{name: lora, rank: 4}",
    "batch": "1",
    "seq": "16",
    "device": "cpu",
}

_texts = st.one_of(
    st.sampled_from(ODD_VALUES),
    st.text(max_size=30),
    st.integers().map(str),
    st.floats().map(str),
    st.lists(st.sampled_from(ODD_VALUES), max_size=4).map(lambda values: f"[{', '.join(values)}]"),
    st.dictionaries(
        st.sampled_from(("name", "rank", "metric", "at_most", "weights", *KEYS)),
        st.sampled_from(ODD_VALUES),
        max_size=4,
    ).map(lambda values: "{" + ", ".join(f"{key}: {value}" for key, value in values.items()) + "}"),
)


def scenarios() -> st.SearchStrategy[str]:
    """A scenario that is valid but for some of its values, or any text."""
    changed = st.dictionaries(st.one_of(st.sampled_from(KEYS), st.text(max_size=12)), _texts, max_size=3)
    return st.one_of(changed.map(_written), changed.map(_written), st.text(max_size=200))


def settings_texts() -> st.SearchStrategy[str]:
    """What may follow ``--set``."""
    keys = st.one_of(
        st.sampled_from(KEYS),
        st.sampled_from(("method[0].rank", "method.rank", "steps.warmup", "a.b.c", "model[9]", "batch[0]")),
        st.text(max_size=12),
    )
    return st.one_of(st.tuples(keys, _texts).map("=".join), st.text(max_size=60))


def _written(changes: dict[str, str]) -> str:
    return "".join(f"{key}: {value}\n" for key, value in {**PLAIN, **changes}.items())
