"""Figures of scores, one line a row: ours beside the published ones, and their spread."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mi_core.report.figures.axes import MEASURES, label_rows, log_axis, row_figure
from mi_core.report.figures.checks import check_columns, chosen_rows, replicate_of
from mi_core.report.style import DARK, OURS, PUBLISHED, SMALL_FONT, SPLIT_LABELS, row_label

__all__ = ["class_heatmap", "head_comparison", "score_comparison", "score_distributions"]

METRIC_LABELS = {
    "ssim": "SSIM (higher is better)",
    "mse": "MSE (lower is better)",
    "f1": "weighted F1 (higher is better)",
    "cross_entropy": "cross-entropy (lower is better, log scale)",
}


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
    names = chosen_rows(scores, rows)
    figure, axes = row_figure(names)
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
    means = scores.groupby(["row", replicate_of(scores)])[metric].mean().unstack().loc[names]
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
    names = chosen_rows(scores, rows)
    figure, axes = row_figure(names)
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
    label_rows(axes, names)
    axes.set(xlabel=METRIC_LABELS.get(metric, metric), ylabel="")
    return figure


def class_heatmap(scores: pd.DataFrame, metric: str, rows: Sequence[str] | None = None) -> Figure:
    """Draw the mean score of each row on the images of each class, as numbers on colours of one scale.

    Args:
        scores: columns row, image, label and ``metric``; one split, all replicates and inverse seeds together.
        metric: "ssim" or "mse".
        rows: rows from top to bottom; all by default.
    Raises:
        ValueError: a column or row is missing, or ``scores`` holds several splits.
    """
    _check_scores(scores, metric)
    check_columns(scores, "scores", ("label",))
    names = chosen_rows(scores, rows)
    figure, axes = row_figure(names)
    means = scores.astype({metric: float}).groupby(["row", "label"])[metric].mean().unstack().loc[names]
    sns.heatmap(
        means,
        ax=axes,
        annot=True,
        fmt=".2f",
        annot_kws={"fontsize": SMALL_FONT},
        cmap="cividis" if metric == "ssim" else "cividis_r",  # bright is good
        cbar_kws={"label": MEASURES.get(metric, metric), "aspect": 30},
        linewidths=0.6,
        linecolor="white",
    )
    axes.set_yticks(np.arange(len(names)) + 0.5, labels=[row_label(name) for name in names], rotation=0)
    axes.tick_params(length=0)
    axes.set(xlabel="true class", ylabel="", ylim=(len(names), 0))
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
    check_columns(scores, "scores", ("row", "split", "metric", "value"))
    ours = _of_metric(scores, "scores", metric, split)
    if len(published):
        check_columns(published, "published", ("row", "split", "metric", "mean", "std"))
        published = _of_metric(published, "published", metric, split)
    names = list(dict.fromkeys(ours["row"]))
    figure, axes = row_figure(names)
    values = ours.groupby(["row", replicate_of(ours)])["value"].mean().unstack().loc[names]
    places = np.arange(len(names)) - (0.14 if len(published) else 0)
    _draw_replicates(axes, values, places, "ours: a replicate")
    if metric == "cross_entropy":
        log_axis(axes, "x")
    _draw_published(axes, published, names, metric)
    axes.set_xlabel(f"{METRIC_LABELS.get(metric, metric)}, {SPLIT_LABELS.get(split, split)}")
    figure.legend(loc="outside upper center", ncols=2)
    return figure


def _draw_replicates(axes: Axes, values: pd.DataFrame, places: np.ndarray, label: str) -> None:
    """Dots: a line a row, a column a replicate."""
    across = np.broadcast_to(places[:, None], values.shape)
    axes.scatter(values.to_numpy(), across, s=30, color=OURS, edgecolor="white", linewidth=0.6, zorder=3, label=label)


def _draw_published(axes: Axes, published: pd.DataFrame, names: Sequence[str], metric: str) -> None:
    if not len(published):
        return
    check_columns(published, "published", ("row", "metric", "mean", "std"))
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


def _check_scores(scores: pd.DataFrame, metric: str) -> None:
    check_columns(scores, "scores", ("row", "image", metric))
    if "split" in scores and scores["split"].nunique() > 1:
        raise ValueError(f"`scores` must hold one split; got {', '.join(scores['split'].unique())}")


def _of_metric(frame: pd.DataFrame, name: str, metric: str, split: str) -> pd.DataFrame:
    chosen = frame[(frame["metric"] == metric) & (frame["split"] == split)]
    if chosen.empty:
        raise ValueError(f"`{name}` must hold the metric {metric!r} on the split {split!r}; it has no such line")
    return chosen
