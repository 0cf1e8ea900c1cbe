"""The settings of a claim's cell, as a page says them.

All but its method, since claims compare methods, and the optimizer, which some methods bring with them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lorafa_prof.cell import Cell
from lorafa_prof.results.row import setting_columns

#: The settings that tell rows apart, in the order in which they are said, and the word before each.
WORD_BEFORE = {
    "model": "",
    "variant": "",
    "rank": "rank ",
    "targets": "on ",
    "dropout": "dropout ",
    "dtype": "base ",
    "quantization": "quantization ",
    "double_quant": "double quantization ",
    "kbit_prepare": "prepared for k-bit training ",
    "adapter_dtype": "adapters ",
    "shape": "",
    "attention": "",
    "kernels": "kernels ",
    "checkpointing": "checkpointing ",
    "padding": "padding ",
    "accumulation": "accumulation ",
    "max_grad_norm": "gradients clipped at ",
    "update": "updates in ",
    "autocast": "autocast ",
    "phase": "",
    "kept_logits": "batches of logits kept ",
    "lengths": "lengths ",
    "packing": "packing ",
    "loss": "loss ",
    "launch": "launch ",
    "parallel": "",
    "gpus": "GPUs ",
    "shard": "sharding ",
    "gpu": "",
}
#: Of these only differences are said: nobody publishes that nothing was padded.
SAID_WHERE_ROWS_DIFFER = frozenset(
    {
        "kernels",
        "checkpointing",
        "padding",
        "accumulation",
        "max_grad_norm",
        "update",
        "quantization",
        "double_quant",
        "kbit_prepare",
        "autocast",
        "phase",
        "kept_logits",
        "lengths",
        "packing",
        "loss",
        "launch",
        "parallel",
        "gpus",
        "shard",
    }
)

#: Whose code a method is: LoRA and LoRA-FA by the same are compared, so they share a row.
_VARIANTS = {
    "full-ft": "Full-FT",
    "lora": "lorafa-prof's",
    "lora-fa": "lorafa-prof's",
    "peft-lora": "PEFT's",
    "peft-lora-fa": "PEFT's",
    "peft-lora-fa-after-eval": "PEFT's, after an evaluation",
}


def settings_of_row(cell: Cell) -> dict[str, str]:
    """What a cell is set to, by the keys of `WORD_BEFORE`; any other method is a variant of its own."""
    columns = setting_columns(cell)
    columns["variant"] = _VARIANTS.get(cell.method.name, columns["method"])
    columns["shape"] = f"{cell.batch} × {cell.seq_text}"
    return {key: "" if columns[key] is None else str(columns[key]) for key in WORD_BEFORE}


def in_words(settings: Mapping[str, str], keys: Sequence[str]) -> str:
    """The settings named by `keys`, as far as they mean anything to the cell."""
    return ", ".join(f"{WORD_BEFORE[key]}{settings[key]}" for key in keys if settings[key])
