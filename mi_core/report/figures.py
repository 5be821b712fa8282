"""The figures of the study: tidy frames in, Matplotlib figures out.

Frames are those of ``mi_core.study.experiments``; the column ``replicate`` may be missing where there is one. Nothing
is shown or saved here, and nothing is computed beyond means, shares and quantiles.
"""

from collections.abc import Mapping, Sequence
from math import isqrt

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from mi_core.report.style import (
    DARK,
    FULL_WIDTH,
    MARKERS,
    OURS,
    PALETTE,
    PUBLISHED,
    SMALL_FONT,
    SPLIT_LABELS,
    new_figure,
    row_label,
)

__all__ = [
    "class_histograms",
    "confusion_matrices",
    "head_comparison",
    "row_label",
    "score_comparison",
    "score_distributions",
    "search_scatter",
    "select_images",
    "start_grid",
    "strip",
    "training_curves",
]

METRIC_LABELS = {
    "ssim": "SSIM (higher is better)",
    "mse": "MSE (lower is better)",
    "f1": "weighted F1 (higher is better)",
    "cross_entropy": "cross-entropy (lower is better, log scale)",
}
SELECTIONS = ("best", "worst", "random")


# --- data and classifiers ------------------------------------------------------------------------------------------


def class_histograms(counts: pd.DataFrame, splits: Sequence[str] = ("target_train", "shadow_train", "test")) -> Figure:
    """Draw how many images of each class each split holds (thesis Fig 3).

    Bars are means over replicates; where there are several, each is a dot. The line is an equal share.

    Args:
        counts: columns split, label, images.
        splits: one panel each, in this order.
    Raises:
        ValueError: a column or a split is missing.
    """
    _check_columns(counts, "counts", ("split", "label", "images"))
    _check_known(splits, counts["split"], "splits")
    figure = new_figure(FULL_WIDTH, 2.5)
    for axes, split in zip(figure.subplots(1, len(splits), squeeze=False)[0], splits, strict=True):
        of_split = counts[counts["split"] == split]
        means = of_split.groupby("label")["images"].mean()
        bars = axes.bar(means.index, means, width=0.82, color=OURS)
        texts = [f"{count:.0f}" for count in means]
        axes.bar_label(
            bars, texts, label_type="center", rotation=90, color="white", fontsize=SMALL_FONT, fontweight="bold"
        )
        if _replicate(of_split).nunique() > 1:
            axes.plot(of_split["label"], of_split["images"], ".", color=DARK, markersize=3)
        axes.axhline(means.mean(), color=DARK, linewidth=0.9, linestyle=(0, (4, 3)))
        axes.set(title=SPLIT_LABELS.get(split, split), xlabel="class", xticks=means.index)
        axes.tick_params(axis="x", length=0)
    figure.axes[0].set_ylabel("images")
    return figure


def confusion_matrices(frame: pd.DataFrame) -> Figure:
    """Draw one annotated confusion matrix a classifier (thesis Fig 7).

    Numbers are images, summed over replicates; a cell without images stays blank. Colour is the share of the true
    class on a compressed scale, so that rare errors show beside the diagonal.

    Args:
        frame: columns row, true, predicted, images.
    Raises:
        ValueError: a column is missing.
    """
    _check_columns(frame, "frame", ("row", "true", "predicted", "images"))
    names = list(dict.fromkeys(frame["row"]))
    figure = new_figure(FULL_WIDTH, 0.85 + 3.4 * 2 / max(2, len(names)))
    panels = figure.subplots(1, len(names), squeeze=False, sharey=True)[0]
    for axes, name in zip(panels, names, strict=True):
        counts = frame[frame["row"] == name].pivot_table(
            index="true", columns="predicted", values="images", aggfunc="sum"
        )
        _draw_confusion(axes, counts)
        axes.set(title=row_label(name), xlabel="predicted class", ylabel="true class" if axes is panels[0] else "")
        axes.tick_params(length=0, labelrotation=0)
    bar = figure.colorbar(panels[0].collections[0], ax=panels, location="bottom", shrink=0.5, aspect=35, pad=0.03)
    bar.set_ticks([0, 0.001, 0.01, 0.1, 0.5, 1], labels=["0", "0.1 %", "1 %", "10 %", "50 %", "100 %"])
    bar.set_label("share of the images of the true class", fontsize=SMALL_FONT + 0.5)
    bar.ax.tick_params(labelsize=SMALL_FONT)
    bar.outline.set_visible(False)
    return figure


