"""Figures of how sure a result is: differences with their intervals, and where scores vary."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from mi_core.report.figures.axes import MEASURES, right_of
from mi_core.report.figures.checks import check_columns, check_known, check_numbers, check_once
from mi_core.report.style import DARK, FULL_WIDTH, OURS, PALETTE, SMALL_FONT, new_figure, row_label

__all__ = ["difference_forest", "variance_bars"]

HIGHER, LOWER = "higher is better\nfor the attacker", "lower is better\nfor the attacker"
DIRECTIONS = {"ssim": HIGHER, "auc": HIGHER, "mse": LOWER}
FAINT = "#6B7078"


@dataclass(frozen=True)
class Component:
    """A part of the variance: its words in the legend, above its numbers, and where it cannot be told apart."""

    words: str
    head: str
    reason: str
    color: str


COMPONENTS = {
    "replicate": Component("between replicates", "replicates", "one replicate", PALETTE[0]),
    "inverse_seed": Component("between trainings of $M_I$", "trainings", "one seed", PALETTE[5]),
    "image": Component("between images", "images", "one image", PALETTE[4]),
    "rest": Component("rest", "rest", "", "#C9CDD2"),  # unknown where there is one seed, which is said there
}
HOLDERS = {"inverse_seed": "replicate", "rest": "image"}  # where a component goes that cannot be told apart
HATCH = "//////"
NUMBER_WIDTH = 0.58  # inches: a column of standard deviations


# --- differences ---------------------------------------------------------------------------------------------------


def difference_forest(differences: pd.DataFrame, metrics: Sequence[str] = ("ssim", "mse", "auc")) -> Figure:
    """Draw differences with their intervals, one line a comparison and one panel a metric.

    The line at zero is no difference. A point without a bar has no interval; a comparison that lacks a metric leaves
    its place empty there.

    Args:
        differences: columns label (what is compared), reference (with what), metric, mean, low and high (NaN for no
            interval), and perhaps agreeing, how many replicates have a difference of the mean's sign, and count, of
            how many. Names of rows are printed as in all figures, other texts as they are.
        metrics: one panel each, from left to right.
    Raises:
        ValueError: a column or a metric is missing, a mean is not finite, or a comparison has a metric twice.
    """
    check_columns(differences, "differences", ("label", "reference", "metric", "mean", "low", "high"))
    check_known(metrics, differences["metric"], "metrics")
    shown = differences[differences["metric"].isin(metrics)]
    check_numbers(shown, "differences", ("mean",))
    check_once(shown, "differences", ("label", "reference", "metric"))
    comparisons = list(dict.fromkeys(zip(shown["label"], shown["reference"], strict=True)))
    figure = new_figure(FULL_WIDTH, 1.0 + 0.38 * len(comparisons))
    panels = figure.subplots(1, len(metrics), squeeze=False, sharey=True)[0]
    for axes, metric in zip(panels, metrics, strict=True):
        of_metric = shown[shown["metric"] == metric]
        places = [comparisons.index(pair) for pair in zip(of_metric["label"], of_metric["reference"], strict=True)]
        _draw_differences(axes, of_metric.assign(place=places))
        axes.set_title(f"difference of {MEASURES.get(metric, metric)}")
        axes.set_xlabel(DIRECTIONS.get(metric, ""), fontsize=SMALL_FONT)
    labels, references = ([_as_name(pair[side]) for pair in comparisons] for side in (0, 1))
    _label_lines(panels[0], labels, [f"against {reference}" if reference else "" for reference in references])
    return figure


def _draw_differences(axes: Axes, lines: pd.DataFrame) -> None:
    known = lines.dropna(subset=["low", "high"])
    axes.axvline(0, color=DARK, linewidth=0.9)
    axes.hlines(known["place"], known["low"], known["high"], color=OURS, linewidth=1.6)
    axes.scatter(lines["mean"], lines["place"], s=34, color=OURS, edgecolor="white", linewidth=0.6, zorder=3)
    axes.margins(x=0.08)
    axes.grid()
    axes.locator_params(axis="x", nbins=3)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    if "agreeing" not in lines or ("count" in lines and lines["count"].max() == 1):
        return  # one replicate agrees with itself
    look = {"transform": right_of(axes, 0.04), "fontsize": SMALL_FONT, "color": FAINT}
    axes.text(1, -0.5, "agree", va="center", **look)
    for line in lines.dropna(subset="agreeing").itertuples():
        text = f"{line.agreeing:g}" + (f"/{line.count:g}" if "count" in lines else "")
        axes.text(1, line.place, text, va="center", **look)


def _label_lines(axes: Axes, labels: Sequence[str], notes: Sequence[str]) -> None:
    """Name the lines 0, 1, ... of the y axis, the first on top, each with a faint note below."""
    axes.set_yticks(range(len(labels)), labels=[])
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    for place, (label, note) in enumerate(zip(labels, notes, strict=True)):
        look = {"xy": (0, place), "xycoords": axes.get_yaxis_transform(), "textcoords": "offset points", "ha": "right"}
        axes.annotate(label, xytext=(-6, 0), va="bottom" if note else "center", fontsize=8.5, **look)
        if note:
            axes.annotate(note, xytext=(-6, -1), va="top", fontsize=SMALL_FONT, color=FAINT, **look)


def _as_name(text: str) -> str:
    """The name of a row as figures print it; a text with formulas of its own as it is."""
    return text if "$" in text else row_label(text)


# --- components of variance ----------------------------------------------------------------------------------------


def variance_bars(components: pd.DataFrame) -> Figure:
    """Draw how the variance of a row's scores divides, and beside it each part's standard deviation.

    A part that cannot be told apart (NaN) has no width, a dash for its standard deviation, and its reason under the
    name of the row. What holds it instead is hatched: the replicates hold the trainings where each has one seed, the
    images hold the rest.

    Args:
        components: columns row, replicate, inverse_seed, image and rest: variances, NaN for what cannot be told apart.
    Raises:
        ValueError: a column is missing, a row stands twice, a variance is negative or infinite, or none is known.
    """
    check_columns(components, "components", ("row", *COMPONENTS))
    check_once(components, "components", ("row",))
    variances = components.set_index("row")[list(COMPONENTS)].astype(float)
    if not (variances.isna() | ((variances >= 0) & (variances < np.inf))).all(axis=None):
        raise ValueError("`components` must have variances, or NaN; got a negative or infinite one")
    unknown = variances.isna()
    if unknown.all(axis=1).any():
        raise ValueError(
            f"`components` must have a variance for each row; got none for {unknown.all(axis=1).idxmax()!r}"
        )
    figure = new_figure(FULL_WIDTH, 1.3 + 0.31 * len(variances))
    axes = figure.subplots()
    _draw_shares(axes, variances)
    _print_deviations(axes, variances**0.5)
    _label_lines(axes, [row_label(row) for row in variances.index], [_reasons(line) for _, line in unknown.iterrows()])
    axes.set(xlim=(0, 1), xlabel="share of the variance")
    axes.xaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    handles = [Patch(facecolor=part.color, label=part.words) for part in COMPONENTS.values()]
    if unknown.any(axis=None):
        handles.append(Patch(facecolor="#9AA0A8", edgecolor="white", hatch=HATCH, label="not separable"))
    figure.legend(handles=handles, loc="outside upper center", ncols=5, columnspacing=1.2, handlelength=1.5)
    return figure


def _draw_shares(axes: Axes, variances: pd.DataFrame) -> None:
    known = variances.fillna(0)
    shares = known.div(known.sum(axis=1).replace(0, 1), axis=0)
    lefts = shares.cumsum(axis=1) - shares
    for name, part in COMPONENTS.items():
        look = {"height": 0.62, "color": part.color, "edgecolor": "white", "linewidth": 0}
        bars = axes.barh(range(len(shares)), shares[name], left=lefts[name], **look)
        held = [other for other, holder in HOLDERS.items() if holder == name]
        for bar, hatched in zip(bars, variances[[name, *held]].isna().any(axis=1), strict=True):
            bar.set_hatch(HATCH if hatched else None)


def _print_deviations(axes: Axes, deviations: pd.DataFrame) -> None:
    """Beside the bars, one column of numbers a component."""
    above = {"textcoords": "offset points", "va": "bottom", "fontsize": SMALL_FONT}
    middle = right_of(axes, 0.1 + NUMBER_WIDTH * len(COMPONENTS) / 2, heights="axes")
    axes.annotate("standard deviation", (1, 1), xycoords=middle, xytext=(0, 14), ha="center", **above)
    for column, (name, part) in enumerate(COMPONENTS.items(), start=1):
        edge = NUMBER_WIDTH * column
        top = right_of(axes, edge, heights="axes")
        axes.annotate(part.head, (1, 1), xycoords=top, xytext=(0, 2), ha="right", color=FAINT, **above)
        look = {"transform": right_of(axes, edge), "ha": "right", "va": "center", "fontsize": SMALL_FONT}
        for line, deviation in enumerate(deviations[name]):
            axes.text(1, line, "–" if np.isnan(deviation) else f"{deviation:.4f}", **look)


def _reasons(unknown: pd.Series) -> str:
    """Why the marked parts of a row cannot be told apart."""
    return ", ".join(part.reason for name, part in COMPONENTS.items() if unknown[name] and part.reason)
