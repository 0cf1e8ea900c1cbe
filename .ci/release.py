"""Whether a tag may become a release; exits with 1, and a line for each reason against it.

python .ci/release.py TAG REPOSITORY
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def reasons_against(
    tag: str, repository: str, project: dict[str, object], changes: str, citation: str
) -> list[str]:
    """Why not, in a line each; `repository` is the URL that the tag was pushed to."""
    version, urls = project["version"], project["urls"]
    assert isinstance(urls, dict)
    reasons = []
    if tag != f"v{version}":
        reasons.append(f"the tag is {tag}, and the version of pyproject.toml {version}")
    if repository != urls["Repository"]:
        reasons.append(f"this is {repository}, and the package says that it is of {urls['Repository']}")
    if not re.search(rf"^## \[?{re.escape(str(version))}\b", changes, flags=re.MULTILINE):
        reasons.append(f"CHANGELOG.md has no section of {version}")
    if f"\nversion: {version}\n" not in citation:
        reasons.append(f"CITATION.cff is of another version than {version}")
    return reasons


def main(tag: str, repository: str) -> int:
    """Print the reasons; the exit code."""
    reasons = reasons_against(
        tag,
        repository,
        tomllib.loads((ROOT / "pyproject.toml").read_text())["project"],
        (ROOT / "CHANGELOG.md").read_text(),
        (ROOT / "CITATION.cff").read_text(),
    )
    for reason in reasons:
        print(f"no release: {reason}", file=sys.stderr)
    return int(bool(reasons))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
