"""What a config.json may say before anything is built of it: sizes that take hours are refused at once."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: Of a file: published ones have some kilobytes.
MOST_BYTES = 10 * 2**20
#: The most of what is built, or counted, piece by piece; published models have a tenth of it at most.
_MOST: tuple[tuple[re.Pattern[str], int], ...] = (
    (re.compile(r"(layers?|blocks?|stages?|depths?|codebooks?)$"), 1_000),
    (re.compile(r"experts$"), 10_000),
    (re.compile(r"vocab(_size)?$"), 2**24),
    (re.compile(r"(num_labels|num_classes)$"), 1_000_000),
    (re.compile(r"(image_size|num_channels|num_mel_bins)$"), 10_000),
    (re.compile(r"max_source_positions$"), 1_000_000),
)


class ConfigError(ValueError):
    """A config that nothing is built of; says so in one line."""


def check_config_file(file: Path) -> None:
    """Read the config `file` as what it is, JSON, before code of others reads it.

    Raises:
        ConfigError: it is no mapping, or has a size that is no size or that nobody waits for.
        OSError, ValueError, RecursionError: it cannot be read.
    """
    with file.open("rb") as stream:
        content = stream.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ConfigError(f"it has more than {MOST_BYTES // 2**20} MiB")
    config = json.loads(content)
    if not isinstance(config, dict):
        raise ConfigError("it is no mapping of names to values")
    for name, value in _numbers(config):
        for form, most in _MOST:
            if form.search(name) and not 0 <= value <= most:
                digits = len(str(abs(value)))
                shown = f"{value}" if digits < 16 else f"a number of {digits:,} digits"
                raise ConfigError(f"{name} is {shown}: from 0 to {most:,} can be built here")


def _numbers(config: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """All whole numbers with the names they stand under, those of lists under their list's."""
    waiting: list[tuple[str, Any]] = list(config.items())
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, dict):
            waiting.extend(value.items())
        elif isinstance(value, list):
            waiting.extend((name, each) for each in value)
        elif isinstance(value, int) and not isinstance(value, bool):
            yield name, value
