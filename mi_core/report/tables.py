"""Tables of the report: ours beside the published numbers, as HTML and as CSV."""

import base64

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from mi_core.study.results import CSV_COLUMNS

__all__ = ["ABSENT", "compare", "csv_link", "plain"]

ABSENT = "not computed at this profile"
METRIC_NAMES = {"ssim": "SSIM", "mse": "MSE", "f1": "F1", "cross_entropy": "cross-entropy"}  # in this order
SPLIT_TEXT = {"shadow_validation": "D_S^V", "test": "D_F"}  # the sets of Table 3


def compare(summary: pd.DataFrame) -> Styler:
    """Ours beside published, one line a row of the thesis's table.

    Args:
        summary: what ``mi_core.study.results.summarise`` gives for one table.
    Returns:
        For each metric three columns: ours (mean, with the spread over replicates where there are several), the
        thesis's (mean, with its printed spread), and the difference.
    Raises:
        ValueError: the frame lacks a column or holds several tables.
    """
    missing = {*CSV_COLUMNS, "seed_std"} - set(summary.columns)
    if missing or summary["table"].nunique() != 1:
        raise ValueError(f"`summary` must be one summarised table; it lacks {sorted(missing) or 'a single number'}")
    number = int(summary["table"].iloc[0])
    cells = summary.assign(
        ours=[_ours(*line) for line in summary[["mean", "std", "seed_std"]].to_numpy(float)],
        thesis=[_with_spread(*line) for line in summary[["published_mean", "published_std"]].to_numpy(float)],
        difference=[_signed(line) for line in (summary["mean"] - summary["published_mean"]).to_numpy(float)],
    )
    metric = cells["metric"].map(METRIC_NAMES)
    cells["measure"] = metric
    lines = ["row"] if number != 3 else ["row", "split"]
    if number <= 2:  # each classifier has its own sets
        cells["measure"] += cells["split"].map(lambda name: ", training" if "train" in name else ", validation")
    if number == 3:
        cells["split"] = cells["split"].map(SPLIT_TEXT)
    wide = cells.pivot(index=lines, columns="measure", values=["ours", "thesis", "difference"])
    order = pd.MultiIndex.from_frame(cells[lines].drop_duplicates()) if number == 3 else cells["row"].unique()
    by_metric = cells.sort_values("metric", key=lambda names: names.map(list(METRIC_NAMES).index), kind="stable")
    measures = by_metric["measure"].unique()
    columns = pd.MultiIndex.from_product([measures, ["ours", "thesis", "difference"]])
    table = wide.swaplevel(axis=1).reindex(index=order, columns=columns).fillna("—").reset_index()
    table.columns = pd.MultiIndex.from_tuples([(a, b) if b else ("", a) for a, b in table.columns])
    table = table.rename(columns={"split": "set"}, level=1)
    return _styled(table, f"table{number}")


def plain(frame: pd.DataFrame, name: str) -> Styler:
    """Any frame as a table of the same looks; ``name`` is its unique identifier on the page."""
    words = frame.select_dtypes(exclude="number").columns
    return _styled(frame, name).set_properties(subset=words, **{"text-align": "left", "white-space": "normal"})


def _styled(frame: pd.DataFrame, name: str) -> Styler:
    styler = frame.style.hide(axis="index").set_uuid(name)
    return styler.set_table_attributes('class="dataframe comparison"')


def _ours(mean: float, std: float, seed_std: float) -> str:
    if np.isnan(mean):
        return ABSENT
    return _with_spread(mean, std) + ("" if np.isnan(seed_std) else f" (± {seed_std:.4f})")


def _with_spread(mean: float, spread: float) -> str:
    if np.isnan(mean):
        return "—"
    return f"{mean:.4f}" + ("" if np.isnan(spread) else f" ± {spread:.4f}")


def _signed(difference: float) -> str:
    return "—" if np.isnan(difference) else f"{difference:+.4f}"


def csv_link(text: str, name: str) -> str:
    """HTML link that downloads ``text`` as ``name``.csv; the data are in the link, so it works without a server."""
    data = base64.b64encode(text.encode()).decode()
    return f'<p class="download"><a download="{name}.csv" href="data:text/csv;base64,{data}">{name}.csv</a></p>'
