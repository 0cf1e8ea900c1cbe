"""Language models that also see or hear: of these the text model alone is built, and its rows say so.

Nothing is fed to what sees or hears: it would hold weights and optimizer state for nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from lorafa_prof.errors import UsageError

if TYPE_CHECKING:
    from transformers import PretrainedConfig

_SENSES = {"vision_config": "the vision tower", "audio_config": "the audio tower"}


class TextPart(NamedTuple):
    """What is built of a network.

    Attributes:
        config: of what is built: the whole network's, or its text model's.
        notes: what the reader of a row must know of it.
        is_whole: whether weights of the whole network can be read for it.
    """

    config: PretrainedConfig
    notes: tuple[str, ...] = ()
    is_whole: bool = True


def text_part(config: PretrainedConfig, *, name: str) -> TextPart:
    """Return what is built of the network of `config`: all of it, or its text model.

    Raises:
        UsageError: it is a language model that sees or hears, and its text model is none by itself.
    """
    left_out = _senses(config) if _is_language_model(config) else []
    if not left_out:
        return TextPart(config)
    text = config.get_text_config()
    notes = (note_on(left_out),)
    if _builds_text_alone(config, text):
        return TextPart(config, notes)
    if text is config or not _is_causal_or_seq2seq(text):
        raise UsageError(
            f"model '{name}' (type '{config.model_type}') also sees or hears ({', '.join(left_out)}), which "
            f"is not fed here, and its text model (type '{text.model_type}') is not built by itself; name a "
            "text model"
        )
    if _is_classifier(config):
        text.architectures, text.id2label = config.architectures, config.id2label
    return TextPart(text, notes, is_whole=False)


def note_on(left_out: Sequence[str]) -> str:
    """Return what a row says of the parts of a config that are left out, by their names there."""
    parts = " and ".join(_SENSES.get(part, part) for part in left_out)
    return f"the text model alone is trained: {parts} {'is' if len(left_out) == 1 else 'are'} left out"


def _is_language_model(config: PretrainedConfig) -> bool:
    from transformers.models.auto import modeling_auto as auto

    tasks = (
        *("CAUSAL_LM", "SEQ_TO_SEQ_CAUSAL_LM", "SEQUENCE_CLASSIFICATION"),
        *("IMAGE_TEXT_TO_TEXT", "MULTIMODAL_LM", "SPEECH_SEQ_2_SEQ"),
    )
    # Older versions of transformers have not all of them.
    mappings = (getattr(auto, f"MODEL_FOR_{task}_MAPPING", {}) for task in tasks)
    return any(type(config) in mapping for mapping in mappings)


def _senses(config: PretrainedConfig) -> list[str]:
    """The names of the parts that are no text: all beside a part of text, else those that see and hear."""
    parts = {name: part for name, part in _parts(config) if name != "text_config"}
    if getattr(config, "text_config", None) is not None:
        return sorted(name for name in parts if name in vars(config))
    return sorted(name for name in parts if name in _SENSES)


def _parts(config: PretrainedConfig) -> Iterator[tuple[str, PretrainedConfig]]:
    """The config's parts, and theirs, by name."""
    from transformers import PretrainedConfig

    for name, value in vars(config).items():
        if isinstance(value, PretrainedConfig):
            yield name, value
            yield from _parts(value)


def _builds_text_alone(config: PretrainedConfig, text: PretrainedConfig) -> bool:
    """Whether transformers itself builds the text model of such a config (Llama 4, Mllama)."""
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING or text is config:
        return False
    built = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    return getattr(built, "config_class", None) is type(text)


def _is_causal_or_seq2seq(config: PretrainedConfig) -> bool:
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING

    mappings = (MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING)
    return any(type(config) in mapping for mapping in mappings)


def _is_classifier(config: PretrainedConfig) -> bool:
    return str((config.architectures or [""])[0]).endswith("ForSequenceClassification")
