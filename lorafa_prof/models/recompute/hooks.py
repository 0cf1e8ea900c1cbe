"""Autograd's hooks on saved tensors that are in force, to be put in force again inside of others."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd.graph import saved_tensors_hooks


def _as_it_is(tensor: Any) -> Any:
    return tensor


@dataclass(frozen=True)
class Hooks:
    """What is done with a tensor when autograd saves it, and when it wants it again; by default nothing."""

    pack: Callable[[Any], Any] = _as_it_is
    unpack: Callable[[Any], Any] = _as_it_is

    @classmethod
    def now(cls) -> Hooks:
        """Return those that are in force here."""
        top = torch._C._autograd._top_saved_tensors_default_hooks(False)
        return cls(*top) if top else cls()

    def on(self) -> AbstractContextManager[None]:
        """Return a context in which they are in force."""
        return saved_tensors_hooks(self.pack, self.unpack)
