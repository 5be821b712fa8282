"""The thesis's ten claims as comparisons between rows of its tables, tested on replicate means. Imports no torch."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mi_core.study.experiments import COMBINATIONS, HEADS, TRUNCATIONS
from mi_core.study.paper import published_value
from mi_core.study.statistics import PairedDifference, holm, paired_difference

__all__ = ["CLAIMS", "MARGINS", "VERDICTS", "Claim", "Comparison", "compare_lines", "judge", "judge_together"]

EFFECTS = ("rises", "falls")
VERDICTS = ("no", "open", "partly", "yes")  # from against a claim to for it
MARGINS = {"ssim": 0.01, "mse": 0.005, "f1": 0.01}  # differences smaller than these count as none

Line = tuple[int, str, str, str]  # table, row, split, metric
Means = Mapping[int, pd.DataFrame]  # by table: columns row, split, metric, replicate, value


@dataclass(frozen=True)
class Comparison:
    """One difference between two lines of the tables, and what the claim says of it.

    Attributes:
        first, second: the lines; the difference is first minus second.
        kind: "rises" (claimed above zero), "falls" (below), "equal" (inside the margin) or "at most" (below it).
        others: lines that compete with ``second``: the one with the highest mean is compared with.
    """

    first: Line
    second: Line
    kind: str = "rises"
    others: tuple[Line, ...] = ()

    @property
    def metric(self) -> str:
        return self.first[3]


@dataclass(frozen=True)
class Claim:
    """A claim of the thesis.

    Attributes:
        name: C1 to C10.
        statement: in words.
        rule: when it counts as supported, in words.
        comparisons: what is compared.
        chapter: where the book shows the evidence.
    """

    name: str
    statement: str
    rule: str
    comparisons: tuple[Comparison, ...]
    chapter: str


def _ssim(table: int, row: str, split: str = "test") -> Line:
    return table, row, split, "ssim"


def _model(combination: str) -> Line:
    return _ssim(4, f"M_I({combination})")


def _larger_combinations() -> Iterator[Comparison]:
    for combination in COMBINATIONS:
        parts = tuple(_model(part) for part in combination.split("+"))
        if len(parts) > 1:
            yield Comparison(_model(combination), parts[0], "at most", others=parts[1:])


def _by_k() -> Iterator[Comparison]:
    for part in ("O", "X~"):
        for more, fewer in zip(TRUNCATIONS[:-1], TRUNCATIONS[1:], strict=True):
            yield Comparison(_ssim(6, f"M_I({part})/k={fewer}"), _ssim(6, f"M_I({part})/k={more}"))


def _loss_of_the_instance() -> Iterator[Comparison]:
    for part in ("O", "X~"):
        one, ten = (f"M_I({part})/k={k}" for k in (1, 10))
        yield Comparison((6, one, "test", "to_class_average"), (6, ten, "test", "to_class_average"))
        yield Comparison((6, one, "test", "auc"), (6, ten, "test", "auc"), "falls")


def _rounding() -> Iterator[Comparison]:
    for part in ("O", "X~"):
        for metric in ("ssim", "mse"):
            rounded, exact = ((5, f"M_I({part})/{name}", "test", metric) for name in ("rounded", "exact"))
            yield Comparison(rounded, exact, "equal")


def _head(activation: str, dropout: bool) -> Line:
    return 1, f"{activation}/{'dropout' if dropout else 'no-dropout'}", "target_validation", "f1"


EFFECT = "each interval excludes zero on the claimed side and every replicate agrees in sign"
CLAIMS = (
    Claim(
        "C1",
        "M_I(X~) is the best of the seven",
        f"its SSIM minus each other's: {EFFECT}",
        tuple(Comparison(_model("X~"), _model(name)) for name in COMBINATIONS if name != "X~"),
        "rq1_inputs",
    ),
    Claim(
        "C2",
        "M_I(X~) beats stand-alone X~ by 54.73 % SSIM",
        f"its SSIM minus that of X~: {EFFECT}; the number is the ratio minus one, its mean over replicates",
        (Comparison(_model("X~"), _ssim(3, "class_average")),),
        "rq1_inputs",
    ),
    Claim(
        "C3",
        "M_I(X~) beats M_I(O) by 62.19 % SSIM",
        f"its SSIM minus that of M_I(O): {EFFECT}; the number is the ratio minus one, its mean over replicates",
        (Comparison(_model("X~"), _model("O")),),
        "rq1_inputs",
    ),
    Claim(
        "C4",
        "more inputs do not help",
        "SSIM of each larger combination minus that of the best of its parts: each interval lies below the margin",
        tuple(_larger_combinations()),
        "rq1_inputs",
    ),
    Claim(
        "C5",
        "the class average is the best start of the three",
        f"SSIM of its X~ minus that of each other start, D_S^V and D_F: {EFFECT}",
        tuple(
            Comparison(_ssim(3, "class_average", split), _ssim(3, start, split))
            for split in ("shadow_validation", "test")
            for start in ("random", "class_instance")
        ),
        "gradient_reconstructions",
    ),
    Claim(
        "C6",
        "the shadow mimics the target",
        "F1 of M_S minus F1 of M_T: the interval lies inside the margin",
        (Comparison((2, "M_S", "shadow_validation", "f1"), (2, "M_T", "target_validation", "f1"), "equal"),),
        "classifiers",
    ),
    Claim(
        "C7",
        "rounding to one decimal has minimal impact",
        "rounded minus exact, SSIM and MSE, both models: each interval lies inside the margin",
        tuple(_rounding()),
        "rq2_rounding",
    ),
    Claim(
        "C8",
        "SSIM rises as k falls, for both models",
        f"SSIM at 5 over 10, 3 over 5, 1 over 3, both models: {EFFECT}",
        tuple(_by_k()),
        "rq2_truncation",
    ),
    Claim(
        "C9",
        "as k falls, reconstructions lose the instance and approach the class average",
        f"from k = 10 to k = 1 SSIM to the class average rises and re-identification AUC falls, both models: {EFFECT}",
        tuple(_loss_of_the_instance()),
        "rq2_truncation",
    ),
    Claim(
        "C10",
        "no activation and dropout is the best head",
        f"its F1 minus that of each of the nine others: {EFFECT}",
        tuple(Comparison(_head("None", True), _head(*head)) for head in HEADS if head != ("None", True)),
        "classifiers",
    ),
)


def line_values(means: Means, line: Line) -> pd.Series:
    """A line's means by replicate.

    Raises:
        KeyError: the tables do not have it.
    """
    table, row, split, metric = line
    frame = means[table]
    values = frame[(frame["row"] == row) & (frame["split"] == split) & (frame["metric"] == metric)]
    if values.empty:
        raise KeyError(line)
    return values.set_index("replicate")["value"]


def compare_lines(claim: Claim, means: Means) -> pd.DataFrame:
    """Every comparison of a claim, with its interval and its p value adjusted for their number (Holm).

    Args:
        claim: one of ``CLAIMS``.
        means: replicate means of the tables that it compares.
    Returns:
        Columns first, second (rows; with its split where that is another), split, metric, kind, published (the same
        difference in the thesis's numbers, NaN where it prints none), mean, low, high, p_value, holm, agreeing,
        opposing, count. P values are of a difference of zero, so NaN for the kinds "equal" and "at most".
    Raises:
        KeyError: a table lacks a line.
    """
    lines = []
    for comparison in claim.comparisons:
        rivals = [comparison.second, *comparison.others]
        second = max(rivals, key=lambda line: line_values(means, line).mean())
        found = paired_difference(line_values(means, comparison.first), line_values(means, second))
        elsewhere = "" if second[2] == comparison.first[2] else f" ({second[2]})"
        names = (comparison.first[1], second[1] + elsewhere, comparison.first[2], comparison.metric, comparison.kind)
        published = published_value(*comparison.first) - published_value(*second)
        lines.append(
            (
                *names,
                published,
                found.mean,
                found.low,
                found.high,
                found.p_value,
                found.agreeing,
                found.opposing,
                found.count,
            )
        )
    columns = ["first", "second", "split", "metric", "kind", "published", "mean", "low", "high", "p_value"]
    columns += ["agreeing", "opposing", "count"]
    frame = pd.DataFrame(lines, columns=columns)
    frame.loc[~frame["kind"].isin(EFFECTS), "p_value"] = np.nan  # where no effect is claimed, no effect is not tested
    adjusted = holm({str(place): p for place, p in enumerate(frame["p_value"])})
    frame.insert(frame.columns.get_loc("p_value") + 1, "holm", list(adjusted.values()))
    return frame


def judge(kind: str, difference: PairedDifference, margin: float) -> str:
    """What one comparison says of the claim.

    An effect ("rises", "falls") is "yes" where its interval excludes zero on the claimed side and every replicate
    agrees in sign, "partly" where most replicates have the claimed sign, else "no". No effect ("equal", "at most") is
    "yes" where the interval lies inside the margin, "no" where it lies outside, else "open".
    """
    low, high, mean = difference.low, difference.high, difference.mean
    if kind in EFFECTS:
        sign = 1 if kind == "rises" else -1
        agreeing = difference.agreeing if sign * mean > 0 else difference.opposing
        if min(sign * low, sign * high) > 0 and agreeing == difference.count:
            return "yes"
        return "partly" if agreeing > difference.count / 2 else "no"
    floor = -margin if kind == "equal" else -np.inf
    if floor < low and high < margin:
        return "yes"
    return "no" if low > margin or high < floor else "open"


def judge_together(verdicts: Sequence[str]) -> str:
    """What the comparisons of a claim say together: what the one says that speaks least for it."""
    return min(verdicts, key=VERDICTS.index)
