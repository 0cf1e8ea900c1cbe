"""The page: its tables and the links to its figures, written anew between their marks.

No number there is typed by hand: published ones are claims of scenarios, ours are read from the results and
judged as `lorafa-prof check` judges them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from lorafa_prof.claims.finding import worst
from lorafa_prof.errors import UsageError
from lorafa_prof.report.published.experiment import Experiment, Row, experiment
from lorafa_prof.report.published.folder import BOTH, By, PublishedFolder
from lorafa_prof.report.published.marks import SUMMARY, figures_named, filled_between, has_mark
from lorafa_prof.report.published.settings import SAID_WHERE_ROWS_DIFFER, WORD_BEFORE, in_words
from lorafa_prof.report.published.wording import (
    expectation,
    number_in_words,
    verdict_of_row,
    verdict_over_rows,
)
from lorafa_prof.results.files import write_atomically
from lorafa_prof.words.phrases import one_line


def write_page(folder: PublishedFolder) -> Iterator[str]:
    """Write the folder's page anew.

    Raises:
        UsageError: there is no page, a mark has no end, or a scenario is not there.
        NothingToJudgeError: the page names no scenario, or one without claims.
    """
    write_atomically(folder.page, filled(folder))
    yield str(folder.page)


def filled(folder: PublishedFolder) -> str:
    """The folder's page with everything between its marks made from the folder's results."""
    text = folder.page_text()
    experiments = {name: experiment(name, folder) for name in folder.scenarios()}
    contents = {f"settings: {name}": settings_table(judged) for name, judged in experiments.items()}
    for name, figure in figures_named(text):
        contents[f"figure: {name} {figure}"] = figure_link(name, figure, folder)
    if has_mark(text, SUMMARY):
        contents[SUMMARY] = summary(experiments)
    for mark, content in contents.items():
        try:
            text = filled_between(text, mark, content)
        except UsageError as error:
            raise UsageError(f"{folder.page}: {error}") from error
    return text


def summary(experiments: Mapping[str, Experiment]) -> str:
    """A line for each claim, with the settings in which it fares best, and its neighbours with it.

    Of settings alike in that it is one that was measured.
    """
    head = ["published", "source", "measured", "predicted", "settings assumed", "verdict"]
    lines = []
    for judged in experiments.values():
        keys = ["model", *(key for key in judged.varying if key != "model")]
        for index, claim in enumerate(judged.claims):
            rows = [row for row in judged.rows if index in row.claims]
            best = max(rows, key=lambda row: row.merit(index))
            numbers = [_numbers(best, index, by) or "–" for by in BOTH]
            verdict = verdict_over_rows([row.state(index) for row in rows])
            settings = in_words(best.settings, keys)
            lines.append([claim.name, claim.source or "", *numbers, settings, verdict])
    return "\n".join(_markdown(head, lines))


def settings_table(judged: Experiment) -> str:
    """The claims of an experiment, what came of them, and a row for each combination of settings."""
    claims = [
        one_line(f"{number}. {claim.name} ({'; '.join(filter(None, (expectation(claim), claim.source)))})")
        for number, claim in enumerate(judged.claims, 1)
    ]
    same = [key for key in WORD_BEFORE if key not in judged.varying and key not in SAID_WHERE_ROWS_DIFFER]
    in_all_rows = f"In all rows: {in_words(judged.rows[0].settings, same)}."
    head = ["settings assumed", "measured", "predicted", "verdict"]
    lines = [
        [
            in_words(row.settings, judged.varying),
            *(_all_numbers(row, by) for by in BOTH),
            verdict_of_row(row.states),
        ]
        for row in judged.rows
    ]
    return "\n".join([*claims, "", _verdict(judged), "", in_all_rows, "", *_markdown(head, lines)])


def _verdict(judged: Experiment) -> str:
    """Whether everything that is claimed holds together, and where it does."""
    whole = [in_words(row.settings, judged.varying) for row in judged.rows if set(row.states) == {"pass"}]
    verdict = verdict_over_rows([worst(row.states) for row in judged.rows])
    where = f": {'; '.join(whole)}" if any(whole) else ""
    return (
        f"**{verdict.capitalize()}.** "
        f"Everything claimed holds in {len(whole)} of {len(judged.rows)} rows{where}."
    )


def _all_numbers(row: Row, by: By) -> str:
    """Every number of a row as measured or as predicted, each after its claim's."""
    numbers = [(index + 1, _numbers(row, index, by)) for index in row.claims]
    return "<br>".join(f"({number}) {text}" for number, text in numbers if text) or "–"


def _numbers(row: Row, index: int, by: By) -> str:
    """The numbers of one claim in a row; empty where there are none."""
    items = [(number.check, number.by(by)) for number in row.claims[index]]
    return " / ".join(
        dict.fromkeys(number_in_words(check, item) for check, item in items if item is not None)
    )


def figure_link(name: str, figure: str, folder: PublishedFolder) -> str:
    """A link to a figure of measurements, or of predictions where nothing is measured."""
    for place in (place for by in BOTH for place in folder.places(by)):
        if (folder.path / place / name / "figures" / f"{figure}.png").is_file():
            return f"![{name}, {figure}, {place}]({place}/{name}/figures/{figure}.png)"
    return f"({name}: no figure {figure} yet)"


def _markdown(head: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    rows = (head, ["---"] * len(head), *lines)
    return [f"| {' | '.join(one_line(cell).replace('|', '&#124;') for cell in cells)} |" for cells in rows]
