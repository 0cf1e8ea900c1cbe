"""Temporary storage of CUB's device-wide algorithms, as PyTorch calls them (cub/device/dispatch/*.cuh)."""

from __future__ import annotations

ALIGNMENT = 256
_SORT_TILE = 4608
_UNIQUE_TILE = 2240
_SCAN_TILE = 896
# Tile states before the first tile, which look-back may read (single_pass_scan_operators.cuh).
_PADDING_TILES = 32


def sort_pairs_bytes(count: int) -> int:
    """Return the bytes for `radix_sort_pairs` of `count` 64-bit keys with 64-bit values.

    dispatch_radix_sort.cuh, InvokeOnesweep. Exact for 3,073 to 1,048,576 pairs on an H100 with CUDA 13.0.
    """
    bins = 8 * 256 * 8
    lookback = -(-count // _SORT_TILE) * 256 * 4
    return _total(bins, lookback, 8 * count, 8 * count, 8 * 4)


def unique_by_key_bytes(count: int) -> int:
    """Return the bytes for `unique_by_key` of `count` 64-bit keys (dispatch_unique_by_key.cuh).

    The size of its tile is the one that fits recorded runs.
    """
    tiles = -(-count // _UNIQUE_TILE)
    return _total((tiles + _PADDING_TILES) * 8, 1, 1)


def exclusive_sum_bytes(count: int) -> int:
    """Return the bytes for `exclusive_sum` of `count` 64-bit numbers (dispatch_scan.cuh).

    The size of its tile is the one that fits recorded runs.
    """
    tiles = -(-count // _SCAN_TILE)
    return _total((tiles + _PADDING_TILES) * 16, 1)


def _total(*sizes: int) -> int:
    """Return the bytes of one allocation for all of `sizes`, each aligned; its own address may not be.

    util_device.cuh, AliasTemporaries.
    """
    return sum(-(-size // ALIGNMENT) * ALIGNMENT for size in sizes) + ALIGNMENT - 1
