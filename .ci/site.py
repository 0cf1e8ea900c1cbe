"""A hook of MkDocs: what the pages say to GitHub's reader is made right for the site's."""

from __future__ import annotations

import posixpath
import re
from typing import Any

#: A relative link that goes up; pages of docs/ link to files beside docs/ so.
_UP = re.compile(r"\]\(((?:\.\./)+[^)#\s]*)(#[^)\s]*)?\)")


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Links to files that are no pages of the site lead to the repository."""

    def link(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page.file.src_uri), match[1]))
        if target.startswith("docs/"):
            return match[0]
        return f"]({config.repo_url}/blob/main/{target}{match[2] or ''})"

    return _UP.sub(link, markdown)
