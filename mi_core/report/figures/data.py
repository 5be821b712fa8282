"""Figures of the data, the classifiers and the search of the regularisers' weights."""

from collections.abc import Sequence

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from mi_core.report.figures.axes import log_axis
from mi_core.report.figures.checks import check_columns, check_known, chosen_rows, replicate_of
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

__all__ = ["class_histograms", "confusion_matrices", "search_scatter", "training_curves"]


def class_histograms(counts: pd.DataFrame, splits: Sequence[str] = ("target_train", "shadow_train", "test")) -> Figure:
    """Draw how many images of each class each split holds (thesis Fig 3).

    Bars are means over replicates; where there are several, each is a dot. The line is an equal share.

    Args:
        counts: columns split, label, images.
        splits: one panel each, in this order.
    Raises:
        ValueError: a column or a split is missing.
    """
    check_columns(counts, "counts", ("split", "label", "images"))
    check_known(splits, counts["split"], "splits")
    figure = new_figure(FULL_WIDTH, 2.5)
    for axes, split in zip(figure.subplots(1, len(splits), squeeze=False)[0], splits, strict=True):
        of_split = counts[counts["split"] == split]
        means = of_split.groupby("label")["images"].mean()
        bars = axes.bar(means.index, means, width=0.82, color=OURS)
        texts = [f"{count:.0f}" for count in means]
        axes.bar_label(
            bars, texts, label_type="center", rotation=90, color="white", fontsize=SMALL_FONT, fontweight="bold"
        )
        if replicate_of(of_split).nunique() > 1:
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
    check_columns(frame, "frame", ("row", "true", "predicted", "images"))
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
    check_columns(frame, "frame", ("row", "kind", "epoch", "loss"))
    names = chosen_rows(frame, rows)
    inverse = [name for name in names if name.startswith("M_I")]
    panels = {"cross-entropy (log scale)": [name for name in names if name not in inverse], r"$1-$SSIM": inverse}
    panels = {loss: members for loss, members in panels.items() if members}
    figure = new_figure(FULL_WIDTH, 3.6)
    for axes, (loss, members) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        for place, name in enumerate(members):
            _draw_curves(axes, frame[frame["row"] == name], place)
        axes.set(xlabel="epoch", ylabel=loss)
        if "log" in loss:
            log_axis(axes, "y")
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
    check_columns(frame, "frame", ("phase", "lambda_l2", "lambda_tv", "ssim"))
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
    best = ordered.groupby(replicate_of(ordered)).tail(1)
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
