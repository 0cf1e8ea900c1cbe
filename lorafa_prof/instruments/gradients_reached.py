"""Which parameters that train get no gradient, so that they do not train."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from lorafa_prof.methods.base import Prepared
from lorafa_prof.step import Phase
from lorafa_prof.words.module_paths import like_modules
from lorafa_prof.words.phrases import count, first_of


@dataclass
class GradientsReached:
    """An observer of the first step, that looks which parameters have their gradient when backward ends.

    A gradient that is used up in backward left its optimizer's state behind; where that has none, nothing is
    known, and nothing is said.

    Attributes:
        prepared: the model and its optimizer; None once it has looked, so that they can end.
        notes: takes a sentence if some parameters have none.
    """

    prepared: Prepared | None
    notes: list[str]

    def phase_started(self, phase: Phase) -> None:
        """Nothing is to be done."""

    def phase_ended(self, phase: Phase) -> None:
        """Look, if this is the first backward."""
        if phase == "backward" and self.prepared is not None:
            if missing := _without_gradient(self.prepared):
                alike = Counter(like_modules(name) for name in missing)
                paths = [f"{path} ({number})" if number > 1 else path for path, number in alike.items()]
                these = count(len(missing), "parameter")
                self.notes.append(f"no gradient comes to {these} that should train: {first_of(paths, 3)}")
            self.prepared = None


def _without_gradient(prepared: Prepared) -> list[str]:
    """Return the names of parameters that should train and did not get a gradient, if others did."""
    state = prepared.optimizer.state
    trained = {name: p for name, p in prepared.model.named_parameters() if p.requires_grad}
    missing = [name for name, p in trained.items() if p.grad is None and p not in state]
    return missing if len(missing) < len(trained) else []