def _draw_confusion(axes: Axes, counts: pd.DataFrame) -> None:
    shares = counts.div(counts.sum(axis=1).clip(lower=1), axis=0)
    sns.heatmap(
        shares,
        ax=axes,
        annot=counts.map(lambda count: f"{count:.0f}" if count else ""),
        fmt="",
        annot_kws={"fontsize": SMALL_FONT},
        norm=PowerNorm(0.35, vmin=0, vmax=1),
        cmap="Blues",
        cbar=False,
        square=True,
        linewidths=0.6,
        linecolor="white",
    )


def training_curves(frame: pd.DataFrame, rows: Sequence[str] | None = None) -> Figure:
    """Draw losses after each epoch: training solid, validation dashed.

    Classifiers (cross-entropy, log scale) and inverse models (1 - SSIM) have a panel each. Lines are means over
    replicates; where there are several, a band runs from the lowest to the highest.

    Args:
        frame: columns row, kind ("training" or "validation"), epoch, loss.
        rows: models in the order of the legend; all by default.
    Raises:
        ValueError: a column or a row is missing.
    """
    _check_columns(frame, "frame", ("row", "kind", "epoch", "loss"))
    names = _chosen_rows(frame, rows)
    inverse = [name for name in names if name.startswith("M_I")]
    panels = {"cross-entropy (log scale)": [name for name in names if name not in inverse], r"$1-$SSIM": inverse}
    panels = {loss: members for loss, members in panels.items() if members}
    figure = new_figure(FULL_WIDTH, 3.6)
    for axes, (loss, members) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        for place, name in enumerate(members):
            _draw_curves(axes, frame[frame["row"] == name], place)
        axes.set(xlabel="epoch", ylabel=loss)
        if "log" in loss:
            _log_axis(axes, "y")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
        axes.grid(axis="y")
        columns = 2 if len(members) > 2 else len(members)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=columns, handlelength=2.2)
    kinds = [
        Line2D([], [], color=DARK, linestyle=style, label=kind)
        for kind, style in (("training", "-"), ("validation", "--"))
    ]
    figure.legend(handles=kinds, loc="outside upper center", ncols=2, handlelength=3)
    return figure


