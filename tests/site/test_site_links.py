"""A hook of MkDocs: links that leave docs/ lead to the repository, others stay."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from programs import program

site = program(".ci/site.py")


@pytest.mark.parametrize(
    ("page", "link", "made"),
    [
        ("twin.md", "../reports/h100/README.md", "https://r/blob/main/reports/h100/README.md"),
        ("twin.md", "../CONTRIBUTING.md#test", "https://r/blob/main/CONTRIBUTING.md#test"),
        ("twin.md", "fit.md#x", "fit.md#x"),
        ("tutorials/a.md", "../fit.md#x", "../fit.md#x"),
        ("tutorials/a.md", "../../README.md", "https://r/blob/main/README.md"),
    ],
)
def test_links(page: str, link: str, made: str) -> None:
    place = SimpleNamespace(file=SimpleNamespace(src_uri=page))
    text = site.on_page_markdown(f"see [it]({link})", place, SimpleNamespace(repo_url="https://r"), None)
    assert text == f"see [it]({made})"
