"""The table of kernels: what each takes, as recorded on an H100 (torch 2.11, cuDNN 9.15) where it says so."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from ledger import H100, L4, T4, Ledger, on_meta, recording
from torch import Tensor

from lorafa_prof.devices.sim.kernels.kernel import KERNEL_TABLE, Kernel
from lorafa_prof.devices.sim.machine import Machine
from lorafa_prof.errors import LorafaProfError

aten = torch.ops.aten
BF16, FP32 = torch.bfloat16, torch.float32
KERNELS = list(KERNEL_TABLE.values())


def asked(memory: Ledger, call: Callable[[], Any]) -> list[int]:
    """What `call` asks for; its results die afterwards and are not in it."""
    start = len(memory.events)
    results = call()
    events = memory.events[start:]
    del results
    return events


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
def test_every_entry_says_what_it_takes_and_where_that_was_read(kernel: Kernel) -> None:
    assert kernel.name
    assert kernel.name == kernel.name.strip()
    assert kernel.formula.strip()
    assert re.search(r"\w+/\w+.*\.(cu|cuh|cpp|h|py)|traces", kernel.source)
    assert kernel.ops or kernel.names
    assert all(isinstance(op, torch._ops.OpOverload) for op in kernel.ops)


def test_each_operation_has_one_model() -> None:
    counts = Counter(op for kernel in KERNELS for op in kernel.ops)
    assert [op for op, count in counts.items() if count > 1] == []


def heads_first(batch: int, heads: int, length: int, width: int, dtype: torch.dtype = BF16) -> Tensor:
    """As networks make them: a transposed product."""
    return on_meta(batch, length, heads, width, dtype=dtype).transpose(1, 2)


def attention_events(
    which: str,
    batch: int,
    heads: int,
    length: int,
    width: int,
    *,
    of_key: int | None = None,
    dtype: torch.dtype = BF16,
    bias: bool = False,
    machine: Machine = H100,
    dropout: float = 0.0,
) -> tuple[list[int], list[int]]:
    """What forward and backward of one of the fused kernels ask for."""
    with recording(machine) as memory:
        query = heads_first(batch, heads, length, width, dtype)
        key, value = (heads_first(batch, of_key or heads, length, width, dtype) for _ in range(2))
        added = on_meta(batch, heads, length, length, dtype=dtype) if bias else None
        grad = torch.empty_like(query)
        start = len(memory.events)
        if which == "cudnn":
            results = aten._scaled_dot_product_cudnn_attention(query, key, value, added, True, dropout, False)
        elif which == "flash":
            results = aten._scaled_dot_product_flash_attention(query, key, value, dropout)
        else:
            results = aten._scaled_dot_product_efficient_attention(query, key, value, added, True, dropout)
        forward = memory.events[start:]
        start = len(memory.events)
        if which == "cudnn":
            out, lse, _, _, _, _, seed, offset, _ = results
            saved = (out, lse, seed, offset, added, None, None, length, length, dropout, False)
            grads = aten._scaled_dot_product_cudnn_attention_backward(grad, query, key, value, *saved)
        elif which == "flash":
            out, lse, _, _, _, _, seed, offset, _ = results
            saved = (out, lse, None, None, length, length, dropout, False, seed, offset)
            grads = aten._scaled_dot_product_flash_attention_backward(grad, query, key, value, *saved)
        else:
            out, lse, seed, offset = results
            saved = (out, lse, seed, offset, dropout, [True, True, True, bias])
            grads = aten._scaled_dot_product_efficient_attention_backward(
                grad, query, key, value, added, *saved
            )
        backward = memory.events[start:]
        assert [t.shape for t in grads[:3]] == [t.shape for t in (query, key, value)]
        assert [t.stride() for t in grads[:3]] == [t.stride() for t in (query, key, value)]
        assert (out.shape, out.stride()) == (query.shape, query.stride())
    return forward, backward


class TestCudnnAttention:
    def test_forward(self) -> None:
        forward, _ = attention_events("cudnn", 4, 12, 256, 64)
        out, lse = 2 * 4 * 12 * 256 * 64, 4 * 4 * 12 * 256
        assert forward == [8, 8, out, lse, 256, -256]

    @pytest.mark.parametrize(
        ("shape", "of_key", "workspace"),
        [((4, 12, 256, 64), None, 3195136), ((4, 32, 256, 64), 8, 16908544), ((4, 14, 256, 64), 2, 7397632)],
        ids=str,
    )
    def test_backward_as_recorded(
        self, shape: tuple[int, int, int, int], of_key: int | None, workspace: int
    ) -> None:
        batch, heads, length, width = shape
        _, backward = attention_events("cudnn", *shape, of_key=of_key)
        of_query = 2 * batch * heads * length * width
        others = 2 * batch * (of_key or heads) * length * width
        assert backward == [of_query, others, others, workspace, -workspace]

    def test_without_a_gradient_there_is_no_log_sum(self) -> None:
        with recording() as memory:
            x = heads_first(1, 2, 8, 16)
            events = asked(
                memory,
                lambda: aten._scaled_dot_product_cudnn_attention(x, x, x, None, False, 0.0, False),
            )
            assert events == [8, 8, 512, 256, -256]


class TestEfficientAttention:
    def test_backward_in_float32_as_recorded(self) -> None:
        _, backward = attention_events("efficient", 2, 12, 320, 64, dtype=FP32)
        grads, rows, workspace = 1966080, 30720, 1968000
        assert backward == [grads] * 3 + [
            grads,
            rows,
            rows,
            -rows,
            -grads,
            workspace,
            -rows,
            -workspace,
        ]

    def test_backward_with_a_bias_as_recorded(self) -> None:
        _, backward = attention_events("efficient", 4, 8, 384, 64, bias=True)
        of_query, of_bias, rows, workspace = 2 * 4 * 8 * 384 * 64, 9437184, 49152, 3148800
        assert backward == [of_query] * 3 + [of_bias, rows, workspace, -rows, -workspace]

    def test_the_log_sums_rows_are_padded(self) -> None:
        forward, _ = attention_events("efficient", 2, 3, 50, 16, dtype=FP32)
        assert forward == [4 * 2 * 3 * 50 * 16, 4 * 2 * 3 * 64]

    def test_a_bias_gradients_rows_are_padded(self) -> None:
        _, backward = attention_events("efficient", 1, 2, 20, 16, bias=True)
        assert backward[3] == 2 * 2 * 20 * 32

    def test_a_gradient_that_lies_otherwise_is_copied(self) -> None:
        with recording() as memory:
            x = heads_first(1, 2, 64, 16)
            out, lse, seed, offset = aten._scaled_dot_product_efficient_attention(x, x, x, None, True)
            grad = on_meta(1, 2, 64, 16, dtype=BF16)
            events = asked(
                memory,
                lambda: aten._scaled_dot_product_efficient_attention_backward(
                    grad, x, x, x, None, out, lse, seed, offset, 0.0, [True] * 3 + [False]
                ),
            )
            rows, accumulated = 4 * 2 * 64, 4 * 2 * (64 * 64 + 4)
            freed = [-rows, -accumulated, -grad.nbytes]
            assert events == [grad.nbytes, *[x.nbytes] * 3, rows, accumulated, *freed]


class TestFlashAttention:
    def test_forward_takes_a_random_state_of_its_own(self) -> None:
        forward, _ = attention_events("flash", 4, 12, 1024, 64, machine=L4)
        out, lse = 2 * 4 * 12 * 1024 * 64, 4 * 4 * 12 * 1024
        assert forward == [out, lse, 16, 8]

    def test_few_blocks_split_the_keys(self) -> None:
        forward, _ = attention_events("flash", 1, 2, 1024, 64, machine=H100)
        out, lse, splits = 2 * 2 * 1024 * 64, 4 * 2 * 1024, 4
        partial = [splits * lse, splits * lse * 64]
        assert forward[:4] == [out, lse, *partial]
        assert forward[4:6] == [16, 8]
        assert sorted(forward[6:]) == sorted(-size for size in partial)
        # With dropout it does not.
        assert attention_events("flash", 1, 2, 1024, 64, dropout=0.1)[0][:4] == [out, lse, 16, 8]

    def test_backward_by_the_formula(self) -> None:
        _, backward = attention_events("flash", 2, 4, 200, 40, machine=L4)
        grads, rows = 2 * 2 * 4 * 200 * 40, 4 * 2 * 4 * 256
        assert backward[:5] == [grads, grads, grads, rows, rows * 64]
        assert sum(backward) == 3 * grads

    def test_backward_with_grouped_heads_expands_keys_and_values(self) -> None:
        _, backward = attention_events("flash", 2, 4, 128, 64, of_key=2, machine=L4)
        expanded = 2 * 2 * 4 * 128 * 64
        assert backward.count(expanded) == 3  # the query's gradient is as large
        assert sum(backward) == expanded + 2 * (expanded // 2)


class TestSoftmax:
    def test_backward_has_one_temporary(self) -> None:
        with recording() as memory:
            y = on_meta(2, 3, 5, dtype=BF16)
            assert asked(memory, lambda: aten._softmax_backward_data(y, y, -1, BF16)) == [60, 60, -60]

    def test_the_safe_one_looks_which_rows_have_nothing(self) -> None:
        with recording() as memory:
            x = on_meta(2, 3, 5)
            assert asked(memory, lambda: aten._safe_softmax(x, -1)) == [120, 30, 6, 4, -4, -6, -30]


class TestReductions:
    def test_cumsum_copies_what_it_widens(self) -> None:
        with recording() as memory:
            x = torch.ones(3, 7, dtype=torch.int32, device="cuda")
            assert asked(memory, lambda: x.cumsum(1)) == [168, 168, -168]
            wide = x.long()
            assert asked(memory, lambda: wide.cumsum(1)) == [168]
            assert asked(memory, lambda: x.cumsum(1, dtype=torch.int32)) == [84]

    def test_a_sum_of_booleans_casts_them_first(self) -> None:
        with recording() as memory:
            x = torch.ones(3, 7, dtype=torch.bool, device="cuda")
            assert asked(memory, x.sum) == [8, 168, -168]

    def test_a_sum_of_16_bit_numbers_widens_as_it_goes(self) -> None:
        with recording() as memory:
            x = on_meta(3, 7, dtype=BF16)
            assert asked(memory, lambda: x.sum(dtype=torch.float32)) == [4]
            assert asked(memory, x.sum) == [2]


class TestProducts:
    @pytest.mark.parametrize(
        ("machine", "workspace"),
        [
            (H100, 32 << 20),
            (Machine((10, 0), 148, torch=(2, 11)), 8519680),
            (Machine((10, 0), 148, torch=(2, 13)), 32 << 20),
            (Machine((12, 0), 170, torch=(2, 12)), 32 << 20),
            (Machine((11, 0), 20, torch=(2, 14)), 8519680),
            (L4, (8 << 20) + (128 << 10)),
            (T4, 8519680),
        ],
        ids=str,
    )
    def test_the_first_one_keeps_a_workspace(self, machine: Machine, workspace: int) -> None:
        with recording(machine) as memory:
            x = on_meta(4, 4)
            assert asked(memory, lambda: x @ x) == [64, workspace]
            assert asked(memory, lambda: x @ x) == [64]
            assert asked(memory, lambda: torch.baddbmm(x[None], x[None], x[None])) == [64]

    @pytest.mark.parametrize(("capability", "workspace"), [((9, 0), 32 << 20), ((8, 0), 8519680)])
    def test_from_torch_2_15_on_each_takes_one_and_gives_it_back(
        self, capability: tuple[int, int], workspace: int
    ) -> None:
        with recording(Machine(capability, 132, torch=(2, 15))) as memory:
            x, bias = on_meta(4, 4), on_meta(4)
            assert asked(memory, lambda: x @ x) == [64, workspace, -workspace]
            assert asked(memory, lambda: x @ x) == [64, workspace, -workspace]
            assert asked(memory, lambda: torch.addmm(bias, x, x)) == [64, 1 << 20, -(1 << 20)]
            left, right = on_meta(6, 2, 3).permute(2, 0, 1), on_meta(3, 2, 5)
            copied = [360, 144, workspace, -workspace, -144]
            assert asked(memory, lambda: left @ right) == copied

    def test_a_factor_without_dense_rows_or_columns_is_copied(self) -> None:
        """As B of PEFT's experts, whose last dimension is that of experts."""
        with recording() as memory:
            b, a = on_meta(6, 2, 3).permute(2, 0, 1), on_meta(3, 2, 5)
            asked(memory, lambda: a.mT @ a)  # takes the workspace
            assert asked(memory, lambda: b @ a) == [360, 144, -144]
            assert asked(memory, lambda: b.contiguous() @ a) == [144, 360, -144]
            assert asked(memory, lambda: on_meta(4, 1).expand(4, 3) @ on_meta(3, 2)) == [
                16,
                24,
                32,
                48,
                -48,
                -16,
                -24,
            ]

    def test_a_bias_in_the_epilogue_keeps_one_more(self) -> None:
        with recording() as memory:
            x, bias = on_meta(4, 4), on_meta(4)
            assert asked(memory, lambda: torch.addmm(bias, x, x))[1:] == [32 << 20, 1 << 20]
            assert asked(memory, lambda: torch.addmm(bias, x, x)) == [64]

    def test_so_does_one_row_that_a_product_is_added_to(self) -> None:
        """As in a head whose batch has one sample: seen in an H200's trace of ModernBERT."""
        with recording() as memory:
            row, rows, x = on_meta(1, 4), on_meta(2, 4), on_meta(4, 4)
            assert asked(memory, lambda: rows.addmm_(rows, x)) == [32 << 20]
            assert asked(memory, lambda: row.addmm_(row, x, alpha=0.5)) == [1 << 20]

    @pytest.mark.parametrize(("options", "kept"), [({"beta": 2}, False), ({"alpha": 0.5}, True)])
    def test_a_scaled_bias_is_no_epilogue(self, options: dict[str, float], kept: bool) -> None:
        with recording() as memory:
            x, bias = on_meta(4, 4), on_meta(4)
            assert (1 << 20 in asked(memory, lambda: torch.addmm(bias, x, x, **options))) is kept

    @pytest.mark.parametrize(
        "shapes", [((4, 4), (4, 4), (4, 4)), ((1,), (4, 4), (4, 1)), ((4,), (4, 1), (1, 4))]
    )
    def test_neither_is_a_matrix_or_a_product_of_vectors(self, shapes: tuple[tuple[int, ...], ...]) -> None:
        with recording() as memory:
            bias, left, right = (on_meta(*shape) for shape in shapes)
            assert 1 << 20 not in asked(memory, lambda: torch.addmm(bias, left, right))


