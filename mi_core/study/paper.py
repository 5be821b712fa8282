"""The published numbers of the thesis, as data."""

from functools import cache
from importlib.resources import files

import pandas as pd

__all__ = ["SHORT_SPLITS", "TABLE_METRICS", "published_table"]

SHORT_SPLITS = {"target_validation": "target_val", "shadow_validation": "shadow_val"}  # as in published.csv
TABLE_METRICS = {table: ("f1", "cross_entropy") if table <= 2 else ("ssim", "mse") for table in range(1, 7)}


@cache
def _published() -> pd.DataFrame:
    with (files("mi_core.study") / "published.csv").open() as file:
        return pd.read_csv(file, keep_default_na=False, na_values={"std": [""]})


def published_table(table: int) -> pd.DataFrame:
    """Rows of one table of the thesis: row, split, metric, mean, std (NaN where none is printed).

    Raises:
        ValueError: there is no such table.
    Source: P. Thielen, Deep Learning Under Attack, TU Eindhoven 2024, Tables 1 to 6.
    """
    if table not in TABLE_METRICS:
        raise ValueError(f"`table` must be 1 to 6; got {table}")
    everything = _published()
    rows = everything[everything["table"] == table].drop(columns="table").reset_index(drop=True)
    return rows.replace({"split": {short: name for name, short in SHORT_SPLITS.items()}})
