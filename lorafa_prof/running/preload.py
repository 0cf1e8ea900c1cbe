"""All that a cell would import, once for all: by the server that cells are forked from, or by a cell itself.

It saves time, and it keeps imports out of what is measured: PEFT's, made after CUDA was initialised, leave a
tensor of 4 bytes on the GPU (seen on an H100 with torch 2.11 and torchaudio).
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Collection, Iterator, Sequence
from importlib import import_module

from lorafa_prof.methods.base import METHODS
from lorafa_prof.results.fingerprint import note_sources

#: Those that are not installed, or that cannot be imported, are left out.
OPTIONAL = ("transformers.modeling_utils", "accelerate", "peft", "transformers.optimization")
#: Packages that others import where they are installed, and that are known to look for a GPU while they do.
SUSPECTS = ("torchao", "bitsandbytes", "unsloth", "deepspeed", "flash_attn", "xformers", "liger_kernel")


def preload() -> Iterator[str]:
    """Import everything; yields what was imported, in words, after each part of it."""
    import_module("lorafa_prof.running.measure")
    yield _with_suspects("PyTorch, or what comes with it", set(sys.modules))
    yield from imported(OPTIONAL)
    tuple(METHODS)
    note_sources()
    yield "a third party's method"


def imported(names: Sequence[str]) -> Iterator[str]:
    """Import each of these modules that can be; yields it, with the suspects that came with it."""
    for name in names:
        before = set(sys.modules)
        try:
            import_module(name)
        except Exception:  # noqa: BLE001 - whoever needs it is told then, with the reason
            continue
        yield _with_suspects(name, sys.modules.keys() - before - {name})


def _with_suspects(name: str, loaded: Collection[str]) -> str:
    with_it = [suspect for suspect in SUSPECTS if suspect in loaded]
    return f"{name} (and with it {', '.join(with_it)})" if with_it else name


def first_spoiler(parts: Iterator[str]) -> str | None:
    """The first of `parts` after which no forked process can use CUDA any more; all of them are imported."""
    spoiler = None
    for part in parts:
        if spoiler is None and spoils_forks():
            spoiler = part
    return spoiler


def spoils_forks() -> bool:
    """Whether CUDA was initialised here, so that it cannot be used in processes forked from this one.

    Only such a process can tell: what PyTorch notes here is another thing, and asking whether there is a GPU
    is enough.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads: the child asks and ends
        child = os.fork()
    if child == 0:
        os._exit(1 if in_spoiled_fork() else 0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0


def in_spoiled_fork() -> bool:
    """Whether this process was forked from one that had initialised CUDA."""
    import torch

    return bool(torch.cuda._is_in_bad_fork())
