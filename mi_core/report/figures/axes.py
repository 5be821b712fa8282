"""Axes that several figures share: one line a row, and logarithmic scales with plain numbers."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from matplotlib.transforms import ScaledTranslation, Transform

from mi_core.report.style import FULL_WIDTH, new_figure, row_label

__all__ = ["FEW_REPLICATES", "MEASURES", "label_rows", "log_axis", "right_of", "row_figure"]

FEW_REPLICATES = 10  # more than these would hide one another as single dots
MEASURES = {"ssim": "SSIM", "mse": "MSE", "auc": "AUC"}


def row_figure(names: Sequence[str]) -> tuple[Figure, Axes]:
    """A figure with one labelled line a row, the first on top."""
    figure = new_figure(FULL_WIDTH, 0.95 + 0.36 * len(names))
    axes = figure.subplots()
    label_rows(axes, names)
    axes.grid(axis="x")
    return figure, axes


def label_rows(axes: Axes, names: Sequence[str]) -> None:
    """Name the lines 0, 1, ... of the y axis, the first on top."""
    axes.set_yticks(range(len(names)), labels=[row_label(name) for name in names])
    axes.set_ylim(len(names) - 0.45, -0.55)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def log_axis(axes: Axes, which: str) -> None:
    """A logarithmic axis with plain numbers at 1, 2 and 5; bars that reach below zero go on to the edge."""
    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if which == "y" else (1,)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def right_of(axes: Axes, inches: float, *, heights: str = "data") -> Transform:
    """Coordinates in which (1, y) is so far to the right of the axes; y in data ("data") or from 0 to 1 ("axes")."""
    base = axes.get_yaxis_transform() if heights == "data" else axes.transAxes
    return base + ScaledTranslation(inches, 0, axes.figure.dpi_scale_trans)
