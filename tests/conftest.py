"""This file's place puts tests/ on the path, for the helpers that several folders import."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch
from hypothesis import Phase, settings

# A loaded machine, or one that measures coverage, is no failure.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
# Of a mutant only counts whether it fails (`make mutants`).
settings.register_profile(
    "mutants", deadline=None, derandomize=True, database=None, phases=(Phase.explicit, Phase.generate)
)

# Several test processes share a GPU, which a run refuses otherwise.
os.environ.setdefault("LORAFA_PROF_SHARE_GPU", "1")


@pytest.fixture(autouse=True)
def one_thread_and_a_seed() -> Iterator[None]:
    """Tiny tensors: a second thread costs more than it brings."""
    torch.manual_seed(0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
