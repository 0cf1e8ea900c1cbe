"""Temporary storage of CUB's device-wide algorithms, as PyTorch calls them (cub/device/dispatch/*.cuh)."""

from __future__ import annotations

ALIGNMENT = 256
_SORT_TILE = 4608
_SINGLE_TILE = 3072
_UNIQUE_TILE = 2240
_SCAN_TILE = 896
# Tile states before the first tile, which look-back may read (single_pass_scan_operators.cuh).
_PADDING_TILES = 32


def sort_pairs_bytes(count: int, bits: int = 64) -> int:
    """Return the bytes for `radix_sort_pairs` of `count` 64-bit keys and values, by the lowest bits of keys.

    dispatch_radix_sort.cuh, InvokeSingleTile and InvokeOnesweep. Exact for 2,048 to 1,048,576 pairs on an
    H100 and an H200 with CUDA 13.0.
    """
    if count <= _SINGLE_TILE:
        return 1
    passes = -(-bits // 8)
    lookback = -(-count // _SORT_TILE) * 256 * 4
    # From the second pass on keys and values go back and forth.
    between = [8 * count, 8 * count, 8 * 4] if passes > 1 else [8 * 4]
    return _total(passes * 256 * 8, lookback, *between)


def unique_by_key_bytes(count: int) -> int:
    """Return the bytes for `unique_by_key` of `count` 64-bit keys (dispatch_unique_by_key.cuh).

    The size of its tile is the one that fits recorded runs.
    """
    tiles = -(-count // _UNIQUE_TILE)
    return _total((tiles + _PADDING_TILES) * 8, 1, 1)


def scan_bytes(count: int, item_bytes: int) -> int:
    """Return the bytes for a running sum of `count` numbers of `item_bytes` each (dispatch_scan.cuh).

    The size of its tile is the one that fits recorded runs of 64-bit numbers. The state of a tile is one
    word with a number of up to 4 bytes, and two with a longer one.
    """
    tiles = -(-count // _SCAN_TILE)
    return _total((tiles + _PADDING_TILES) * (8 if item_bytes <= 4 else 16), 1)


def _total(*sizes: int) -> int:
    """Return the bytes of one allocation for all of `sizes`, each aligned; its own address may not be.

    util_device.cuh, AliasTemporaries.
    """
    return sum(-(-size // ALIGNMENT) * ALIGNMENT for size in sizes) + ALIGNMENT - 1
