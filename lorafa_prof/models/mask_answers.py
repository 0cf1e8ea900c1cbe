"""What transformers decides by the values of a mask: asked in one step, and answered the same in another.

Attention needs no mask where nothing is padded, which transformers asks the device about. While a CUDA graph
is captured the device cannot answer, so there transformers makes a mask in any case, and attention runs
another kernel for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from lorafa_prof.errors import LorafaProfError
from lorafa_prof.models.replaced import replaced

#: Functions of transformers' masking_utils that wait for a value; each gives a truth, or None.
_ASKING = (
    "_ignore_causal_mask_sdpa",
    "_ignore_bidirectional_mask_sdpa",
    "find_packed_sequence_indices",
    "fast_all",
)


class MaskAnswers:
    """The answers of a step, in the order in which they were asked for."""

    def __init__(self) -> None:
        self._answers: list[bool | None] = []
        self._within = False

    @contextmanager
    def noted(self) -> Iterator[None]:
        """A context in which a step asks as ever, and its answers are noted."""
        self._answers = []
        with _replaced(self._noting):
            yield

    @contextmanager
    def given(self) -> Iterator[None]:
        """A context in which a step gets the answers that were noted, and nothing waits for the device.

        Raises:
            LorafaProfError: it asks more often than the step before, or less often.
        """
        left = iter(self._answers)
        nothing = object()

        def answer(*args: Any, **kwargs: Any) -> bool | None:
            found: Any = next(left, nothing)
            if found is nothing:
                raise _differs()
            return found  # type: ignore[no-any-return]

        with _replaced(lambda function: answer):
            yield
        if next(left, nothing) is not nothing:
            raise _differs()

    def _noting(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def noting(*args: Any, **kwargs: Any) -> Any:
            if self._within:  # one of them asks another
                return function(*args, **kwargs)
            self._within = True
            try:
                answer = function(*args, **kwargs)
            finally:
                self._within = False
            self._answers.append(None if answer is None else bool(answer))
            return answer

        return noting


@contextmanager
def _replaced(by: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Iterator[None]:
    from transformers import masking_utils

    there = [name for name in _ASKING if hasattr(masking_utils, name)]
    with replaced(masking_utils, {name: by(getattr(masking_utils, name)) for name in there}):
        yield


def _differs() -> LorafaProfError:
    return LorafaProfError(
        "launch 'graph': the model asks about its masks in one step what it did not ask in the step before; "
        "set launch to eager",
        about="launch",
    )
