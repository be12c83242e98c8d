"""The table of a sweep: a row a run, as DataFrame, CSV and JSON."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.errors import ParameterError
from helpers.files import write_atomically
from helpers.runs.metrics import is_number
from helpers.runs.notebook import Notebook
from helpers.runs.objective import Objective
from helpers.runs.output import TABLE, write_results
from helpers.runs.results import SUCCEEDED, RunResult

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    *("status", "seconds", "peak_memory_mb", "device", "plan", "dataset"),
    *("error", "cell", "traceback", "notebook", "key", "host"),
)
SEARCHED = ("trial", "pruned")  # columns besides, of a search
# Of these names, a parameter cannot be; of the other columns, the parameter comes first.
RESERVED = {"status", "seconds", "error", "key", "sweep", *SEARCHED}


def make_table(results: Sequence[RunResult]) -> "pd.DataFrame":
    """Return a row a run: its parameters, its metrics, what became of it.

    A search has the number of its ``trial`` too, and whether that was ``pruned``. A metric of the
    name of a parameter or of another column is called ``metric_NAME``; a column of the name of a
    parameter, ``run_NAME``. ``attrs`` lists the ``parameters`` that differ between the runs, the
    metrics that were ``recorded``, the ``metrics`` that are numbers in some run (what is no number
    there is missing), and the ``data`` that they used, of which there should be one.
    """
    import pandas as pd

    rows, metrics = [], {}
    parameters = {name for result in results for name in result["parameters"]}
    columns = [*COLUMNS, *(n for n in SEARCHED if any(n in result for result in results))]
    renamed = {name: f"run_{name}" if name in parameters else name for name in columns}
    for result in results:
        row = dict(result["parameters"])
        for name, value in result["metrics"].items():
            column = f"metric_{name}" if name in {*parameters, *COLUMNS, *SEARCHED} else name
            row[column] = value
            metrics |= {column: None} if is_number(value) else {}
        rows.append({renamed[name]: result.get(name) for name in columns} | row)
    table = pd.DataFrame(rows)
    last = list(renamed.values())
    table = table[[name for name in table if name not in last] + last]
    for name in parameters:
        values = [result["parameters"].get(name) for result in results]
        if len({type(value) for value in values}) > 1:  # pandas makes 4.0 of the 4 beside a None
            table[name] = pd.Series(values, dtype=object)
    for name in metrics:
        if table[name].dtype == object:
            table[name] = table[name].map(lambda v: v if is_number(v) else None).astype(float)
    table.attrs["parameters"] = varying_parameters([result["parameters"] for result in results])
    table.attrs["metrics"] = list(metrics)
    table.attrs["recorded"] = list({name: None for r in results for name in r["metrics"]})
    table.attrs["data"] = _data_of(results)
    return table


def _data_of(results: Sequence[RunResult]) -> list[str]:
    """Return a name for each of the different datasets that runs used, where they tell it."""
    used: dict[str, str] = {}
    for result in results:
        asked = {**(result.get("defaults") or {}), **result["parameters"]}.get("dataset")
        digest = ((result.get("depends") or {}).get("data") or {}).get(str(asked))
        name = result.get("dataset") or asked
        if result.get("status") == SUCCEEDED and name:
            used.setdefault(json.dumps([name, digest]), str(name))
    return list(used.values())


def require_free_names(notebook: Notebook) -> None:
    """Refuse a notebook with a parameter of the name of another column.

    Raises
    ------
    ParameterError
        If there is one.
    """
    for name in RESERVED & set(notebook.parameters):
        raise ParameterError(
            f"{notebook.path.name}: the parameter {name!r} has the name of a column of the table; "
            "rename it"
        )


def varying_parameters(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names of the parameters that are not the same in all runs."""
    names = dict.fromkeys(name for one in settings for name in one)
    return [name for name in names if len({str(one.get(name)) for one in settings}) > 1]


def best_rows(table: "pd.DataFrame", objective: Objective | None, most: int = 30) -> "pd.DataFrame":
    """Return a long table's best runs and some of those that failed; a short one as it is."""
    if len(table) <= most:
        return table
    import pandas as pd

    good = table["status"] == SUCCEEDED
    best, failed = table[good], table[~good].head(max(most // 3, most - good.sum()))
    if objective is not None and objective.metric in table:
        best = best.sort_values(objective.metric, ascending=objective.smaller, kind="stable")
    return pd.concat([best.head(most - len(failed)), failed])


def write_table(results: Sequence[RunResult], out: Path) -> "pd.DataFrame":
    """Write ``results.csv`` and ``results.json``, each whole or not at all; return the table."""
    table = make_table(results)
    write_atomically(out / TABLE, table.to_csv(index=False))
    write_results(results, out)
    return table
