"""Tables of the report: ours beside the published numbers, as HTML and as CSV."""

import base64
from collections.abc import Sequence

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from mi_core.study.leakage import MEASURES
from mi_core.study.results import CSV_COLUMNS

__all__ = ["ABSENT", "METRIC_NAMES", "SPLIT_TEXT", "compare", "csv_link", "measure_table", "plain"]

ABSENT = "not computed at this profile"
OURS_ONLY = {"auc": "re-identification: AUC", "top1_of_100": "top-1 of 100"}
METRIC_NAMES = {"ssim": "SSIM", "mse": "MSE", "f1": "F1", "cross_entropy": "cross-entropy"} | OURS_ONLY  # in this order
SPLIT_TEXT = {
    "target_train": "D_T^T",
    "target_validation": "D_T^V",
    "shadow_train": "D_S^T",
    "shadow_validation": "D_S^V",
    "test": "D_F",
}


def compare(summary: pd.DataFrame) -> Styler:
    """Ours beside published, one line a row of the thesis's table.

    Args:
        summary: what ``mi_core.study.results.summarise`` gives for one table.
    Returns:
        For each metric that the thesis prints three columns: ours (mean, with its interval where there are several
        replicates), the thesis's (mean, with its printed spread), and the difference; beside scores of reconstructions
        ours for re-identification.
    Raises:
        ValueError: the frame lacks a column or holds several tables.
    """
    missing = {*CSV_COLUMNS, "half_width", "seed_std"} - set(summary.columns)
    if missing or summary["table"].nunique() != 1:
        raise ValueError(f"`summary` must be one summarised table; it lacks {sorted(missing) or 'a single number'}")
    number = int(summary["table"].iloc[0])
    summary = summary[summary["metric"].isin(METRIC_NAMES)]
    cells = summary.assign(
        ours=_ours(summary),
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
    columns = columns[[name not in OURS_ONLY.values() or side == "ours" for name, side in columns]]
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


def _ours(summary: pd.DataFrame) -> list[str]:
    """Mean, t interval over replicates where there are several, spread over trainings where there are several."""
    texts = []
    for mean, half, seed_std, count in summary[["mean", "half_width", "seed_std", "n"]].to_numpy(float):
        if np.isnan(mean):
            texts.append("—" if count > 0 else ABSENT)  # undefined, e.g. with too few images of the class; or absent
            continue
        text = f"{mean:.4f}" + ("" if np.isnan(half) else f" [{mean - half:.4f}, {mean + half:.4f}]")
        texts.append(text + ("" if np.isnan(seed_std) else f" (± {seed_std:.4f})"))
    return texts


def measure_table(summary: pd.DataFrame, measures: Sequence[str], name: str) -> Styler:
    """Several measures of each row side by side, ours only.

    Args:
        summary: columns row, metric, mean, half_width, seed_std and n, one line a row and metric.
        measures: keys of ``MEASURES``, one column each.
        name: unique identifier of the table on its page.
    """
    cells = summary.assign(text=_ours(summary))
    wide = cells.pivot(index="row", columns="metric", values="text")
    wide = wide.reindex(index=cells["row"].unique(), columns=list(measures)).fillna("—")
    return _styled(wide.rename(columns={key: MEASURES[key].title for key in measures}).reset_index(), name)


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
