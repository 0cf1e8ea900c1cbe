"""Connecting to a Ray cluster, and checking that its nodes have what this process has."""

from __future__ import annotations

import logging
import os
import platform
import re
import socket
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from lorafa_prof.devices.device import gpu_name
from lorafa_prof.errors import UsageError, first_line
from lorafa_prof.one_line import bounded_line
from lorafa_prof.results.fingerprint import SOFTWARE, Fingerprint, differing_parts, software
from lorafa_prof.results.provenance import package_version
from lorafa_prof.running.family import end_families_of_the_dead
from lorafa_prof.running.scratch import remove_scratch_of_the_dead
from lorafa_prof.words.phrases import first_of, listed

#: Ray itself gives an address minutes.
_CONNECT_S = 5.0
_JOIN_S = 40.0
#: A node starts a worker and imports PyTorch and transformers.
_NODE_S = 180.0
OR_ALONE = "correct RAY_ADDRESS, `ray stop` here, or run on this machine alone: RAY_ADDRESS=local"
_MOST_OF_A_REASON = 200
_VERSION = "lorafa-prof's version"
_HOST_AND_PORT = re.compile(r"[^\s/@]+:\d{1,5}")


@dataclass(frozen=True)
class Node:
    """A machine of the cluster.

    Attributes:
        ray_id: Ray's id of it.
        name: how people know it.
        has_gpu: whether Ray gives GPUs of it.
    """

    ray_id: str
    name: str
    has_gpu: bool


@contextmanager
def connected(address: str | None) -> Iterator[Sequence[Node]]:
    """A context in which this process is connected to a Ray cluster, whose nodes it yields.

    Args:
        address: ``HOST:PORT`` or ``ray://HOST:PORT``; None: the cluster that RAY_ADDRESS names, or that this
            machine belongs to (`ray start`), or else one of this machine alone that ends with the context.

    Raises:
        UsageError: nothing answers at the address, or a node has other software than this process.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody is told of a user's sweeps
    os.environ.setdefault("RAY_task_oom_retries", "1")  # Ray's own number is: for ever
    found = address or known_address()
    if found is not None:
        try:
            check_answers(found)
        except UsageError as error:
            raise error if address else UsageError(f"{error}; {OR_ALONE}") from error
    only_here: dict[str, Any] = {"include_dashboard": False} if found is None else {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is amiss is raised too
            ray.init(found or "local", log_to_driver=False, logging_level=logging.CRITICAL, **only_here)
    except (OSError, RuntimeError, ValueError, exceptions.RayError) as error:
        raise UsageError(f"Ray at {found or 'this machine'}: {first_line(error)}") from error
    try:
        nodes = [_node(node) for node in ray.nodes() if node["Alive"]]
        check_software(nodes)
        yield nodes
    finally:
        ray.shutdown()


def known_address() -> str | None:
    """Return the cluster that RAY_ADDRESS names, else that `ray start` noted on this machine, as Ray does."""
    named = os.environ.get("RAY_ADDRESS", "")
    if named == "local":
        return None
    if named not in ("", "auto"):
        return named
    note = Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir(), "ray", "ray_current_cluster")
    return note.read_text().strip() or None if note.is_file() else None


def check_answers(address: str) -> None:
    """Check that a Ray cluster answers at `address`, within a bounded time.

    Raises:
        UsageError: none does, or it is of another Ray or Python.
    """
    place = address.removeprefix("ray://")
    if not _HOST_AND_PORT.fullmatch(place):
        raise UsageError(f"Ray's address '{address}' is none: write HOST:PORT or ray://HOST:PORT")
    host, port = place.rsplit(":", 1)
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S).close()
    except (OSError, OverflowError) as error:
        raise _no_answer(address, first_line(error)) from error
    # In a process that can be ended: whoever joins what is no Ray waits for minutes, and no signal stops him.
    joins = (
        "import logging, sys, ray; ray.init(sys.argv[1], log_to_driver=False, logging_level=logging.ERROR)"
    )
    try:
        done = subprocess.run(
            [sys.executable, "-c", joins, address],
            capture_output=True,
            text=True,
            timeout=_JOIN_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _no_answer(address, f"no Ray within {_JOIN_S:.0f} s") from error
    if done.returncode:
        raise _no_answer(address, (done.stderr.strip().splitlines() or ["no reason given"])[-1])


def _no_answer(address: str, why: str) -> UsageError:
    return UsageError(f"no Ray cluster answers at {address}: {why} (`ray status` on its head node says more)")


def _node(node: Mapping[str, Any]) -> Node:
    name = f"{node['NodeManagerHostname']} ({node['NodeName']})"
    return Node(node["NodeID"], name, node["Resources"].get("GPU", 0) > 0)


def own_software() -> Fingerprint:
    """What must be the same on every node: Python, and what results depend on but for their cells."""
    return {"Python": platform.python_version(), _VERSION: package_version("lorafa-prof"), **software()}


def check_software(nodes: Sequence[Node]) -> None:
    """Check that all nodes have the software of this process; what killed runs left on them goes.

    Raises:
        UsageError: a node has other software or none, or does not answer.
    """
    here = own_software()
    for node, there in _on_each(nodes, look_around):
        if isinstance(there, Exception):
            why = bounded_line(first_line(there), _MOST_OF_A_REASON)
            raise UsageError(
                f"Ray's node {node.name} cannot run lorafa-prof {here[_VERSION]}: {why}; install the same "
                "there as here"
            )
        if differing := difference(there, here):
            raise UsageError(f"Ray's node {node.name} differs: {differing}; install the same there as here")


def difference(there: Fingerprint, here: Fingerprint) -> str:
    """In what a node's software is other than here: "torch 2.12.0 (here 2.13.0)"; empty: in nothing."""
    names = [name for name in ("Python", _VERSION, *SOFTWARE) if name in there]
    return first_of(differing_parts(there, here, names, "here"), 4)


