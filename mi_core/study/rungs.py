"""Frames of the ladder of threat models for its chapter: rows, what each attacker has, and what he could know."""

from dataclasses import asdict

import pandas as pd

from mi_core.study.ladder import Ladder, pool_row, pool_sizes
from mi_core.study.leakage import measured
from mi_core.study.overview import kind_of
from mi_core.study.parameters import Study
from mi_core.study.replicate import Replicate
from mi_core.study.results import Results

__all__ = [
    "access_frame",
    "answer_frame",
    "choice_frame",
    "pool_rows",
    "recipe_frame",
    "rows_of",
    "transfer_frame",
    "utility_frame",
]


def rows_of(results: Results, experiment: str = "ladder") -> pd.DataFrame:
    """Every row of the ladder or of the defences, one line an image: what ``measured`` gives, and kind."""
    frame = measured(results.frame(experiment))
    return frame.assign(kind=frame["row"].map(kind_of))


def access_frame(study: Study) -> pd.DataFrame:
    """What the attacker of each row has, one line a row."""
    lines = []
    for rung in Ladder(Replicate(study, 0)).rungs():
        has = asdict(rung.access)
        sees = "predicted label" if has.pop("label_only") else "output vector"
        weights = "the target's" if has.pop("weights") else "none"
        renamed = {"unlabelled outputs": has["outputs"], "queries": has["queries"], "weights": weights}
        own = {"own shadows": has["shadows"], "own images": has["auxiliary"]}
        lines.append({"row": rung.row, "of the attacked image": sees, **renamed, **own})
    return pd.DataFrame(lines)


def pool_rows(study: Study) -> list[str]:
    """Names of the rows with aligned shadows, from one to the largest pool."""
    return [pool_row(count) for count in pool_sizes(study.ladder_shadows)]


def choice_frame(results: Results) -> pd.DataFrame:
    """Mean SSIM and MSE of each alignment over replicates and held-out shadows, the best first."""
    scores = results.frame("ladder_choice")
    return (
        scores.groupby(["method", "prior"])[["ssim", "mse"]].mean().reset_index().sort_values("ssim", ascending=False)
    )


def recipe_frame(results: Results) -> pd.DataFrame:
    """SSIM and MSE of each inverse model on held-out shadows, which choose, and on the target.

    Returns:
        One line a recipe, in their order: columns row, held-out ssim, held-out mse, ssim, mse and top1_of_100.
    """
    known = results.frame("ladder_models_choice").groupby("row", sort=False)[["ssim", "mse"]].mean()
    found = rows_of(results, "ladder_models").groupby("row")[["ssim", "mse", "top1_of_100"]].mean()
    return known.add_prefix("held-out ").join(found).reset_index()


def answer_frame(results: Results, metric: str) -> pd.DataFrame:
    """Means of a metric: one line for each attacker, one column for each form in which the target answers."""
    frame = rows_of(results, "ladder_answers")
    frame = frame[frame["row"].str.contains(": ") & ~frame["row"].str.startswith("baseline")]
    frame[["answers", "attacker"]] = frame["row"].str.split(": ", n=1, expand=True).to_numpy()
    wide = frame.pivot_table(index="attacker", columns="answers", values=metric, sort=False)
    return wide.rename_axis(columns=None).reset_index()


def transfer_frame(results: Results) -> pd.DataFrame:
    """SSIM of each attack on held-out shadows and on the target.

    Returns:
        Columns row, predicted (mean over replicates and held-out shadows), lowest, highest and transferred.
    """
    by_shadow = results.frame("ladder_predictions").groupby("row", sort=False)["ssim"]
    found = by_shadow.agg(predicted="mean", lowest="min", highest="max")
    return found.assign(transferred=rows_of(results).groupby("row")["ssim"].mean()).reset_index()


def utility_frame(results: Results) -> pd.DataFrame:
    """Means over replicates of what each form of answer is worth to a user: one line a row, one column a metric."""
    frame = results.frame("defences_utility")
    wide = frame.pivot_table(index="row", columns="metric", values="value", sort=False)
    return wide.rename_axis(columns=None)
