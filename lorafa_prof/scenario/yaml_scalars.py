"""Values of a YAML file by the core schema of YAML 1.2: what is a number, true, empty, and what is text.

PyYAML reads YAML 1.1, where ``no`` is false, ``010`` is 8, ``1:30`` is 90 and ``2026-01-02`` a date: a bound
of a claim that is written so would mean what nobody wrote.
"""

from __future__ import annotations

import re
from collections.abc import Callable

TAG = "tag:yaml.org,2002:"
#: More digits than any number that is meant, and fewer than Python refuses to convert.
LONGEST_NUMBER = 100

# Each to the end of the text: PyYAML only matches its beginning.
NULL = re.compile(r"(?:~|null|Null|NULL|)\Z")
BOOL = re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z")
INT = re.compile(r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)\Z")
FLOAT = re.compile(
    r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z"
)
#: First characters of what may be a value of the kind, by which PyYAML looks for it; None: of nothing.
FORMS: tuple[tuple[str, re.Pattern[str], list[str | None]], ...] = (
    ("null", NULL, ["~", "n", "N", "", None]),
    ("bool", BOOL, list("tTfF")),
    ("int", INT, list("-+0123456789")),
    ("float", FLOAT, list("-+.0123456789")),
    ("merge", re.compile(r"<<\Z"), ["<"]),
)

Value = str | int | float | bool | None


def scalar(tag: str, text: str) -> Value:
    """What `text` means, whose tag is known: told by its form, or written (``!!int 3``).

    Raises:
        ValueError: the tag is not of plain data, or the text is none of its values; in words for people.
    """
    kind = tag.removeprefix(TAG)
    if kind == "merge":
        return text
    if not tag.startswith(TAG) or kind not in _READ:
        written = f"!!{kind}" if tag.startswith(TAG) else tag
        raise ValueError(f"the tag {written} is not read: write plain data, without the tag")
    form, read = _READ[kind]
    if form is not None and not form.fullmatch(text):
        raise ValueError(f"'{text[:LONGEST_NUMBER]}' is no {kind}: write it without the tag !!{kind}")
    return read(text)


def _number(read: Callable[[str], int | float]) -> Callable[[str], int | float]:
    def bounded(text: str) -> int | float:
        if len(text) > LONGEST_NUMBER:
            raise ValueError(f"a number of {len(text):,} characters: {LONGEST_NUMBER} are the most")
        return read(text)

    return bounded


def _int(text: str) -> int:
    for prefix, base in (("0o", 8), ("0x", 16)):
        if text.startswith(prefix):
            return int(text[len(prefix) :], base)
    return int(text)


def _float(text: str) -> float:
    sign = -1.0 if text.startswith("-") else 1.0
    form = text.lstrip("+-").casefold()
    if form in (".inf", ".nan"):
        return sign * float(form[1:])
    return float(text)


def _text(text: str) -> str:
    if "\0" in text:
        raise ValueError("a NUL character in text: no name or path can have one")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("half of a surrogate pair in text: no file can hold it")
    return text


_READ: dict[str, tuple[re.Pattern[str] | None, Callable[[str], Value]]] = {
    "null": (NULL, lambda text: None),
    "bool": (BOOL, lambda text: text.casefold() == "true"),
    "int": (INT, _number(_int)),
    "float": (FLOAT, _number(_float)),
    "str": (None, _text),
}
