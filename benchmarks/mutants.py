"""What became of the mutants that mutmut made: the share that tests or mypy kill, by module, and the others.

    mutmut run '*[37]' && python benchmarks/mutants.py '*[37]' > reports/reliability/mutants.csv

Reads `mutants/`, which mutmut leaves, for the mutants whose names match the pattern (`*[37]`: their numbers
end in 3 or 7, a fifth of all). The table has a line for each one that was tried; the rates go to stderr.
One whose tests were stopped, since they took too long, counts as killed.
"""

from __future__ import annotations

import csv
import json
import sys
from collections import Counter, defaultdict
from fnmatch import fnmatch
from pathlib import Path

#: What mutmut's exit codes mean; any other one is a test process that was ended.
_STATUS = {0: "survived", 1: "killed", 3: "killed", 5: "no tests", 33: "no tests", 37: "killed by mypy"}
_ALIVE = ("survived", "no tests")


def main() -> int:
    """Print the table and the rates."""
    pattern = sys.argv[1] if len(sys.argv) > 1 else "*"
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(("module", "mutant", "status"))
    counts: dict[str, Counter[bool]] = defaultdict(Counter)
    for file in sorted(Path("mutants/lorafa_prof").rglob("*.meta")):
        module = str(file.relative_to("mutants/lorafa_prof")).removesuffix(".py.meta")
        codes = json.loads(file.read_text())["exit_code_by_key"]
        for name, code in codes.items():
            if code is None or not fnmatch(name, pattern):
                continue
            status = _STATUS.get(code, "killed by time")
            table.writerow((module, name.rpartition(".")[2], status))
            for whole in (module, module.rpartition("/")[0], "all"):
                counts[whole][status not in _ALIVE] += 1
    for whole, count in counts.items():
        print(
            f"{whole:28} {count[True]:5} of {count.total():5} killed  {count[True] / count.total():6.1%}",
            file=sys.stderr,
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
