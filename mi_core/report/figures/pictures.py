"""Pictures in lines and columns, and which images are shown."""

from collections.abc import Mapping, Sequence
from math import isqrt

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mi_core.report.figures.checks import check_columns, check_known, check_one_replicate
from mi_core.report.style import FULL_WIDTH, new_figure, row_label

__all__ = ["select_images", "start_grid", "strip", "with_label_only"]

SELECTIONS = ("best", "worst", "random")


def start_grid(starts: pd.DataFrame) -> Figure:
    """Draw the three places where X~ begins, one column a class (thesis Fig 4).

    Args:
        starts: columns row ("random", "class_instance", "class_average"), label, pixels; one replicate.
    Raises:
        ValueError: a column is missing, or there are several replicates.
    """
    check_columns(starts, "starts", ("row", "label", "pixels"))
    check_one_replicate(starts, "starts")
    labels = sorted(starts["label"].unique())
    rows = list(dict.fromkeys(starts["row"]))
    lines = []
    for row in rows:
        of_row = starts[starts["row"] == row].set_index("label")["pixels"]
        lines.append([_picture(of_row.loc[label]) for label in labels])
    return _image_grid(lines, [row_label(row) for row in rows], [str(label) for label in labels])


def select_images(scores: pd.DataFrame, row: str, how: str, *, seed: int = 0) -> list[int]:
    """Choose one image of D_F for each class that occurs, among the scores of the first inverse seed.

    Args:
        scores: columns row, split, inverse_seed, image, label, ssim; one replicate.
        row: whose scores decide.
        how: "best" (highest SSIM, as the thesis's figures), "worst", or "random". Of equals, the first image.
        seed: of the random choice.
    Returns:
        Image numbers, ordered by class.
    Raises:
        ValueError: a column is missing, there are several replicates, or ``row`` or ``how`` is unknown.
    Source: thesis Figs 9-12 and 13-24 (best), our addition (worst and random).
    """
    check_columns(scores, "scores", ("row", "split", "inverse_seed", "image", "label", "ssim"))
    check_one_replicate(scores, "scores")
    if how not in SELECTIONS:
        raise ValueError(f"`how` must be one of {', '.join(SELECTIONS)}; got {how!r}")
    candidates = scores[(scores["split"] == "test") & (scores["inverse_seed"] == 0)]
    check_known([row], candidates["row"], "row")
    by_class = candidates[candidates["row"] == row].sort_values("image").set_index("image").groupby("label")
    if how == "random":
        draws = np.random.default_rng(seed)
        return [int(draws.choice(members.index)) for _, members in by_class]
    chosen = by_class["ssim"].idxmax() if how == "best" else by_class["ssim"].idxmin()
    return [int(image) for image in chosen]


def strip(
    gallery: pd.DataFrame,
    rows: Sequence[str] | Mapping[str, str],
    images: Sequence[int],
    captions: Sequence[str] | None = None,
) -> Figure:
    """Draw the same images line by line, grey from 0 to 1 (thesis Figs 9-24 and 27-32).

    Args:
        gallery: columns row, image, pixels (side * side bytes); one replicate.
        rows: one line each, from top to bottom; a mapping gives labels of one's own.
        images: image numbers, one column each.
        captions: a text above each column.
    Raises:
        ValueError: a column, row or image is missing, there is none to draw, there are several replicates, or captions
            do not fit images.
    """
    check_columns(gallery, "gallery", ("row", "image", "pixels"))
    check_one_replicate(gallery, "gallery")
    check_known(rows, gallery["row"], "rows")
    if captions is not None and len(captions) != len(images):
        raise ValueError(f"`captions` must be one for each of the {len(images)} images; got {len(captions)}")
    lines = []
    for row in rows:
        of_row = gallery[gallery["row"] == row].set_index("image")["pixels"]
        check_known(images, of_row.index, "images")
        lines.append([_picture(of_row.loc[image]) for image in images])
    labels = rows.values() if isinstance(rows, Mapping) else [row_label(row) for row in rows]
    return _image_grid(lines, list(labels), captions)


def with_label_only(rows: Sequence[str] | Mapping[str, str]) -> dict[str, str]:
    """Rows for ``strip`` with what needs no attack below them: one fixed image for each predicted class."""
    labels = rows if isinstance(rows, Mapping) else {row: row_label(row) for row in rows}
    return {**labels, "baseline: SSIM-optimal class image": "label alone"}


def _picture(pixels: bytes) -> np.ndarray:
    """A square picture (side, side) in [0, 1] from its bytes."""
    values = np.frombuffer(pixels, dtype=np.uint8)
    side = isqrt(len(values))
    if side * side != len(values):
        raise ValueError(f"`pixels` must be the bytes of a square picture; got {len(values)} bytes")
    return values.reshape(side, side) / 255


def _image_grid(lines: Sequence[Sequence[np.ndarray]], labels: Sequence[str], captions: Sequence[str] | None) -> Figure:
    """Pictures side by side in one axes: that of column c and line l is centred at (c, l)."""
    columns = len(lines[0])
    cell = min(0.72, (FULL_WIDTH - 1.7) / columns)
    figure = new_figure(FULL_WIDTH, cell * len(lines) + (0.35 if captions else 0.15))
    figure.set_layout_engine("compressed")
    axes = figure.subplots()
    for line, pictures in enumerate(lines):
        for column, picture in enumerate(pictures):
            extent = (column - 0.46, column + 0.46, line + 0.46, line - 0.46)
            axes.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="none", extent=extent)
    axes.set(xlim=(-0.5, columns - 0.5), ylim=(len(lines) - 0.5, -0.5), aspect="equal")
    axes.set_yticks(range(len(lines)), labels=labels)
    axes.set_xticks(range(len(captions)) if captions else [], labels=captions or [])
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    axes.spines[:].set_visible(False)
    return figure
