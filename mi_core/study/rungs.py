"""Frames of the ladder of threat models for its chapter: rows, what each attacker has, and what he could know."""

from collections import Counter
from dataclasses import asdict

import pandas as pd

from mi_core.study.answers import DEFENCES
from mi_core.study.ladder import Ladder, pool_row, pool_sizes
from mi_core.study.leakage import MEASURES, measured
from mi_core.study.parameters import Study
from mi_core.study.recipes import best_alignment, best_recipe
from mi_core.study.replicate import Replicate
from mi_core.study.results import Results

__all__ = [
    "access_frame",
    "answer_frame",
    "choice_frame",
    "chosen",
    "interval_sentence",
    "moved_answers",
    "pool_rows",
    "recipe_frame",
    "rows_of",
    "transfer_frame",
    "utility_frame",
]

COLUMNS = {
    "sees": "of the attacked image",
    "outputs": "unlabelled outputs",
    "queries": "queries",
    "weights": "weights",
    "shadows": "shadows in the attack",
    "held_out": "shadows held out to choose",
    "images": "images of D_S^T",
    "validation_images": "images of D_S^V",
}
LABELS = {answer.row: answer.label for answer in DEFENCES}


def rows_of(results: Results, experiment: str = "ladder") -> pd.DataFrame:
    """Every row of the ladder or of the defences, under its name for readers: what ``measured`` gives."""
    return measured(results.frame(experiment)).replace({"row": LABELS})


def access_frame(study: Study) -> pd.DataFrame:
    """What the attacker of each row has, one line a row."""
    lines = []
    for rung in Ladder(Replicate(study, 0)).rungs():
        has = asdict(rung.access) | {"weights": "the target's" if rung.access.weights else "none"}
        lines.append({"row": rung.row, **{title: has[name] for name, title in COLUMNS.items()}})
    return pd.DataFrame(lines)


def interval_sentence(rows: pd.DataFrame) -> str:
    """What the intervals of the figures are over, from what ``rows_of`` gives, as prose."""
    count = rows["replicate"].nunique()
    if count > 1:
        return f"{count} replicates: where there is an interval, it is over them."
    return (
        "One replicate: no interval over replicates. The figures' bars are bootstraps over its "
        f"{rows['image'].nunique()} images, the networks given; another training or split may move a row by more."
    )


def pool_rows(study: Study) -> list[str]:
    """Names of the rows with aligned shadows, from one to the largest pool."""
    return [pool_row(count) for count in pool_sizes(study.ladder_shadows)]


def choice_frame(results: Results) -> pd.DataFrame:
    """Means over replicates and held-out shadows, the best first: alignment, prior, held-out SSIM, held-out MSE."""
    means = results.frame("ladder_choice").groupby(["method", "prior"])[["ssim", "mse"]].mean()
    frame = means.sort_values("ssim", ascending=False).reset_index().rename(columns={"method": "alignment"})
    return frame.assign(prior=frame["prior"].map("{:g}".format)).rename(columns=_held_out)


def chosen(results: Results) -> tuple[str, str]:
    """The alignment and the inverse model that held-out shadows choose, in each replicate by itself."""
    alignments = []
    for _, scores in results.frame("ladder_choice").groupby("replicate"):
        method, prior = best_alignment(scores)
        alignments.append(f"{method}, prior {prior:g}")
    recipes = [best_recipe(scores) for _, scores in results.frame("ladder_models_choice").groupby("replicate")]
    return _counted(alignments), _counted(recipes)


def _counted(names: list[str]) -> str:
    """The names, the most frequent first, and how often each occurs where they are not all the same."""
    counts = Counter(names).most_common()
    if len(counts) == 1:
        return counts[0][0]
    return "; ".join(f"{name} ({count} of {len(names)} replicates)" for name, count in counts)


def _held_out(column: str) -> str:
    return f"held-out {MEASURES[column].title}" if column in MEASURES else column


def recipe_frame(results: Results) -> pd.DataFrame:
    """SSIM and MSE of each inverse model on held-out shadows, which choose, and on the target.

    Returns:
        One line a recipe, in their order: columns inverse model, held-out SSIM, held-out MSE, SSIM, MSE and top-1 of
        100.
    """
    known = results.frame("ladder_models_choice").groupby("row", sort=False)[["ssim", "mse"]].mean()
    found = rows_of(results, "ladder_models").groupby("row")[["ssim", "mse", "top1_of_100"]].mean()
    found = found.rename(columns=lambda column: MEASURES[column].title)
    return known.rename(columns=_held_out).join(found).rename_axis("inverse model").reset_index()


def answer_frame(results: Results, metric: str) -> pd.DataFrame:
    """Means of a metric: one line for each attacker, one column for each form in which the target answers."""
    frame = rows_of(results, "ladder_answers")
    frame = frame[frame["row"].str.contains(": ") & ~frame["row"].str.startswith("baseline")]
    frame[["answers", "attacker"]] = frame["row"].str.split(": ", n=1, expand=True).to_numpy()
    wide = frame.pivot_table(index="attacker", columns="answers", values=metric, sort=False)
    return wide.rename_axis(columns=None).rename(columns=LABELS).reset_index()


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
    frame = results.frame("defences_utility").replace({"row": LABELS})
    wide = frame.pivot_table(index="row", columns="metric", values="value", sort=False)
    return wide.rename_axis(columns=None)


def moved_answers(utility: pd.DataFrame, images: int) -> tuple[str, int, str]:
    """The form of answer that moves the accuracy most from that with exact logits.

    Args:
        utility: what ``utility_frame`` gives.
        images: that were answered for, over all replicates.
    Returns:
        Its name, for how many of the images more or fewer the largest answer is right, and "more" or "fewer".
    """
    change = utility["accuracy"] - utility.loc["logits", "accuracy"]
    row = str(change.abs().idxmax())
    return row, round(abs(change[row]) * images), "more" if change[row] > 0 else "fewer"
