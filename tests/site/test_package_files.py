"""What the package says of itself on an index, in a citation, in an image and at a release."""

from __future__ import annotations

import json
import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml
from programs import ROOT, program

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT: dict[str, Any] = PYPROJECT["project"]
REPOSITORY: str = PROJECT["urls"]["Repository"]
TOLD = [
    ROOT / name
    for name in ("README.md", "CITATION.cff", "mkdocs.yml", "Dockerfile", "pyproject.toml", "action.yml")
] + [
    file
    for folder in ("docs", ".github")
    for file in sorted((ROOT / folder).rglob("*.*"))
    if file.suffix != ".png"
]


@pytest.mark.parametrize("file", TOLD, ids=lambda file: str(file.relative_to(ROOT)))
def test_where_the_project_lives_is_said_alike_everywhere(file: Path) -> None:
    text = file.read_text()
    assert "OWNER" not in text
    owner, name = REPOSITORY.removeprefix("https://github.com/").split("/")
    said = re.findall(rf"(?:github\.com|githubusercontent\.com|uses:|/github)[/ ]([\w-]+/{name})\b", text)
    assert set(said) <= {f"{owner}/{name}"}
    assert set(re.findall(r"https://([\w-]+)\.github\.io", text)) <= {owner}


def on_the_index() -> str:
    """README as hatch-fancy-pypi-readme makes it."""
    text = (ROOT / "README.md").read_text()
    for each in PYPROJECT["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]:
        text = re.sub(each["pattern"], each["replacement"], text)
    return text


def test_links_of_readme_lead_somewhere_on_the_index_too() -> None:
    """test_docs.py holds the relative ones to files that there are."""
    links = re.findall(r"\]\(([^)\s]+)\)", on_the_index())
    assert [link for link in links if not link.startswith("https://")] == []
    ours = [link for link in links if "/lorafa-prof/blob/main/" in link]
    assert len(ours) == len(
        re.findall(
            r"(?<!!)\[(?:[^\[\]]|!\[[^\]]*\]\([^)]*\))*\]\((?!https)", (ROOT / "README.md").read_text()
        )
    )
    (picture,) = (link for link in links if "raw.githubusercontent.com" in link)
    assert (ROOT / picture.split("/main/")[1]).is_file()


def test_the_citation_is_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= citation.keys()
    assert (citation["version"], citation["license"]) == (PROJECT["version"], PROJECT["license"])


def dockerfile() -> list[list[str]]:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    return [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]


def test_the_image_takes_what_there_is_and_starts_the_command() -> None:
    steps = dockerfile()
    assert steps[0][0] == "FROM"
    version = re.fullmatch(r"python:([\d.]+)-slim", steps[0][1])
    assert version is not None
    assert f"Programming Language :: Python :: {version[1]}" in PROJECT["classifiers"]
    assert ["ENTRYPOINT", json.dumps(list(PROJECT["scripts"]))] in steps
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = [source for word, rest in steps if word == "COPY" for source in rest.split()[:-1]]
    for source in copied:
        assert (ROOT / source).exists()
        assert any(fnmatch(source, pattern) for pattern in allowed), f"{source} is not sent to Docker"
    assert {"lorafa_prof", "scenarios", PROJECT["license-files"][0], "constraints.txt"} <= set(copied)
    assert [rest for word, rest in steps if word == "USER"] == ["user"], "it runs without rights"


def workflow(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / ".github/workflows" / name).read_text())
    return loaded


def test_a_release_is_published_without_a_token_and_only_as_built_and_used() -> None:
    release = workflow("release.yml")
    assert release["permissions"] == {"contents": "read"}
    publish = release["jobs"]["publish"]
    assert publish["permissions"] == {"id-token": "write"}
    assert publish["needs"] == "build"
    assert "secrets." not in (ROOT / ".github/workflows/release.yml").read_text()
    assert not any("run" in step for step in publish["steps"]), (
        "what publishes runs nothing of the repository"
    )
    ran = [step["run"] for step in release["jobs"]["build"]["steps"] if "run" in step]
    assert any(".ci/release.py" in line for line in ran)
    assert any(".ci/package dist" in line for line in ran)


release_program = program(".ci/release.py")


@pytest.mark.parametrize(
    ("tag", "repository", "changes", "citation", "reason"),
    [
        ("v1.0", "https://x/y", "## [1.0] - 2026\n", "\nversion: 1.0\n", None),
        ("v1.1", "https://x/y", "## [1.0] - 2026\n", "\nversion: 1.0\n", "the tag is v1.1"),
        ("v1.0", "https://z/y", "## [1.0] - 2026\n", "\nversion: 1.0\n", "this is https://z/y"),
        ("v1.0", "https://x/y", "## [Unreleased]\n", "\nversion: 1.0\n", "CHANGELOG.md has no section"),
        ("v1.0", "https://x/y", "## [1.0] - 2026\n", "\nversion: 0.9\n", "CITATION.cff is of another"),
    ],
)
def test_a_tag_becomes_a_release_only_if_all_agrees(
    tag: str, repository: str, changes: str, citation: str, reason: str | None
) -> None:
    stated = {"version": "1.0", "urls": {"Repository": "https://x/y"}}
    reasons = release_program.reasons_against(tag, repository, stated, changes, citation)
    assert len(reasons) == (reason is not None)
    assert all(line.startswith(reason or "") for line in reasons)


def test_the_site_has_every_page() -> None:
    """MkDocs warns of pages that it does not know of; here that is seen without it."""
    named = re.findall(r": ([\w/.-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), flags=re.MULTILINE)
    there = [str(page.relative_to(ROOT / "docs")) for page in sorted((ROOT / "docs").rglob("*.md"))]
    assert sorted(named) == there
    assert all(f"({name})" in (ROOT / "docs/index.md").read_text() for name in there if name != "index.md")
