"""Random inputs and labels for one step, by task, and how long a sequence a network can take."""

from __future__ import annotations

import inspect
import math
import sys
from fractions import Fraction
from typing import TYPE_CHECKING

import torch
from torch import nn

from lorafa_prof.errors import UsageError
from lorafa_prof.models.packing import IGNORED_LABEL, packed
from lorafa_prof.models.resolve import ResolvedModel

if TYPE_CHECKING:
    from transformers import PretrainedConfig

# These types of model number positions from pad_token_id + 1 and so lose that many of their table.
_POSITIONS_AFTER_PADDING = frozenset(
    {
        "camembert",
        "data2vec-text",
        "esm",
        "ibert",
        "lilt",
        "longformer",
        "luke",
        "mpnet",
        "roberta",
        "roberta-prelayernorm",
        "xlm-roberta",
        "xlm-roberta-xl",
        "xmod",
    }
)

# Their ids are Unicode's numbers of characters.
_READS_CHARACTERS = frozenset({"canine"})
_INPUTS = frozenset({"input_ids", "attention_mask", "labels"})


def make_inputs(
    resolved: ResolvedModel,
    *,
    batch: int,
    seq: int,
    device: torch.device,
    seed: int,
    padding: float = 0.0,
    packing: bool = False,
) -> dict[str, torch.Tensor]:
    """Return the keyword arguments of one forward pass with a loss.

    `input_ids` and `attention_mask` (ones but for padding) are int64 of shape (batch, seq). `labels` are a
    copy of `input_ids` for a causal model, other random ids of that shape for a sequence-to-sequence one, and
    of shape (batch,) for a classifier. They are drawn on the CPU, so a seed means the same on every device.
    No id is a special one: padding would shift RoBERTa's positions, and end-of-text cut a sequence short.

    With `padding` above 0 rows are padded on the right, as a data collator pads them to the longest of their
    batch, by as many tokens as `padding_tokens` says: mask 0, the config's padding id (where it has none the
    ordinary id stays), and label -100. The other tokens are those of the batch without padding.

    With `packing` the rows, without their padding, are the documents of a single row, as `packed` says.
    """
    generator = torch.Generator().manual_seed(seed)
    ordinary = _ordinary_ids(resolved)
    input_ids = _draw(ordinary, (batch, seq), generator)
    if resolved.task == "causal-lm":
        labels = input_ids.clone()
    elif resolved.task == "seq2seq-lm":
        labels = _draw(ordinary, (batch, seq), generator)
    else:
        labels = _class_labels(resolved.config, batch, generator)
    inputs = {"input_ids": input_ids, "attention_mask": torch.ones_like(input_ids), "labels": labels}
    _pad(inputs, resolved, padding_tokens(padding, batch=batch, seq=seq))
    if packing:
        inputs = packed(inputs)
    return {name: tensor.to(device) for name, tensor in inputs.items()}


def check_takes_inputs(model: nn.Module, resolved: ResolvedModel, *, padding: float) -> None:
    """Raise a UsageError if `model` cannot run a training step with what `make_inputs` makes.

    A forward that takes whatever it is given is tried.
    """
    parameters = inspect.signature(model.forward).parameters
    kinds = {parameter.kind for parameter in parameters.values()}
    if inspect.Parameter.VAR_POSITIONAL in kinds:
        return
    wanted = [
        name
        for name, parameter in parameters.items()
        if parameter.default is inspect.Parameter.empty
        and parameter.kind is not inspect.Parameter.VAR_KEYWORD
        and name not in _INPUTS
    ]
    if wanted:
        raise UsageError(
            f"model '{resolved.name}' needs {', '.join(wanted)} beside text, which is not made here",
            about="model",
        )
    if "labels" not in parameters:
        raise UsageError(
            f"model '{resolved.name}' takes no labels, so it has no loss to train by", about="model"
        )
    if padding and "attention_mask" not in parameters:
        raise UsageError(
            f"model '{resolved.name}' takes no attention mask and would read padding as text; set padding: 0",
            about="padding",
        )


def padding_tokens(padding: float, *, batch: int, seq: int) -> list[int]:
    """Return how many tokens of each row are padding: from none in row 0 to ``padding * seq`` in the last.

    Row i has ``padding * seq * i / (batch - 1)``, rounded, with a half rounded down; a batch of one row has
    as much as the last row of a larger one. At least one token of each row is no padding.
    """
    # As the decimal number that was written: 0.07 * 50 is a little above 3.5 in binary.
    most = Fraction(repr(padding)) * seq
    shares = [Fraction(row, batch - 1) for row in range(batch)] if batch > 1 else [Fraction(1)]
    return [min(math.ceil(most * share - Fraction(1, 2)), seq - 1) for share in shares]


