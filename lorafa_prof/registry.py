"""How methods, models, GPUs and figures are found: one module each, plus third parties' entry points."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

from lorafa_prof.errors import UsageError, described
from lorafa_prof.guard import guarded

T = TypeVar("T")

_PART = re.compile(r"[0-9]+|[^\W0-9_]+")
_LONGEST_NAME = 300
_FEWEST_OF_A_PART = 2
_MOST_MEANT = 3


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for what `name` may mean of `known`, or an empty string.

    Capitals and what stands between letters and digits do not count. Names that are so the same come first,
    then those that begin with it, then those that have it inside ("h10", "4090": a few of them), then the one
    that is nearest letter by letter.
    """
    if len(name) > _LONGEST_NAME:  # takes a time that grows with its square, and is near to nothing
        return ""
    names = list(known)
    meant = _with_all_of(_parts(name), {each: _parts(each) for each in names}) or _alike(name, names)
    if not meant:
        return ""
    *others, last = [f"'{each}'" for each in meant[:_MOST_MEANT]]
    return f" (did you mean {', '.join(others)} or {last}?)" if others else f" (did you mean {last}?)"


def _parts(name: str) -> str:
    """Words and numbers of a name between hyphens: "-llama-3-8-b-" of "Llama3 8B"."""
    return f"-{'-'.join(_PART.findall(name.casefold()))}-"


def _with_all_of(parts: str, known: Mapping[str, str]) -> list[str]:
    bare = parts.replace("-", "")
    bare_of = {each: its_parts.replace("-", "") for each, its_parts in known.items()}
    if bare and (same := [each for each in known if bare_of[each] == bare]):
        return same
    if len(bare) >= _FEWEST_OF_A_PART:
        # Whole words and numbers first: "llama3" is rather llama-3-8b than llama-30b.
        return (
            [each for each in known if known[each].startswith(parts)]
            or [each for each in known if bare_of[each].startswith(bare)]
            or [each for each in known if parts in known[each]]
            or [each for each in known if bare in bare_of[each]]
        )
    return []


def _alike(name: str, known: Sequence[str]) -> list[str]:
    close = difflib.get_close_matches(name.casefold(), [each.casefold() for each in known], n=1, cutoff=0.6)
    return [each for each in known if each.casefold() in close][:1]


class Registry(Mapping[str, T], Generic[T]):
    """Named things of one kind, loaded at first use.

    Built-in ones are the objects called `attribute` in the modules of `package`: either one object or a
    tuple of them. Third parties' ones come through the entry-point group `group`.

    Args:
        kind: what an entry is, in the singular, for messages ("method").
        package: dotted name of the package whose modules define the entries.
        attribute: module-level name that holds the entry or a tuple of entries.
        group: entry-point group, such as ``lorafa_prof.methods``.
        name_of: gives an entry's name.
    """

    def __init__(
        self, *, kind: str, package: str, attribute: str, group: str, name_of: Callable[[T], str]
    ) -> None:
        self.kind = kind
        self._package = package
        self._attribute = attribute
        self._group = group
        self._name_of = name_of
        self._entries: dict[str, T] | None = None
        self._origins: dict[str, EntryPoint] = {}

    def _load(self) -> dict[str, T]:
        if self._entries is None:
            entries: dict[str, T] = {}
            for definition in self._built_in():
                self._add(entries, definition)
            for point in entry_points(group=self._group):
                self._add_others(entries, self._load_point(point), point)
            self._entries = entries
        return self._entries

    def add(self, entry: T) -> None:
        """Add an entry of a program that uses this package, in this process.

        Raises:
            UsageError: there is one of this name.
        """
        self._add(self._load(), entry)

    def origin(self, name: str) -> EntryPoint | None:
        """The entry point that the entry came by; None of one of this package.

        Raises:
            UsageError: there is no such entry.
        """
        self[name]
        return self._origins.get(name)

    def _load_point(self, point: EntryPoint) -> object:
        try:
            with guarded(f"the {self.kind} '{point.name}'"):
                return point.load()
        except Exception as error:
            package = point.dist.name if point.dist else "an installed package"
            raise UsageError(
                f"the {self.kind} '{point.name}' of {package} cannot be loaded "
                f"({described(error)}); repair or uninstall that package"
            ) from error

    def _built_in(self) -> Iterator[object]:
        package = importlib.import_module(self._package)
        for info in sorted(pkgutil.iter_modules(package.__path__), key=lambda info: info.name):
            module = importlib.import_module(f"{self._package}.{info.name}")
            definition = getattr(module, self._attribute, None)
            if definition is not None:
                yield definition

    def _add_others(self, entries: dict[str, T], definition: object, point: EntryPoint) -> None:
        before = set(entries)
        try:
            self._add(entries, definition)
            self._origins |= dict.fromkeys(set(entries) - before, point)
        except UsageError:
            raise
        except Exception as error:
            raise UsageError(
                f"the entry point '{point.name}' ({point.value}) is no {self.kind}: {described(error)}"
            ) from error

    def _add(self, entries: dict[str, T], definition: object) -> None:
        for entry in definition if isinstance(definition, tuple) else (definition,):
            name = self._name_of(entry)
            if name in entries:
                raise UsageError(f"two definitions of the {self.kind} '{name}'")
            entries[name] = entry

    def __getitem__(self, name: str) -> T:
        entries = self._load()
        if name not in entries:
            raise UsageError(
                f"unknown {self.kind} '{name}'{nearest(name, list(entries))}; "
                f"`lorafa-prof list {self.kind}s` shows all"
            )
        return entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._load()

    def __iter__(self) -> Iterator[str]:
        return iter(self._load())

    def __len__(self) -> int:
        return len(self._load())