class TestIndexing:
    def test_one_index_takes_nothing(self) -> None:
        with recording() as memory:
            x, index = on_meta(5, 3), torch.tensor([1, 2], device="cuda")
            assert asked(memory, lambda: x[index]) == [24]

    def test_broadcast_indices_are_copied(self) -> None:
        with recording() as memory:
            x = on_meta(5, 3)
            rows, columns = torch.tensor([[1], [2]], device="cuda"), torch.tensor([0, 1, 2], device="cuda")
            events = asked(memory, lambda: x[rows, columns])
            assert events == [48, 48, 24, -48, -48]

    def test_equal_strides_are_not(self) -> None:
        with recording() as memory:
            x, index = on_meta(5, 3), torch.tensor([1, 2], device="cuda")
            assert asked(memory, lambda: x[index, index]) == [8]

    def test_reading_a_known_value_takes_nothing(self) -> None:
        with recording() as memory:
            x = torch.tensor([1, 2], device="cuda")
            assert asked(memory, lambda: x[1].item()) == []
            with pytest.raises(LorafaProfError):
                on_meta(1).item()


class TestSorting:
    """What an H200 takes for the experts of Mixtral, gpt-oss, DeepSeek-V2-Lite and Qwen3-MoE."""

    @pytest.mark.parametrize(
        ("count", "rows", "storage"),
        [(2048, 1024, 1), (4096, 32, 3583), (4096, 1024, 71167), (6144, 1024, 104959), (8192, 1024, 137727)],
    )
    def test_the_gradient_of_indexing_sorts_the_indices(self, count: int, rows: int, storage: int) -> None:
        with recording() as memory:
            x = on_meta(rows, 4, dtype=BF16).requires_grad_()
            picked = x[torch.empty(count, dtype=torch.int64, device="cuda")]
            events = asked(memory, lambda: torch.autograd.grad(picked, x, torch.empty_like(picked)))
            i = 8 * count
            gradient, result = 8 * count, 8 * rows
            assert events[:10] == [gradient, result, i, i, -i, i, i, i, storage, -storage]

    def test_adding_at_indices_looks_at_the_largest_and_smallest_first(self) -> None:
        with recording() as memory:
            x, index = on_meta(8, 4), torch.tensor([1, 1, 2], device="cuda")
            events = asked(memory, lambda: x.index_put_((index,), on_meta(3, 4), accumulate=True))
            assert events[1:9] == [8, 1, -1, -8, 8, 1, -1, -8]
            assert asked(memory, lambda: x.index_put_((index,), on_meta(3, 4))) == [48, -48]

    @pytest.mark.parametrize(
        ("count", "inside"),
        [(2048, [16384]), (4096, [32768]), (6144, [49152, 117247]), (8192, [65536, 150015])],
    )
    def test_a_row_of_numbers(self, count: int, inside: list[int]) -> None:
        with recording() as memory:
            x = torch.empty(count, dtype=torch.int64, device="cuda")
            assert asked(memory, x.sort)[2 : 2 + len(inside)] == inside

    @pytest.mark.parametrize(("dtype", "storage"), [(torch.int32, 1023), (torch.int64, 1279)])
    def test_a_running_sum(self, dtype: torch.dtype, storage: int) -> None:
        with recording() as memory:
            x = torch.empty(128, dtype=dtype, device="cuda")
            assert asked(memory, lambda: x.cumsum(0, dtype=dtype))[1:] == [storage, -storage]


