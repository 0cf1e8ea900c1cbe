"""Text for LaTeX: escaped, and in ASCII, so that any engine and font takes it."""

from __future__ import annotations

import unicodedata

from lorafa_prof.one_line import harmless

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "×": r"$\times$",
    "–": "--",
    **{sign: f"\\{sign}" for sign in "$&#_%"},
}


def latex_text(text: str) -> str:
    """`text` as it stands, in ASCII, for any engine and font; what has no ASCII form is a question mark."""
    return "".join(_SPECIAL.get(sign) or _ascii(sign) for sign in harmless(text))


def _ascii(sign: str) -> str:
    if sign.isascii():
        return sign
    plain = unicodedata.normalize("NFKD", sign).encode("ascii", "ignore").decode()
    return "".join(_SPECIAL.get(each, each) for each in plain) or "?"
