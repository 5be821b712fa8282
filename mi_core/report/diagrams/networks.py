"""Networks, drawn from the frame that a forward pass gave, so that labels cannot drift from the code."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log2, prod, sqrt
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle

from mi_core.report.diagrams.strokes import canvas, draw_arrow, draw_box
from mi_core.report.style import DARK, FULL_WIDTH, SMALL_FONT

__all__ = ["layer_blocks", "layer_table"]

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
    figure, axes = canvas(FULL_WIDTH, 2.6)
    step = FULL_WIDTH / len(blocks)
    middle = 1.55
    edges = []
    for place, block in enumerate(blocks):
        center = (place + 0.5) * step
        edges.append(_draw_block(axes, center, middle, [int(size) for size in block.shape.split("x")]))
        axes.text(center, 2.42, block.shape.replace("x", "×"), ha="center", va="center", fontweight="bold")
        axes.text(center, 0.7, "\n".join(block.layers), ha="center", va="top", fontsize=SMALL_FONT, linespacing=1.35)
    for (_, start), (end, _) in pairwise(edges):
        draw_arrow(axes, [(start + 0.05, middle), (end - 0.05, middle)])
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
    figure, axes = canvas(FULL_WIDTH, height)
    _draw_line(axes, height - 0.2, ["layer", "setting", "output", "parameters"], fontweight="bold")
    previous = _input_shape(layers.iloc[0])
    for place, layer in enumerate(layers.itertuples()):
        y = height - first - step * place
        if place:
            draw_arrow(axes, [(LAYER_X, y + step - 0.13), (LAYER_X, y + 0.13)], size=6)
        draw_box(axes, LAYER_X, y, 1.5, 0.26, color=LAYER_COLORS.get(layer.layer, "white"))
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