def test_what_backward_puts_into_zeros_is_put_in_place() -> None:
    """Without a dispatch mode, which PyTorch would not write to behind its back."""
    with recording() as memory:
        x = on_meta(4, 8).requires_grad_()
        for selected in (x.topk(2).values, x.max(1).values, x.gather(1, x.argmax(1, keepdim=True))):
            grad = torch.empty_like(selected)
            events = asked(memory, lambda y=selected, g=grad: torch.autograd.grad(y, x, g))
            assert [event for event in events if event > 0] == [128]


class TestCopies:
    def test_a_number_to_a_power_is_a_tensor_first(self) -> None:
        with recording() as memory:
            x = on_meta(4)
            assert asked(memory, lambda: 10000.0**x) == [16, 8, -8]

    def test_a_contiguous_copy_of_the_host_takes_its_own(self) -> None:
        with recording() as memory:
            host = torch.zeros(3, 4)
            assert asked(memory, lambda: host.to("cuda")) == [48]

    def test_a_transposed_one_goes_by_way_of_another(self) -> None:
        with recording() as memory:
            host = torch.zeros(3, 4).t()
            assert asked(memory, lambda: host.to("cuda")) == [48, 48, -48]

    def test_dropout_takes_its_mask_first(self) -> None:
        with recording() as memory:
            x = on_meta(4, dtype=BF16)
            assert asked(memory, lambda: torch.native_dropout(x, 0.1, True)) == [4, 8]

    def test_a_fused_optimizer_takes_nothing(self) -> None:
        with recording() as memory:
            weight = on_meta(3, grad=True)
            weight.grad = on_meta(3)
            optimizer = torch.optim.AdamW([weight], fused=True)
            optimizer.step()
            assert asked(memory, optimizer.step) == []


