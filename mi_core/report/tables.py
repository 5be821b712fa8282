"""Tables of the report: ours beside the published numbers, as HTML and as CSV."""

import base64
import re
from collections.abc import Sequence
from html import escape
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from mi_core.report.style import shown_name
from mi_core.study.leakage import MEASURES
from mi_core.study.overview import SHOWN_AS, kind_of
from mi_core.study.results import CSV_COLUMNS

__all__ = ["ABSENT", "METRIC_NAMES", "SPLIT_TEXT", "compare", "csv_link", "measure_table", "plain"]

ABSENT = "not computed at this profile"
OURS_ONLY = {"auc": "re-identification: AUC", "top1_of_100": "top-1 of 100"}
METRIC_NAMES = {"ssim": "SSIM", "mse": "MSE", "f1": "F1", "cross_entropy": "cross-entropy"} | OURS_ONLY  # in this order
BLOCKS = {"baseline": "baselines: no attack", "ceiling": "references: they need the true images"}
BETWEEN = '<p class="part">All rows, ours alone: beside what needs no attack, and beyond the label.</p>\n'
FOUR_DECIMALS = ("mse", "shuffled_mse", "top1", "true_positives", "f1", "cross_entropy")  # of the others three suffice
SPREAD = re.compile(r" (\[[^]]*\]|\(± [^)]*\)|± [\d.]+)")
SPLIT_TEXT = {
    "target_train": "D_T^T",
    "target_validation": "D_T^V",
    "shadow_train": "D_S^T",
    "shadow_validation": "D_S^V",
    "test": "D_F",
}


def compare(summary: pd.DataFrame, *, name: str = "") -> str:
    """Ours beside published, one line a row of the thesis's table; below it, scores beside those that need no attack.

    Args:
        summary: what ``mi_core.study.results.summarise`` gives for one table.
        name: unique identifier of the table on its page; by default "table" and its number.
    Returns:
        HTML. For each metric that the thesis prints three columns: ours (mean, with its interval where there is one),
        the thesis's as printed, and the difference. For scores of reconstructions a second table, of ours alone: all
        rows, with baselines and references in blocks of their own, and re-identification beside the thesis's scores.
    Raises:
        ValueError: the frame lacks a column or holds several tables.
    """
    missing = {*CSV_COLUMNS, "half_width", "seed_std"} - set(summary.columns)
    if missing or summary["table"].nunique() != 1:
        raise ValueError(f"`summary` must be one summarised table; it lacks {sorted(missing) or 'a single number'}")
    number = int(summary["table"].iloc[0])
    name = name or f"table{number}"
    summary = summary[summary["metric"].isin(METRIC_NAMES)]
    if number <= 2:
        return _beside_thesis(summary, number, name)
    attacks = summary[(summary["row"].map(kind_of) == "attack") & ~summary["metric"].isin(OURS_ONLY)]
    return _beside_thesis(attacks, number, name) + BETWEEN + _beside_baselines(summary, number, name)


def _beside_thesis(summary: pd.DataFrame, number: int, name: str) -> str:
    """Ours, the thesis's and the difference of each metric."""
    differences = zip(summary["mean"] - summary["published_mean"], summary["metric"].map(_decimals), strict=True)
    cells = summary.assign(
        ours=_ours(summary),
        thesis=[_with_spread(*line) for line in summary[["published_mean", "published_std"]].to_numpy(float)],
        difference=[_signed(*line) for line in differences],
        measure=summary["metric"].map(METRIC_NAMES),
    )
    if number <= 2:  # each classifier has its own sets
        cells["measure"] += cells["split"].map(lambda name: ", training" if "train" in name else ", validation")
    wide = _wide(cells, number, ["ours", "thesis", "difference"]).swaplevel(axis=1)
    measures = _in_order(cells)
    table = wide.reindex(columns=pd.MultiIndex.from_product([measures, ["ours", "thesis", "difference"]]))
    table = table.fillna("—").reset_index()
    table.columns = pd.MultiIndex.from_tuples([(a, b) if b else ("", a) for a, b in table.columns])
    return _of_rows(table.rename(columns={"split": "set"}, level=1), name)


def _beside_baselines(summary: pd.DataFrame, number: int, name: str) -> str:
    """All scores of all rows, ours alone."""
    cells = summary.assign(ours=_ours(summary), measure=summary["metric"].map(METRIC_NAMES))
    table = _wide(cells, number, "ours").reindex(columns=_in_order(cells)).fillna("—").reset_index()
    return _of_rows(table.rename(columns={"split": "set"}), f"{name}-beyond")


def _wide(cells: pd.DataFrame, number: int, values: str | list[str]) -> pd.DataFrame:
    """One line a row, of Table 3 one a row and set, in the order of ``cells``."""
    lines = ["row", "split"] if number == 3 else ["row"]
    cells = cells.replace({"split": SPLIT_TEXT}) if number == 3 else cells
    order = pd.MultiIndex.from_frame(cells[lines].drop_duplicates()) if number == 3 else cells["row"].unique()
    return cells.pivot(index=lines, columns="measure", values=values).reindex(index=order)


