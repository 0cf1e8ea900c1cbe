"""What must be the same for two rows to be compared, unless the user names it in ``--across``."""

from __future__ import annotations

from collections.abc import Sequence

from lorafa_prof.comparing.origin import UNKNOWN, Origin
from lorafa_prof.comparing.pairs import OutcomePair
from lorafa_prof.comparing.settings import differing, setting_names, settings_of
from lorafa_prof.comparing.sides import Outcome
from lorafa_prof.errors import UsageError
from lorafa_prof.registry import nearest
from lorafa_prof.results.fingerprint import runs_bitsandbytes

#: What ``--across`` takes beside settings: rows that differ in it are compared only when it is named there.
ACROSS = ("gpu", "device", "torch", "transformers", "peft", "allocator", "cpu", "bitsandbytes")
_DEVICES = {"cuda": "a GPU", "cpu": "the CPU", "sim": "the twin"}

#: What two cells differ in, by its name in `ACROSS` or as a setting, as "before → after".
Differences = dict[str, str]


def parse_across(values: Sequence[str]) -> frozenset[str]:
    """Return the names in the values of ``--across``, each of which may have several between commas.

    Raises:
        UsageError: a name is unknown.
    """
    names = [name.strip() for text in values for name in text.split(",")]
    known = {*ACROSS, *setting_names()}
    for name in names:
        if name not in known:
            near = nearest(name, sorted(known))
            takes = f"it takes {', '.join(ACROSS)}, and the settings of a scenario (docs/scenario.md)"
            raise UsageError(f"--across: unknown '{name}'{near}; {takes}")
    return frozenset(names)


def differences(base: Outcome, new: Outcome) -> Differences:
    """Return what the two cells differ in: settings that both have, and the names in `ACROSS`."""
    values = {**_settings(base, new), **_places(base, new), **_origins(base, new)}
    return {name: f"{before} → {after}" for name, (before, after) in values.items() if before != after}


def bars(differing: Differences, across: frozenset[str]) -> Differences:
    """Return those differences that keep two rows from being compared.

    Another CPU keeps only times from being compared, so it is not among them.
    """
    return {name: text for name, text in differing.items() if name not in across and name != "cpu"}


def _settings(base: Outcome, new: Outcome) -> dict[str, tuple[str, str]]:
    if base.cell.cell_id == new.cell.cell_id:
        return {}
    before, after = settings_of(base.cell), settings_of(new.cell)
    return {name: (str(before[name]), str(after[name])) for name in differing(before, after)}


def _places(base: Outcome, new: Outcome) -> dict[str, tuple[str, str]]:
    places = {"device": (_device(base), _device(new))}
    if base.cell.gpu is not None and new.cell.gpu is not None:
        places["gpu"] = (base.cell.gpu, new.cell.gpu)
    return places


def _device(outcome: Outcome) -> str:
    return _DEVICES.get(outcome.kind, outcome.kind)


def _origins(base: Outcome, new: Outcome) -> dict[str, tuple[str, str]]:
    before, after = base.origin, new.origin
    # A cell whose process died does not say where that was: that it died is told all the same.
    if before is None or after is None:
        return {}
    kinds = {base.kind, new.kind}
    values = {
        "torch": (_torch(before, kinds), _torch(after, kinds)),
        "transformers": (before.version("transformers"), after.version("transformers")),
    }
    if new.cell.method.name.startswith("peft"):
        values["peft"] = (before.version("peft"), after.version("peft"))
    if runs_bitsandbytes(base.cell) and runs_bitsandbytes(new.cell):
        values["bitsandbytes"] = (before.version("bitsandbytes"), after.version("bitsandbytes"))
    if "cpu" not in kinds:
        values["allocator"] = (before.allocator, after.allocator)
    if kinds == {"cpu"}:
        values["cpu"] = (before.cpu, after.cpu)
    return values


def _torch(origin: Origin, kinds: set[str]) -> str:
    # Only on a GPU does it matter what CUDA it was built with; the twin's PyTorch mostly has none.
    built_with = f" with CUDA {origin.cuda}" if kinds == {"cuda"} else ""
    return f"{origin.version('torch')}{built_with}"


def told_versions(pairs: Sequence[OutcomePair]) -> list[str]:
    """Return the packages, drivers and commits that both sides know and that differ, each once, sorted."""
    changes = set()
    for base, new in pairs:
        if base.origin is not None and new.origin is not None:
            before, after = _versions(base.origin), _versions(new.origin)
            shared = before.keys() & after.keys()
            changes |= {
                f"{name} {before[name]} → {after[name]}" for name in shared if before[name] != after[name]
            }
    return sorted(changes)


def _versions(origin: Origin) -> dict[str, str]:
    versions = {**origin.packages, "driver": origin.driver, "commit of lorafa-prof": origin.commit}
    return {name: version for name, version in versions.items() if version != UNKNOWN}
