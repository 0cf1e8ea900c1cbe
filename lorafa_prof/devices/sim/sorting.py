"""Temporary storage of CUB's device-wide algorithms, as PyTorch calls them (cub/device/dispatch/*.cuh)."""

from __future__ import annotations

ALIGNMENT = 256
_SORT_TILE = 4608
_UNIQUE_TILE = 960


def sort_pairs_bytes(count: int) -> int:
    """Of `radix_sort_pairs` over 64-bit keys with 64-bit values (dispatch_radix_sort.cuh, InvokeOnesweep)."""
    bins = 8 * 256 * 8
    lookback = -(-count // _SORT_TILE) * 256 * 4
    return _total(bins, lookback, 8 * count, 8 * count, 8 * 4)


def unique_by_key_bytes(count: int) -> int:
    """Of `unique_by_key` over 64-bit keys (dispatch_unique_by_key.cuh)."""
    return _total((-(-count // _UNIQUE_TILE) + 32) * 8, 1)


def exclusive_sum_bytes(count: int) -> int:
    """Of `exclusive_sum` over 64-bit numbers (dispatch_scan.cuh)."""
    return 1279


def _total(*sizes: int) -> int:
    """util_device.cuh, AliasTemporaries: each allocation is aligned, and the first address may not be."""
    return sum(-(-size // ALIGNMENT) * ALIGNMENT for size in sizes) + ALIGNMENT - 1
