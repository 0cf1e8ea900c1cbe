"""PEFT's own layers beside a quantized base on shapes, where a stand-in is in bitsandbytes' place."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from lorafa_prof.errors import UsageError
from lorafa_prof.layers.quantized.eight_bit import StandInLinear8bit
from lorafa_prof.layers.quantized.four_bit import StandInLinear4bit
from lorafa_prof.layers.quantized.fp8 import Fp8Linear

_BITSANDBYTES = "bitsandbytes"


def register_stand_ins(config: Any, model: nn.Module) -> None:
    """Let PEFT put its adapters for bitsandbytes' layers beside the stand-ins of `model`, if it has any.

    Raises:
        UsageError: it has, and `config` is of another adapter than plain LoRA; or its base is in 8-bit
            floats. So it is for a GPU too, since every cell is built on shapes before it runs.
    """
    if any(isinstance(module, Fp8Linear) for module in model.modules()):
        raise UsageError(
            "quantization 'fp8' is of this suite's own layers, beside which PEFT's adapters cannot go: take "
            "lora or lora-fa, or quantization nf4, int8 or none",
            about="quantization",
        )
    if not any(isinstance(module, (StandInLinear4bit, StandInLinear8bit)) for module in model.modules()):
        return
    import peft

    plain = type(config) is peft.LoraConfig and not config.use_dora
    if not plain:
        raise UsageError(
            "of PEFT's adapters only plain LoRA goes beside a quantized base here: take peft-lora, "
            "or quantization none",
            about="quantization",
        )
    layers = _peft_layers()
    config._register_custom_module(
        {StandInLinear4bit: layers.Linear4bit, StandInLinear8bit: layers.Linear8bitLt}
    )


@cache
def _peft_layers() -> Any:
    """Return a copy of PEFT's module of these layers, loaded whether bitsandbytes is installed or not.

    It uses bitsandbytes for merging alone, which nobody does here.
    """
    from peft.tuners import lora

    file = Path(lora.__file__).with_name("bnb.py")
    spec = spec_from_file_location("peft.tuners.lora.bnb_on_shapes", file)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    with _seemingly_installed():
        spec.loader.exec_module(module)
    return module


@contextmanager
def _seemingly_installed() -> Iterator[None]:
    """A context in which PEFT believes that there is bitsandbytes, and importing it gives an empty module."""
    from peft import import_utils

    utils: Any = import_utils
    asked = ("is_bnb_available", "is_bnb_4bit_available")
    answers = {name: getattr(utils, name) for name in asked}
    installed = sys.modules.get(_BITSANDBYTES)
    sys.modules[_BITSANDBYTES] = ModuleType(_BITSANDBYTES)
    try:
        for name in asked:
            setattr(utils, name, lambda: True)
        yield
    finally:
        for name, answer in answers.items():
            setattr(utils, name, answer)
        del sys.modules[_BITSANDBYTES]
        if installed is not None:
            sys.modules[_BITSANDBYTES] = installed
