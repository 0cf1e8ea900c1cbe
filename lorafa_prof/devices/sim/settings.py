"""The options in PYTORCH_CUDA_ALLOC_CONF (or PYTORCH_ALLOC_CONF) that the allocator model has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lorafa_prof.errors import UsageError

MIB = 1 << 20
SMALLEST_LARGE_SEGMENT_MIB = 11
"""parseLargeSegmentSize: more than kMinLargeAlloc, which is 10 MiB."""

WITHOUT_EFFECT_HERE = frozenset(
    {
        # These are about pinned host memory, locks and graph capture; none of them moves a block.
        "pinned_use_background_threads",
        "pinned_use_cuda_host_register",
        "pinned_num_register_threads",
        "pinned_reserve_segment_size_mb",
        "pinned_free_catch_all",
        "pinned_max_round_threshold_mb",
        "pinned_max_cached_size_mb",
        "release_lock_on_cudamalloc",
        "graph_capture_record_stream_reuse",
    }
)


@dataclass(frozen=True)
class AllocatorSettings:
    """Options of the allocator (c10/core/AllocatorConfig.h, AcceleratorAllocatorConfig).

    Args:
        expandable_segments: whether each pool has one segment that grows by mapping pages, instead of a
            cudaMalloc for each segment.
        max_split_size_bytes: blocks of this size and above are not split; None: every block may be split.
        large_segment_size_bytes: size of a segment for requests between 1 and 10 MiB; also the page size
            of the expandable large pool.
        max_non_split_rounding_bytes: for requests of `max_split_size_bytes` or more, how much larger than
            the request a cached block that serves it may be; None: `large_segment_size_bytes`.
    """

    expandable_segments: bool = False
    max_split_size_bytes: int | None = None
    large_segment_size_bytes: int = 20 * MIB
    max_non_split_rounding_bytes: int | None = None

    @property
    def rounding_allowance_bytes(self) -> int:
        """`max_non_split_rounding_bytes`, or PyTorch's default for it."""
        allowance = self.max_non_split_rounding_bytes
        return self.large_segment_size_bytes if allowance is None else allowance

    @classmethod
    def parse(cls, text: str) -> AllocatorSettings:
        """Return the settings in the text of the environment variable (AllocatorConfig.cpp, parseArgs).

        Raises:
            UsageError: PyTorch, or this model, does not know an option, or a value is bad.
        """
        options = dict(_options(text))
        # As in parseArgs: the other sizes must not lie below this one, wherever in the text it stands.
        large = _mib("large_segment_size_mb", options.pop("large_segment_size_mb", "20"))
        if large < SMALLEST_LARGE_SEGMENT_MIB * MIB:
            raise UsageError("allocator option large_segment_size_mb must be greater than 10")
        settings = cls(
            expandable_segments=_flag(options.pop("expandable_segments", "False")),
            max_split_size_bytes=_size("max_split_size_mb", options, large),
            large_segment_size_bytes=large,
            max_non_split_rounding_bytes=_size("max_non_split_rounding_mb", options, large),
        )
        _refuse_the_rest(options)
        return settings


def _options(text: str) -> Iterator[tuple[str, str]]:
    """The `key:value` pairs, without regard to whitespace (ConfigTokenizer)."""
    parts = "".join(text.split()).split(",")
    if parts[-1] == "":  # One comma may end the text, as in parseArgs.
        parts.pop()
    for part in parts:
        key, colon, value = part.partition(":")
        if not (key and colon and value) or key.startswith("["):
            raise UsageError(f"allocator settings: expected key:value, got {part!r} in {text!r}")
        if value.startswith("["):
            raise UsageError(f"allocator option {key} with a list of values is not modelled; leave it out")
        yield key, value


def _mib(key: str, value: str) -> int:
    if not value.isdecimal():
        raise UsageError(f"allocator option {key}: expected a whole number of MiB, got {value!r}")
    return int(value) * MIB


def _flag(value: str) -> bool:
    if value not in ("True", "False"):
        raise UsageError(f"allocator option expandable_segments: expected True or False, got {value!r}")
    return value == "True"


def _size(key: str, options: dict[str, str], smallest: int) -> int | None:
    if key not in options:
        return None
    size = _mib(key, options.pop(key))
    if size < smallest:
        raise UsageError(f"allocator option {key} too small, must be >= {smallest // MIB}")
    return size


def _refuse_the_rest(options: dict[str, str]) -> None:
    for key, value in options.items():
        if key in WITHOUT_EFFECT_HERE or (key, value) == ("backend", "native"):
            continue
        raise UsageError(f"allocator option {key}:{value} is unknown or not modelled; leave it out")


def settings_of_record(environment: Mapping[str, Any]) -> AllocatorSettings | None:
    """Return the allocator's settings in the `environment` of a cell's record; None if they are not known.

    Raises:
        UsageError: they name an option that the model of the allocator does not have.
    """
    named = environment.get("allocator")
    if named is None:
        return None
    text = named.get("PYTORCH_ALLOC_CONF") or named.get("PYTORCH_CUDA_ALLOC_CONF")
    return AllocatorSettings.parse(text) if text else AllocatorSettings()
