"""The imports of the server that cells are forked from, so that no cell has to import them again.

It saves time, and it keeps imports out of what is measured: PEFT's, made after CUDA was initialised, leave a
tensor of 4 bytes on the GPU (seen on an H100 with torch 2.11 and torchaudio).
"""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module

import lorafa_prof.running.measure
from lorafa_prof.methods.base import METHODS
from lorafa_prof.results.fingerprint import note_sources

#: Those that are not installed are left out.
OPTIONAL = ("transformers", "accelerate", "peft")

for name in OPTIONAL:
    with suppress(ImportError):
        import_module(name)
note_sources()
LOADED = (lorafa_prof.running.measure.__name__, *METHODS)
