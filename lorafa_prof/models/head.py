"""The head that a task needs, in the place of the one that a model's config is for."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

from lorafa_prof.errors import UsageError
from lorafa_prof.models.build import AUTO_CLASS
from lorafa_prof.models.preset import CLASSIFIES, Task
from lorafa_prof.models.resolve import ResolvedModel


def with_head(
    resolved: ResolvedModel, task: Task, *, classes: int | None = None, pad_id: int | None = None
) -> ResolvedModel:
    """Return the network with the head of `task`.

    Args:
        resolved: the network; its config is copied, not changed.
        task: what it is to be trained for.
        classes: of a classifier, how many.
        pad_id: of a classifier of text, fills up its batches; by it a decoder finds the last token of a text.

    Raises:
        UsageError: transformers has no such head for it.
    """
    kind = type(resolved.config)
    own_code = getattr(resolved.config, "auto_map", None) or {}
    auto_class = AUTO_CLASS[task]
    # A masked language model is no causal one, though transformers could run it as a decoder.
    is_its_own = task == resolved.task
    has_one = kind in auto_class._model_mapping or auto_class.__name__ in own_code
    if not is_its_own and (task == "causal-lm" or not has_one):
        raise UsageError(
            f"model '{resolved.name}' (type '{resolved.config.model_type}') is a {resolved.task} model and "
            f"cannot be trained on a task of {task}",
            about="task",
        )
    if task not in CLASSIFIES:
        return resolved
    config: Any = copy.deepcopy(resolved.config)
    config.num_labels = classes
    config.problem_type = "single_label_classification"
    if task == "sequence-classification" and config.get_text_config().pad_token_id is None:
        config.get_text_config().pad_token_id = pad_id
    return replace(resolved, task=task, config=config, has_new_head=True)
