"""The canvas of a diagram, whose coordinates are inches, and its boxes and arrows."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path

from mi_core.report.style import DARK

__all__ = ["canvas", "draw_arrow", "draw_box"]


def canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure whose coordinates are inches from its lower left corner."""
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.set_axis_off()
    return figure, axes


def draw_box(
    axes: Axes,
    x: float,
    y: float,
    width: float,
    height: float,
    *,
    color: str = "white",
    rounding: float = 0.05,
    linewidth: float = 0.9,
) -> None:
    style = f"round,pad=0,rounding_size={rounding}" if rounding else "square,pad=0"
    corner = (x - width / 2, y - height / 2)
    look = {"facecolor": color, "edgecolor": DARK, "linewidth": linewidth}
    axes.add_patch(FancyBboxPatch(corner, width, height, boxstyle=style, **look))


def draw_arrow(axes: Axes, points: Sequence[tuple[float, float]], *, dashed: bool = False, size: float = 9) -> None:
    look = {"color": DARK, "linewidth": 1.0, "linestyle": (0, (4, 2.5)) if dashed else "-", "fill": True}
    axes.add_patch(FancyArrowPatch(path=Path(points), arrowstyle="-|>", mutation_scale=size, joinstyle="round", **look))