def _draw_curves(axes: Axes, curves: pd.DataFrame, place: int) -> None:
    color, marker = PALETTE[place % len(PALETTE)], MARKERS[place % len(MARKERS)]
    for kind, style in (("training", "-"), ("validation", "--")):
        by_epoch = curves[curves["kind"] == kind].dropna(subset="loss").groupby("epoch")["loss"]
        losses = by_epoch.agg(["mean", "min", "max"])
        label = row_label(curves["row"].iloc[0]) if kind == "training" else None
        look = {"linestyle": style, "color": color, "marker": marker, "markevery": max(1, len(losses) // 5)}
        axes.plot(losses.index, losses["mean"], label=label, **look)
        if len(losses) and by_epoch.size().max() > 1:
            axes.fill_between(losses.index, losses["min"], losses["max"], color=color, alpha=0.15, linewidth=0)


def search_scatter(frame: pd.DataFrame, published: tuple[float, float] | None = None) -> Figure:
    """Draw the draws of the search of (lambda_L2, lambda_TV), coloured by SSIM (thesis Fig 8).

    Circles are coarse draws, triangles fine ones; the best of each replicate is ringed.

    Args:
        frame: columns phase ("coarse" or "fine"), lambda_l2, lambda_tv, ssim.
        published: the thesis's pair (lambda_L2, lambda_TV), drawn as a cross; None for none.
    Raises:
        ValueError: a column is missing, the frame is empty, or a weight is not positive.
    """
    _check_columns(frame, "frame", ("phase", "lambda_l2", "lambda_tv", "ssim"))
    if not (frame[["lambda_l2", "lambda_tv"]] > 0).all(axis=None):
        raise ValueError("`frame` must have positive lambda_l2 and lambda_tv, for logarithmic axes")
    figure = new_figure(0.8 * FULL_WIDTH, 3.9)
    axes = figure.subplots()
    limits = {"vmin": frame["ssim"].min(), "vmax": frame["ssim"].max(), "cmap": "viridis"}
    for phase, marker, size in (("coarse", "o", 48), ("fine", "^", 58)):
        draws = frame[frame["phase"] == phase]
        x, y = draws["lambda_l2"], draws["lambda_tv"]
        points = axes.scatter(
            x, y, c=draws["ssim"], marker=marker, s=size, edgecolor=DARK, linewidth=0.5, label=f"{phase} draw", **limits
        )
    ordered = frame.sort_values("ssim", kind="stable")
    best = ordered.groupby(_replicate(ordered)).tail(1)
    axes.scatter(
        best["lambda_l2"], best["lambda_tv"], s=190, facecolor="none", edgecolor=DARK, linewidth=1.6, label="best draw"
    )
    if published is not None:
        axes.scatter(*published, marker="+", s=230, color=PUBLISHED, linewidth=2.2, zorder=3, label="thesis's choice")
    axes.set(xscale="log", yscale="log", xlabel=r"$\lambda_{L2}$", ylabel=r"$\lambda_{TV}$")
    axes.margins(0.08)
    axes.grid()
    figure.colorbar(points, ax=axes, label=r"mean SSIM of $\tilde{X}$").outline.set_visible(False)
    figure.legend(loc="outside upper center", ncols=4, handletextpad=0.3, columnspacing=1.4)
    return figure


# --- images --------------------------------------------------------------------------------------------------------


def start_grid(starts: pd.DataFrame) -> Figure:
    """Draw the three places where X~ begins, one column a class (thesis Fig 4).

    Args:
        starts: columns row ("random", "class_instance", "class_average"), label, pixels; one replicate.
    Raises:
        ValueError: a column is missing, or there are several replicates.
    """
    _check_columns(starts, "starts", ("row", "label", "pixels"))
    _check_one_replicate(starts, "starts")
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
    _check_columns(scores, "scores", ("row", "split", "inverse_seed", "image", "label", "ssim"))
    _check_one_replicate(scores, "scores")
    if how not in SELECTIONS:
        raise ValueError(f"`how` must be one of {', '.join(SELECTIONS)}; got {how!r}")
    candidates = scores[(scores["split"] == "test") & (scores["inverse_seed"] == 0)]
    _check_known([row], candidates["row"], "row")
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
    _check_columns(gallery, "gallery", ("row", "image", "pixels"))
    _check_one_replicate(gallery, "gallery")
    _check_known(rows, gallery["row"], "rows")
    if captions is not None and len(captions) != len(images):
        raise ValueError(f"`captions` must be one for each of the {len(images)} images; got {len(captions)}")
    lines = []
    for row in rows:
        of_row = gallery[gallery["row"] == row].set_index("image")["pixels"]
        _check_known(images, of_row.index, "images")
        lines.append([_picture(of_row.loc[image]) for image in images])
    labels = rows.values() if isinstance(rows, Mapping) else [row_label(row) for row in rows]
    return _image_grid(lines, list(labels), captions)


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


# --- scores --------------------------------------------------------------------------------------------------------


def score_comparison(
    scores: pd.DataFrame, published: pd.DataFrame, metric: str, rows: Sequence[str] | None = None
) -> Figure:
    """Draw each row's mean score beside the published one (Tables 3 to 6).

    A dot is the mean of one replicate over images and inverse seeds; the pale bar is the middle half of the images; a
    diamond is the published mean, with its standard deviation where there is one.

    Args:
        scores: columns row, image and ``metric``; one split.
        published: columns row, metric, mean, std; may be empty.
        metric: "ssim" or "mse".
        rows: rows from top to bottom; all by default.
    Raises:
        ValueError: a column or row is missing, ``scores`` holds several splits, or ``published`` has a row twice.
    """
    _check_scores(scores, metric)
    names = _chosen_rows(scores, rows)
    figure, axes = _row_figure(names)
    by_row = scores.groupby("row")[metric]
    places = np.arange(len(names)) - (0.14 if len(published) else 0)
    axes.hlines(
        places,
        by_row.quantile(0.25).loc[names],
        by_row.quantile(0.75).loc[names],
        color=OURS,
        alpha=0.28,
        linewidth=5,
        label="ours: middle half of the images",
    )
    means = scores.groupby(["row", _replicate(scores)])[metric].mean().unstack().loc[names]
    _draw_replicates(axes, means, places, "ours: mean of a replicate")
    _draw_published(axes, published, names, metric)
    axes.set_xlabel(METRIC_LABELS.get(metric, metric))
    axes.set_xlim(left=min(0, axes.get_xlim()[0]))
    figure.legend(loc="outside upper center", ncols=3, columnspacing=1.4)
    return figure


def score_distributions(scores: pd.DataFrame, metric: str, rows: Sequence[str] | None = None) -> Figure:
    """Draw how the scores of single images spread in each row, with a box for their middle half.

    Args:
        scores: columns row, image and ``metric``, all replicates and inverse seeds together; one split.
        metric: "ssim" or "mse".
        rows: rows from top to bottom; all by default.
    Raises:
        ValueError: a column or row is missing, or ``scores`` holds several splits.
    """
    _check_scores(scores, metric)
    names = _chosen_rows(scores, rows)
    figure, axes = _row_figure(names)
    values = scores[scores["row"].isin(names)].astype({"row": object, metric: float})
    sns.violinplot(
        values,
        x=metric,
        y="row",
        order=names,
        ax=axes,
        orient="h",
        cut=0,
        density_norm="width",
        width=0.85,
        inner="box",
        inner_kws={"box_width": 5, "whis_width": 1.2, "color": DARK},
        color="#8FC1E0",
        linewidth=0.8,
    )
    _label_rows(axes, names)
    axes.set(xlabel=METRIC_LABELS.get(metric, metric), ylabel="")
    return figure


def head_comparison(scores: pd.DataFrame, published: pd.DataFrame, metric: str, split: str) -> Figure:
    """Draw the ten classifier heads, ours beside the published ones (Table 1).

    Args:
        scores: columns row, split, metric, value.
        published: columns row, split, metric, mean, std; split names as in ``scores``; may be empty.
        metric: "f1" or "cross_entropy" (on a log scale).
        split: "target_train" or "target_validation".
    Raises:
        ValueError: a column is missing, or either frame has no such metric on this split.
    """
    _check_columns(scores, "scores", ("row", "split", "metric", "value"))
    ours = _of_metric(scores, "scores", metric, split)
    if len(published):
        _check_columns(published, "published", ("row", "split", "metric", "mean", "std"))
        published = _of_metric(published, "published", metric, split)
    names = list(dict.fromkeys(ours["row"]))
    figure, axes = _row_figure(names)
    values = ours.groupby(["row", _replicate(ours)])["value"].mean().unstack().loc[names]
    places = np.arange(len(names)) - (0.14 if len(published) else 0)
    _draw_replicates(axes, values, places, "ours: a replicate")
    if metric == "cross_entropy":
        _log_axis(axes, "x")
    _draw_published(axes, published, names, metric)
    axes.set_xlabel(f"{METRIC_LABELS.get(metric, metric)}, {SPLIT_LABELS.get(split, split)}")
    figure.legend(loc="outside upper center", ncols=2)
    return figure


def _row_figure(names: Sequence[str]) -> tuple[Figure, Axes]:
    """A figure with one labelled line a row, the first on top."""
    figure = new_figure(FULL_WIDTH, 0.95 + 0.36 * len(names))
    axes = figure.subplots()
    _label_rows(axes, names)
    axes.grid(axis="x")
    return figure, axes


def _log_axis(axes: Axes, which: str) -> None:
    """A logarithmic axis with plain numbers at 1, 2 and 5; bars that reach below zero go on to the edge."""
    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if which == "y" else (1,)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def _label_rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), labels=[row_label(name) for name in names])
    axes.set_ylim(len(names) - 0.45, -0.55)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def _draw_replicates(axes: Axes, values: pd.DataFrame, places: np.ndarray, label: str) -> None:
    """Dots: a line a row, a column a replicate."""
    across = np.broadcast_to(places[:, None], values.shape)
    axes.scatter(values.to_numpy(), across, s=30, color=OURS, edgecolor="white", linewidth=0.6, zorder=3, label=label)


