"""A few lines of data in the form of each data set, and files of them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SUBJECTS = (
    "ants",
    "bees",
    "cats",
    "dogs",
    "eels",
    "frogs",
    "geese",
    "hens",
    "ibexes",
    "jays",
    "kites",
    "larks",
)


def boolq_rows(number: int) -> list[dict[str, Any]]:
    """In LLM-Adapters' form."""
    rows = []
    for place, subject in enumerate(SUBJECTS[:number]):
        answer = "true" if place % 3 else "false"
        asked = f"Please answer the following question with true or false, question: do {subject} run?"
        rows.append(
            {
                "instruction": f"{asked}\n\nAnswer format: true/false",
                "input": "",
                "output": f"the correct answer is {answer}",
                "answer": answer,
            }
        )
    return rows


def arc_rows(number: int) -> list[dict[str, Any]]:
    """In LLM-Adapters' form, with four choices."""
    rows = []
    for place, subject in enumerate(SUBJECTS[:number]):
        answer = f"answer{place % 4 + 1}"
        rows.append(
            {
                "instruction": f"Please choose the correct answer to the question: What do {subject} eat?\n\n"
                "Answer1: hay Answer2: fish Answer3: nuts Answer4: grass\n\n"
                "Answer format: answer1/answer2/answer3/answer4",
                "input": "",
                "output": f"the correct answer is {answer}",
                "answer": answer,
            }
        )
    return rows


def gsm8k_rows(number: int) -> list[dict[str, Any]]:
    return [
        {
            "question": f"{place} {subject} and one?",
            "answer": f"{place}+1=<<{place}+1={place + 1}>>\n#### {place + 1}",
        }
        for place, subject in enumerate(SUBJECTS[:number], start=1)
    ]


def trees(number: int) -> str:
    """Sentences of the treebank: negative, neutral, positive in turn."""
    return "".join(
        f"({label} (-1 {subject}) ({label} (-1 are) ({label} {word})))\n"
        for subject, (label, word) in zip(
            SUBJECTS[:number], (((0, "bad"), (-1, "here"), (1, "good")) * 4), strict=False
        )
    )


def as_json(path: Path, rows: Sequence[Any]) -> Path:
    return _write(path, json.dumps(list(rows), indent=4))


def as_lines(path: Path, rows: Sequence[Any]) -> Path:
    return _write(path, "".join(json.dumps(row) + "\n" for row in rows))


def as_text(path: Path, text: str) -> Path:
    return _write(path, text)


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = text.encode()
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
    return path
