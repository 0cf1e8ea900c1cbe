"""The scenarios that come with the package."""

from __future__ import annotations

import os
from pathlib import Path

from lorafa_prof import package
from lorafa_prof.errors import ScenarioError
from lorafa_prof.registry import nearest


def scenarios_folder() -> Path:
    """Return the folder of shipped scenarios: inside an installed package, or beside it in a checkout."""
    inside = package.FOLDER / "scenarios"
    return inside if inside.is_dir() else package.AROUND / "scenarios"


def schema_file() -> Path:
    """Return the JSON Schema of scenarios that is shipped beside them, which `lorafa-prof schema` prints."""
    return scenarios_folder() / "scenario.schema.json"


def shipped_scenarios() -> dict[str, Path]:
    """Return the shipped scenarios by name: the path below their folder, without its suffix."""
    folder = scenarios_folder()
    return {
        file.relative_to(folder).with_suffix("").as_posix(): file for file in sorted(folder.rglob("*.yaml"))
    }


def find_scenario(name: str) -> Path:
    """Return the file that `name` means: a path, or the name of a shipped scenario.

    Raises:
        ScenarioError: there is neither.
    """
    file = Path(name)
    # A folder of the same name, such as results kept beside, hides no shipped scenario.
    # Of `os.path`, since those of `Path` raise where a name is too long.
    is_folder = os.path.isdir(name)  # noqa: PTH112
    if os.path.exists(name) and not is_folder:  # noqa: PTH110
        return file
    shipped = shipped_scenarios()
    if name in shipped:
        return shipped[name]
    # A path into a checkout also finds what was installed: `scenarios/quickstart.yaml`.
    by_path = name.removesuffix(".yaml").removesuffix(".yml").removeprefix("scenarios/")
    if file.suffix == ".yaml" and by_path in shipped:
        return shipped[by_path]
    if is_folder:
        raise ScenarioError("this is a folder; name a scenario file in it", file=name)
    raise ScenarioError(
        f"no such file, and no shipped scenario of that name{nearest(by_path, list(shipped))}; "
        "`lorafa-prof list scenarios` shows all",
        file=name,
    )
