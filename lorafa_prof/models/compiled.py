"""Compiling each of a model's layers by `torch.compile`, in place: modules, names and state_dict stay.

One layer after the other is what is compiled most, since one graph then serves all layers alike. Shapes are
taken as they are (``dynamic=False``), and a layer may fall apart into several graphs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer

from lorafa_prof.errors import UsageError
from lorafa_prof.words.phrases import count, first_of, one_line


def compile_layers(trained: nn.Module) -> None:
    """Compile each layer of the model when it first runs.

    Args:
        trained: a transformers model, or one that PEFT has wrapped.

    Raises:
        UsageError: it has no layers of the kind that transformers checkpoints one by one.
    """
    from torch import _dynamo as dynamo  # it takes seconds to import

    layers = [module for module in trained.modules() if isinstance(module, GradientCheckpointingLayer)]
    if not layers:
        raise UsageError(
            f"kernels 'compile' finds no layers in a {type(trained).__name__}; eager runs everywhere",
            about="kernels",
        )
    # Layers that are not alike need a graph each. Past the limit PyTorch would run them as they are, and say
    # so in a warning alone.
    dynamo.config.recompile_limit = max(dynamo.config.recompile_limit, 2 * len(layers))
    dynamo.config.fail_on_recompile_limit_hit = True
    for layer in layers:
        layer.compile(dynamic=False)


@contextmanager
def noting_compilation(notes: list[str]) -> Iterator[None]:
    """A context around what is measured; at its end `notes` gets what was not compiled, or only within it."""
    from torch._dynamo.utils import counters

    before = counters["stats"]["unique_graphs"]
    yield
    if late := counters["stats"]["unique_graphs"] - before:
        notes.append(f"{count(late, 'graph')} compiled while it was measured: set more steps.warmup")
    if breaks := sorted(counters["graph_break"]):
        why = one_line(first_of(breaks, 1))
        note = f"torch.compile made several graphs of a layer, or ran parts of it as they are: {why}"
        notes.extend({note} - set(notes))
