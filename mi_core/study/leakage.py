"""What scores of single images say beyond SSIM and MSE: gain over the label, re-identification, controls. No torch.

A score frame holds one line per row, inverse seed and image (``score_table``). Here it gets one column a measure;
a row's measure is the mean of its column over images.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mi_core.reidentification import area_under_curve, mean_reciprocal_rank, top_1

__all__ = ["DISTANCES", "LINE", "MEASURES", "Measure", "measured", "row_means"]

LINE = ["replicate", "row", "split", "inverse_seed"]  # what a line of a table is, "change" beside it in the comparison
CLASS_AVERAGE = "baseline: class average"


@dataclass(frozen=True)
class Measure:
    """A measure of a row: what tables call it, and what it means."""

    title: str
    meaning: str


DISTANCES = {"": "squared error", "_ssim": "1 - SSIM", "_features": "features"}
_COLUMN = {"": "l2", "_ssim": "ssim", "_features": "features"}  # suffix of a measure: suffix of the counts
CANDIDATES = (10, 100)
FALSE_POSITIVES = {"1": 0.01, "0.1": 0.001}  # per cent: share


def _identification_measures() -> dict[str, Measure]:
    found = {}
    for suffix, distance in DISTANCES.items():
        by = "" if not suffix else f" by {distance}"
        found[f"auc{suffix}"] = Measure(
            f"AUC{by}",
            f"chance that the true image is nearer, by {distance}, than another one of its class (0.5 by chance)",
        )
        for count in CANDIDATES:
            among = f"of {count} images of its class, by {distance}, exact over all draws"
            found[f"top1_of_{count}{suffix}"] = Measure(
                f"top-1 of {count}{by}",
                f"chance that the true image is the nearest {among} ({1 / count:g} by chance)",
            )
            chance = float(np.mean(1 / np.arange(1, count + 1)))
            found[f"mrr_of_{count}{suffix}"] = Measure(
                f"MRR of {count}{by}", f"mean reciprocal rank of the true image {among} ({chance:.3g} by chance)"
            )
        for percent, share in FALSE_POSITIVES.items():
            found[f"true_positives_at_{percent}_percent{suffix}"] = Measure(
                f"TPR at {percent} % FPR{by}",
                f"share of true pairs accepted by one threshold of {distance} for all classes, which accepts "
                f"{percent} % of the pairs with another image of the class ({share:g} by chance)",
            )
    return found


MEASURES = {
    "ssim": Measure("SSIM", "mean structural similarity with the true image"),
    "mse": Measure("MSE", "mean squared error per pixel"),
    "gain": Measure("SSIM gain", "SSIM minus that of the average image of the predicted class"),
    "r2": Measure("within-class R²", "1 - MSE / MSE of the average image of the predicted class"),
    **_identification_measures(),
    "accuracy": Measure("accuracy", "share whose true class the evaluation model sees in the reconstruction"),
    "feature_distance": Measure("feature distance", "distance to the true image in the evaluation model's features"),
    "to_class_average": Measure("SSIM to class average", "SSIM with the average image of the predicted class"),
    "shuffled_ssim": Measure("shuffled SSIM", "SSIM after outputs are permuted within the predicted class"),
    "shuffled_mse": Measure("shuffled MSE", "MSE after outputs are permuted within the predicted class"),
    "shuffled_auc": Measure(
        "shuffled AUC", "AUC by squared error after outputs are permuted within the predicted class (0.5 by chance)"
    ),
}


def measured(scores: pd.DataFrame) -> pd.DataFrame:
    """A score frame with one column for each of ``MEASURES``, one value an image.

    Args:
        scores: columns of a ``score_table`` and ``replicate``; for "gain" and "r2" the class average is one of its
            rows, on each split (else these are NaN).
    Returns:
        The columns of ``LINE``, image, label, "change" where it has it, and the measures, as float64.
    """
    kept = scores[[name for name in [*LINE, "change", "image", "label"] if name in scores]].copy()
    average = scores[scores["row"] == CLASS_AVERAGE].drop_duplicates(["replicate", "split", "image"])
    keys = ["replicate", "split", "image"]
    of_average = scores[keys].merge(average[[*keys, "ssim", "mse"]], on=keys, how="left")
    average_mse = average.astype({"mse": np.float64}).groupby(["replicate", "split"])["mse"].mean()
    columns = {name: scores[name].to_numpy(np.float64) for name in ("ssim", "mse")}
    columns["gain"] = columns["ssim"] - of_average["ssim"].to_numpy(np.float64)
    denominators = pd.MultiIndex.from_frame(scores[["replicate", "split"]]).map(average_mse.to_dict())
    columns["r2"] = 1 - columns["mse"] / denominators.to_numpy(np.float64)
    for suffix in DISTANCES:
        columns |= _identification(scores, suffix)
    columns["accuracy"] = (scores["judged"] == scores["label"]).to_numpy(np.float64)
    for name in ("feature_distance", "to_class_average", "shuffled_ssim", "shuffled_mse", "shuffled_auc"):
        columns[name] = scores[name].to_numpy(np.float64)
    return kept.assign(**{name: columns[name] for name in MEASURES})


def _identification(scores: pd.DataFrame, suffix: str) -> dict[str, np.ndarray]:
    names = [f"closer_{_COLUMN[suffix]}", f"tied_{_COLUMN[suffix]}", "others"]
    counts, places = np.unique(scores[names].to_numpy(), axis=0, return_inverse=True)  # few distinct ones, many lines
    closer, tied, others = counts.T
    found = {f"auc{suffix}": area_under_curve(closer, tied, others)}
    for count in CANDIDATES:
        found[f"top1_of_{count}{suffix}"] = top_1(closer, tied, others, candidates=count)
        found[f"mrr_of_{count}{suffix}"] = mean_reciprocal_rank(closer, tied, others, candidates=count)
    found = {name: values[places.ravel()] for name, values in found.items()}
    shares = scores[f"false_positives_{_COLUMN[suffix]}"].to_numpy()
    for percent, share in FALSE_POSITIVES.items():
        accepted = np.where(np.isnan(shares), np.nan, shares <= share)
        found[f"true_positives_at_{percent}_percent{suffix}"] = accepted
    return found


def row_means(scores: pd.DataFrame) -> pd.DataFrame:
    """Means over images of every measure, one line per replicate, row, split and inverse seed (and change).

    Args:
        scores: as in ``measured``.
    Returns:
        The columns of ``LINE`` ("change" too where it has it), metric and value, in the order of the frame.
    """
    frame = measured(scores)
    keys = [name for name in [*LINE, "change"] if name in frame]
    means = frame.groupby(keys, sort=False)[list(MEASURES)].mean()
    means.columns.name = "metric"
    return means.stack().rename("value").reset_index()