def gpu_of_nodes(nodes: Sequence[Node]) -> str | None:
    """Return the catalogue's name of the nodes' GPUs; None if no node has any.

    Raises:
        UsageError: they are of several kinds, or a node cannot tell.
    """
    found: dict[str, Node] = {}
    for node, name in _on_each([node for node in nodes if node.has_gpu], name_gpu):
        if isinstance(name, Exception):
            raise UsageError(f"Ray's node {node.name} has a GPU that PyTorch cannot use: {first_line(name)}")
        found.setdefault(gpu_name(name), node)
    if len(found) > 1:
        kinds = listed([f"{gpu} on {node.name}" for gpu, node in found.items()])
        raise UsageError(f"the Ray cluster has GPUs of several kinds, {kinds}: measured cells need one kind")
    return next(iter(found), None)


def _on_each(nodes: Sequence[Node], look: Callable[[], Any]) -> Iterator[tuple[Node, Any]]:
    """Yield what `look` gives on each of the nodes, or the exception."""
    asked = [(node, _asked(node, look)) for node in nodes]
    for node, answer in asked:
        try:
            yield node, answer if isinstance(answer, Exception) else ray.get(answer, timeout=_NODE_S)
        except exceptions.RayTaskError as error:
            yield node, error.cause if isinstance(error.cause, Exception) else error
        except exceptions.RayError as error:
            yield node, error


def _asked(node: Node, look: Callable[[], Any]) -> Any:
    """The answer to come; or the exception of a client's server, which has to import the task too."""
    there = NodeAffinitySchedulingStrategy(node.ray_id, soft=False)
    try:
        return ray.remote(num_cpus=0)(look).options(scheduling_strategy=there).remote()
    except Exception as error:  # noqa: BLE001 - it is Ray's to say what: the user is told
        return error


def look_around() -> Fingerprint:
    """On a node: remove what killed runs left there, and tell its software."""
    end_families_of_the_dead()
    remove_scratch_of_the_dead()
    return own_software()


def name_gpu() -> str:
    """On a node: CUDA's name of its first GPU, told by a process that sees those Ray hides from this task."""
    seen = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    code = "import torch; print(torch.cuda.get_device_name())"
    done = subprocess.run([sys.executable, "-c", code], env=seen, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["no reason given"])[-1])
    return done.stdout.strip().splitlines()[-1]
