"""Which of two ways bitsandbytes takes with a 4-bit weight: one kernel, or unpacking the weight first.

The first allocates its result alone, the second a dense copy of the weight too. The rules are those of
bitsandbytes 0.50.2 (MIT licence), backends/cuda/ops.py: `gemm_4bit` and `_gemm_4bit_use_custom_cuda`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from lorafa_prof.devices.sim.machine import Machine

#: Up to so many rows one kernel always does it, and beyond that many never.
_ALWAYS, _NEVER = 4, 1536
_SMALL_WEIGHT = 4 * 2**20


@dataclass(frozen=True)
class Product4bit:
    """A product with a 4-bit weight on a GPU.

    Attributes:
        rows: of x.
        out_features: rows of the weight.
        in_features: columns of both.
        dtype: of x.
        block: weights that share their statistics.
        machine: the GPU.
    """

    rows: int
    out_features: int
    in_features: int
    dtype: torch.dtype
    block: int
    machine: Machine

    @property
    def tiles(self) -> int:
        """Tiles of 64 output features; as many as multiprocessors are one wave."""
        return -(-self.out_features // 64)

    def fills(self, waves: float) -> bool:
        """Whether the tiles are at least so many waves."""
        return self.tiles >= self.machine.multiprocessors * waves


def in_one_kernel(product: Product4bit) -> bool:
    """Return whether bitsandbytes' own kernel does the product, without a dense copy of the weight."""
    rows = product.rows
    if rows > _NEVER or product.in_features % product.block:
        return False
    if rows <= _ALWAYS:
        return True
    capability = product.machine.compute_capability
    has_no_tensor_core_kernel = (
        product.dtype == torch.float32
        or capability < (7, 5)
        or (capability[0] == 7 and product.dtype != torch.float16)
    )
    if has_no_tensor_core_kernel:
        return rows < 8
    if capability == (8, 7) or capability[0] == 11:
        return False
    if capability[0] == 10:
        return _on_data_center_blackwell(product)
    if product.out_features * product.in_features < _SMALL_WEIGHT:
        return _small_weight(product)
    if rows > 512:
        return False
    if rows < 8:
        return not _lost_by_few_rows(product)
    return rows <= _most_rows(product)


def _on_data_center_blackwell(product: Product4bit) -> bool:
    if product.fills(3):
        return product.rows <= 32
    return product.fills(1) and product.in_features < product.out_features and product.rows <= 8


def _has_hbm(product: Product4bit) -> bool:
    return product.machine.compute_capability in ((8, 0), (9, 0))


def _small_weight(product: Product4bit) -> bool:
    """For weights below 4 Mi elements."""
    rows, capability = product.rows, product.machine.compute_capability
    n, k, tiles, processors = (
        product.out_features,
        product.in_features,
        product.tiles,
        product.machine.multiprocessors,
    )
    if k * 2 < n:
        return rows <= _most_rows_of_a_short_weight(product)
    quarter_wave = tiles * 4 <= processors
    if capability == (8, 0) and quarter_wave:
        return rows <= ((32 if tiles * 8 <= processors else 128) if k >= n else 384)
    if capability == (7, 5) and tiles < processors and rows > 8:
        return rows <= 64
    if quarter_wave:
        return rows <= (32 if k < n or _has_hbm(product) else 23)
    return tiles * 2 <= processors and rows <= 16


def _most_rows_of_a_short_weight(product: Product4bit) -> int:
    capability = product.machine.compute_capability
    tiles, processors, k = product.tiles, product.machine.multiprocessors, product.in_features
    if _has_hbm(product):
        low_wave = tiles * 3 < processors
        if capability == (8, 0):
            return 1536 if low_wave else 512
        return 512 if low_wave else 320
    if capability == (7, 5):
        if product.fills(3):
            return 320
        return 64 if k >= 1024 else 96 if k >= 704 else 320
    return 192 if not product.fills(1) and tiles * k > processors * 320 else 320


def _lost_by_few_rows(product: Product4bit) -> bool:
    """For 5 to 7 rows: whether unpacking first is the faster way all the same."""
    tiles, processors = product.tiles, product.machine.multiprocessors
    n, k = product.out_features, product.in_features
    is_hopper = product.machine.compute_capability == (9, 0)
    if not (_has_hbm(product) and product.rows >= 6 and tiles >= (36 if is_hopper else 48)):
        return False
    below_three_quarters, below_three_fifths = tiles * 4 < processors * 3, tiles * 5 < processors * 3
    if k > n:
        return below_three_quarters
    if k == n:
        return below_three_quarters and not below_three_fifths if is_hopper else below_three_fifths
    return False


def _most_rows(product: Product4bit) -> int:
    """For 8 to 512 rows."""
    by_capability = {(7, 5): _turing, (8, 0): _a100, (8, 6): _ampere, (9, 0): _hopper, (12, 0): _blackwell}
    capability = product.machine.compute_capability
    if capability == (12, 1) and product.fills(1):
        return 256
    return by_capability.get(capability, _ada)(product)


def _turing(product: Product4bit) -> int:
    if product.fills(3):
        return 128 if product.in_features < product.out_features else 64
    return 64 if product.tiles >= product.machine.multiprocessors // 2 else 32


def _a100(product: Product4bit) -> int:
    n, k, tiles, processors = (
        product.out_features,
        product.in_features,
        product.tiles,
        product.machine.multiprocessors,
    )
    if product.fills(3):
        return 128
    if product.fills(1):
        return 64 if k < n else 32
    if k >= n * 3 and tiles * 4 > processors:
        return 0
    if k == n and tiles >= 48 and tiles * 5 < processors * 3:
        return 0
    if tiles * 2 < processors:
        if k <= n:
            return 128
        if tiles * 3 >= processors:
            return 0
    return 128 if tiles >= processors // 2 and k < n else 16


def _ampere(product: Product4bit) -> int:
    if product.fills(1):
        return 128
    return 64 if product.tiles >= product.machine.multiprocessors // 2 else 16


def _hopper(product: Product4bit) -> int:
    for waves, most in ((3, 64), (2, 48), (1, 32)):
        if product.fills(waves):
            return most
    tiles, processors = product.tiles, product.machine.multiprocessors
    if tiles < processors // 2:
        return 0
    return 0 if product.in_features >= product.out_features and tiles * 4 < processors * 3 else 16


def _blackwell(product: Product4bit) -> int:
    n, k, tiles = product.out_features, product.in_features, product.tiles
    for waves, most in ((3, 256), (2, 128)):
        if product.fills(waves):
            return most
    if tiles * 5 >= product.machine.multiprocessors * 4:
        return 96 if k >= n else 64
    if tiles >= product.machine.multiprocessors // 2:
        return 64 if k * 2 >= n and tiles >= 128 else 8
    return 16 if k > n * 2 and tiles > 64 else 8


def _ada(product: Product4bit) -> int:
    """Ada, and what is not known."""
    n, k, tiles, processors = (
        product.out_features,
        product.in_features,
        product.tiles,
        product.machine.multiprocessors,
    )
    for waves, most in ((3, 256), (2, 128)):
        if product.fills(waves):
            return most
    if tiles * 5 >= processors * 4:
        if k > n * 2 or tiles >= 200:
            return 128
        return (128 if processors >= 60 else 32) if k >= n else 64
    if tiles >= processors // 2:
        return 64 if k > n * 2 else 8 if tiles >= 64 else 32
    if k > n and tiles <= 48:
        return 12 if k >= n * 3 else 10
    return 16 if k > n * 2 or tiles < 48 else 8
