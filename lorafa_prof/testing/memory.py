"""What the fixture `memory` gives to a test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import nn

from lorafa_prof.devices.gpus.gpu import gpu_called
from lorafa_prof.devices.sim.twin import Twin
from lorafa_prof.errors import UsageError
from lorafa_prof.profiling.passes import Step
from lorafa_prof.profiling.profile import profile_calls
from lorafa_prof.profiling.result import Profile

__tracebackhide__ = True


class Memory:
    """Measures, and keeps what it measured.

    Attributes:
        profiles: in the order in which they were taken.
    """

    def __init__(self) -> None:
        self.profiles: list[Profile] = []
        self._twin: Twin | None = None

    def profile(
        self,
        step: Step,
        *,
        model: nn.Module | None = None,
        device: str | torch.device | None = None,
        warmup: int = 1,
    ) -> Profile:
        """As `lorafa_prof.profile`, on the twin inside of `twin`."""
        taken = profile_calls(step, model=model, device=device, warmup=warmup, twin=self._twin, flops=False)
        self.profiles.append(taken)
        return taken

    def twin(self, gpu: str) -> AbstractContextManager[torch.device]:
        """A context whose device stands for `gpu`; everything from the first weight on belongs inside.

        Raises:
            UsageError: there is no such GPU in the catalogue, or a twin is on already.
        """
        if self._twin is not None:
            raise UsageError(f"memory.twin({gpu!r}): inside the twin of {self._twin.gpu.name} already")
        try:
            return self._inside(Twin(gpu_called(gpu)))
        except UsageError as error:
            raise UsageError(f"memory.twin({gpu!r}): {error}") from None

    @contextmanager
    def _inside(self, twin: Twin) -> Iterator[torch.device]:
        self._twin = twin
        try:
            with twin:
                yield torch.device("cuda", 0)
        finally:
            self._twin = None
