"""Judgements as GitHub's workflow commands, which mark the claim's line in a pull request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from lorafa_prof.claims.finding import Finding, Judgement
from lorafa_prof.claims.reporters.wording import culprit_line, culprits_title, summary
from lorafa_prof.words.phrases import one_line


def workflow_commands(judgements: Sequence[Judgement], root: Path) -> str:
    """One line for each finding that does not hold, for each cell that failed and for each note.

    Args:
        judgements: to tell of.
        root: of the repository, to which GitHub's paths are relative.
    """
    return "".join(f"{line}\n" for judgement in judgements for line in _of_judgement(judgement, root))


def _of_judgement(judgement: Judgement, root: Path) -> Iterator[str]:
    for finding in judgement.findings:
        if finding.state != "pass":
            level = "error" if finding.state == "fail" else "warning"
            yield _command(level, _message(finding), title=finding.name, **_place(finding, root))
    for label in judgement.cells_failed:
        yield _command("error", [f"failed unexpectedly: {label}"], title=judgement.title)
    for note in judgement.notes:
        yield _command("notice", [note], title=judgement.title)


def _message(finding: Finding) -> list[str]:
    lines = [f"{finding.word}: {summary(finding)}"]
    title = culprits_title(finding)
    if finding.culprits:
        lines.append(f"{title}, above all {culprit_line(finding.culprits[0])}")
    elif title:
        lines.append(title)
    return lines


def _place(finding: Finding, root: Path) -> dict[str, str]:
    """Where the claim stands; nothing where GitHub could not show it: outside of the repository."""
    if finding.file is None:
        return {}
    try:
        file = Path(finding.file).resolve()
    except ValueError:  # a name that no file can have
        return {}
    if not file.is_relative_to(root.resolve()):
        return {}
    line = {} if finding.line is None else {"line": str(finding.line)}
    return {"file": file.relative_to(root.resolve()).as_posix(), **line}


def _command(level: str, message: Sequence[str], *, title: str, **place: str) -> str:
    properties = {**place, "title": title}
    written = ",".join(f"{key}={_property(one_line(value))}" for key, value in properties.items())
    lines = "\n".join(map(one_line, message))
    return f"::{level} {written}::{_data(lines)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
