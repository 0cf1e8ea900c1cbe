"""The twin's mode: when storages take memory and give it back."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger import H100, Ledger, on_meta, recording
from tiny_cells import tiny_cell
from torch import Tensor, nn

from lorafa_prof.devices.gpus.gpu import GPUS
from lorafa_prof.devices.sim.mode import TwinMode
from lorafa_prof.devices.sim.paths import cuda_paths
from lorafa_prof.devices.sim.twin import Twin
from lorafa_prof.instruments.allocations.log import AllocationEvent, AllocationLog, Place
from lorafa_prof.running.prepare import prepare_step

CUBLAS, CUBLASLT = 32 << 20, 1 << 20


class TestLives:
    def test_a_storage_is_born_with_its_tensor_and_dies_with_its_last_view(self) -> None:
        with recording() as memory:
            first = on_meta(10)
            view = first.view(2, 5)[1:]
            second = first + 1
            assert memory.events == [40, 40]
            del first
            assert memory.events == [40, 40]
            del view
            assert memory.events == [40, 40, -40]
            del second
            assert memory.events == [40, 40, -40, -40]

    def test_a_view_of_an_operations_result_shares_its_storage(self) -> None:
        with recording() as memory:
            x = on_meta(4, 6)
            also = [
                x.t(),
                x.detach(),
                x.view(torch.int32),
                x.expand(3, 4, 6),
                *x.split(3, dim=1),
                x.squeeze(),
            ]
            assert memory.events == [96]
            del x
            assert memory.events == [96]
            del also
            assert memory.events == [96, -96]

    def test_the_size_is_that_of_the_storage(self) -> None:
        with recording() as memory:
            tensors = [
                torch.empty_strided((3, 3), (10, 1), device="cuda"),
                on_meta(7, dtype=torch.bool),
                on_meta(7, dtype=torch.bfloat16),
                on_meta(7, dtype=torch.float64),
            ]
            assert memory.events == [4 * 23, 7, 14, 56]
            del tensors

    def test_no_bytes_ask_for_nothing(self) -> None:
        with recording() as memory:
            x = on_meta(0)
            y = torch.cat([x, x])
            del x, y
        assert memory.events == []

    def test_the_results_of_one_operation_come_in_their_order(self) -> None:
        with recording() as memory:
            values, indices = on_meta(6, 2).max(dim=0)
            assert memory.events == [48, 8, 16, -48]
            del values, indices
            assert memory.events[4:] == [-8, -16]

    def test_an_update_in_place_takes_nothing(self) -> None:
        with recording() as memory:
            x = on_meta(5)
            x.add_(1).mul_(2).zero_()
            x[1:3] = 0.5
            assert memory.events == [20]

    def test_host_tensors_take_nothing(self) -> None:
        with recording() as memory:
            assert (torch.ones(3) + 1).tolist() == [2, 2, 2]
            moved = torch.arange(3).to("cuda")
            assert memory.events == [24]
            back = moved.cpu()
            assert memory.events == [24]
            del moved, back

    def test_a_swapped_parameter_gives_its_old_storage_back(self) -> None:
        with recording() as memory:
            weight = nn.Parameter(on_meta(8))
            weight.data = on_meta(8, dtype=torch.bfloat16)
            assert memory.events == [32, 16, -32]
            del weight

    def test_what_was_made_before_is_met_when_it_is_used(self) -> None:
        # Such a tensor is the caller's mistake (`Twin` says everything belongs inside); it must not crash.
        with recording():
            outside = on_meta(3)
        with recording() as memory:
            y = outside.view(3)
            assert memory.events == [12]
            del y, outside
            assert memory.held == 0

    def test_backward_frees_what_forward_saved(self) -> None:
        with recording() as memory:
            x, w = on_meta(2, 4), on_meta(3, 4, grad=True)
            loss = (x @ w.t()).relu().sum()
            assert memory.events == [32, 48, 24, CUBLAS, 24, -24, 4]
            del memory.events[:]
            loss.backward()
            assert memory.held == 48 + CUBLAS - 24  # the gradient and the backward thread's workspace
            assert memory.events.count(48) == 1

    def test_after_everything_is_dropped_only_workspaces_are_left(self) -> None:
        with recording() as memory:
            model, x = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 2)).to("cuda"), on_meta(3, 4)
            for _ in range(2):
                model(x).sum().backward()
            model.zero_grad()
            assert memory.held > 2 * CUBLAS + CUBLASLT
            del model, x
            # cuBLASLt adds biases in forward only, so that only one thread keeps its workspace.
            assert memory.held == 2 * CUBLAS + CUBLASLT


@settings(max_examples=60)
@given(st.data())
def test_what_is_held_is_the_sum_of_the_living_storages(data: st.DataObject) -> None:
    with recording() as memory:
        alive: list[Tensor] = []
        for _ in range(data.draw(st.integers(1, 25))):
            what = data.draw(st.sampled_from(["new", "view", "compute", "write", "drop"]))
            if what == "new" or not alive:
                dtype = data.draw(st.sampled_from([torch.float32, torch.bfloat16, torch.int64, torch.bool]))
                alive.append(torch.zeros(data.draw(st.integers(0, 9)), dtype=dtype, device="cuda"))
                continue
            index = data.draw(st.integers(0, len(alive) - 1))
            if what == "view":
                alive.append(alive[index][1:])
            elif what == "compute":
                alive.append(alive[index].to(torch.float32) + 1)
            elif what == "write":
                alive[index].fill_(1)
            else:
                del alive[index]
            storages = {t.untyped_storage()._cdata: t.untyped_storage().nbytes() for t in alive}
            assert memory.held == sum(storages.values())
        alive.clear()
        assert memory.held == 0


class TestModels:
    def test_an_operation_runs_by_its_model(self) -> None:
        def forty_bytes(step: TwinMode, func: object, args: tuple[Tensor], kwargs: object) -> Tensor:
            blocks = [step.take(size) for size in (7, 40)]
            result = torch.empty_like(args[0], device="meta")
            step.born(result, None)
            step.give_back(*reversed(blocks))
            return result

        table = {torch.ops.aten.relu.default: forty_bytes}
        with recording(table=table) as memory:  # type: ignore[arg-type]
            y = on_meta(3).relu()
            assert memory.events == [12, 7, 40, 12, -40, -7, -12]
            assert y.shape == (3,)
            del y

    def test_one_that_raises_leaves_the_mode_usable(self) -> None:
        def fail(*_: object) -> None:
            raise RuntimeError("no such kernel")

        with recording(table={torch.ops.aten.relu.default: fail}) as memory:
            x = on_meta(3)
            with pytest.raises(RuntimeError, match="no such kernel"):
                x.relu()
            assert memory.events == [12]
            y = x + 1
            del x, y
            assert memory.held == 0

    def test_an_operation_that_shapes_forbid_leaves_no_trace(self) -> None:
        with recording() as memory:
            with pytest.raises(RuntimeError):
                on_meta(3, 4) @ on_meta(3, 4)
            assert memory.held == 0

    def test_what_is_kept_is_kept_once_in_each_thread(self) -> None:
        with recording() as memory:
            a = on_meta(2, 2, grad=True)
            (a @ a @ a).sum().backward()
            (a @ a).sum().backward()
            assert memory.events.count(CUBLAS) == 2

    def test_the_running_operation_has_a_name(self) -> None:
        mode = TwinMode(H100, Ledger(), {})
        assert mode.operation is None
        with cuda_paths(H100), mode:
            x = on_meta(3).relu()
        assert str(mode.operation) == "aten.relu.default"
        del x


class TestSameEveryTime:
    def test_fifty_steps_of_one_cell_ask_for_the_same_bytes_in_the_same_order(self) -> None:
        cell = tiny_cell("tiny-gpt2", "lora", dropout=0.1, checkpointing="full", batch=2, seq=16)
        runs = {tuple(self._events(cell)) for _ in range(50)}
        assert len(runs) == 1
        (events,) = runs
        assert len(events) > 500

    @staticmethod
    def _events(cell: object) -> list[AllocationEvent]:
        twin = Twin(GPUS["h100-80gb"])
        nowhere = Place(0, "", "", "", 0)
        log = AllocationLog(twin.allocator, lambda: nowhere)
        twin.mode.memory = log
        with twin:
            _, step = prepare_step(cell, torch.device("cuda"))  # type: ignore[arg-type]
            step.run()
            return list(log.events)