def _draw_published(axes: Axes, published: pd.DataFrame, names: Sequence[str], metric: str) -> None:
    if not len(published):
        return
    _check_columns(published, "published", ("row", "metric", "mean", "std"))
    shown = published[(published["metric"] == metric) & published["row"].isin(names)].set_index("row")
    if not shown.index.is_unique:
        twice = shown.index[shown.index.duplicated()][0]
        raise ValueError(f"`published` must hold each row once for {metric!r}; got {twice!r} more than once")
    axes.errorbar(
        shown["mean"].astype(float),
        [names.index(row) + 0.16 for row in shown.index],
        xerr=shown["std"].astype(float),
        fmt="D",
        markersize=5,
        color=PUBLISHED,
        elinewidth=1.2,
        capsize=2.5,
        label="thesis: mean and standard deviation",
    )


# --- checks --------------------------------------------------------------------------------------------------------


def _check_columns(frame: pd.DataFrame, name: str, columns: Sequence[str]) -> None:
    missing = [column for column in columns if column not in frame]
    if missing:
        raise ValueError(f"`{name}` must have the columns {', '.join(columns)}; it lacks {', '.join(missing)}")
    if frame.empty:
        raise ValueError(f"`{name}` must have at least one line; it is empty")


def _check_known(wanted: Sequence, known: Sequence, name: str) -> None:
    if not len(wanted):
        raise ValueError(f"`{name}` must have at least one element; it is empty")
    known = list(dict.fromkeys(known))
    for value in wanted:
        if value not in known:
            raise ValueError(f"`{name}` must be among {', '.join(map(str, known))}; got {value!r}")


