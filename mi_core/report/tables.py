"""Tables of the report: ours beside the published numbers, as HTML and as CSV."""

import base64
from collections.abc import Sequence
from html import escape
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

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


def compare(summary: pd.DataFrame) -> str:
    """Ours beside published, one line a row of the thesis's table.

    Args:
        summary: what ``mi_core.study.results.summarise`` gives for one table.
    Returns:
        HTML. For each metric that the thesis prints three columns: ours (mean, with its interval where there are
        several replicates), the thesis's (mean, with its printed spread), and the difference; beside scores of
        reconstructions ours for re-identification.
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
    return _html(table, f"table{number}")


def plain(frame: pd.DataFrame, name: str, *, links: str = "") -> str:
    """Any frame as an HTML table of the same looks.

    Args:
        frame: its columns that are no numbers are set as words.
        name: unique identifier of the table on its page.
        links: a column that holds HTML already; all others are escaped.
    """
    words = [place for place, column in enumerate(frame) if not is_numeric_dtype(frame[column])]
    return _html(frame, name, words=words, links=links)


def _html(frame: pd.DataFrame, name: str, *, words: Sequence[int] = (), links: str = "") -> str:
    """A table whose first column heads its lines; of two levels of columns the upper one spans its group."""
    levels = [column if isinstance(column, tuple) else (column,) for column in frame.columns]
    lines = [_heads([level[-1] for level in levels])]
    if frame.columns.nlevels == 2:
        groups = [(title, len([*group])) for title, group in groupby(level[0] for level in levels)]
        lines.insert(0, "".join(_group(str(title), span) for title, span in groups))
    body = []
    for first, *rest in frame.itertuples(index=False, name=None):
        cells = [f'<th scope="row">{escape(_text(first))}</th>']
        for place, value in enumerate(rest, start=1):
            text = value if frame.columns[place] == links else escape(_text(value))
            cells.append(f'<td class="words">{text}</td>' if place in words else f"<td>{text}</td>")
        body.append("".join(cells))
    head, content = ("\n".join(f"<tr>{line}</tr>" for line in part) for part in (lines, body))
    return (
        f'<table id="T_{name}" class="dataframe comparison">\n<thead>\n{head}\n</thead>\n'
        f"<tbody>\n{content}\n</tbody>\n</table>\n"
    )


def _heads(titles: Sequence[Any]) -> str:
    return "".join(f'<th scope="col">{escape(str(title))}</th>' for title in titles)


def _group(title: str, span: int) -> str:
    return f'<th scope="colgroup" colspan="{span}">{escape(title)}</th>' if title else f'<td colspan="{span}"></td>'


def _text(value: Any) -> str:
    """Numbers with four decimals, or three digits where those would say nothing."""
    if not isinstance(value, float | np.floating):
        return str(value)
    return f"{value:.3g}" if 0 < abs(value) < 0.001 else f"{value:.4f}"


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


def measure_table(summary: pd.DataFrame, measures: Sequence[str], name: str) -> str:
    """HTML: several measures of each row side by side, ours only.

    Args:
        summary: columns row, metric, mean, half_width, seed_std and n, one line a row and metric.
        measures: keys of ``MEASURES``, one column each.
        name: unique identifier of the table on its page.
    """
    cells = summary.assign(text=_ours(summary))
    wide = cells.pivot(index="row", columns="metric", values="text")
    wide = wide.reindex(index=cells["row"].unique(), columns=list(measures)).fillna("—")
    return _html(wide.rename(columns={key: MEASURES[key].title for key in measures}).reset_index(), name)


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
