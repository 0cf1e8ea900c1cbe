"""A number that only a GPU could tell: it can be printed and computed with, and nothing can hang on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from lorafa_prof.errors import LorafaProfError
from lorafa_prof.instruments.saved.saving_line import saving_line
from lorafa_prof.instruments.user_line import user_line


class UnknownNumberError(LorafaProfError):
    """The script does one thing or another by a number that the twin does not know."""


class UnknownNumber(float):
    """`nan`, whose comparison is an error, and what is computed of which is another one.

    Args:
        refuse: is called with the error where something hangs on it, and raises that.
    """

    refuse: Callable[[LorafaProfError], NoReturn]

    def __new__(cls, refuse: Callable[[LorafaProfError], NoReturn]) -> UnknownNumber:
        """Make one."""
        made = super().__new__(cls, float("nan"))
        made.refuse = refuse
        return made

    def __array_ufunc__(self, function: Any, method: str, *inputs: Any, **options: Any) -> Any:
        """NumPy computes with it as with any `nan`; what compares it is refused."""
        if function.nargs == 3 and function.types[0].endswith("?"):
            self.refuse(refusal("compares"))
        plain = [float(each) if isinstance(each, UnknownNumber) else each for each in inputs]
        return getattr(function, method)(*plain, **options)

    def __copy__(self) -> UnknownNumber:
        return self

    def __deepcopy__(self, memo: object) -> UnknownNumber:
        return self

    def __reduce__(self) -> tuple[type[float], tuple[str]]:
        """As a plain `nan`: what is kept in a file hangs on no twin."""
        return float, ("nan",)


def _where() -> str:
    """The script's line, and that of the library which it went through, if it did."""
    line, code = user_line(), saving_line()
    return f"{line}, by way of {code}," if line and code not in ("", line) else line or code or "a library"


def refusal(what: str) -> UnknownNumberError:
    """Return the error of a line of the script that does `what` to such a number."""
    return UnknownNumberError(
        f"{_where()} {what} a number that only the GPU could tell, such as a loss; "
        "the twin does not know it (a number that is printed or logged does no harm)"
    )


def _computed(name: str) -> Callable[..., Any]:
    plain = getattr(float, name)

    def operation(self: UnknownNumber, *others: Any) -> Any:
        result = plain(self, *others)
        return UnknownNumber(self.refuse) if isinstance(result, float) else result

    return operation


def _refused(what: str) -> Callable[..., NoReturn]:
    def operation(self: UnknownNumber, *others: Any) -> NoReturn:
        self.refuse(refusal(what))

    return operation


_SIDES = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow")
for _name in (*_SIDES, *(f"r{each}" for each in _SIDES), "neg", "pos", "abs", "round"):
    setattr(UnknownNumber, f"__{_name}__", _computed(f"__{_name}__"))
for _name in ("lt", "le", "gt", "ge", "eq", "ne"):
    setattr(UnknownNumber, f"__{_name}__", _refused("compares"))
for _name in ("int", "trunc", "floor", "ceil"):
    setattr(UnknownNumber, f"__{_name}__", _refused("makes an integer of"))
setattr(UnknownNumber, "__bool__", _refused("branches on"))  # noqa: B010 - as those above
setattr(UnknownNumber, "__hash__", float.__hash__)  # noqa: B010 - else there is none beside __eq__