def _check_one_replicate(frame: pd.DataFrame, name: str) -> None:
    count = _replicate(frame).nunique()
    if count != 1:
        raise ValueError(f"`{name}` must hold one replicate, since image numbers repeat; got {count}")


def _check_scores(scores: pd.DataFrame, metric: str) -> None:
    _check_columns(scores, "scores", ("row", "image", metric))
    if "split" in scores and scores["split"].nunique() > 1:
        raise ValueError(f"`scores` must hold one split; got {', '.join(scores['split'].unique())}")


def _of_metric(frame: pd.DataFrame, name: str, metric: str, split: str) -> pd.DataFrame:
    chosen = frame[(frame["metric"] == metric) & (frame["split"] == split)]
    if chosen.empty:
        raise ValueError(f"`{name}` must hold the metric {metric!r} on the split {split!r}; it has no such line")
    return chosen


def _chosen_rows(frame: pd.DataFrame, rows: Sequence[str] | None) -> list[str]:
    if rows is not None:
        _check_known(rows, frame["row"], "rows")
    return list(dict.fromkeys(frame["row"] if rows is None else rows))


def _replicate(frame: pd.DataFrame) -> pd.Series:
    """The column ``replicate``, or zeros where there is none."""
    return frame["replicate"] if "replicate" in frame else pd.Series(0, index=frame.index, name="replicate")
