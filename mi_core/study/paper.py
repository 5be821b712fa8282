"""The published numbers of the thesis, as data."""

import math
from functools import cache
from importlib.resources import files

import pandas as pd

__all__ = ["SHORT_SPLITS", "TABLE_METRICS", "notebook_value", "published_table", "published_value"]

SHORT_SPLITS = {"target_validation": "target_val", "shadow_validation": "shadow_val"}  # as in published.csv
TABLE_METRICS = {table: ("f1", "cross_entropy") if table <= 2 else ("ssim", "mse") for table in range(1, 7)}


@cache
def _read(name: str) -> pd.DataFrame:
    with (files("mi_core.study") / name).open() as file:
        frame = pd.read_csv(file, keep_default_na=False, na_values={"std": [""]})
    return frame.replace({"split": {short: name for name, short in SHORT_SPLITS.items()}})


def published_table(table: int) -> pd.DataFrame:
    """Rows of one table of the thesis: row, split, metric, mean, std (NaN where none is printed).

    Raises:
        ValueError: there is no such table.
    Source: P. Thielen, Deep Learning Under Attack, TU Eindhoven 2024, Tables 1 to 6.
    """
    if table not in TABLE_METRICS:
        raise ValueError(f"`table` must be 1 to 6; got {table}")
    everything = _read("published.csv")
    return everything[everything["table"] == table].drop(columns="table").reset_index(drop=True)


def published_value(table: int, row: str, split: str, metric: str) -> float:
    """The mean that the thesis prints, NaN where it prints none."""
    return _value("published.csv", table, row, split, metric)


def notebook_value(table: int, row: str, split: str, metric: str) -> float:
    """What the notebook released with the thesis prints where that differs from the thesis; NaN elsewhere."""
    return _value("notebook.csv", table, row, split, metric)


def _value(name: str, *line: str | int) -> float:
    frame = _read(name)
    found = frame[(frame[["table", "row", "split", "metric"]] == list(line)).all(axis=1)]
    return float(found["mean"].iloc[0]) if len(found) else math.nan