def max_seq(resolved: ResolvedModel) -> int | None:
    """Return the longest sequence, in tokens, that the position table allows; None where there is none.

    Raises:
        UsageError: the config has no number for it.
    """
    config = resolved.config.get_text_config()
    positions = _number(resolved, config, "max_position_embeddings")
    if positions is None or positions <= 0 or _has_no_position_table(config):
        return None
    if config.model_type in _POSITIONS_AFTER_PADDING:
        return positions - (_number(resolved, config, "pad_token_id") or 0) - 1
    return positions


def _number(resolved: ResolvedModel, config: PretrainedConfig, name: str) -> int | None:
    value = getattr(config, name, None)
    if value is None or (isinstance(value, (int, float)) and value == int(value)):
        return None if value is None else int(value)
    raise UsageError(f"model '{resolved.name}': {name} of its config is {value!r}, not a whole number")


def check_seq(resolved: ResolvedModel, seq: int) -> None:
    """Raise a UsageError if `seq` tokens are more than the network has positions for.

    Rotary and relative positions have no such limit: there `max_position_embeddings` is advice.
    """
    limit = max_seq(resolved)
    if limit is not None and seq > limit:
        raise UsageError(
            f"seq {seq} is too long for model '{resolved.name}': it has {limit} positions", about="seq"
        )


def _has_no_position_table(config: PretrainedConfig) -> bool:
    rotary = getattr(config, "rope_parameters", None) is not None
    # ESM says so by this name; DeBERTa-v2 and v3 have relative positions beside or instead of a table.
    other = getattr(config, "position_embedding_type", "absolute") in ("rotary", "alibi")
    relative = not getattr(config, "position_biased_input", True)
    return rotary or other or relative


def _pad(inputs: dict[str, torch.Tensor], resolved: ResolvedModel, tokens: list[int]) -> None:
    """Turn the last `tokens[i]` tokens of each row i into padding."""
    seq = inputs["input_ids"].shape[1]
    padded = torch.arange(seq) >= seq - torch.tensor(tokens)[:, None]
    inputs["attention_mask"][padded] = 0
    pad_id = _padding_id(resolved.config, _vocabulary(resolved))
    if pad_id is not None:
        inputs["input_ids"][padded] = pad_id
    if resolved.task != "sequence-classification":
        inputs["labels"][padded] = IGNORED_LABEL


def _padding_id(config: PretrainedConfig, vocabulary: int) -> int | None:
    """Return the id of padding; None where the config names none, or one outside of the vocabulary."""
    for source in (config.get_text_config(), config):
        token = getattr(source, "pad_token_id", None)
        if isinstance(token, int) and 0 <= token < vocabulary:
            return token
    return None


def _vocabulary(resolved: ResolvedModel) -> int:
    """Return how many ids there are.

    Raises:
        UsageError: the config does not say.
    """
    config = resolved.config.get_text_config()
    if config.model_type in _READS_CHARACTERS:
        return sys.maxunicode + 1
    size = getattr(config, "vocab_size", None)
    if size is None:
        raise UsageError(
            f"model '{resolved.name}' (type '{config.model_type}') has no vocab_size in its config, so no "
            "text can be made for it",
            about="model",
        )
    return int(size)


def _ordinary_ids(resolved: ResolvedModel) -> torch.Tensor:
    """Return all ids of the vocabulary that no `..._token_id` of the config claims."""
    vocab = _vocabulary(resolved)
    ordinary = torch.ones(vocab, dtype=torch.bool)
    ordinary[[token for token in _special_ids(resolved.config) if 0 <= token < vocab]] = False
    return ordinary.nonzero().squeeze(1)


def _special_ids(config: PretrainedConfig) -> set[int]:
    special: set[int] = set()
    fields = {**config.to_dict(), **config.get_text_config().to_dict()}
    for field, value in fields.items():
        if field.endswith(("_token_id", "_token_index")):
            values = value if isinstance(value, list) else [value]
            special.update(token for token in values if isinstance(token, int))
    return special


def _draw(ids: torch.Tensor, shape: tuple[int, int], generator: torch.Generator) -> torch.Tensor:
    return ids[torch.randint(len(ids), shape, generator=generator)]


def _class_labels(config: PretrainedConfig, batch: int, generator: torch.Generator) -> torch.Tensor:
    classes = len(config.id2label or {})
    if classes == 1:
        # transformers takes a single label as a regression target.
        return torch.rand(batch, generator=generator)
    return torch.randint(classes, (batch,), generator=generator)
