"""What judging comes to, in a form that every reporter can show."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from lorafa_prof.results.tensors import TensorChange
from lorafa_prof.words.amounts import Number

#: `pass`: as it should be. `fail`: not. `unknown`: it could not be judged, which is never a pass.
State = Literal["pass", "fail", "unknown"]

#: The worst of several states comes first.
_WORST_FIRST: tuple[State, ...] = ("fail", "unknown", "pass")


@dataclass(frozen=True)
class Item:
    """One thing that was judged: a cell or a pair of cells by a claim, or one metric of a cell.

    Attributes:
        what: names it: a cell's label, "A against B", or a metric.
        state: what came of it.
        word: the same in the word that people are shown: holds, fails, worse, inconclusive, …
        measured, expected: as text for people; empty where there is none.
        note: by how much it fails, or why it cannot be judged; empty where there is nothing to say.
        value: what was measured, in the unit of `measured`; None where nothing was.
    """

    what: str
    state: State
    word: str
    measured: str = ""
    expected: str = ""
    note: str = ""
    value: Number | None = None


@dataclass(frozen=True)
class Finding:
    """A claim, or a cell of a comparison, with everything that was judged of it.

    Attributes:
        name: of the claim, or the cell's label.
        items: at least one.
        word: of the finding as a whole: holds, fails, cannot be judged, same, better, worse, …
        about: what is judged, in one line ("activation_bytes of lora-fa relative to lora ≤ 0.85").
        source: where the claim comes from; empty where it says nothing.
        file, line: where the claim stands; None where it stands in no file.
        culprits_of: the item that `culprits` explain; empty where there are none.
        culprits: the tensors that make the difference, the most to blame first.
        culprits_title: what they are, in a few words, or why there are none.
        notes: what it does not judge though it might seem so: cells without a neighbour to grow from.
    """

    name: str
    items: tuple[Item, ...]
    word: str
    about: str = ""
    source: str = ""
    file: str | None = None
    line: int | None = None
    culprits_of: str = ""
    culprits: tuple[TensorChange, ...] = ()
    culprits_title: str = ""
    notes: tuple[str, ...] = ()

    @property
    def state(self) -> State:
        """The worst of its items."""
        return worst(item.state for item in self.items)


def worst(states: Iterable[State]) -> State:
    """The worst of `states`; of none it is `unknown`: nothing judged is never a pass."""
    found = set(states)
    return next((state for state in _WORST_FIRST if state in found), "unknown")


@dataclass(frozen=True)
class Judgement:
    """All findings on one scenario, or on one comparison.

    Attributes:
        title: what was judged: the scenario's name, or "BASE against NEW".
        findings: in the order of the scenario.
        exit_code: of the contract: 0 all well, 1 a cell failed unexpectedly, 3 a claim failed or a regression
            was found, 4 nothing could be judged.
        notes: what a reader must know beside them: cells only on one side, predictions for another version.
        machine: where results come from, in a few words: device, versions.
        cells_failed: cells that failed unexpectedly (error, timeout), by label.
        noun: what a finding is: a claim, or a cell of a comparison.
    """

    title: str
    findings: tuple[Finding, ...]
    exit_code: int
    notes: tuple[str, ...] = ()
    machine: str = ""
    cells_failed: tuple[str, ...] = ()
    noun: str = "claim"

    def count(self, state: State) -> int:
        """Findings in this state."""
        return sum(finding.state == state for finding in self.findings)
