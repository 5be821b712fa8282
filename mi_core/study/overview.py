"""All rows of the study side by side, and differences between them with the interval that their number allows."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from mi_core.study.comparison import CHANGES
from mi_core.study.leakage import MEASURES, measured
from mi_core.study.replicate import SHADOW_MARK
from mi_core.study.results import Results, spread
from mi_core.study.statistics import bootstrap_interval, paired_difference, variance_components

__all__ = [
    "SCORE_TABLES",
    "SHOWN_AS",
    "SIMPLE_ATTACK",
    "Highest",
    "best_baselines",
    "change_pairs",
    "changed_lines",
    "differences",
    "gray_box_rows",
    "highest_mean",
    "kind_of",
    "replicate_points",
    "rows_on_test",
    "summarise_measures",
    "variance_table",
]

SCORE_TABLES = ("table3", "table4", "table5", "table6")
AGAIN = ("/exact", "/k=10")  # rows of Tables 5 and 6 that Table 4 has as well
SIMPLE_ATTACK = "simple attack: average of nearest outputs"
# It compares whole output vectors, so it is no guess from the predicted class, as what the tables call baselines are.
SHOWN_AS = {"baseline: average of nearest outputs": SIMPLE_ATTACK}


@dataclass(frozen=True)
class Highest:
    """The two rows with the highest means over replicates.

    ``agreeing`` says in how many of the ``count`` replicates that have both the first is above the second.
    """

    first: str
    second: str
    agreeing: int
    count: int


def kind_of(row: str) -> str:
    """ "baseline", "ceiling" or "attack"."""
    kind = row.partition(":")[0]
    return kind if kind in ("baseline", "ceiling") else "attack"


def rows_on_test(results: Results) -> pd.DataFrame:
    """Every distinct row of Tables 3 to 6 on D_F, one line an image and inverse seed.

    Returns:
        What ``mi_core.study.leakage.measured`` gives, and false_positives (by squared error) and kind; X~ from Table 3
        is called as in the galleries, e.g. "X~/class_average", and the average of nearest outputs ``SIMPLE_ATTACK``.
    """
    frames = []
    for name in SCORE_TABLES:
        scores = results.frame(name)
        frame = measured(scores).assign(false_positives=scores["false_positives_l2"])
        frame = frame[frame["split"] == "test"]
        if name == "table3":
            own = frame["row"].map(kind_of) == "attack"
            frame = frame.assign(row=frame["row"].where(~own, "X~/" + frame["row"]))
        elif name != "table4":
            frame = frame[~frame["row"].str.endswith(AGAIN)]
        frames.append(frame)
    everything = pd.concat(frames).drop_duplicates(["replicate", "row", "inverse_seed", "image"])
    everything["row"] = everything["row"].replace(SHOWN_AS)
    return everything.assign(kind=everything["row"].map(kind_of)).reset_index(drop=True)


def gray_box_rows(frame: pd.DataFrame) -> list[str]:
    """Attacks that use no weight of the target: of a row with A_L and its twin marked so, the twin.

    Args:
        frame: what ``rows_on_test`` gives.
    """
    rows = frame.loc[frame["kind"] == "attack", "row"].unique()
    return [row for row in rows if f"{row}{SHADOW_MARK}" not in rows]


def best_baselines(points: pd.DataFrame, metrics: Sequence[str] = ("ssim", "mse", "auc")) -> dict[str, str]:
    """By metric the baseline with the best mean over replicates, from what ``replicate_points`` gives.

    All of them know the predicted class at most: ``rows_on_test`` counts the average of nearest outputs as an attack.
    """
    means = points[points["kind"] == "baseline"].groupby("row")[list(metrics)].mean()
    return {metric: means[metric].idxmin() if metric == "mse" else means[metric].idxmax() for metric in metrics}


def highest_mean(points: pd.DataFrame, rows: Sequence[str], metric: str) -> Highest:
    """Which of some rows has the highest mean over replicates, and how surely it is above the next.

    Args:
        points: columns row, replicate and the metric, one line a row and replicate.
        rows: two names of rows or more.
        metric: a column; higher is better.
    Raises:
        ValueError: fewer than two of the rows are there.
    """
    wide = points[points["row"].isin(rows)].pivot(index="replicate", columns="row", values=metric)
    if wide.shape[1] < 2:
        raise ValueError(f"`rows` must name at least two rows of the points; got {', '.join(wide.columns) or 'none'}")
    first, second = wide.mean().nlargest(2).index
    both = wide[[first, second]].dropna()
    return Highest(first, second, agreeing=int((both[first] > both[second]).sum()), count=len(both))


def differences(
    frame: pd.DataFrame, pairs: Sequence[tuple[str, str]], *, metrics: Sequence[str] = ("ssim", "mse", "auc")
) -> pd.DataFrame:
    """First minus second line of each pair, on the same images.

    The interval is Student's t over replicate means, NaN for two of them. With one it is a bootstrap over its images:
    how the difference would vary with other images, the models staying what they are.

    Args:
        frame: columns line, replicate, inverse_seed, image and the metrics.
        pairs: names of two lines.
        metrics: columns of the frame.
    Returns:
        Columns label, reference (the two lines), metric, mean, low, high, agreeing, count (of replicates).
    Raises:
        ValueError: a line is missing.
    """
    per_image = frame.groupby(["line", "replicate", "image"], sort=False)[list(metrics)].mean()
    known = per_image.index.get_level_values("line").unique()
    rows = []
    for label, reference in pairs:
        for line in (label, reference):
            if line not in known:
                raise ValueError(f"`pairs` must name lines of the frame; got {line!r}")
        first, second = per_image.loc[label], per_image.loc[reference]
        for metric in metrics:
            one, other = (side[metric].groupby("replicate").mean() for side in (first, second))
            found = paired_difference(one, other)
            low, high = found.low, found.high
            if found.count == 1:
                interval = bootstrap_interval((first[metric] - second[metric]).dropna())
                low, high = interval.low, interval.high
            rows.append((label, reference, metric, found.mean, low, high, found.agreeing, found.count))
    columns = ["label", "reference", "metric", "mean", "low", "high", "agreeing", "count"]
    return pd.DataFrame(rows, columns=columns)


def change_pairs() -> list[tuple[str, str]]:
    """Of the comparison of text and code: each changed line and the one that it is compared with, as "change | row"."""
    return [
        (f"{change.name} | {row}", f"{change.reference} | {row}")
        for change in CHANGES
        if change.name
        for row in change.rows
    ]


def changed_lines(results: Results, experiment: str = "comparison") -> pd.DataFrame:
    """An experiment of changed and unchanged rows as ``differences`` takes it: lines called "change | row"."""
    frame = measured(results.frame(experiment))
    return frame.assign(line=frame["change"] + " | " + frame["row"])


def variance_table(frame: pd.DataFrame, rows: Sequence[str]) -> pd.DataFrame:
    """Variance components of the SSIM of some rows.

    Args:
        frame: what ``rows_on_test`` gives.
        rows: names of rows.
    Returns:
        Columns row, replicate, inverse_seed, image, rest; see ``mi_core.study.statistics.variance_components``.
    """
    by_row = dict(list(frame.groupby("row")))
    return pd.DataFrame([{"row": row, **variance_components(by_row[row], value="ssim")} for row in rows])


def replicate_points(frame: pd.DataFrame) -> pd.DataFrame:
    """Means of every measure by row, kind and replicate."""
    return frame.groupby(["row", "kind", "replicate"], sort=False)[list(MEASURES)].mean().reset_index()


def summarise_measures(frame: pd.DataFrame, measures: Sequence[str]) -> pd.DataFrame:
    """Mean and spread of measures by row, as ``mi_core.study.results.summarise`` gives them for a table.

    Args:
        frame: what ``rows_on_test`` gives, or some of its rows.
        measures: some of its columns.
    Returns:
        Columns row, metric, mean, std, n, half_width, seed_std.
    """
    long = frame.melt(["row", "replicate", "inverse_seed"], list(measures), var_name="metric", value_name="value")
    return spread(long.groupby(["row", "metric", "replicate", "inverse_seed"], sort=False)["value"].mean())
