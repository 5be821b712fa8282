"""Figures of re-identification: how well an attack's pictures tell which image they come from."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from scipy.optimize import isotonic_regression

from mi_core.report.figures.axes import FEW_REPLICATES, MEASURES, right_of
from mi_core.report.figures.checks import check_columns, check_known, check_numbers, check_once, replicate_of
from mi_core.report.style import DARK, FULL_WIDTH, MARKERS, PALETTE, SMALL_FONT, new_figure, row_label

__all__ = ["detection_curve", "leakage_scatter"]

# Colour and marker; not the second colour, which is the thesis's.
KIND_LOOKS = {
    "attack": (PALETTE[0], MARKERS[0]),
    "baseline": (PALETTE[6], MARKERS[6]),
    "ceiling": (PALETTE[2], MARKERS[2]),
}
KIND_WORDS = {"ceiling": "reference"}  # as in names of rows
AXIS_LABELS = MEASURES | {"auc": "re-identification (AUC)"}
LINE_HEIGHT = 0.15  # inches from one name of the list to the next
LIST_LEFT = 0.25  # inches from the axes to the markers of the list
CHANCE_LINE = {"color": DARK, "linewidth": 0.9, "linestyle": (0, (4, 3))}

LOWEST_RATE = 0.0005
MARKED_RATES = (0.001, 0.01)
# A distribution function with a step an image would be megabytes of SVG; at the marked rates it is exact.
RATES = np.union1d(np.geomspace(LOWEST_RATE, 1, 181), MARKED_RATES)
DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1)))  # one for each round of colours


# --- one measure against another -----------------------------------------------------------------------------------


def leakage_scatter(points: pd.DataFrame, x: str = "ssim", y: str = "auc", *, chance: float | None = 0.5) -> Figure:
    """Draw one measure against another, one marker a row: what looks alike need not be what can be told apart.

    A marker is the mean over replicates, in the colour and shape of its kind; where there are two to ten replicates,
    each is a small dot. Names stand on the right in the order of height, each with a thin line to its marker.

    Args:
        points: columns row, kind ("attack", "baseline" or "ceiling"), ``x`` and ``y``; one line a row and replicate.
        x: the measure from left to right.
        y: the measure from bottom to top.
        chance: the ``y`` of guessing, drawn as a dashed line; None for none.
    Raises:
        ValueError: a column is missing, a measure is not finite, a kind is unknown, a row has several kinds, or it
            stands twice in one replicate.
    """
    check_columns(points, "points", ("row", "kind", x, y))
    check_known(points["kind"], KIND_LOOKS, "kind")
    check_numbers(points, "points", (x, y))
    check_once(points.assign(replicate=replicate_of(points)), "points", ("row", "replicate"))
    by_row = points.groupby("row", sort=False)
    kinds = by_row["kind"].nunique()
    if kinds.max() > 1:
        raise ValueError(f"`points` must give a row one kind; got several for {kinds.idxmax()!r}")
    rows = by_row.agg(kind=("kind", "first"), x=(x, "mean"), y=(y, "mean"))
    figure = new_figure(FULL_WIDTH, max(3.4, 0.95 + LINE_HEIGHT * len(rows)))
    axes = figure.subplots()
    for kind, (color, marker) in KIND_LOOKS.items():
        of_kind = rows[rows["kind"] == kind]
        if len(of_kind):
            look = {"marker": marker, "color": color, "edgecolor": "white", "linewidth": 0.6, "zorder": 4}
            axes.scatter(of_kind["x"], of_kind["y"], s=52, label=KIND_WORDS.get(kind, kind), **look)
    few = points[by_row["row"].transform("size").between(2, FEW_REPLICATES)]
    if len(few):
        colors = [KIND_LOOKS[kind][0] for kind in few["kind"]]
        axes.scatter(few[x], few[y], s=8, c=colors, alpha=0.55, linewidth=0, zorder=3)
        axes.plot([], [], ".", color=DARK, markersize=4, alpha=0.55, label="one replicate")
    if chance is not None:
        axes.axhline(chance, **CHANCE_LINE)
        place = {"xy": (1, chance), "xycoords": axes.get_yaxis_transform(), "textcoords": "offset points"}
        axes.annotate("chance", xytext=(-2, 2), ha="right", va="bottom", fontsize=SMALL_FONT, **place)
    axes.set(xlabel=AXIS_LABELS.get(x, x), ylabel=AXIS_LABELS.get(y, y))
    axes.margins(0.05)
    axes.grid()
    axes.set_ylim(axes.get_ylim())  # names are placed for these limits
    _list_names(axes, rows)
    figure.legend(loc="outside upper center", ncols=4, handletextpad=0.2)
    return figure


def _list_names(axes: Axes, rows: pd.DataFrame) -> None:
    """Names to the right of the axes, as near to the height of their markers as they fit under one another."""
    rows = rows.sort_values(["y", "x"], kind="stable")
    bottom, top = axes.get_ylim()
    step = LINE_HEIGHT / (axes.figure.get_figheight() - 0.95)  # of the height of the axes, without legend and labels
    places = spread_out((rows["y"].to_numpy() - bottom) / (top - bottom), step)
    beside = right_of(axes, LIST_LEFT, heights="axes")
    for place, (row, kind, x, y) in zip(places, rows.itertuples(), strict=True):
        color, marker = KIND_LOOKS[kind]
        look = {"arrowstyle": "-", "color": color, "alpha": 0.45, "linewidth": 0.5, "shrinkA": 2, "shrinkB": 3}
        axes.annotate("", (x, y), xytext=(1, place), textcoords=beside, arrowprops=look)
        axes.plot(1, place, marker, color=color, markersize=4, transform=beside, clip_on=False)
        text_place = right_of(axes, LIST_LEFT + 0.09, heights="axes")
        axes.text(1, place, row_label(row), transform=text_place, va="center", fontsize=SMALL_FONT)


def spread_out(wanted: Sequence[float], step: float) -> np.ndarray:
    """The ascending places in [0, 1] that are nearest to those wanted (ascending too) and ``step`` apart, or less.

    Least squares; less than ``step`` only where so many do not fit.
    """
    count = len(wanted)
    step = min(step, 1 / max(1, count - 1))
    offsets = step * np.arange(count)
    return np.clip(isotonic_regression(wanted - offsets).x, 0, 1 - offsets[-1]) + offsets


# --- rates of detection --------------------------------------------------------------------------------------------


def detection_curve(points: pd.DataFrame, *, rows: Sequence[str]) -> Figure:
    """Draw how many images are recognised against how many impostors pass, both on a log scale.

    At a rate of false positives stands the share of images for which no more than this share of impostor pairs are at
    least as near: the empirical distribution function of ``false_positives``. Where there are several replicates the
    first is bold and the others thin. The diagonal is chance; 0.1 % and 1 % of false positives are marked.

    Args:
        points: columns row and false_positives (from 0 to 1); one line an image.
        rows: rows to draw, in the order of the legend.
    Raises:
        ValueError: a column or a row is missing, there is none to draw, or a share is not between 0 and 1.
    """
    check_columns(points, "points", ("row", "false_positives"))
    check_known(rows, points["row"], "rows")
    if not points["false_positives"].between(0, 1).all():
        raise ValueError("`points` must have false_positives between 0 and 1; got others")
    figure = new_figure(FULL_WIDTH, 4.0)
    axes = figure.subplots()
    for rate in MARKED_RATES:
        axes.axvline(rate, color="#9AA0A8", linewidth=0.8, linestyle=":")
        place = {"xycoords": axes.get_xaxis_transform(), "textcoords": "offset points", "xytext": (0, 2)}
        axes.annotate(f"at {_percent(rate)}", (rate, 1), ha="center", va="bottom", fontsize=SMALL_FONT, **place)
    for number, row in enumerate(rows):
        _draw_detection(axes, points[points["row"] == row], number)
    axes.plot([LOWEST_RATE, 1], [LOWEST_RATE, 1], label="chance", **CHANCE_LINE)
    axes.set(xscale="log", yscale="log", xlim=(LOWEST_RATE, 1), ylim=(LOWEST_RATE, 1))
    axes.set(xlabel="false positives: impostors that pass", ylabel="true positives: images recognised")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda rate, _: _percent(rate))
        axis.set_minor_formatter(NullFormatter())
    axes.grid()
    figure.legend(loc="outside right center")
    return figure


def _percent(rate: float) -> str:
    return f"{100 * rate:g} %"


def _draw_detection(axes: Axes, points: pd.DataFrame, number: int) -> None:
    place, turn = number % len(PALETTE), number // len(PALETTE) % len(DASHES)
    replicates = list(points.groupby(replicate_of(points))["false_positives"])
    for copy, (_, shares) in enumerate(replicates):
        recognised = np.searchsorted(np.sort(shares), RATES, side="right") / len(shares)
        look = {"linewidth": 0.6, "alpha": 0.6}
        if copy == 0:
            label, width = row_label(points["row"].iloc[0]), 2.2 if len(replicates) > 1 else 1.6
            look = {
                "linewidth": width,
                "label": label,
                "marker": MARKERS[place],
                "markevery": (6 * place, 45),
                "zorder": 3,
            }
        axes.plot(RATES, recognised, color=PALETTE[place], linestyle=DASHES[turn], **look)