def _in_order(cells: pd.DataFrame) -> np.ndarray:
    by_metric = cells.sort_values("metric", key=lambda names: names.map(list(METRIC_NAMES).index), kind="stable")
    return by_metric["measure"].unique()


def plain(frame: pd.DataFrame, name: str, *, links: str = "") -> str:
    """Any frame as an HTML table of the same looks.

    Args:
        frame: its columns that are no numbers are set as words.
        name: unique identifier of the table on its page.
        links: a column that holds HTML already; all others are escaped.
    """
    words = [place for place, column in enumerate(frame) if not is_numeric_dtype(frame[column])]
    return _html(frame, name, words=words, links=links)


def _of_rows(frame: pd.DataFrame, name: str) -> str:
    """A table whose first column names rows of the study: attacks, then blocks of baselines and of references."""
    names = frame.iloc[:, 0].replace(SHOWN_AS)
    blocks = names.map(kind_of).map(BLOCKS).fillna("")
    order = blocks.map(["", *BLOCKS.values()].index).argsort(kind="stable")
    frame = frame.iloc[order].reset_index(drop=True)
    frame.isetitem(0, names.iloc[order].map(shown_name).to_list())
    return _html(frame, name, blocks=list(blocks.iloc[order]))


def _html(
    frame: pd.DataFrame, name: str, *, words: Sequence[int] = (), links: str = "", blocks: Sequence[str] = ()
) -> str:
    """A table whose first column heads its lines; of two levels of columns the upper one spans its group.

    Lines that follow each other and have the same title in ``blocks`` (one for each, or none) stand together below it.
    """
    levels = [column if isinstance(column, tuple) else (column,) for column in frame.columns]
    lines = [_heads([level[-1] for level in levels])]
    if frame.columns.nlevels == 2:
        groups = [(title, len([*group])) for title, group in groupby(level[0] for level in levels)]
        lines.insert(0, "".join(_group(str(title), span) for title, span in groups))
    body: list[str] = []
    for first, *rest in frame.itertuples(index=False, name=None):
        named = escape(_text(first))
        cells = [f'<th scope="row">{named.replace("/", "/<wbr>") if blocks else named}</th>']
        for place, value in enumerate(rest, start=1):
            text = value if frame.columns[place] == links else escape(_text(value))
            cells.append(f'<td class="words">{text}</td>' if place in words else _number_cell(text))
        body.append("".join(cells))
    parts = [f"<thead>\n{_lines(lines)}\n</thead>"]
    for title, members in groupby(zip(blocks or [""] * len(body), body, strict=True), key=itemgetter(0)):
        above = f'<tr class="block"><th scope="rowgroup" colspan="{frame.shape[1]}">{escape(title)}</th></tr>\n'
        parts.append(f"<tbody>\n{above if title else ''}{_lines([line for _, line in members])}\n</tbody>")
    content = "\n".join(parts)
    return f'<table id="T_{name}" class="dataframe comparison">\n{content}\n</table>\n'


def _lines(lines: Sequence[str]) -> str:
    return "\n".join(f"<tr>{line}</tr>" for line in lines)


def _number_cell(text: str) -> str:
    """A number; its spread may stand on a line of its own where columns are narrow."""
    parted = SPREAD.sub(lambda spread: f" <span>{spread[1].replace('± ', '±&nbsp;')}</span>", text)
    return f"<td>{text}</td>" if parted == text else f'<td class="spread">{parted}</td>'


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
    columns = summary[["metric", "mean", "half_width", "seed_std", "n"]]
    for metric, mean, half, seed_std, count in columns.itertuples(index=False, name=None):
        if np.isnan(mean):
            texts.append("—" if count > 0 else ABSENT)  # undefined, e.g. with too few images of the class; or absent
            continue
        kind = f".{_decimals(metric)}f"
        text = f"{mean:{kind}}" + ("" if np.isnan(half) else f" [{mean - half:{kind}}, {mean + half:{kind}}]")
        texts.append(text + ("" if np.isnan(seed_std) else f" (± {seed_std:{kind}})"))
    return texts


def _decimals(metric: str) -> int:
    return 4 if metric.startswith(FOUR_DECIMALS) else 3


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
    return _of_rows(wide.rename(columns={key: MEASURES[key].title for key in measures}).reset_index(), name)


def _with_spread(mean: float, spread: float) -> str:
    if np.isnan(mean):
        return "—"
    return f"{mean:.4f}" + ("" if np.isnan(spread) else f" ± {spread:.4f}")


def _signed(difference: float, decimals: int) -> str:
    return "—" if np.isnan(difference) else f"{difference:+.{decimals}f}"


def csv_link(text: str, name: str) -> str:
    """HTML link that downloads ``text`` as ``name``.csv; the data are in the link, so it works without a server."""
    data = base64.b64encode(text.encode()).decode()
    return f'<p class="download"><a download="{name}.csv" href="data:text/csv;base64,{data}">{name}.csv</a></p>'
