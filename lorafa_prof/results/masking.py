"""Arguments of a command line without what looks like a secret, for what is written down and passed on."""

from __future__ import annotations

import re
from collections.abc import Sequence

MASK = "***"

#: Tokens by the forms that their makers give them: Hugging Face, GitHub, GitLab, OpenAI, Slack, AWS, Google.
_TOKEN = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{16,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}"
    r"|sk-[\w-]{16,}|xox[abpr]-[\w-]{10,}|AKIA[0-9A-Z]{16}|AIza[\w-]{30,})\b"
)
#: What a name says is one: ``--token=…``, ``api_key=…``, and a password in an address.
_NAMED = re.compile(r"(?i)((?:token|secret|passw(?:or)?d|api[_-]?key)\s*[=:]\s*)\S+")
_IN_ADDRESS = re.compile(r"(\w+://[^/\s:@]*:)[^/\s@]+(@)")
_NEXT = re.compile(r"(?i)-{1,2}[\w-]*(?:token|secret|passw(?:or)?d|api[_-]?key)")


def masked(arguments: Sequence[str]) -> list[str]:
    """The arguments, with `MASK` in the place of every secret, also of one that follows its option."""
    hidden: list[str] = []
    for argument in arguments:
        follows = bool(hidden) and _NEXT.fullmatch(arguments[len(hidden) - 1]) is not None
        hidden.append(MASK if follows else _without_secrets(argument))
    return hidden


def _without_secrets(text: str) -> str:
    text = _IN_ADDRESS.sub(rf"\1{MASK}\2", _NAMED.sub(rf"\1{MASK}", text))
    return _TOKEN.sub(MASK, text)
