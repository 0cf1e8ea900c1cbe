"""The examples of docs/sweeps.md: whether a shell, Slurm and Kubernetes can read them."""

from __future__ import annotations

import re
import subprocess

import yaml
from click.testing import CliRunner
from programs import ROOT

from lorafa_prof.cli.main import cli

PAGE = (ROOT / "docs" / "sweeps.md").read_text()


def example(language: str) -> str:
    (text,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    return str(text)


def options_of(command: str) -> set[str]:
    return set(re.findall(r" (--?[a-z][a-z-]*)", command.split("lorafa-prof run", 1)[1]))


def known_options() -> set[str]:
    shown = CliRunner().invoke(cli, ["run", "--help"]).output
    return set(re.findall(r"(?<![\w-])(--?[a-z][a-z-]*)", shown))


def test_the_batch_script_is_one_for_slurm_and_names_options_that_there_are():
    script = example("bash")
    assert script.startswith("#!/bin/bash\n#SBATCH ")
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    assert options_of(script) <= known_options()


def test_the_ray_job_has_a_head_and_workers_of_one_image():
    job = yaml.safe_load(example("yaml"))
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    assert options_of(job["spec"]["entrypoint"]) <= known_options()
    cluster = job["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    containers = [one for group in groups for one in group["template"]["spec"]["containers"]]
    assert len({container["image"] for container in containers}) == 1
    pinned = re.search(r"^ray==(.+)$", (ROOT / "constraints.txt").read_text(), flags=re.MULTILINE)
    assert pinned is not None
    assert cluster["rayVersion"] == pinned[1]
