"""The machine that a result came from, as far as it decides whether another result compares to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lorafa_prof.results.provenance import ALLOCATOR_VARIABLES

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Origin:
    """Versions and settings as text; an unknown one is `UNKNOWN`, and so equal to none that is known.

    Attributes:
        packages: versions by name of the package.
        cuda: version of CUDA that PyTorch was built with.
        allocator: settings of PyTorch's caching allocator.
        cpu: model of the CPU and its number of cores.
        driver: version of the GPU's driver.
        commit: commit of lorafa-prof's checkout.
    """

    packages: Mapping[str, str]
    cuda: str
    allocator: str
    cpu: str
    driver: str
    commit: str

    def version(self, package: str) -> str:
        """Return the version of a package without its build: 2.13.0 for 2.13.0+cpu."""
        return self.packages.get(package, UNKNOWN).split("+")[0]


def origin_of(environment: Mapping[str, Any]) -> Origin | None:
    """Return the machine in the `environment` of a cell's record; None if it is empty, as the process died.

    Raises:
        AttributeError: it is not what a run writes.
    """
    if not environment:
        return None
    settings, host = _part(environment, "allocator"), _part(environment, "host")
    variables = [f"{name}={settings[name]}" for name in ALLOCATOR_VARIABLES if settings.get(name)]
    packages = _part(environment, "packages")
    return Origin(
        packages={name: str(version) for name, version in packages.items() if version},
        cuda=str(_part(environment, "torch").get("cuda") or UNKNOWN),
        allocator=" ".join(variables) or "the defaults",
        cpu=f"{host.get('cpu') or UNKNOWN} with {host.get('cores_logical') or UNKNOWN} cores",
        driver=str(_part(environment, "gpu").get("driver") or UNKNOWN),
        commit=str(_part(environment, "source").get("commit") or UNKNOWN)[:7],
    )


def _part(environment: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part: Mapping[str, Any] = environment.get(name) or {}
    return part
