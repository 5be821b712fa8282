"""The attack's two workflows, drawn from the lists of boxes and arrows below."""

import re
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mi_core.report.diagrams.strokes import canvas, draw_arrow, draw_box
from mi_core.report.style import DARK, FULL_WIDTH, OURS, PUBLISHED, SMALL_FONT

__all__ = ["WORKFLOWS", "Edge", "Node", "Zone", "workflow"]


@dataclass(frozen=True)
class Zone:
    """Whose side it is: a background with a name, and a border that tells it apart without colour."""

    text: str
    left: float
    bottom: float
    right: float
    top: float
    color: str
    border: str
    linestyle: str
    text_below: bool = False


@dataclass(frozen=True)
class Node:
    """A box: "data" is two sheets, "model" has a heavy border, "step" is round, "value" is plain; "fork" is a dot."""

    name: str
    text: str
    x: float
    y: float
    kind: str
    width: float = 0.8
    height: float = 0.46


@dataclass(frozen=True)
class Edge:
    """An arrow from one box's side to another's, with at most one corner, or two at ``detour`` (an x or a y).

    ``start`` and ``end`` are "name.side" or "name.side+shift", the shift in inches along that side.
    """

    start: str
    end: str
    text: str = ""
    at: tuple[float, float] | None = None
    dashed: bool = False
    detour: float | None = None


TARGET_LOOK = ("#FDF0E4", PUBLISHED, "--")
ATTACKER_LOOK = ("#EAF3FA", OURS, "-")
JUDGE_LOOK = ("#F4F4F5", "#666666", ":")

# What both workflows share: the given output vector and what is made of it, up to the reconstruction.
ATTACK_NODES = (
    Node("fork", "", 3.95, 2.0, "fork", 0.0, 0.0),
    Node("gradient", "gradient\nreconstruction", 3.95, 3.0, "step", 1.12, 0.78),
    Node("recovery", "activation\nrecovery", 3.95, 0.95, "step", 1.12, 0.5),
    Node("X~", r"$\tilde{X}$", 5.15, 3.0, "value", 0.5, 0.4),
    Node("A_L", r"$A_L$", 5.15, 0.95, "value", 0.5, 0.4),
    Node("choice", "chosen of\n$O$, $A_L$, $\\tilde{X}$", 5.15, 2.0, "step", 0.92, 0.56),
)
ATTACK_EDGES = (
    Edge("O.right", "choice.left"),
    Edge("fork.top", "gradient.bottom"),
    Edge("fork.bottom", "recovery.top"),
    Edge("gradient.right", "X~.left"),
    Edge("recovery.right", "A_L.left"),
    Edge("X~.bottom", "choice.top"),
    Edge("A_L.top", "choice.bottom"),
    Edge("choice.right", "M_I.left"),
    Edge("M_I.right", "x^.left"),
)

TRAINING = (
    4.95,
    (
        Zone("target's side", 0.08, 4.05, 7.42, 4.87, *TARGET_LOOK),
        Zone("attacker's side", 0.08, 0.08, 7.42, 3.93, *ATTACKER_LOOK),
    ),
    (
        Node("D_T^T", "$D_T^T$", 2.82, 4.4, "data", 0.7),
        Node("M_T", "target\n$M_T$", 4.9, 4.4, "model", 0.8, 0.5),
        Node("D_S^T", "$D_S^T$", 0.6, 2.0, "data", 0.66),
        Node("M_S", "shadow\n$M_S$", 1.7, 2.0, "model", 0.8, 0.5),
        Node("O", "$O$", 2.72, 2.0, "value", 0.46, 0.4),
        Node("M_I", "inverse\nmodel $M_I$", 6.25, 2.0, "model", 0.86, 0.56),
        Node("x^", r"$\hat{x}$", 7.1, 2.0, "value", 0.42, 0.4),
        Node("loss", "loss: $1-$SSIM", 6.68, 0.95, "step", 1.3, 0.46),
        *ATTACK_NODES,
    ),
    (
        Edge("D_T^T.right", "M_T.left", "trains", (3.85, 4.5)),
        Edge("D_S^T.right", "M_S.left"),
        Edge("M_S.right", "O.left"),
        Edge("D_S^T.top", "gradient.left+0.2", "start: class average of $D_S^T$", (2.0, 3.32)),
        Edge("M_S.top", "gradient.left-0.12", "gradients through $M_S$", (2.53, 3.0)),
        Edge("M_S.bottom", "recovery.left", "last linear layer of $M_S$", (2.55, 0.82)),
        *ATTACK_EDGES,
        Edge("x^.bottom", "loss.top+0.42"),
        Edge("loss.top-0.43", "M_I.bottom", "updates", (5.95, 1.45), dashed=True),
        Edge("D_S^T.bottom", "loss.bottom", "true images of $D_S^T$", (3.6, 0.49), detour=0.37),
    ),
)

