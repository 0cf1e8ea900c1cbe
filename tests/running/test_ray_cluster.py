"""What a cluster is asked before anything runs on it, with nodes that answer what they are told to."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'lorafa-prof[ray]'")

from cells import TWIN, make_cell  # noqa: E402
from ray import exceptions  # noqa: E402

from lorafa_prof.cell import ResolvedDevice  # noqa: E402
from lorafa_prof.errors import UsageError  # noqa: E402
from lorafa_prof.results.fingerprint import fingerprint_of  # noqa: E402
from lorafa_prof.results.record import CellResult  # noqa: E402
from lorafa_prof.running import on_ray, ray_cluster  # noqa: E402
from lorafa_prof.running.executor import Orders  # noqa: E402
from lorafa_prof.running.on_ray import OnRay  # noqa: E402
from lorafa_prof.running.ray_cluster import (  # noqa: E402
    Node,
    check_answers,
    check_software,
    gpu_of_nodes,
    own_software,
)

NODES = [Node("1", "head (10.0.0.1)", False), Node("2", "worker (10.0.0.2)", True)]

CELL = make_cell("full-ft", model="tiny-llama", device=TWIN)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def tell(*told: Any) -> None:
        monkeypatch.setattr(ray_cluster, "_on_each", lambda nodes, look: zip(nodes, told, strict=True))

    return tell


def test_nodes_that_have_what_this_process_has_are_in_order(answers):
    answers(own_software(), own_software())
    check_software(NODES)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"torch": "2.6.0"}, r"torch 2\.6\.0 \(here 2\.\d+\.\d+"),
        ({"Python": "3.11.0"}, r"Python 3\.11\.0 \(here 3\."),
        ({"lorafa-prof's version": "0.0.1"}, r"lorafa-prof's version 0\.0\.1 \(here 0\."),
        ({"lorafa-prof": "of another commit"}, "lorafa-prof's own code"),
        ({"allocator": "of other options"}, "the allocator's settings"),
    ],
)
def test_a_node_with_something_else_is_named_with_both_versions(answers, other, said):
    answers(own_software(), {**own_software(), **other})
    with pytest.raises(UsageError, match=rf"Ray's node worker \(10\.0\.0\.2\) differs: {said}") as refused:
        check_software(NODES)
    assert "install the same there as here" in str(refused.value)
    assert refused.value.exit_code == 2


def test_a_node_without_lorafa_prof_is_named(answers):
    answers(own_software(), ModuleNotFoundError("No module named 'lorafa_prof'"))
    with pytest.raises(UsageError, match=r"worker \(10\.0\.0\.2\) cannot run lorafa-prof .*No module named"):
        check_software(NODES)


def test_auto_is_cuda_where_a_node_has_a_gpu_else_the_twin(answers):
    answers("NVIDIA H200")
    assert OnRay(NODES[1:]).resolve_device("auto", "h100-80gb") == ResolvedDevice("cuda", "h200")
    answers()
    assert OnRay(NODES[:1]).resolve_device("auto", "h100-80gb") == ResolvedDevice(TWIN, "h100-80gb")
    with pytest.raises(UsageError, match="device 'cuda': no node of the Ray cluster has a GPU"):
        OnRay(NODES[:1]).resolve_device("cuda", "h100-80gb")


def test_gpus_of_several_kinds_or_that_pytorch_cannot_use_are_an_error(answers):
    two = [Node("2", "a", True), Node("3", "b", True)]
    answers("NVIDIA H200", "NVIDIA H100 80GB HBM3")
    with pytest.raises(UsageError, match="several kinds, h200 on a and h100-80gb on b"):
        gpu_of_nodes(two)
    answers("NVIDIA H200", RuntimeError("no driver"))
    with pytest.raises(UsageError, match="node b has a GPU that PyTorch cannot use: no driver"):
        gpu_of_nodes(two)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node of 2 CPUs, one of 6 with 2 GPUs, and one of 64 that is gone."""
    there: list[tuple[bool, dict[str, float]]] = [
        (True, {"CPU": 2.0}),
        (True, {"CPU": 6.0, "GPU": 2.0}),
        (False, {"CPU": 64.0, "GPU": 8.0}),
    ]
    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": alive, "Resources": has} for alive, has in there])
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 8.0, "GPU": 2.0})