class TestEmbeddings:
    @staticmethod
    def events(count: int, rows: int = 50, width: int = 8, dtype: torch.dtype = BF16) -> list[int]:
        with recording() as memory:
            grad = on_meta(count, width, dtype=dtype)
            indices = torch.zeros(count, dtype=torch.int64, device="cuda")
            return asked(memory, lambda: aten.embedding_dense_backward(grad, indices, rows, -1, False))

    def test_few_indices_take_the_gradient_alone(self) -> None:
        assert self.events(3072) == [2 * 50 * 8]

    def test_many_are_sorted(self) -> None:
        events = self.events(3073, rows=100)
        assert events[:3] == [8 * 3073] * 3
        assert 2 * 100 * 8 in events
        assert sum(events) == 2 * 100 * 8
        parts = 3073 // 10 + 100
        assert events.count(4 * 8 * parts) == 1  # partial sums in float32

    def test_tables_of_few_rows_add_up_another_way(self) -> None:
        parts = 3073 // 10 + 50
        for dtype, sums in ((BF16, [4 * 8 * 50]), (FP32, [])):
            events = self.events(3073, rows=50, dtype=dtype)
            assert 4 * 8 * parts not in events
            assert events.count(8 * parts) == 2
            taken_last = [event for event in events[events.index(8 * parts) :] if event > 0]
            assert taken_last == [8 * parts, 8 * parts, *sums]

    def test_no_more_segments_than_rows_or_indices(self) -> None:
        by_rows, by_count = (self.events(4000, rows=rows) for rows in (200, 100000))
        assert by_rows.count(8 * 200) == 2
        assert by_count.count(8 * 4000) == by_rows.count(8 * 4000) + 2


