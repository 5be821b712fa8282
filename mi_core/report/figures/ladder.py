"""Figures of the ladder of threat models: what held-out shadows predict, and what the attack on the target gives."""

import pandas as pd
from matplotlib.figure import Figure

from mi_core.report.figures.axes import MEASURES
from mi_core.report.figures.checks import check_columns, check_numbers, check_once
from mi_core.report.style import DARK, FULL_WIDTH, MARKERS, PALETTE, new_figure, row_label

__all__ = ["transfer_scatter"]


def transfer_scatter(points: pd.DataFrame, metric: str = "ssim") -> Figure:
    """Draw what attacks score on the target against what they score on held-out shadows.

    One colour and marker an attack: the mean over held-out shadows, with a line from the lowest to the highest of
    them. On the diagonal the target behaves like a shadow.

    Args:
        points: columns row, predicted, lowest and highest (over held-out shadows), and transferred (on the target);
            one line an attack.
        metric: name of what is measured.
    Raises:
        ValueError: a column is missing, a number is not finite, or an attack stands twice.
    """
    numbers = ("predicted", "lowest", "highest", "transferred")
    check_columns(points, "points", ("row", *numbers))
    check_numbers(points, "points", numbers)
    check_once(points, "points", ("row",))
    figure = new_figure(FULL_WIDTH, 3.8)
    axes = figure.subplots()
    for place, line in enumerate(points.itertuples()):
        color, marker = PALETTE[place % len(PALETTE)], MARKERS[(place + place // len(PALETTE)) % len(MARKERS)]
        axes.hlines(line.transferred, line.lowest, line.highest, color=color, linewidth=1.2)
        look = {"color": color, "marker": marker, "s": 52, "edgecolor": "white", "linewidth": 0.6, "zorder": 3}
        axes.scatter(line.predicted, line.transferred, label=row_label(line.row), **look)
    middle = (points["predicted"].iloc[0],) * 2
    axes.axline(middle, slope=1, color=DARK, linewidth=0.9, linestyle=(0, (4, 3)), label="as on held-out shadows")
    name = MEASURES.get(metric, metric)
    axes.set(xlabel=f"{name} on held-out shadows, images of the attacker", ylabel=f"{name} on the target")
    axes.grid()
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure
