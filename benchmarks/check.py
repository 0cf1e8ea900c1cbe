"""What the shipped memory claims cost: one `lorafa-prof check` of all of them, from nothing, in seconds.

    python benchmarks/check.py [RUNS]

Prints a line per run, then the median. Nothing else should run on the machine. The goal is 60 s on two cores.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time

from lorafa_prof.scenario.shipped import shipped_scenarios


def seconds_of_a_check(names: list[str]) -> float:
    """Seconds of the command in an empty folder; its exit code is 3, since silent-thaw fails as it should."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        command = [sys.executable, "-m", "lorafa_prof", "check", *names]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        taken = time.perf_counter() - started
    if done.returncode != 3:
        raise SystemExit(f"the check ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return taken


def main() -> None:
    """Time the runs asked for."""
    names = [name for name in shipped_scenarios() if name.startswith("claims/")]
    print(f"{', '.join(names)} on {len(os.sched_getaffinity(0))} cores")
    times = []
    for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else 1):
        times.append(seconds_of_a_check(names))
        print(f"{times[-1]:.1f} s", flush=True)
    print(f"median {statistics.median(times):.1f} s")


if __name__ == "__main__":
    main()
