"""Imported by the server that cells are forked from, and by nothing else: it imports everything."""

from __future__ import annotations

import time

import psutil

from lorafa_prof.running.preload import first_spoiler, preload

#: The import that initialised CUDA here; None: none did.
SPOILER = first_spoiler(preload())
#: What all imports took, the interpreter's start included.
SECONDS = time.time() - psutil.Process().create_time()