@pytest.mark.usefixtures("cluster")
def test_no_more_is_submitted_than_runs_at_once(monkeypatch):
    needs, room = OnRay(NODES)._needs, on_ray._there_is_room
    predicted, on_gpu = needs(CELL), needs(make_cell(device="cuda"))
    assert predicted == {"CPU": 1, "GPU": 0}
    assert on_gpu == {"CPU": 1, "GPU": 1}
    assert room(predicted, [predicted] * 7)
    assert not room(predicted, [predicted] * 8)
    assert room(on_gpu, [on_gpu])
    assert not room(on_gpu, [on_gpu, on_gpu])
    monkeypatch.setattr(ray, "cluster_resources", lambda: {})
    assert room(on_gpu, []), "an autoscaler goes by what waits"


@pytest.mark.usefixtures("cluster")
def test_what_nothing_may_disturb_has_a_node_for_itself():
    assert OnRay(NODES)._needs(make_cell(device="cpu")) == {"CPU": 6, "GPU": 0}
    assert OnRay(NODES, isolated=True)._needs(make_cell(device="cuda")) == {"CPU": 6, "GPU": 1}
    assert OnRay(NODES, isolated=True)._needs(CELL)["CPU"] == 1


@pytest.mark.usefixtures("cluster")
def test_a_cell_for_which_no_node_is_large_enough_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(on_ray, "gpus_needed", lambda cell: 3)
    orders = Orders(lambda cell: Path("log"), None, lambda: True, lambda cell: None)
    with pytest.raises(UsageError, match="no node of the Ray cluster has a CPU for a cell and 3 GPUs"):
        next(OnRay(NODES).results([make_cell(device="cuda")], orders))


def came_back(monkeypatch: pytest.MonkeyPatch, folder: Path, came: CellResult | Exception) -> CellResult:
    """What a sweep makes of what `ray.get` gives of a cell's task, or raises."""

    def get(task: object) -> tuple[str, bytes]:
        if isinstance(came, Exception):
            raise came
        return came.model_dump_json(), b"printed"

    monkeypatch.setattr(ray, "get", get)
    orders = Orders(lambda cell: folder / "log", None, lambda: True, lambda cell: None)
    return on_ray._result(None, CELL, orders)


def test_a_result_comes_back_with_its_log(monkeypatch, tmp_path):
    result = CellResult(cell=CELL, row={"status": "ok"}, environment={"fingerprint": fingerprint_of(CELL)})
    assert came_back(monkeypatch, tmp_path, result) == result
    assert (tmp_path / "log").read_text() == "printed"


def test_a_node_that_joined_later_with_something_else_gives_no_result(monkeypatch, tmp_path):
    other = {"fingerprint": {**fingerprint_of(CELL), "torch": "2.6.0"}}
    came = came_back(monkeypatch, tmp_path, CellResult(cell=CELL, row={"status": "ok"}, environment=other))
    assert came.row["status"] == "error"
    assert "its node differs: torch 2.6.0 (here" in str(came.row["message"])


def test_what_ray_could_not_do_is_a_row_and_our_own_errors_are_errors(monkeypatch, tmp_path):
    lost = came_back(monkeypatch, tmp_path, exceptions.WorkerCrashedError())
    assert lost.row["status"] == "error"
    assert "its node, or Ray's worker on it, died 4 times: WorkerCrashedError" in str(lost.row["message"])
    full = came_back(monkeypatch, tmp_path, exceptions.OutOfMemoryError("node n"))
    assert "its node ran out of host memory" in str(full.row["message"])
    ours = UsageError("node n: no room")
    with pytest.raises(UsageError, match=r"^node n: no room$"):
        came_back(monkeypatch, tmp_path, exceptions.RayTaskError("run_on_node", "Traceback", ours))


def test_an_address_that_refuses_or_is_none_is_one_line_at_once():
    with pytest.raises(UsageError, match=r"no Ray cluster answers at ray://127\.0\.0\.1:1: .*refused"):
        check_answers("ray://127.0.0.1:1")
    for address in ("head", "head:", "ray://head", "dask://head:1", "a b:1", "h:123456"):
        with pytest.raises(UsageError, match="HOST:PORT"):
            check_answers(address)


def test_what_listens_and_is_no_ray_is_not_waited_for_long(monkeypatch):
    monkeypatch.setattr(ray_cluster, "_JOIN_S", 2.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(UsageError, match=f"no Ray cluster answers at {address}: no Ray within 2 s"):
            check_answers(address)


def test_where_a_cluster_is_looked_for(tmp_path, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    assert ray_cluster.known_address() is None
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray/ray_current_cluster").write_text("10.0.0.1:6379\n")
    assert ray_cluster.known_address() == "10.0.0.1:6379"
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    assert ray_cluster.known_address() == "10.0.0.1:6379"
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.2:6379")
    assert ray_cluster.known_address() == "10.0.0.2:6379"
    monkeypatch.setenv("RAY_ADDRESS", "local")
    assert ray_cluster.known_address() is None
