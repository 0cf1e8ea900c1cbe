"""The command lines on README and the pages of docs/, and what they print.

    python .ci/pages.py [PAGE...]    runs them, and writes what they print now into the pages

A fenced block of the language `console` is run: its lines that begin with `$ ` in the order of the page, in
one folder that is the page's own, and what is shown below each is what it prints. A block of yaml or python
whose first line is `# NAME` is a file there. What is shown is stdout; of a command that prints nothing
there, stderr; paths are those from this folder's root on. `$ echo $?` shows the exit code of the command
before, and without it that has to be 0. With `2>&1` stderr is shown with stdout. A line `…` stands for
lines that the page leaves out.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
LEFT_OUT = "…"
EXIT_CODE = "echo $?"
PROMPT = "$ "
#: Of a command's arguments: stderr is shown, too.
TOGETHER = "2>&1"
#: Columns of the terminal that pages show.
WIDTH = 80
#: What differs from run to run, or from build to build of PyTorch, and is compared with no page.
_DIFFERS = re.compile(r"\b\d+(?:[.,]\d+)?\s?(?:s|ms|min)\b|\b\d+:\d\d(?::\d\d)?\b|(?<=\d)\+(?:cpu|cu\d+)\b")


class PageError(Exception):
    """A page cannot be run as it stands; says which and why."""


@dataclass(frozen=True)
class Shown:
    """A command of a page, and what the page shows that it prints."""

    command: str
    lines: tuple[str, ...]


def pages() -> list[Path]:
    """README and every page of docs/ that has a command to run."""
    found = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [page for page in found if any(steps_of(page.read_text()))]


def steps_of(text: str) -> list[Shown]:
    """The commands of a page, in its order."""
    return [
        step for language, block in FENCE.findall(text) if language == "console" for step in steps_in(block)
    ]


def steps_in(block: str) -> Iterator[Shown]:
    """The commands of one block; a line that ends with a backslash goes on."""
    command: str | None = None
    lines: list[str] = []
    for line in block.splitlines():
        if line.startswith(PROMPT):
            if command is not None:
                yield Shown(command, tuple(lines))
            command, lines = line.removeprefix(PROMPT), []
        elif command is None:
            raise PageError(f"a console block begins with '{line}', not with a command after '{PROMPT}'")
        elif command.endswith("\\"):
            command = f"{command}\n{line}"
        else:
            lines.append(line)
    if command is not None:
        yield Shown(command, tuple(lines))


def files_of(text: str) -> dict[str, str]:
    """The files that a page shows, by name."""
    named = (
        (re.match(r"# ([\w.-]+\.(?:yaml|py))\n", block), block)
        for language, block in FENCE.findall(text)
        if language in ("yaml", "python")
    )
    return {match[1]: block for match, block in named if match}


def run_page(text: str, folder: Path) -> list[Shown]:
    """The page's commands with what they print, run in `folder`.

    Raises:
        PageError: one cannot be run, or ends with an exit code that the page does not tell of.
    """
    for name, content in files_of(text).items():
        (folder / name).write_text(content)
    steps = steps_of(text)
    asked = [step.command for step in steps[1:]]
    done, code = [], 0
    with in_folder(folder):
        for step, following in zip(steps, [*asked, ""], strict=True):
            if step.command == EXIT_CODE:
                printed = f"{code}\n"
            else:
                printed, code = run_command(step.command)
                if code and following != EXIT_CODE:
                    raise PageError(f"exit code {code}: {step.command}\n{printed}")
            lines = printed.replace(f"{ROOT}/", "").splitlines()
            done.append(replace(step, lines=tuple(line.rstrip() for line in lines)))
    return done


@contextlib.contextmanager
def in_folder(folder: Path) -> Iterator[None]:
    """Work in `folder`, on a terminal of `WIDTH` columns."""
    before, columns = Path.cwd(), os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(WIDTH)
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
        os.environ.pop("COLUMNS") if columns is None else os.environ.update(COLUMNS=columns)


def run_command(command: str) -> tuple[str, int]:
    """What it prints, and its exit code; lorafa-prof runs here: importing PyTorch takes seconds."""
    program, *arguments = shlex.split(command.replace("\\\n", " "))
    if program == "lorafa-prof":
        return run_here(arguments)
    if program not in ("python", "pytest"):
        raise PageError(f"no page runs '{program}': {command}")
    module = ["-m", "pytest", "-p", "no:cacheprovider"] if program == "pytest" else []
    done = subprocess.run([sys.executable, *module, *arguments], capture_output=True, text=True, check=False)
    return done.stdout or done.stderr, done.returncode


def run_here(arguments: list[str]) -> tuple[str, int]:
    """What `lorafa-prof` prints, and its exit code."""
    from lorafa_prof.cli.main import main

    out = io.StringIO()
    err = out if arguments[-1:] == [TOGETHER] else io.StringIO()
    arguments = [each for each in arguments if each != TOGETHER]
    code = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(arguments)
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return out.getvalue() or err.getvalue(), code


def agree(shown: tuple[str, ...], printed: tuple[str, ...]) -> bool:
    """Whether a page shows what was printed, but for what differs by itself and what it leaves out."""
    wanted, got = _constant(shown), _constant(printed)
    if LEFT_OUT not in wanted:
        return wanted == got
    first, last = _around(wanted)
    kept = len(first) + len(last)
    return kept <= len(got) and got[: len(first)] == first and got[len(got) - len(last) :] == last


def _constant(lines: tuple[str, ...]) -> list[str]:
    return [re.sub(r"\s+", " ", _DIFFERS.sub("·", line.rstrip())) for line in lines]


def _around(lines: list[str]) -> tuple[list[str], list[str]]:
    if lines.count(LEFT_OUT) > 1:
        raise PageError(f"'{LEFT_OUT}' stands for lines once in what a command prints")
    at = lines.index(LEFT_OUT)
    return lines[:at], lines[at + 1 :]


def rewritten(text: str, steps: list[Shown]) -> str:
    """The page with what its commands print now; as much is left out as was."""
    remaining = iter(steps)

    def block(match: re.Match[str]) -> str:
        if match[1] != "console":
            return match[0]
        told = "".join(_told(old, next(remaining)) for old in steps_in(match[2]))
        return f"{match[0].splitlines()[0]}\n{told}```"

    return FENCE.sub(block, text)


def _told(old: Shown, new: Shown) -> str:
    lines = list(old.lines if agree(old.lines, new.lines) else new.lines)
    if LEFT_OUT in old.lines:
        first, last = (len(part) for part in _around(list(old.lines)))
        if first + last < len(new.lines) and not agree(old.lines, new.lines):
            lines = [*new.lines[:first], LEFT_OUT, *new.lines[len(new.lines) - last :]]
    return "".join(f"{line}\n" for line in [PROMPT + old.command, *lines])


def main(arguments: list[str]) -> int:
    """Write the pages anew; 1 if a page could not be run."""
    failed = 0
    for page in [Path(name).resolve() for name in arguments] or pages():
        text = page.read_text()
        try:
            with tempfile.TemporaryDirectory() as folder:
                new = rewritten(text, run_page(text, Path(folder)))
        except PageError as error:
            failed = 1
            print(f"{page.relative_to(ROOT)}: {error}", file=sys.stderr)
            continue
        print(f"{page.relative_to(ROOT)}: {'as it was' if new == text else 'written'}")
        page.write_text(new)
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
