"""The parts of a step's memory: what each is called and its colour, the same wherever people read of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

PartKey = Literal[
    "weights",
    "optimizer",
    "inputs",
    "workspaces",
    "gradients",
    "saved",
    "held",
    "recomputed",
    "temporaries",
    "other",
]
"""The parts of an explanation, in the order of `PARTS`: together they are all that lives at a moment."""

BlockKind = Literal[
    "weights", "optimizer", "inputs", "workspaces", "gradients", "activations", "temporaries", "other"
]
"""The parts that a block of the allocator has for its whole life, in the order of `PARTS`."""

SavedKind = Literal[
    "linear_input",
    "adapter",
    "norm",
    "attention",
    "mlp_activation",
    "dropout_mask",
    "logits_loss",
    "cast_weight",
    "other",
]
"""What kind of thing a saved tensor is, in the order of `SAVED_PARTS`."""

PART_KEYS: tuple[PartKey, ...] = get_args(PartKey)
BLOCK_KINDS: tuple[BlockKind, ...] = get_args(BlockKind)
SAVED_KINDS: tuple[SavedKind, ...] = get_args(SavedKind)


@dataclass(frozen=True)
class Part:
    """A part of a step's memory.

    Attributes:
        name: short: in the terminal, in legends, on the page.
        meaning: what it is, for who does not know PyTorch.
        color: ``#rrggbb``; no method has it, so that a colour never means both.
        hatch: of matplotlib, where the colour alone does not tell it from its neighbours in print.
    """

    name: str
    meaning: str
    color: str
    hatch: str = ""


# Colours are of Paul Tol's schemes (https://sronpersonalpages.nl/~pault), apart from the methods' Okabe-Ito.
# Neighbours in a stack are apart in lightness too, for colour-blind readers and print in grey.
_ACTIVATIONS, _TEMPORARIES = "#DDCC77", "#ACACAC"

PARTS: Mapping[str, Part] = {
    "weights": Part("weights", "the model's parameters and buffers", "#332288"),
    "optimizer": Part("optimizer state", "kept from step to step", "#AAAADD"),
    "inputs": Part("inputs", "the batch", "#225555"),
    "workspaces": Part(
        "workspaces", "scratch memory of kernels, such as those of matrix products", "#CC6677"
    ),
    "gradients": Part("gradients", "of the weights that train, until the optimizer has used them", "#AA4499"),
    "activations": Part("activations", "all that forward leaves for backward", _ACTIVATIONS),
    "saved": Part("saved activations", "results of forward that backward needs", _ACTIVATIONS),
    "held": Part(
        "held otherwise",
        "results of forward that autograd did not ask for, such as the loss",
        "#BBCCEE",
        "xxxx",
    ),
    "recomputed": Part(
        "recomputed activations", "checkpointing runs a layer's forward again in backward", _TEMPORARIES
    ),
    "temporaries": Part("temporaries", "results in between, gone a moment later", _TEMPORARIES),
    "other": Part("other", "kept from step to step, and none of these", "#555555"),
    "rounding": Part("rounding", "blocks of memory are a little larger than what was asked for", "#DDDDDD"),
    "unexplained": Part("unexplained", "none of the parts that are known", "#C8C8C8"),
}
"""By key. What stays from step to step comes first, at the bottom of a stack; what comes and goes last.

``activations`` are ``saved`` and ``held`` together, and ``recomputed`` are ``temporaries`` of a kind of their
own: these are told apart in words, and look the same.
"""

SAVED_PARTS: Mapping[str, Part] = {
    "linear_input": Part("inputs of linear layers", "what they multiply by their weights", "#4EB265"),
    "adapter": Part("adapters", "low-rank products x·Aᵀ", "#EEEEBB"),
    "norm": Part("norms", "what they normalize, and its statistics", "#225522"),
    "attention": Part("attention", "queries, keys, values and what comes of them", "#AAAA00"),
    "mlp_activation": Part("MLP activations", "between the linear layers of the MLPs", "#882255"),
    "dropout_mask": Part("dropout masks", "which numbers dropout let through", "#FFAABB"),
    "logits_loss": Part("logits and loss", "of each token of the vocabulary", "#997700"),
    "cast_weight": Part(
        "copies of weights", "autocast's, in 16 bits; none of a weight that is in that type itself", "#77AADD"
    ),
    "other": Part("other", "such as what goes into checkpointed layers", "#663333", "....."),
}
"""What ``saved`` is made of, by the kind of the saved tensor."""

PEAK_PARTS: Mapping[str, Part] = {
    "weights_bytes": PARTS["weights"],
    "optimizer_bytes": PARTS["optimizer"],
    "gradients_bytes": PARTS["gradients"],
    **{f"saved_{kind}": replace(part, name=f"saved: {part.name}") for kind, part in SAVED_PARTS.items()},
    "activation_bytes": PARTS["activations"],
    "unsaved": PARTS["held"],
    "other": replace(PARTS["unexplained"], name="other at the peak", hatch="//////"),
}
"""What bars of whole cells are stacked of, from the bottom, by column of the results or key of a report."""
