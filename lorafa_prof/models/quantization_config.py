"""What a config.json says of its checkpoint's quantization: refused by name, never left unsaid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lorafa_prof.errors import UsageError

if TYPE_CHECKING:
    from transformers import PretrainedConfig

#: The names under which a config.json keeps it; the second is of older compressed-tensors.
_KEYS = ("quantization_config", "compression_config")


def check_quantization_config(name: str, config: PretrainedConfig) -> None:
    """Refuse a config whose checkpoint is quantized: built of shapes alone, it would be as if it was not.

    Raises:
        UsageError: it has a `quantization_config`; the message names the method of quantization.
    """
    found = quantization_config_of(config)
    if found is None:
        return
    key, settings = found
    raise UsageError(
        f"model '{name}': its config has {key} ({described_method(settings)}), which is not built here: "
        f"to train the unquantized network take {key} out of its config.json"
    )


def quantization_config_of(config: PretrainedConfig) -> tuple[str, Mapping[str, Any]] | None:
    """Return the key and settings of the quantization that the config, or its text part, has; else None."""
    for part in (config, config.get_text_config()):
        for key in _KEYS:
            settings = getattr(part, key, None)
            if settings is not None:
                return key, _as_mapping(settings)
    return None


def described_method(settings: Mapping[str, Any]) -> str:
    """Return the method of quantization in a few words: "bitsandbytes 4-bit nf4", "gptq 4-bit", "fp8"."""
    method = str(settings.get("quant_method") or "")
    if settings.get("load_in_4bit"):
        return f"{method or 'bitsandbytes'} 4-bit {settings.get('bnb_4bit_quant_type', 'fp4')}"
    if settings.get("load_in_8bit"):
        return f"{method or 'bitsandbytes'} 8-bit"
    bits = settings.get("bits")
    return f"{method or 'without quant_method'}{f' {bits}-bit' if bits else ''}"


def _as_mapping(settings: Any) -> Mapping[str, Any]:
    if isinstance(settings, Mapping):
        return settings
    as_dict = getattr(settings, "to_dict", None)
    return as_dict() if callable(as_dict) else {"quant_method": type(settings).__name__}
