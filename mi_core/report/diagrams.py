"""Diagrams of the networks and of the attack, drawn with Matplotlib alone.

Networks are drawn from the frame that a forward pass gave, so labels cannot drift from the code; the two workflows from
the lists of boxes and arrows below. Coordinates are inches.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log2, prod, sqrt
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Polygon, Rectangle
from matplotlib.path import Path

from mi_core.report.style import DARK, FULL_WIDTH, OURS, PUBLISHED, SMALL_FONT

__all__ = ["layer_blocks", "layer_table", "workflow"]

LAYER_NAMES = {
    "Conv2d": "Conv",
    "ConvTranspose2d": "Transposed conv",
    "BatchNorm2d": "Batch norm",
    "MaxPool2d": "Max pool",
}
SHORT_NAMES = {"ConvTranspose2d": "ConvT", "BatchNorm2d": "BatchNorm", "MaxPool2d": "MaxPool"}
WEIGHTED = ("Conv2d", "ConvTranspose2d", "Linear")  # each of these begins a block
LAYER_COLORS = {"Conv2d": "#CFE3F2", "ConvTranspose2d": "#CFE3F2", "Linear": "#FBE0CC"}
LAYER_X = 0.85  # inches: the boxes of the table
COLUMNS = ("model", "layer", "detail", "shape", "parameters")


# --- networks ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Block:
    """What a network's layers make of the data, up to the next layer with weights."""

    shape: str
    layers: tuple[str, ...]


def layer_blocks(architecture: pd.DataFrame, model: str) -> Figure:
    """Draw a network as a row of blocks, their sizes hinting at the feature maps (thesis Figs 1 and 2).

    Height and depth follow the square root of the side, width the logarithm of the channels. Above each block stands
    its shape, below it the layers that made it.

    Args:
        architecture: columns model, layer, detail, shape ("channels x height x width" or "features"), parameters.
        model: "classifier" or "inverse model".
    Raises:
        ValueError: a column is missing, or ``model`` is unknown.
    """
    blocks = _blocks(_layers_of(architecture, model))
    figure, axes = _canvas(FULL_WIDTH, 2.6)
    step = FULL_WIDTH / len(blocks)
    middle = 1.55
    edges = []
    for place, block in enumerate(blocks):
        center = (place + 0.5) * step
        edges.append(_draw_block(axes, center, middle, [int(size) for size in block.shape.split("x")]))
        axes.text(center, 2.42, block.shape.replace("x", "×"), ha="center", va="center", fontweight="bold")
        axes.text(center, 0.7, "\n".join(block.layers), ha="center", va="top", fontsize=SMALL_FONT, linespacing=1.35)
    for (_, start), (end, _) in pairwise(edges):
        _draw_arrow(axes, [(start + 0.05, middle), (end - 0.05, middle)])
    return figure


def layer_table(architecture: pd.DataFrame, model: str) -> Figure:
    """Draw a network layer by layer: name, setting, output shape, parameters (thesis Figs 25 and 26).

    Args:
        architecture: columns model, layer, detail, shape, parameters.
        model: "classifier" or "inverse model".
    Raises:
        ValueError: a column is missing, or ``model`` is unknown.
    """
    layers = _layers_of(architecture, model)
    step, first = 0.36, 0.62
    height = first + step * len(layers) + 0.2
    figure, axes = _canvas(FULL_WIDTH, height)
    _draw_line(axes, height - 0.2, ["layer", "setting", "output", "parameters"], fontweight="bold")
    previous = _input_shape(layers.iloc[0])
    for place, layer in enumerate(layers.itertuples()):
        y = height - first - step * place
        if place:
            _draw_arrow(axes, [(LAYER_X, y + step - 0.13), (LAYER_X, y + 0.13)], size=6)
        _draw_box(axes, LAYER_X, y, 1.5, 0.26, color=LAYER_COLORS.get(layer.layer, "white"))
        _draw_line(axes, y, _cells(layer, previous))
        previous = layer.shape
    _draw_line(axes, 0.2, ["total", "", "", f"{layers['parameters'].sum():,}"], fontweight="bold")
    for y in (height - 0.38, 0.39):
        axes.plot([0.1, FULL_WIDTH - 0.1], [y, y], color=DARK, linewidth=0.8)
    return figure


