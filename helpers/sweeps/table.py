"""The table of a sweep: a row a run, as DataFrame, CSV and JSON."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.files import write_atomically

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("status", "seconds", "dataset", "error", "notebook", "key", "host")


def make_table(statuses: Sequence[dict[str, Any]]) -> "pd.DataFrame":
    """Return a row a run: its parameters, its metrics, what became of it.

    A metric of the name of a parameter or of another column is called ``metric_NAME``.
    """
    import pandas as pd

    rows = []
    for status in statuses:
        row = dict(status["parameters"])
        taken = {*row, *COLUMNS}
        for name, value in status["metrics"].items():
            row[f"metric_{name}" if name in taken else name] = value
        rows.append(row | {name: status.get(name) for name in COLUMNS})
    table = pd.DataFrame(rows)
    return table[[name for name in table if name not in COLUMNS] + list(COLUMNS)]


def write_table(statuses: Sequence[dict[str, Any]], out: Path) -> "pd.DataFrame":
    """Write ``results.csv`` and ``results.json``, each whole or not at all; return the table."""
    table = make_table(statuses)
    write_atomically(out / "results.csv", table.to_csv(index=False))
    text = json.dumps(list(statuses), indent=2, allow_nan=False)
    write_atomically(out / "results.json", text + "\n")
    return table
