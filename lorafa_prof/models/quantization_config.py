"""What a config.json says of its checkpoint's quantization: honoured, or refused by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from lorafa_prof.errors import UsageError
from lorafa_prof.layers.quantized.eight_bit import THRESHOLD
from lorafa_prof.models.quantization import EIGHT_BIT, Quantization, check_quantization
from lorafa_prof.models.resolve import ResolvedModel

if TYPE_CHECKING:
    from transformers import PretrainedConfig

#: The names under which a config.json keeps it; the second is of older compressed-tensors.
_KEYS = ("quantization_config", "compression_config")


def quantization_of(resolved: ResolvedModel, asked: Quantization, dtype: torch.dtype) -> Quantization:
    """Return what the cell asks for, with the layers that the model's config leaves alone.

    Raises:
        UsageError: there is no such quantization; or the config is of a checkpoint quantized otherwise, by
            another method or with other settings: the message names them.
    """
    check_quantization(asked, dtype=dtype)
    if asked and resolved.weights == "pretrained":
        raise UsageError(
            f"model '{resolved.name}': quantization is of random weights here, which have the same bytes as "
            "pretrained ones",
            about="quantization",
        )
    found = quantization_config_of(resolved.config)
    if found is None:
        return asked
    key, settings = found
    where = f"model '{resolved.name}': its config has {key} ({described_method(settings)})"
    without = f"take {key} out of its config.json"
    if not _is_bitsandbytes(settings):
        raise UsageError(
            f"{where}, which is not built here, only bitsandbytes' is; to train the unquantized network "
            f"{without}"
        )
    said = _quantization_said(settings)
    if said != asked:
        double = ", double_quant: true" if said.double else ""
        raise UsageError(
            f"{where}, and the cell's quantization is {_in_words(asked)}: "
            f"set quantization: {said.kind}{double}, or {without}",
            about="quantization",
        )
    for name, written, honoured in _fixed(settings, said, dtype):
        if written != honoured:
            raise UsageError(
                f"{where} with {name} {written}, and here it is {honoured}: {without}", about="quantization"
            )
    return replace(asked, left_alone=tuple(settings.get("llm_int8_skip_modules") or ()))


def quantization_config_of(config: PretrainedConfig) -> tuple[str, Mapping[str, Any]] | None:
    """Return the key and settings of the quantization that the config, or its text part, has; else None."""
    for part in (config, config.get_text_config()):
        for key in _KEYS:
            settings = getattr(part, key, None)
            if settings is not None:
                return key, _as_mapping(settings)
    return None


def forget_quantization(config: PretrainedConfig) -> None:
    """Take the checkpoint's quantization out of `config`, and so out of what is built of it."""
    for part in (config, config.get_text_config()):
        for key in _KEYS:
            if getattr(part, key, None) is not None:
                delattr(part, key)


def described_method(settings: Mapping[str, Any]) -> str:
    """Return the method of quantization in a few words: "bitsandbytes 4-bit nf4", "gptq 4-bit", "fp8"."""
    method = str(settings.get("quant_method") or "")
    if _is_bitsandbytes(settings):
        kind = _quantization_said(settings).kind
        return "bitsandbytes 8-bit" if kind == EIGHT_BIT else f"bitsandbytes 4-bit {kind}"
    bits = settings.get("bits")
    return f"{method or 'without quant_method'}{f' {bits}-bit' if bits else ''}"


def _is_bitsandbytes(settings: Mapping[str, Any]) -> bool:
    loads = bool(settings.get("load_in_4bit") or settings.get("load_in_8bit"))
    return loads and settings.get("quant_method") in ("bitsandbytes", None)


def _quantization_said(settings: Mapping[str, Any]) -> Quantization:
    """Return what bitsandbytes' settings ask for; defaults are those of transformers' BitsAndBytesConfig."""
    if settings.get("load_in_8bit"):
        return Quantization(EIGHT_BIT)
    kind = str(settings.get("bnb_4bit_quant_type", "fp4"))
    return Quantization(kind, bool(settings.get("bnb_4bit_use_double_quant")))


def _fixed(
    settings: Mapping[str, Any], said: Quantization, dtype: torch.dtype
) -> Iterator[tuple[str, Any, Any]]:
    """Yield settings that have one value here: name, what the config says, the value."""
    if said.kind == EIGHT_BIT:
        yield "llm_int8_threshold", float(settings.get("llm_int8_threshold", THRESHOLD)), THRESHOLD
        yield "llm_int8_has_fp16_weight", bool(settings.get("llm_int8_has_fp16_weight")), False
    else:
        of_base = str(dtype).removeprefix("torch.")
        yield "bnb_4bit_compute_dtype", _type_name(settings.get("bnb_4bit_compute_dtype", "float32")), of_base
        yield "bnb_4bit_quant_storage", _type_name(settings.get("bnb_4bit_quant_storage", "uint8")), "uint8"


def _type_name(written: Any) -> str:
    return str(written).removeprefix("torch.")


def _in_words(asked: Quantization) -> str:
    return f"{asked.kind}{' with double_quant' if asked.double else ''}"


def _as_mapping(settings: Any) -> Mapping[str, Any]:
    if isinstance(settings, Mapping):
        return settings
    as_dict = getattr(settings, "to_dict", None)
    return as_dict() if callable(as_dict) else {"quant_method": type(settings).__name__}