def _layers_of(architecture: pd.DataFrame, model: str) -> pd.DataFrame:
    missing = [column for column in COLUMNS if column not in architecture]
    if missing:
        raise ValueError(f"`architecture` must have the columns {', '.join(COLUMNS)}; it lacks {', '.join(missing)}")
    known = list(dict.fromkeys(architecture["model"]))
    if model not in known:
        raise ValueError(f"`model` must be one of {', '.join(known)}; got {model!r}")
    layers = architecture[architecture["model"] == model]
    if "replicate" in layers:  # one network, whatever the replicate
        layers = layers[layers["replicate"] == layers["replicate"].iloc[0]]
    return layers.reset_index(drop=True)


def _blocks(layers: pd.DataFrame) -> list[Block]:
    blocks = [Block(_input_shape(layers.iloc[0]), ("input",))]
    for layer in layers.itertuples():
        text = _short_text(layer.layer, layer.detail)
        if layer.layer not in WEIGHTED:
            blocks[-1] = Block(layer.shape, (*blocks[-1].layers, text))
            continue
        if _flattens(layer, blocks[-1].shape):
            blocks.append(Block(_settings(layer.detail)["in_features"], ("flatten",)))
        blocks.append(Block(layer.shape, (text,)))
    return blocks


def _settings(detail: str) -> dict[str, str]:
    """The settings of a layer as PyTorch prints them: {"kernel_size": "3", ...}, of a pair its first number."""
    return dict(re.findall(r"(\w+)=\(?([\w.-]+)", detail))


def _channels(detail: str) -> list[str]:
    """The numbers at the beginning, which have no name: channels."""
    return re.findall(r"(?:^|, )(\d+)(?=,|$)", detail.split("=")[0] + ",")


def _setting(layer: str, detail: str) -> str:
    """A layer's settings in words, or as they came."""
    given = _settings(detail)
    if layer in ("Conv2d", "ConvTranspose2d"):
        kernel = given["kernel_size"]
        channels = " → ".join(_channels(detail)[:2])
        return f"{channels} channels, {kernel}×{kernel}, stride {given['stride']}, padding {given.get('padding', 0)}"
    if layer == "Linear":
        return f"{given['in_features']} → {given['out_features']}"
    if layer == "BatchNorm2d":
        return f"{_channels(detail)[0]} channels"
    if layer == "MaxPool2d":
        return f"{given['kernel_size']}×{given['kernel_size']}, stride {given['stride']}"
    return f"p = {given['p']}" if layer == "Dropout" else detail


def _short_text(layer: str, detail: str) -> str:
    """A layer in one line of a narrow column; for a convolution, two."""
    given = _settings(detail)
    name = SHORT_NAMES.get(layer, LAYER_NAMES.get(layer, layer))
    if layer == "Dropout":
        return f"Dropout {given['p']}"
    if "kernel_size" not in given:
        return name
    text = f"{name} {given['kernel_size']}×{given['kernel_size']}"
    return f"{text}, stride {given['stride']}" if layer == "ConvTranspose2d" else text


def _input_shape(layer: pd.Series) -> str:
    """The shape that a network's first layer takes, from what it gives."""
    given = _settings(layer["detail"])
    if layer["layer"] == "Linear":
        return given["in_features"]
    kernel, stride, padding = (int(given.get(name, 0)) for name in ("kernel_size", "stride", "padding"))
    side = int(layer["shape"].split("x")[-1])
    if layer["layer"] == "ConvTranspose2d":
        side = (side + 2 * padding - kernel) // stride + 1
    else:
        side = (side - 1) * stride - 2 * padding + kernel
    return f"{_channels(layer['detail'])[0]}x{side}x{side}"


