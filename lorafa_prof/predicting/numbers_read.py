"""What a script gets that reads a number which only the GPU could tell."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor

from lorafa_prof.devices.sim.mode import TwinMode
from lorafa_prof.devices.sim.streams import TwinEvent
from lorafa_prof.devices.sim.unknown_on_host import UnknownOnHost
from lorafa_prof.instruments.user_line import user_line
from lorafa_prof.models.replaced import replaced
from lorafa_prof.predicting.notes import Notes
from lorafa_prof.predicting.unknown_number import UnknownNumber, refusal


@contextmanager
def numbers_read(mode: TwinMode, notes: Notes) -> Iterator[UnknownOnHost]:
    """A context in which unknown numbers of tensors are read as `UnknownNumber`; no branch hangs on one."""
    unknown = UnknownOnHost()
    mode.follow_onto_host(unknown)
    reads = _Reads(mode, unknown, notes)
    with ExitStack() as stack:
        stack.enter_context(replaced(Tensor, reads.of_tensors()))
        stack.enter_context(replaced(math, reads.of_math()))
        stack.enter_context(replaced(TwinEvent, {"elapsed_time": reads.elapsed_time}))
        yield unknown


class _Reads:
    def __init__(self, mode: TwinMode, unknown: UnknownOnHost, notes: Notes) -> None:
        self._mode = mode
        self._unknown = unknown
        self._notes = notes

    def of_tensors(self) -> dict[str, Callable[..., Any]]:
        plain: Any = Tensor

        def item(tensor: Tensor) -> Any:
            return self._number() if self._is_unknown(tensor) else plain_item(tensor)

        def tolist(tensor: Tensor) -> Any:
            return self._numbers(tuple(tensor.shape)) if self._is_unknown(tensor) else plain_tolist(tensor)

        def as_bool(tensor: Tensor) -> bool:
            if self._is_unknown(tensor):
                self._unknown.refuse(refusal("branches on"))
            return bool(plain_bool(tensor))

        def as_float(tensor: Tensor) -> float:
            if not self._is_unknown(tensor):
                return float(plain_float(tensor))
            self._notes.once(
                "float",
                f"float(...) at {user_line() or 'a library'} is nan; "
                "whether a branch hangs on it is not seen (.item() would tell)",
            )
            return math.nan

        def numpy(tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
            self._noted_numpy(tensor)
            return plain_numpy(tensor, *args, **kwargs)

        def array(tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
            self._noted_numpy(tensor)
            return plain_array(tensor, *args, **kwargs)

        def told(tensor: Tensor, **kwargs: Any) -> str:
            if self._is_unknown(tensor):
                sizes, place = list(tensor.shape), tensor.device
                return f"tensor(nan, size={sizes}, dtype={tensor.dtype}, device='{place}')"
            return str(plain_told(tensor, **kwargs))

        plain_item, plain_tolist, plain_bool = plain.item, plain.tolist, plain.__bool__
        plain_float, plain_numpy, plain_array = plain.__float__, plain.numpy, plain.__array__
        plain_told = plain.__repr__
        return {
            "item": item,
            "tolist": tolist,
            "__bool__": as_bool,
            "__float__": as_float,
            "numpy": numpy,
            "__array__": array,
            "__repr__": told,
        }

    def elapsed_time(self, *events: object) -> UnknownNumber:
        """Return the milliseconds between two events: there is no clock."""
        return self._number()

    def of_math(self) -> dict[str, Callable[..., Any]]:
        """As the twin answers for tensors: all numbers are finite."""

        def answered(plain: Callable[..., Any], answer: bool) -> Callable[..., Any]:
            def function(number: Any) -> Any:
                if isinstance(number, UnknownNumber):
                    self._mode.assume("finite")
                    return answer
                return plain(number)

            return function

        return {
            "isfinite": answered(math.isfinite, True),
            "isnan": answered(math.isnan, False),
            "isinf": answered(math.isinf, False),
        }

    def _is_unknown(self, tensor: Tensor) -> bool:
        if type(tensor) is not Tensor and not isinstance(tensor, torch.nn.Parameter):
            return False
        if tensor.is_cuda:
            return self._mode.value_of(tensor) is None
        return tensor.device.type == "cpu" and self._unknown.has(tensor)

    def _number(self) -> UnknownNumber:
        self._notes.once(
            "nan",
            f"numbers that only the GPU could tell are nan, such as that at {user_line() or 'a library'}",
        )
        return UnknownNumber(self._unknown.refuse)

    def _numbers(self, shape: tuple[int, ...]) -> Any:
        return [self._numbers(shape[1:]) for _ in range(shape[0])] if shape else self._number()

    def _noted_numpy(self, tensor: Tensor) -> None:
        if self._is_unknown(tensor):
            self._notes.once(
                "numpy",
                f"numbers that only the GPU could tell went to NumPy at {user_line() or 'a library'}; "
                "what hangs on them there is not seen",
            )
