"""The figure of how cost grows."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mi_core.report.figures.axes import log_axis
from mi_core.report.figures.checks import check_columns, check_known, check_numbers
from mi_core.report.style import DARK, FULL_WIDTH, OURS, new_figure

__all__ = ["growth_lines"]


def growth_lines(growth: pd.DataFrame, exponents: Mapping[str, float]) -> Figure:
    """Draw seconds against sizes, one panel for each thing that grows, both scales logarithmic.

    The line is the power law with the given exponent through the middle of the points.

    Args:
        growth: columns what, size and seconds, all positive.
        exponents: one for each value of what.
    Raises:
        ValueError: a column is missing, a number is not finite, or an exponent is missing.
    """
    check_columns(growth, "growth", ["what", "size", "seconds"])
    check_numbers(growth, "growth", ["size", "seconds"])
    names = list(dict.fromkeys(growth["what"]))
    check_known(names, exponents, "growth")
    figure = new_figure(FULL_WIDTH, 2.2)
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        points = growth[growth["what"] == name]
        log_axis(axes, "x")
        log_axis(axes, "y")
        middle = np.exp(np.log(points[["size", "seconds"]]).mean())
        law = middle["seconds"] * (points["size"] / middle["size"]) ** exponents[name]
        axes.plot(points["size"], law, color=DARK, linewidth=0.9)
        axes.plot(points["size"], points["seconds"], "o", color=OURS)
        axes.set_xticks(points["size"], labels=points["size"].astype(str))
        axes.set(xlabel=name, title=f"exponent {exponents[name]:.2f}")
    figure.axes[0].set_ylabel("seconds")
    return figure
