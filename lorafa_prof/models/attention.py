"""Attention by flash-attention's packages, and flex: whose code it is, what stands in for it on shapes."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Any

from lorafa_prof.errors import UsageError
from lorafa_prof.layers import flex_attention
from lorafa_prof.layers.flash_attention import version_2, version_3
from lorafa_prof.models.replaced import replaced
from lorafa_prof.versions import release
from lorafa_prof.words.phrases import listed


@dataclass(frozen=True)
class FlashPackage:
    """A version of flash-attention, by which transformers runs attention of one name.

    Attributes:
        version: 2 or 3, as transformers counts.
        distribution: what is installed.
        oldest: the first whose kernels are operations of PyTorch, which FLOPs are counted by.
        install: how people come to it.
        stand_in: the functions that transformers takes of it, on shapes alone.
    """

    version: int
    distribution: str
    oldest: tuple[int, int]
    install: str
    stand_in: ModuleType


#: By transformers' name of the attention.
FLASH_PACKAGES = {
    "flash_attention_2": FlashPackage(
        2, "flash-attn", (2, 7), "pip install flash-attn --no-build-isolation", version_2
    ),
    "flash_attention_3": FlashPackage(
        3,
        "flash-attn-3",
        (3, 0),
        "build the folder hopper of github.com/Dao-AILab/flash-attention",
        version_3,
    ),
}
#: PyTorch's flex attention, which transformers compiles; and its name there.
FLEX, _FLEX_IN_TRANSFORMERS = "flex", "flex_attention"
#: Those that are documented; transformers may have others.
USUAL = ("sdpa", "eager", *FLASH_PACKAGES, FLEX)


def name_in_transformers(attention: str) -> str:
    """Return transformers' name of an attention."""
    return _FLEX_IN_TRANSFORMERS if attention == FLEX else attention


def check_code(name: str, model_class: Any, attention: str) -> None:
    """Check that the attention that transformers would run is the one asked for, and no code of a hub.

    Args:
        name: what people call the model.
        model_class: its class in transformers; None if that is not known.
        attention: implementation by its name in transformers.

    Raises:
        UsageError: it is not.
    """
    # transformers takes "owner/kernel" as a request to download code and run it, and does the same for a
    # flash attention whose package it does not find, and for one that a model's class does not list.
    asked = f"model '{name}': attention '{attention}'"
    if "/" in attention:
        raise UsageError(f"{asked} names code on a hub, which is never run", about="attention")
    if attention == _FLEX_IN_TRANSFORMERS:
        raise UsageError(f"{asked} is called {FLEX} here", about="attention")
    if "flash" in attention and attention not in FLASH_PACKAGES:
        known = listed(FLASH_PACKAGES)
        raise UsageError(f"{asked} is not known here; of flash attention {known} are", about="attention")
    instead = getattr(model_class, "_compatible_flash_implementations", None)
    if attention in FLASH_PACKAGES and instead and attention not in instead:
        raise UsageError(
            f"{asked} is none that it has in transformers, which would take '{instead[0]}' from a hub, and "
            "that is never run; eager it has",
            about="attention",
        )


#: What configs call the dropout of attention's probabilities.
_DROPOUTS = ("attention_dropout", "attention_probs_dropout_prob", "attn_pdrop")


def check_dropout(name: str, config: Any, attention: str) -> None:
    """Check that the attention drops what the model's config says.

    transformers leaves dropout out of flash-attention 3, with a warning, and ends a step with flex.

    Args:
        name: what people call the model.
        config: its config in transformers.
        attention: implementation by its name here.

    Raises:
        UsageError: it has no dropout, and the config has some.
    """
    if attention not in (FLEX, "flash_attention_3"):
        return
    for key in _DROPOUTS:
        if getattr(config, key, None):
            raise UsageError(
                f"model '{name}': attention '{attention}' has no dropout, and its config has {key} "
                f"{getattr(config, key)}; sdpa, eager and flash_attention_2 have it",
                about="attention",
            )


