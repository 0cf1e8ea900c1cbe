"""Where the cells of a command run: ``--on`` and the scenario say it."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from lorafa_prof.cli.say import say
from lorafa_prof.errors import UsageError
from lorafa_prof.words.phrases import count, first_of

if TYPE_CHECKING:
    from lorafa_prof.running.executor import Executor
    from lorafa_prof.scenario.schema import Scenario

_MOST_NAMED = 8

on_option = click.option(
    "--on",
    metavar="ray[://HOST:PORT]",
    help="Run cells as tasks of a Ray cluster: ray (the one of this machine, or one for this run), "
    "ray:HOST:PORT, ray://HOST:PORT.",
)


@contextmanager
def executor_for(scenario: Scenario, on: str | None, wait_s: float | None) -> Iterator[Executor]:
    """A context with what runs a scenario's cells; connections end with it.

    Args:
        scenario: whose cells they are.
        on: what ``--on`` says.
        wait_s: what ``--wait`` says.

    Raises:
        UsageError: ``--on`` cannot be done.
    """
    if on is None:
        from lorafa_prof.running.on_this_machine import OnThisMachine

        yield OnThisMachine(scenario.isolated)
        return
    address = _ray_address(on)
    if wait_s is not None:
        raise UsageError(
            "--wait is of the GPU of this machine; with --on, Ray waits for a GPU that it can give"
        )
    if importlib.util.find_spec("ray") is None:
        raise UsageError(
            f"--on {on}: Ray is not installed: pip install 'lorafa-prof[ray]', here and on every node"
        )
    from lorafa_prof.running.on_ray import OnRay
    from lorafa_prof.running.ray_cluster import connected

    say("connecting to Ray")
    with connected(address) as nodes:
        say(f"Ray has {count(len(nodes), 'node')}: {first_of([node.name for node in nodes], _MOST_NAMED)}")
        yield OnRay(nodes, scenario.isolated)


def _ray_address(on: str) -> str | None:
    kind, _, rest = on.partition(":")
    if kind != "ray" or on == "ray:":
        raise UsageError(f"--on {on}: write ray, ray:HOST:PORT or ray://HOST:PORT")
    return (on if rest.startswith("//") else rest) or None
