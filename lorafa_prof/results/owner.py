"""Which process something belongs to: what a dead one left is told from what is in use."""

from __future__ import annotations

import socket
from dataclasses import asdict, dataclass
from typing import Any

import psutil

#: Two processes of one id that began within so many seconds are taken for one: clocks are set in between.
_SAME_START_S = 5.0


@dataclass(frozen=True)
class Owner:
    """A process.

    Attributes:
        pid: its id on `host`; ids are given again.
        host: where it runs.
        started: when it began, in seconds since 1970.
    """

    pid: int
    host: str
    started: float

    @property
    def lives(self) -> bool | None:
        """Whether it runs still; None of another host's, which cannot be known here."""
        if self.host != socket.gethostname():
            return None
        try:
            process = psutil.Process(self.pid)
            return (
                abs(process.create_time() - self.started) < _SAME_START_S
                and process.status() != psutil.STATUS_ZOMBIE
            )
        except (psutil.NoSuchProcess, ValueError, OverflowError):  # also of an id that is none
            return False
        except psutil.AccessDenied:
            return True

    def as_dict(self) -> dict[str, Any]:
        """In values for JSON."""
        return asdict(self)


def owner_from(written: dict[str, Any]) -> Owner:
    """What `as_dict` gave.

    Raises:
        KeyError, TypeError, ValueError: it is something else.
    """
    return Owner(int(written["pid"]), str(written["host"]), float(written["started"]))


def this_process() -> Owner:
    """The process that runs this."""
    process = psutil.Process()
    return Owner(process.pid, socket.gethostname(), process.create_time())
