"""Draw the figures that README.md links to, of what was measured: a scenario's cells may be of several runs.

    python reports/paper/figures.py

Writes `GPU/NAME/figures/FIGURE.png` and `.pdf` for each mark `<!-- figure: NAME FIGURE -->` of README.md of
whose scenario every cell was measured; the others keep the figure of the predictions.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

from experiments import FOLDERS, measured_rows

from lorafa_prof.figures.save import SavedFigure, save_all
from lorafa_prof.results.table import TABLE_NAME, read_table, write_table

HERE = Path(__file__).resolve().parent


def main() -> None:
    """Draw all of them."""
    for name, figure in re.findall(r"<!-- figure: (\S+) (\S+) -->", (HERE / "README.md").read_text()):
        rows, missing = measured_rows(name, HERE)
        if missing:
            print(f"{name}: {missing} of its cells were not measured", file=sys.stderr)
            continue
        with tempfile.TemporaryDirectory() as folder:
            write_table(rows, Path(folder) / TABLE_NAME)
            table = read_table(Path(folder))
        place = next(place for place in FOLDERS["measured"] if str(rows[0]["gpu"]).startswith(place))
        for outcome in save_all(table, HERE / place / name / "figures", [figure]):
            print(*outcome.paths if isinstance(outcome, SavedFigure) else (name, outcome.reason))


if __name__ == "__main__":
    main()
