"""Sentences and their sentiment from the Stanford Sentiment Treebank's binary trees, one on each line."""

from __future__ import annotations

import re

from lorafa_prof.tasks.rows.row import Row, RowError

#: A node begins with its label: 0 is negative, 1 positive, -1 neither; a leaf ends with its word.
_TREE = re.compile(r"\((-1|0|1) ")
_LEAF = re.compile(r"\((?:-1|0|1) ([^()\s]+)\)")
_LABELS = {"-1": None, "0": 0, "1": 1}
#: Brackets and escaped characters of a sentence, as trees have them.
_AS_IN_TREES = {"-LRB-": "(", "-RRB-": ")", "-LSB-": "[", "-RSB-": "]", "\\/": "/", "\\*": "*"}
_WRITTEN = re.compile("|".join(map(re.escape, _AS_IN_TREES)))


def read_trees(content: str) -> list[Row]:
    """Read whole sentences: the leaves with spaces between them, and the root's label: 0, 1, or None."""
    lines = enumerate(content.splitlines(), start=1)
    return [_sentence(line.strip(), number) for number, line in lines if line.strip()]


def _sentence(line: str, number: int) -> Row:
    root = _TREE.match(line)
    words = _LEAF.findall(line)
    if root is None or not words or line.count("(") != line.count(")"):
        raise RowError(f"line {number} is no tree, such as (1 (1 good) (-1 film))")
    sentence = _WRITTEN.sub(lambda found: _AS_IN_TREES[found[0]], " ".join(words))
    return {"sentence": sentence, "label": _LABELS[root[1]]}
