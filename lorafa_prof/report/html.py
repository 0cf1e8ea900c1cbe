"""A report as one HTML file that needs nothing from outside: no network, no other file."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from lorafa_prof.claims.reporters import wording
from lorafa_prof.one_line import all_texts, harmless_lines
from lorafa_prof.report.content import Content
from lorafa_prof.report.learned_table import COMPARED_HEADER, HEADER
from lorafa_prof.report.page_data import page_data, script_safe_json
from lorafa_prof.report.pictures import Picture
from lorafa_prof.report.templates import page_template
from lorafa_prof.results.provenance import package_version
from lorafa_prof.scenario.schema import Scenario
from lorafa_prof.words.phrases import and_more

CHART_JS = "4.6.1"

_SCRIPTS = (
    "numbers.js",
    "elements.js",
    "explanation.js",
    "charts.js",
    "table.js",
    "what_if.js",
    "page.js",
)
_SOURCE_MAP = "\n//# sourceMappingURL="


def html_report(content: Content, pictures: Sequence[Picture], not_drawn: Mapping[str, str]) -> str:
    """The page.

    Args:
        content: what it says.
        pictures: the figures.
        not_drawn: the other figures, by name, and why they were not drawn.
    """
    style, library, script = _style(), _library(), _script()
    return page_template("page.html.j2").render(
        content=content,
        learned_header=HEADER,
        compared_header=COMPARED_HEADER,
        data=script_safe_json(all_texts(page_data(content), harmless_lines)),
        style=style,
        scripts=(library, script),
        policy=_policy(style, (library, script)),
        pictures=pictures,
        not_drawn=not_drawn,
        wording=wording,
        and_more=and_more,
        machines=[list(_facts(each)) for each in content.environments],
        command=content.command,
        written=content.provenance.get("written"),
        scenario=_scenario(content.provenance),
        version=package_version("lorafa-prof"),
        chart_js=CHART_JS,
    )


def _policy(style: str, scripts: Sequence[str]) -> str:
    """The content security policy: these scripts and this style, pictures in the page, and nothing else."""
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {' '.join(map(_hash, scripts))}",
            f"style-src {_hash(style)}",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@cache
def _asset(*path: str) -> str:
    return files("lorafa_prof.report").joinpath("assets", *path).read_text(encoding="utf-8")


def _style() -> str:
    return _asset("page.css")


def _library() -> str:
    # Its source map is in another file, which a browser's developer tools would ask for.
    return _asset("chartjs", "chart.umd.min.js").partition(_SOURCE_MAP)[0]


def _script() -> str:
    return "\n".join(['"use strict";', *(_asset(name) for name in _SCRIPTS)])


def _facts(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """What is known of a machine, level by level, as names and values."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _facts(inner, f"{name} {key}".strip())
    elif value is not None:
        yield name.removeprefix("packages "), str(value)


def _scenario(provenance: Mapping[str, Any]) -> str:
    """The scenario as resolved, as YAML; what it leaves unsaid is left out."""
    scenario = provenance.get("scenario")
    if not isinstance(scenario, dict):
        return ""
    order = [field.alias or name for name, field in Scenario.model_fields.items()]
    said = {key: scenario[key] for key in order if scenario.get(key) not in (None, [], [None])}
    return yaml.safe_dump(said, sort_keys=False, allow_unicode=True, width=100)
