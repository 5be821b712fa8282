"""The thesis's ten claims, each with the published numbers and ours. Imports no torch."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from skimage.metrics import structural_similarity

from mi_core.study.experiments import COMBINATIONS, TRUNCATIONS
from mi_core.study.results import Results

__all__ = ["CLAIM_EXPERIMENTS", "claims_table", "similarity_to_class_average"]

# What the table is made from; published results must have all of it in one profile.
CLAIM_EXPERIMENTS = ("table1", "table2", "table3", "table4", "table5", "table6", "gallery")

Pair = tuple[float, float]  # published, ours


class _Numbers:
    """Published and own means of the six tables, by row."""

    def __init__(self, results: Results) -> None:
        self._tables = {number: results.table(number) for number in range(1, 7)}

    def pair(self, table: int, row: str, *, metric: str = "ssim", split: str = "test") -> Pair:
        frame = self._tables[table]
        line = frame[(frame["row"] == row) & (frame["metric"] == metric) & (frame["split"] == split)].iloc[0]
        return float(line["published_mean"]), float(line["mean"])

    def leader(self, table: int, *, metric: str = "ssim", split: str = "test") -> tuple[str, str]:
        """The best row of the thesis's, by its numbers and by ours."""
        frame = self._tables[table]
        rows = frame[(frame["metric"] == metric) & (frame["split"] == split) & frame["published_mean"].notna()]
        return tuple(rows.set_index("row")[column].idxmax() for column in ("published_mean", "mean"))

    def series(self, table: int, rows: Sequence[str]) -> tuple[str, str]:
        return _joined([self.pair(table, row) for row in rows], ".3f", " → ")


def claims_table(results: Results) -> pd.DataFrame:
    """One line a claim: what the thesis says, its numbers, ours.

    The thesis prints no number for C9; ours is the mean SSIM of reconstructions with the average image of their
    predicted class.

    Args:
        results: of which ``CLAIM_EXPERIMENTS`` can be asked.
    Returns:
        Columns claim, statement, measure, thesis, here; all text.
    """
    numbers = _Numbers(results)
    x, o, stand_alone = numbers.pair(4, "M_I(X~)"), numbers.pair(4, "M_I(O)"), numbers.pair(3, "class_average")
    rest = [numbers.pair(4, f"M_I({name})") for name in COMBINATIONS]
    f1 = [
        numbers.pair(2, f"M_{role[0].upper()}", metric="f1", split=f"{role}_validation")
        for role in ("target", "shadow")
    ]
    lines = [
        ("C1", "M_I(X~) is the best of the seven", "best row, SSIM", *numbers.leader(4)),
        ("C2", "it beats stand-alone X~", "SSIM gained", *_gain(x, stand_alone)),
        ("C3", "it beats M_I(O)", "SSIM gained", *_gain(x, o)),
        ("C4", "more inputs do not help", f"SSIM of {', '.join(COMBINATIONS)}", *_joined(rest, ".3f", ", ")),
        ("C5", "the class average is the best start", "best row, SSIM on D_F", *numbers.leader(3)),
        ("C6", "the shadow mimics the target", "F1 of M_T, M_S", *_joined(f1, ".4f", ", ")),
    ]
    for part in ("O", "X~"):
        exact, rounded = (numbers.pair(5, f"M_I({part})/{name}") for name in ("exact", "rounded"))
        change = tuple(f"{r - e:+.5f}" for r, e in zip(rounded, exact, strict=True))
        lines.append(("C7", "rounding to one decimal changes nothing", f"change of SSIM, M_I({part})", *change))
    for part in ("O", "X~"):
        falling = numbers.series(6, [f"M_I({part})/k={k}" for k in TRUNCATIONS])
        lines.append(("C8", "SSIM rises as k falls", f"SSIM, M_I({part}), k = 10, 5, 3, 1", *falling))
    similarity = similarity_to_class_average(results.frame("gallery"))
    for part in ("O", "X~"):
        ours = " → ".join(f"{similarity[_gallery_row(part, k)]:.3f}" for k in TRUNCATIONS)
        lines.append(("C9", "reconstructions approach the class average", f"SSIM with it, M_I({part})", "—", ours))
    best_head = numbers.leader(1, metric="f1", split="target_validation")
    lines.append(("C10", "no activation + dropout is the best head", "best row, F1", *best_head))
    return pd.DataFrame(lines, columns=["claim", "statement", "measure", "thesis", "here"])


def similarity_to_class_average(gallery: pd.DataFrame) -> dict[str, float]:
    """Mean SSIM of each truncation row of replicate 0 with the average image of the predicted class.

    Args:
        gallery: columns replicate, row, image, pixels (1,024 bytes), with the row "baseline: class average".
    Returns:
        By row of the gallery.
    """
    first = gallery[gallery["replicate"] == 0]
    averages = _pictures(first, "baseline: class average")
    rows = [_gallery_row(part, k) for part in ("O", "X~") for k in TRUNCATIONS]
    return {row: float(np.mean(list(map(_ssim, _pictures(first, row), averages)))) for row in rows}


def _gallery_row(part: str, k: int) -> str:
    return f"M_I({part})" if k == 10 else f"M_I({part})/k={k}"


def _pictures(gallery: pd.DataFrame, row: str) -> list[np.ndarray]:
    of_row = gallery[gallery["row"] == row].sort_values("image")
    return [np.frombuffer(pixels, dtype=np.uint8).reshape(32, 32) / 255 for pixels in of_row["pixels"]]


def _ssim(one: np.ndarray, other: np.ndarray) -> float:
    """As in ``mi_core.metrics``, through scikit-image: the valid region of an 11x11 Gaussian window."""
    _, full = structural_similarity(
        one, other, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1.0, full=True
    )
    return float(full[5:-5, 5:-5].mean())


def _gain(better: Pair, worse: Pair) -> tuple[str, str]:
    return tuple(f"{b / w - 1:+.1%}" for b, w in zip(better, worse, strict=True))


def _joined(pairs: Sequence[Pair], form: str, between: str) -> tuple[str, str]:
    return tuple(between.join(f"{pair[side]:{form}}" for pair in pairs) for side in (0, 1))
