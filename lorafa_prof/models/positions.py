"""How long a sequence a network can take, and how long one is where nothing is said."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lorafa_prof.errors import UsageError
from lorafa_prof.models.images import image_tokens
from lorafa_prof.models.resolve import ResolvedModel
from lorafa_prof.models.sound import sound_tokens

if TYPE_CHECKING:
    from transformers import PretrainedConfig

#: Tokens of a sequence where nothing is said and the network can have as many.
DEFAULT_SEQ = 1024
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


def own_seq(resolved: ResolvedModel) -> int | None:
    """Return the one length of sequences that the network has, in tokens; None where they may have any.

    Raises:
        UsageError: it sees images, and what it makes of them is not known.
    """
    return image_tokens(resolved) if resolved.task == "image-classification" else None


def tokens_beside_seq(resolved: ResolvedModel) -> int:
    """Return how many tokens of each sample the network sees beside the `seq` ones of its text.

    Raises:
        UsageError: that is not known.
    """
    if resolved.task == "speech-recognition":
        return sound_tokens(resolved)
    return image_tokens(resolved) if resolved.task == "image-text-pairs" else 0


def default_seq(resolved: ResolvedModel) -> int:
    """Return how many tokens a sequence has where nothing is said.

    It is the network's own number, else `DEFAULT_SEQ`, or all positions where there are fewer.

    Raises:
        UsageError: the config does not tell.
    """
    return own_seq(resolved) or min(DEFAULT_SEQ, max_seq(resolved) or DEFAULT_SEQ)


def max_seq(resolved: ResolvedModel) -> int | None:
    """Return the longest sequence, in tokens, that the position table allows; None where there is none.

    Raises:
        UsageError: the config has no number for it.
    """
    config = resolved.config.get_text_config()
    positions = _number(resolved, config, "max_position_embeddings")
    if resolved.task == "speech-recognition":
        positions = _number(resolved, config, "max_target_positions")
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
    """Raise a UsageError if `seq` tokens are not the network's own number, or more than it has positions for.

    Rotary and relative positions have no such limit: there `max_position_embeddings` is advice.
    """
    own = own_seq(resolved)
    if own is not None and seq != own:
        raise UsageError(
            f"seq {seq} is not of model '{resolved.name}', which makes {own} tokens of an image of its "
            "config's image_size; leave seq out",
            about="seq",
        )
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
