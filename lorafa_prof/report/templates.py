"""The templates of pages: how they are filled, so that what they show can do nothing."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from lorafa_prof.one_line import all_texts, harmless_lines


def page_template(name: str) -> Template:
    """Return a template of report/assets; its values are escaped, and a value that is missing is an error."""
    environment = Environment(
        loader=PackageLoader("lorafa_prof.report", "assets"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_harmless,
    )
    environment.filters["harmless"] = harmless_lines
    return environment.get_template(name)


def _harmless(value: Any) -> Any:
    """What a template may show; what is markup already was seen to where it became it."""
    return value if isinstance(value, Markup) else all_texts(value, harmless_lines)