def _flattens(layer: Any, previous: str) -> bool:
    """Whether a linear layer takes a feature map, which the forward pass flattens without a layer of its own."""
    if layer.layer != "Linear" or "x" not in previous:
        return False
    return _settings(layer.detail)["in_features"] == str(prod(map(int, previous.split("x"))))


def _cells(layer: Any, previous: str) -> list[str]:
    """A layer's line in the table, given the shape that it takes."""
    flattening = f", after flattening {previous.replace('x', '×')}" if _flattens(layer, previous) else ""
    return [
        LAYER_NAMES.get(layer.layer, layer.layer),
        _setting(layer.layer, layer.detail) + flattening,
        layer.shape.replace("x", "×"),
        f"{layer.parameters:,}" if layer.parameters else "–",
    ]


def _draw_block(axes: Axes, x: float, y: float, shape: Sequence[int]) -> tuple[float, float]:
    """A cuboid for a feature map, a bar for a vector, centred at (x, y); returns its left and right end."""
    if len(shape) == 1:
        width, height, depth = 0.14, 0.11 * log2(shape[0]), 0.0
        color = LAYER_COLORS["Linear"]
    else:
        width, height = 0.06 + 0.042 * log2(shape[0]), 1.12 * sqrt(shape[1] / 32)
        depth, color = 0.28 * height, LAYER_COLORS["Conv2d"]
    left, bottom = x - (width + depth) / 2, y - (height + depth) / 2
    right, top = left + width, bottom + height
    look = {"edgecolor": DARK, "linewidth": 0.8, "joinstyle": "round"}
    axes.add_patch(Rectangle((left, bottom), width, height, facecolor=color, **look))
    if depth:
        lid = [(left, top), (left + depth, top + depth), (right + depth, top + depth), (right, top)]
        side = [(right, bottom), (right + depth, bottom + depth), (right + depth, top + depth), (right, top)]
        axes.add_patch(Polygon(lid, facecolor="#E6F0F8", **look))
        axes.add_patch(Polygon(side, facecolor="#A9CBE4", **look))
    return left, right + depth


def _draw_line(axes: Axes, y: float, texts: Sequence[str], fontweight: str = "normal") -> None:
    """Four texts in the columns of the table."""
    places = ((LAYER_X, "center"), (1.85, "left"), (5.2, "center"), (7.2, "right"))
    for (x, align), text in zip(places, texts, strict=True):
        if text:
            axes.text(x, y, text, ha=align, va="center", fontsize=8.5, fontweight=fontweight)


# --- workflows -----------------------------------------------------------------------------------------------------


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
    figure, axes = _canvas(FULL_WIDTH, height)
    for zone in zones:
        _draw_zone(axes, zone)
    boxes = {node.name: node for node in nodes}
    for edge in edges:
        _draw_arrow(axes, _route(edge, boxes), dashed=edge.dashed)
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
        _draw_box(axes, node.x + 0.05, node.y + 0.05, node.width, node.height, rounding=0.0)
    rounding = {"step": 0.16, "model": 0.05}.get(node.kind, 0.0)
    width = 1.8 if node.kind == "model" else 0.9
    _draw_box(axes, node.x, node.y, node.width, node.height, rounding=rounding, linewidth=width)
    axes.text(node.x, node.y, node.text, ha="center", va="center", fontsize=8.5, linespacing=1.25)


# --- strokes -------------------------------------------------------------------------------------------------------


def _canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure whose coordinates are inches from its lower left corner."""
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.set_axis_off()
    return figure, axes


def _draw_box(
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


def _draw_arrow(axes: Axes, points: Sequence[tuple[float, float]], *, dashed: bool = False, size: float = 9) -> None:
    look = {"color": DARK, "linewidth": 1.0, "linestyle": (0, (4, 2.5)) if dashed else "-", "fill": True}
    axes.add_patch(FancyArrowPatch(path=Path(points), arrowstyle="-|>", mutation_scale=size, joinstyle="round", **look))