TESTING = (
    4.72,
    (
        Zone("evaluation: reconstructions meet true images only here", 0.08, 3.77, 7.42, 4.64, *JUDGE_LOOK),
        Zone("target's side", 0.08, 0.08, 1.62, 3.65, *TARGET_LOOK, text_below=True),
        Zone("attacker's side", 1.74, 0.08, 7.42, 3.65, *ATTACKER_LOOK, text_below=True),
    ),
    (
        Node("D_F", "$D_F$", 0.85, 3.26, "data", 0.7),
        Node("M_T", "target $M_T$", 0.85, 2.68, "model", 1.1, 0.38),
        Node("defence", "defence:\nnone, rounding\nor truncation", 0.85, 2.0, "step", 1.22, 0.66),
        Node("O", "$O$", 2.42, 2.0, "value", 0.46, 0.4),
        Node("average", "start: class\naverage of $D_S^T$", 2.42, 3.24, "data", 1.14),
        Node("M_S", "shadow $M_S$", 2.42, 2.72, "model", 1.14, 0.34),
        Node("last", "last linear\nlayer of $M_S$", 2.42, 0.95, "model", 1.14),
        Node("M_I", "trained\n$M_I$", 6.25, 2.0, "model", 0.86, 0.56),
        Node("x^", r"$\hat{x}$", 7.1, 2.0, "value", 0.42, 0.4),
        Node("scores", "SSIM and MSE\nof each image", 6.7, 4.2, "step", 1.2, 0.56),
        *ATTACK_NODES,
    ),
    (
        Edge("D_F.bottom", "M_T.top"),
        Edge("M_T.bottom", "defence.top"),
        Edge("defence.right", "O.left"),
        Edge("average.right", "gradient.left+0.24"),
        Edge("M_S.right", "gradient.left-0.28"),
        Edge("last.right", "recovery.left"),
        *ATTACK_EDGES,
        Edge("D_F.top", "scores.left-0.07", "true images of $D_F$", (3.6, 4.0)),
        Edge("x^.top", "scores.bottom+0.4"),
    ),
)
WORKFLOWS = {"training": TRAINING, "testing": TESTING}


def workflow(kind: str) -> Figure:
    """Draw the attack's training or testing as boxes and arrows, each side on its own ground (thesis Figs 5 and 6).

    Args:
        kind: "training" or "testing".
    Raises:
        ValueError: unknown ``kind``.
    """
    if kind not in WORKFLOWS:
        raise ValueError(f"`kind` must be one of {', '.join(WORKFLOWS)}; got {kind!r}")
    height, zones, nodes, edges = WORKFLOWS[kind]
    figure, axes = canvas(FULL_WIDTH, height)
    for zone in zones:
        _draw_zone(axes, zone)
    boxes = {node.name: node for node in nodes}
    for edge in edges:
        draw_arrow(axes, _route(edge, boxes), dashed=edge.dashed)
        if edge.text:
            axes.text(*edge.at, edge.text, ha="center", va="center", fontsize=SMALL_FONT)
    for node in nodes:
        _draw_node(axes, node)
    return figure


def _route(edge: Edge, boxes: dict[str, Node]) -> list[tuple[float, float]]:
    (start, start_upright), (end, end_upright) = _anchor(edge.start, boxes), _anchor(edge.end, boxes)
    if edge.detour is not None and start_upright:
        return [start, (start[0], edge.detour), (end[0], edge.detour), end]
    if start_upright != end_upright:  # one corner
        return [start, (start[0], end[1]) if start_upright else (end[0], start[1]), end]
    return [start, end]


def _anchor(place: str, boxes: dict[str, Node]) -> tuple[tuple[float, float], bool]:
    """A point on a box's border, and whether arrows leave it up- or downwards."""
    name, side, shift = re.fullmatch(r"(.+)\.(left|right|top|bottom)([+-][\d.]+)?", place).groups()
    node, shift = boxes[name], float(shift or 0)
    if side in ("left", "right"):
        return (node.x + node.width / 2 * (1 if side == "right" else -1), node.y + shift), False
    return (node.x + shift, node.y + node.height / 2 * (1 if side == "top" else -1)), True


def _draw_zone(axes: Axes, zone: Zone) -> None:
    size = (zone.right - zone.left, zone.top - zone.bottom)
    look = {"facecolor": zone.color, "edgecolor": zone.border, "linestyle": zone.linestyle, "linewidth": 1.1}
    axes.add_patch(Rectangle((zone.left, zone.bottom), *size, **look))
    y = zone.bottom + 0.16 if zone.text_below else zone.top - 0.16
    axes.text(zone.left + 0.1, y, zone.text, ha="left", va="center", color=zone.border, fontweight="bold")


def _draw_node(axes: Axes, node: Node) -> None:
    if node.kind == "fork":
        axes.plot(node.x, node.y, "o", color=DARK, markersize=4.5)
        return
    if node.kind == "data":  # a second sheet behind
        draw_box(axes, node.x + 0.05, node.y + 0.05, node.width, node.height, rounding=0.0)
    rounding = {"step": 0.16, "model": 0.05}.get(node.kind, 0.0)
    width = 1.8 if node.kind == "model" else 0.9
    draw_box(axes, node.x, node.y, node.width, node.height, rounding=rounding, linewidth=width)
    axes.text(node.x, node.y, node.text, ha="center", va="center", fontsize=8.5, linespacing=1.25)
