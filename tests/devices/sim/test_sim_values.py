"""Integers and booleans carry values on the twin, floats of which nothing is known do not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger import Ledger, on_meta, recording
from torch import Tensor

from lorafa_prof.devices.sim import values
from lorafa_prof.errors import LorafaProfError

VALUED = [torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool]


@pytest.fixture
def memory() -> Iterator[Ledger]:
    with recording() as ledger:
        yield ledger


def on_twin(values_: Any, dtype: torch.dtype = torch.int64) -> Tensor:
    return torch.tensor(values_, dtype=dtype).to("cuda")


def read(tensor: Tensor) -> list[Any]:
    """The elements of a meta tensor, as a model could read them."""
    assert tensor.is_cuda
    return [tensor.flatten()[index].item() for index in range(tensor.numel())]


@pytest.mark.usefixtures("memory")
class TestKnown:
    @pytest.mark.parametrize("dtype", VALUED)
    def test_a_copy_from_the_host_has_the_hosts_values(self, dtype: torch.dtype) -> None:
        host = torch.tensor([[3, 0, 1], [1, 1, 0]]).to(dtype)
        assert read(host.to("cuda")) == host.flatten().tolist()

    def test_a_list_of_them(self) -> None:
        assert on_twin([[3, 0], [1, 2]]).tolist() == [[3, 0], [1, 2]]
        assert on_twin(True, torch.bool).tolist() is True

    @pytest.mark.parametrize("name", ["tensor", "as_tensor"])
    def test_so_does_a_tensor_made_of_numbers(self, name: str) -> None:
        make = getattr(torch, name)  # only inside of the context is it the twin's
        assert read(make([4, 2], device="cuda")) == [4, 2]
        assert read(make([4, 2], device=torch.device("cuda"))) == [4, 2]

    @pytest.mark.parametrize(
        ("make", "expected"),
        [
            (lambda: torch.arange(2, 6, device="cuda"), [2, 3, 4, 5]),
            (lambda: torch.zeros(2, dtype=torch.int32, device="cuda"), [0, 0]),
            (lambda: torch.ones(2, dtype=torch.bool, device="cuda"), [True, True]),
            (lambda: torch.full((2,), 7, device="cuda"), [7, 7]),
            (lambda: on_twin([1]).new_zeros(2), [0, 0]),
            (lambda: torch.ones_like(on_twin([5, 6])), [1, 1]),
            (lambda: torch.empty(2, dtype=torch.int64, device="cuda").fill_(3), [3, 3]),
            (lambda: torch.ones(2, 2, dtype=torch.bool, device="cuda").tril(), [True, False, True, True]),
        ],
    )
    def test_factories_are_known(self, make: Callable[[], Tensor], expected: list[Any]) -> None:
        assert read(make()) == expected

    def test_views_see_what_is_written_through_each_other(self) -> None:
        base = on_twin([[1, 2, 3], [4, 5, 6]])
        row, column, flat = base[1], base.t()[2], base.view(-1)
        row[0] = 40
        column.add_(10)
        flat[1] = -2
        assert read(base) == [1, -2, 13, 40, 5, 16]
        assert read(row) == [40, 5, 16]
        assert read(column) == [13, 16]

    def test_a_written_mask_selects(self) -> None:
        ids = on_twin([[5, 9, 9], [9, 5, 5]])
        ids[ids == 9] = 0
        ids.masked_fill_(ids == 5, 1)
        assert read(ids) == [1, 0, 0, 0, 1, 1]
        assert read(ids.masked_fill(ids == 0, 7)) == [1, 7, 7, 7, 1, 1]
        assert read(torch.where(ids > 0, ids, -1)) == [1, -1, -1, -1, 1, 1]

    def test_shapes_that_values_tell(self) -> None:
        mask = on_twin([[1, 0, 1], [0, 0, 1]], torch.bool)
        assert read(mask.nonzero()) == [0, 0, 0, 2, 1, 2]
        rows, columns = torch.where(mask)
        assert (read(rows), read(columns)) == ([0, 0, 1], [0, 2, 2])
        ids = torch.arange(6, device="cuda").view(2, 3)
        assert read(ids[mask]) == [0, 2, 5]
        assert read(torch.masked_select(ids, mask)) == [0, 2, 5]
        assert read(torch.unique(ids % 2)) == [0, 1]

    def test_a_known_mask_tells_how_many_of_unknown_rows_it_selects(self) -> None:
        rows = on_meta(2, 3, 5)
        mask = on_twin([[1, 0, 1], [0, 0, 1]], torch.bool)
        assert rows[mask].shape == (3, 5)
        assert rows[:, mask[0]].shape == (2, 2, 5)

    @pytest.mark.parametrize(
        "select",
        [torch.nonzero, torch.unique, lambda x: x[x > 0], lambda x: torch.masked_select(x, x > 0)],
        ids=["nonzero", "unique", "index", "masked_select"],
    )
    def test_one_shape_does_not_tell_what_other_values_of_it_give(
        self, select: Callable[[Tensor], Tensor]
    ) -> None:
        for each in ([3, 0, 3], [1, 2, 3], [0, 0, 0]):
            expected = select(torch.tensor(each))
            result = select(on_twin(each))
            assert result.shape == expected.shape
            assert read(result) == expected.flatten().tolist()
        with pytest.raises(LorafaProfError):
            select(on_meta(3).long())

    def test_a_copy_to_the_host_is_there(self) -> None:
        for copied in (on_twin([1, 2]).cpu(), on_twin([1, 2]).to("cpu", torch.float32)):
            assert copied.device.type == "cpu"
            assert copied.tolist() == [1, 2]
        with pytest.raises(LorafaProfError, match=r"the result of aten\._to_copy"):
            on_meta(2).cpu()

    def test_python_branches_on_them(self) -> None:
        mask = on_twin([[1, 1], [1, 0]])
        assert not mask.all()
        assert bool(mask.any())
        assert int(mask.sum()) == 3
        assert mask.sum(dim=1).max().item() == 2
        assert list(range(3))[on_twin(1)] == 1
        assert not torch.equal(mask, torch.zeros_like(mask))

    def test_padding_positions_as_roberta_counts_them(self) -> None:
        ids = on_twin([[5, 6, 1], [7, 1, 1]])
        mask = ids.ne(1).int()
        positions = (torch.cumsum(mask, dim=1).type_as(mask) * mask).long() + 1
        assert read(positions) == [2, 3, 1, 2, 1, 1]

    def test_the_twins_mask_of_a_float_is_not_known_but_has_a_shape(self) -> None:
        unknown = on_meta(3) > 0
        assert unknown.dtype == torch.bool
        assert unknown.shape == (3,)
        with pytest.raises(LorafaProfError):
            unknown.any().item()


@pytest.mark.usefixtures("memory")
class TestUnknown:
    @pytest.mark.parametrize(
        "reads",
        [
            lambda x: x.sum().item(),
            lambda x: float(x[0]),
            lambda x: bool((x > 0).any()),
            lambda x: int(x.argmax()),
            lambda x: (x * on_twin([1, 2, 3])).max().item(),
        ],
    )
    def test_reading_a_float_says_why_it_cannot_be(self, reads: Callable[[Tensor], Any]) -> None:
        with pytest.raises(LorafaProfError, match=r"floating-point tensor.*values of integers and booleans"):
            reads(on_meta(3))

    @pytest.mark.parametrize(
        ("shapes", "operation"),
        [
            (lambda x: x.nonzero(), "nonzero"),
            (lambda x: x[x > 0], "nonzero"),
            (lambda x: torch.masked_select(x, x > 0), "masked_select"),
            (lambda x: torch.unique(x), "_unique2"),
        ],
    )
    def test_a_shape_that_unknown_values_tell_names_the_operation(
        self, shapes: Callable[[Tensor], Tensor], operation: str
    ) -> None:
        with pytest.raises(LorafaProfError, match=f"the shape of the result of aten.{operation}"):
            shapes(on_meta(3))

    def test_what_a_float_is_written_to_is_forgotten(self) -> None:
        ids = on_twin([1, 2, 3])
        view = ids[1:]
        ids[:1] = on_meta(1).long()
        for tensor in (ids, view):
            with pytest.raises(LorafaProfError):
                tensor.sum().item()

    def test_a_known_write_does_not_bring_forgotten_values_back(self) -> None:
        ids = on_twin([1, 2, 3])
        ids.copy_(on_meta(3))
        ids[:1] = 5
        with pytest.raises(LorafaProfError):
            ids[0].item()


def test_values_take_no_memory_of_the_gpu(memory: Ledger) -> None:
    ids = on_twin(list(range(10)))
    even = ids[ids % 2 == 0]
    assert even.shape == (5,)
    assert memory.held == 80 + 40


def test_a_dead_storages_value_is_forgotten(memory: Ledger) -> None:
    for _ in range(20):
        # A new storage may lie where the dead one did.
        ids = on_twin([1])
        assert ids.item() == 1
        del ids
        unknown = on_meta(1).long()
        with pytest.raises(LorafaProfError):
            unknown.item()
        del unknown
    assert memory.held == 0


def test_large_ones_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "LARGEST_BYTES", 80)
    with recording():
        small, large = torch.arange(10, device="cuda"), torch.arange(11, device="cuda")
        assert small.sum().item() == 45
        with pytest.raises(LorafaProfError):
            large.sum().item()


# Random programs: each statement works on integer tensors of shape (3, 4), and some on views of them.
UNARY: dict[str, Callable[[Tensor, int], Any]] = {
    "abs": lambda x, n: x.abs(),
    "neg": lambda x, n: -x,
    "add": lambda x, n: x + n,
    "mul": lambda x, n: x * n,
    "mod": lambda x, n: x % (abs(n) + 1),
    "clamp": lambda x, n: x.clamp(min=-abs(n), max=abs(n)),
    "cumsum": lambda x, n: x.cumsum(dim=n % 2),
    "flip": lambda x, n: x.flip(n % 2),
    "roll": lambda x, n: x.roll(n, dims=1),
    "tril": lambda x, n: x.tril(n % 3),
    "sort": lambda x, n: x.sort(dim=n % 2).values,
    "narrow": lambda x, n: x.int().long(),
    "as_mask": lambda x, n: (x > n).long(),
    "masked_fill": lambda x, n: x.masked_fill(x > n, n),
    "view": lambda x, n: x.unsqueeze(n % 3).transpose(0, 1).transpose(0, 1).squeeze(n % 3),
    "reshape": lambda x, n: x.reshape(4, 3).t(),
    "rows": lambda x, n: x[torch.tensor([n % 3, 0, 2], device=x.device)],
    "add_": lambda x, n: x.add_(n),
    "zero_row": lambda x, n: x[n % 3].zero_(),
    "fill_column": lambda x, n: x[:, n % 4].fill_(n),
    "set_where": lambda x, n: x.__setitem__(x > n, n),
    "set_item": lambda x, n: x.__setitem__((n % 3, slice(1, 3)), n),
    "index_fill": lambda x, n: x.index_fill_(1, torch.tensor([n % 4], device=x.device), n),
}
BINARY: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "plus": lambda x, y: x + y,
    "minus_": lambda x, y: x.sub_(y),
    "maximum": lambda x, y: torch.maximum(x, y),
    "where": lambda x, y: torch.where(x > y, x, y),
    "copy_": lambda x, y: x.copy_(y),
    "copy_row": lambda x, y: x[0].copy_(y[1]),
    "gather": lambda x, y: x.gather(1, y % 4),
    "scatter_": lambda x, y: x.scatter_(1, (y % 4).sort(dim=1).values[:, :1], 3),
    "masked_scatter": lambda x, y: x.masked_scatter(x > 0, y),
    "cat": lambda x, y: torch.cat([x, y])[2:5],
}
statements = st.lists(
    st.tuples(st.sampled_from([*UNARY, *BINARY]), st.integers(0, 9), st.integers(0, 9), st.integers(-3, 3)),
    min_size=1,
    max_size=14,
)
numbers = st.lists(st.integers(-5, 5), min_size=12, max_size=12)


def execute(program: list[tuple[str, int, int, int]], inputs: list[list[int]], device: str) -> list[Tensor]:
    known = [torch.tensor(each).view(3, 4).to(device) for each in inputs]
    for name, one, other, number in program:
        x = known[one % len(known)]
        if name in UNARY:
            result = UNARY[name](x, number)
        else:
            result = BINARY[name](x, known[other % len(known)].clone())
        if isinstance(result, Tensor) and result.shape == (3, 4):
            known.append(result)
    return known


@settings(max_examples=80)
@given(statements, st.lists(numbers, min_size=2, max_size=2))
def test_integer_programs_have_the_cpus_values(
    program: list[tuple[str, int, int, int]], inputs: list[list[int]]
) -> None:
    expected = execute(program, inputs, "cpu")
    with recording() as memory:
        known = execute(program, inputs, "cuda")
        assert [read(tensor) for tensor in known] == [tensor.flatten().tolist() for tensor in expected]
        storages = {t.untyped_storage()._cdata: t.untyped_storage().nbytes() for t in known}
        assert memory.held == sum(storages.values())
