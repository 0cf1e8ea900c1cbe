"""Paths of modules in words: those of all layers as one."""

from __future__ import annotations

import re

_LAYER = re.compile(r"(?<=\.)\d+(?=\.|$)|^\d+(?=\.|$)")


def like_modules(path: str) -> str:
    """Return a module's path with ``*`` for the numbers of layers: ``layers.*.self_attn.q_proj``."""
    return _LAYER.sub("*", path)
