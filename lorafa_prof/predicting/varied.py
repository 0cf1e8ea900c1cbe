"""An option among a script's arguments, and the same script with another value of it."""

from __future__ import annotations

from dataclasses import replace

from lorafa_prof.errors import UsageError
from lorafa_prof.predicting.script import Script

#: What scripts call these, in the order in which they are looked for among the arguments.
BATCH = ("per_device_train_batch_size", "train_batch_size", "micro_batch_size", "batch_size", "batch")
SEQ = ("max_seq_length", "max_length", "max_seq_len", "seq_length", "seq_len", "block_size", "seq")


def option_of(script: Script, names: tuple[str, ...], how: str) -> str:
    """Return the first of `names` that is an option among the script's arguments.

    Raises:
        UsageError: none is; `how` is what was asked for.
    """
    for name in names:
        if _place(script, name) is not None:
            return name
    raise UsageError(
        f"{how}: the script's arguments have none of --{', --'.join(names)}; name the option with --vary"
    )


def with_value(script: Script, option: str, value: int) -> Script:
    """Return the script with `option` set to `value`: in its place, or at the end where it is not given.

    ``--batch-size 4``, ``--batch-size=4`` and ``batch_size=4`` are known; dashes are as underscores.
    """
    arguments = list(script.arguments)
    place = _place(script, option)
    if place is None:
        dashed = option if option.startswith("-") else f"--{option}"
        return replace(script, arguments=(*arguments, dashed, str(value)))
    name, equals, _ = arguments[place].partition("=")
    if equals:
        arguments[place] = f"{name}={value}"
    elif place + 1 < len(arguments):
        arguments[place + 1] = str(value)
    else:
        raise UsageError(f"{arguments[place]}: it has no value among the script's arguments")
    return replace(script, arguments=tuple(arguments))


def _place(script: Script, option: str) -> int | None:
    wanted = _plain(option)
    for index, argument in enumerate(script.arguments):
        name, equals, _ = argument.partition("=")
        if (equals or argument.startswith("-")) and _plain(name) == wanted:
            return index
    return None


def _plain(option: str) -> str:
    return option.lstrip("-").replace("-", "_")