def check_installed(attention: str) -> None:
    """Raise a UsageError if `attention` needs a package that is missing or too old; it is not loaded."""
    package = FLASH_PACKAGES.get(attention)
    if package is None:
        return
    needed = f"attention '{attention}' runs on the package {package.distribution}"
    remedy = f"and only the twin does without: {package.install}"
    try:
        installed = version(package.distribution)
    except PackageNotFoundError:
        raise UsageError(f"{needed}, which is not installed, {remedy}", about="attention") from None
    if release(installed) < package.oldest:
        oldest = ".".join(map(str, package.oldest))
        raise UsageError(f"{needed} from {oldest} on ({installed} is here), {remedy}", about="attention")


@contextmanager
def attention_stand_ins() -> Iterator[None]:
    """A context in which transformers runs attention on shapes alone: without packages, nothing compiled."""
    with _flash_stand_ins(), _flex_stand_ins():
        yield


@contextmanager
def _flex_stand_ins() -> Iterator[None]:
    from transformers import masking_utils
    from transformers.integrations import flex_attention as theirs

    make_mask = {"create_block_mask": flex_attention.create_block_mask}
    compiled = {"WrappedFlexAttention": lambda training: lambda: flex_attention.flex_attention}
    with replaced(masking_utils, make_mask), replaced(theirs, {**make_mask, **compiled}):
        yield


@contextmanager
def _flash_stand_ins() -> Iterator[None]:
    from transformers import modeling_flash_attention_utils as theirs

    functions = {"_lazy_imports": _functions_of_stand_in, "is_flash_attn_available": _available}
    with ExitStack() as stack:
        stack.enter_context(replaced(theirs, {**dict.fromkeys(_remembered()), **functions}))
        for module in _imported_without_a_package():
            call = {"_flash_attention_forward": theirs._flash_attention_forward}
            stack.enter_context(replaced(module, call))
        stack.enter_context(_said_to_be_installed())
        yield


@contextmanager
def _said_to_be_installed() -> Iterator[None]:
    """A context in which transformers lets models have flash attention, whatever is installed."""
    from transformers import modeling_flash_attention_utils as theirs
    from transformers import modeling_utils

    rules = getattr(theirs, "FLASH_ATTENTION_COMPATIBILITY_MATRIX", None)
    if rules is None:  # transformers 5.0 to 5.3
        asked = {
            f"is_flash_attn_{package.version}_available": _available for package in FLASH_PACKAGES.values()
        }
        with replaced(modeling_utils, asked):
            yield
        return
    said = {
        package.version: {**rules[package.version], "general_availability_check": _available}
        for package in FLASH_PACKAGES.values()
    }
    before = dict(rules)
    rules.update(said)
    try:
        yield
    finally:
        rules.update(before)


def _remembered() -> list[str]:
    """Return the names in transformers' module of what it keeps of the package that it loaded last."""
    from transformers import modeling_flash_attention_utils as theirs

    return ["_loaded_implementation", *(name for name in vars(theirs) if _OF_A_PACKAGE.fullmatch(name))]


_OF_A_PACKAGE = re.compile(r"_\w+_fn")


def _functions_of_stand_in(implementation: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
    """Return what transformers' `_lazy_imports` does: functions of the package, and those around it."""
    from transformers import modeling_flash_attention_utils as theirs

    stand_in = FLASH_PACKAGES[implementation].stand_in
    attention = (stand_in.flash_attn_func, stand_in.flash_attn_varlen_func)
    # The third is of inference with a cache of pages, where transformers knows that.
    cached = (None,) if "_flash_with_kvcache_fn" in vars(theirs) else ()
    pad_input = getattr(stand_in, "pad_input", theirs._pad_input)
    return *attention, *cached, pad_input, theirs._unpad_input


def _available(*args: Any, **kwargs: Any) -> bool:
    return True


def _imported_without_a_package() -> list[ModuleType]:
    """Return the modules of models that take the call of flash attention in only where there is a package."""
    return [
        module
        for name, module in sys.modules.items()
        if name.startswith("transformers.models.")
        and "is_flash_attn_available" in vars(module)
        and "_flash_attention_forward" not in vars(module)
    ]