def test_asking_whether_two_tensors_are_equal_compares_their_elements_first() -> None:
    with recording() as memory:
        x, y = torch.ones(1000, device="cuda"), torch.ones(1000, device="cuda")
        assert asked(memory, lambda: torch.equal(x, y)) == [1000, 1, -1, -1000]
        assert torch.equal(x, y)
        assert not torch.equal(x, 2 * y)


@pytest.mark.parametrize(
    ("call", "dtype"),
    [
        (lambda a, b, out: torch.mm(a, b, out=out), BF16),
        (lambda a, b, out: torch.addmm(out, a, b, out=out), BF16),
        (lambda a, b, out: aten.addmm.dtype_out(out, a, b, FP32, out=out), FP32),
    ],
    ids=["mm", "addmm", "addmm in another type"],
)
def test_a_product_that_is_given_its_result_takes_what_others_take(
    call: Callable[..., Any], dtype: torch.dtype
) -> None:
    with recording() as memory:
        a, out = on_meta(8, 16, dtype=BF16), on_meta(8, 32, dtype=dtype)
        # Neither its rows nor its columns lie one after the other: it is copied.
        b = on_meta(16, 32, 2, dtype=BF16)[:, :, 0]
        copy = b.numel() * BF16.itemsize
        assert asked(memory, lambda: call(a, b, out)) == [copy, 32 * 2**20, -copy]


def test_the_scale_of_a_loss_is_known_for_as_long_as_it_stays_and_when_it_grows() -> None:
    with recording():
        scale, steps = torch.full((), 8.0, device="cuda"), torch.zeros((), dtype=torch.int32, device="cuda")
        found = torch.zeros((), device="cuda")
        known = []
        for _ in range(4):
            aten._amp_update_scale_(scale, steps, found, 2.0, 0.5, 3)
            known.append((scale.item(), steps.item()))
    assert known == [(8.0, 1), (8.0, 2), (16.0, 0), (16.0, 1)]
