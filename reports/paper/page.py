"""Fill the tables of README.md: what was published, beside what GPUs measured and what the twin predicts.

    python reports/paper/page.py

Published numbers are the claims of scenarios/paper/*.yaml. Ours are read from `h100/*/results.csv`,
`h200/*/results.csv` and `twin/*/results.csv`, and judged as `lorafa-prof check` judges. What stands between a
comment `<!-- summary -->`, `<!-- settings: NAME -->` or `<!-- figure: NAME FIGURE -->` and its end is written
anew: no number there is typed by hand.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from experiments import FOLDERS, TOLD, By, Experiment, Row, experiment

from lorafa_prof.claims.checks import Check
from lorafa_prof.claims.finding import Item, State, worst
from lorafa_prof.claims.metric import FITS
from lorafa_prof.scenario.claim import Claim

HERE = Path(__file__).resolve().parent


def main() -> None:
    """Write README.md beside this file anew."""
    page = HERE / "README.md"
    page.write_text(filled(page.read_text(encoding="utf-8"), HERE), encoding="utf-8")


def filled(text: str, folder: Path) -> str:
    """`text` with everything between its marks written anew from the results below `folder`."""
    names = re.findall(r"<!-- settings: (\S+) -->", text)
    experiments = {name: experiment(name, folder) for name in names}
    text = _between(text, "summary", summary(experiments))
    for name, each in experiments.items():
        text = _between(text, f"settings: {name}", settings_table(each))
    for name, figure in re.findall(r"<!-- figure: (\S+) (\S+) -->", text):
        text = _between(text, f"figure: {name} {figure}", figure_link(name, figure, folder))
    return text


def _between(text: str, mark: str, new: str) -> str:
    begin, end = f"<!-- {mark} -->", f"<!-- end {mark} -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        sys.exit(f"README.md: '{begin}' … '{end}' is not there")
    return f"{before}{begin}\n{new}\n{end}{after}"


def summary(experiments: Mapping[str, Experiment]) -> str:
    """A line for each claim, with the settings in which it fares best, and its neighbours with it."""
    head = ["published", "source", "measured", "predicted", "settings assumed", "verdict"]
    lines = []
    for each in experiments.values():
        told = ["model", *(key for key in each.varying if key != "model")]
        for index, claim in enumerate(each.claims):
            rows = [row for row in each.rows if index in row.claims]
            best = max(rows, key=lambda row: (row.state(index) == "pass", row.states.count("pass")))
            numbers = [_numbers(best, index, by) or "–" for by in FOLDERS]
            verdict = overall([row.state(index) for row in rows])
            lines.append([claim.name, claim.source or "", *numbers, _words(best, told), verdict])
    return "\n".join(_markdown(head, lines))


def settings_table(each: Experiment) -> str:
    """The claims of an experiment, what came of them, and a row for each combination of settings."""
    listed = [
        f"{number}. {claim.name} ({expectation(claim)}; {claim.source})"
        for number, claim in enumerate(each.claims, 1)
    ]
    whole = [_words(row, each.varying) for row in each.rows if set(row.states) == {"pass"}]
    verdict = overall([worst(row.states) for row in each.rows])
    same = _words(each.rows[0], [key for key in TOLD if key not in each.varying])
    told = f"**{verdict.capitalize()}.** Everything claimed holds in {len(whole)} of {len(each.rows)} rows"
    told += f": {'; '.join(whole)}." if whole else "."
    head = ["settings assumed", "measured", "predicted", "verdict"]
    lines = [
        [
            _words(row, each.varying),
            _all_numbers(row, "measured"),
            _all_numbers(row, "predicted"),
            in_row(row.states),
        ]
        for row in each.rows
    ]
    return "\n".join([*listed, "", told, "", f"In all rows: {same}.", "", *_markdown(head, lines)])


def expectation(claim: Claim) -> str:
    """What the scenario expects, as it is written there."""
    if claim.between is not None:
        text = " to ".join(map(str, claim.between))
    else:
        signs = {"equals": "=", "at_least": "≥", "at_most": "≤"}
        given = [(sign, getattr(claim, key)) for key, sign in signs.items()]
        text = ", ".join(f"{sign} {amount}" for sign, amount in given if amount is not None)
    return text if claim.tolerance is None else f"{text} ± {claim.tolerance}"


def _words(row: Row, keys: Sequence[str]) -> str:
    return ", ".join(f"{TOLD[key]}{row.settings[key]}" for key in keys if row.settings[key])


def _all_numbers(row: Row, by: By) -> str:
    """Every number of a row as measured or as predicted, each after its claim's."""
    told = [(index + 1, _numbers(row, index, by)) for index in row.claims]
    return "<br>".join(f"({number}) {text}" for number, text in told if text) or "–"


def _numbers(row: Row, index: int, by: By) -> str:
    """The numbers of one claim in a row; empty where there are none."""
    items = [(judged.check, judged.by(by)) for judged in row.claims[index]]
    return " / ".join(dict.fromkeys(shown(check, item) for check, item in items if item is not None))


def shown(check: Check, item: Item) -> str:
    """A number in the unit that publications have and whether it is as claimed, or why there is none."""
    if item.value is None:
        known = (reason for reason in ("out of memory", "no clock") if reason in item.note)
        return next(known, item.note)
    return f"{_amount(check, float(item.value))} {'✓' if item.state == 'pass' else '✗'}"


def _amount(check: Check, value: float) -> str:
    if check.metric is FITS:
        return "fits" if value else "out of memory"
    if check.kind == "ratio":
        return f"× {value:.3f}"
    if check.metric.unit == "ms":
        return f"{value:.1f} ms"
    if check.kind == "growth":
        return f"{value / 1e6:.3f} MB per {check.axis}"
    return f"{value / 1e9:.2f} GB"


def in_row(states: Sequence[State]) -> str:
    """Whether what is claimed of one combination of settings holds there."""
    if "fail" in states:
        return "in part" if "pass" in states else "not reproduced"
    if "unknown" in states:
        return "as far as it can be judged" if "pass" in states else "cannot be judged"
    return "reproduced"


def overall(states: Sequence[State]) -> str:
    """Whether a claim, or all of a scenario together, holds over combinations of settings."""
    if "pass" not in states:
        return "not reproduced" if "fail" in states else "cannot be judged"
    return "reproduced only under stated conditions" if "fail" in states else "reproduced"


def figure_link(name: str, figure: str, folder: Path) -> str:
    """A link to a figure of measurements, or of predictions where nothing is measured."""
    for place in (place for places in FOLDERS.values() for place in places):
        if (folder / place / name / "figures" / f"{figure}.png").is_file():
            return f"![{name}, {figure}, {place}]({place}/{name}/figures/{figure}.png)"
    return f"({name}: no figure {figure} yet)"


def _markdown(head: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *lines)]


if __name__ == "__main__":
    main()
