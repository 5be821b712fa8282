"""One verdict for each claim of the thesis and each number that it prints, by rules fixed beforehand. No torch."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from mi_core.errors import UserError
from mi_core.study.claims import CLAIMS, MARGINS, Claim, compare_lines, judge, judge_together, line_values
from mi_core.study.comparison import CHANGES
from mi_core.study.leakage import row_means
from mi_core.study.paper import TABLE_METRICS, notebook_value, published_table, published_value
from mi_core.study.results import Results
from mi_core.study.statistics import Interval, PairedDifference, prediction_interval

__all__ = ["CHAPTERS", "COLUMNS", "FEWEST_REPLICATES", "claim_comparisons", "number_matches", "verdicts"]

FEWEST_REPLICATES = 3
WIDEST = {"ssim": 0.05, "mse": 0.02, "f1": 0.05}  # half-widths beyond which a comparison cannot tell
TRAININGS = {1: 5}  # that a published mean averages, by table; else one pair of classifiers
CHAPTERS = {
    1: "classifiers",
    2: "classifiers",
    3: "gradient_reconstructions",
    4: "rq1_inputs",
    5: "rq2_rounding",
    6: "rq2_truncation",
}
COLUMNS = [
    "item",
    "statement",
    "split",
    "metric",
    "published",
    "ours",
    "low",
    "high",
    "n",
    "rule",
    "number_matches",
    "claim_supported",
    "cause",
    "chapter",
]
NUMBER_RULE = "inside mean ± t sd sqrt(1/{m} + 1/n) over replicates"
RATIOS = {"C2": (3, "class_average"), "C3": (4, "M_I(O)")}  # M_I(X~) over these, minus one
# Lines that are one experiment, printed with several values, by what is theirs alone in the name.
SAME = (
    ((4, "M_I(O)"), (5, "M_I(O)/exact"), (6, "M_I(O)/k=10")),
    ((4, "M_I(X~)"), (5, "M_I(X~)/exact"), (6, "M_I(X~)/k=10")),
)
# Rows of the comparison of text and code, where they are named otherwise than in their table.
COMPARED_AS = {
    (3, "class_average"): "X~/class_average",
    **{line: lines[0][1] for lines in SAME for line in lines},
}


def number_matches(published: float, values: pd.Series, *, table: int, metric: str) -> tuple[str, Interval]:
    """Whether a published mean lies where ours says a mean of its kind would.

    It must lie within mean ± t(n-1) sd sqrt(1/m + 1/n), sd over replicate means; m is 5 in Table 1, whose published
    means average five trainings, else 1. Where the half-width exceeds 0.05 SSIM, 0.02 MSE, 0.05 F1 or half the
    published loss it is "cannot tell", with fewer than three replicates "not enough".

    Args:
        published: the thesis's mean.
        values: ours, one mean a replicate.
        table: number of the thesis's table.
        metric: of the number.
    Returns:
        "yes", "no", "cannot tell" or "not enough", and the interval.
    """
    interval = prediction_interval(values, published_trainings=TRAININGS.get(table, 1))
    return _inside(published, interval, WIDEST.get(metric, published / 2)), interval


def _inside(published: float, interval: Interval, widest: float) -> str:
    if interval.count < FEWEST_REPLICATES:
        return "not enough"
    if (interval.high - interval.low) / 2 > widest:
        return "cannot tell"
    return "yes" if interval.low <= published <= interval.high else "no"


def verdicts(results: Results) -> pd.DataFrame:
    """The ten claims, then every published number: ours, the rule, what it says, and why.

    Only tables at the thesis's own scale with at least three replicates are judged; other lines read "not enough".
    A table that is not there reads "not computed".

    Returns:
        ``COLUMNS``: item ("C1" or "Table 4: M_I(O)"), statement (of a claim), split, metric, published, ours, low and
        high (interval; for a number where the published one may lie), n, rule, number_matches, claim_supported
        ("" where it does not apply), cause and chapter. A claim of several comparisons shows the one that is least
        in its favour.
    """
    available = _Available(results)
    lines = [_claim_line(claim, available) for claim in CLAIMS]
    for table in TABLE_METRICS:
        lines += [_number_line(table, line, available) for line in published_table(table).to_dict("records")]
    return pd.DataFrame(lines, columns=COLUMNS)


def claim_comparisons(results: Results) -> pd.DataFrame:
    """Every comparison that a claim rests on, with interval, p value, the same adjusted within the claim (Holm)."""
    available, frames = _Available(results), []
    for claim in CLAIMS:
        if available.has(claim):
            frames.append(compare_lines(claim, available.means).assign(claim=claim.name))
    if not frames:
        return pd.DataFrame()
    return pd.concat(frames, ignore_index=True)[["claim", *frames[0].columns.drop("claim")]]


class _Available:
    """Replicate means of the tables that there are, and which of them are at the thesis's scale."""

    def __init__(self, results: Results) -> None:
        self.means: dict[int, pd.DataFrame] = {}
        self.judged: dict[int, bool] = {}
        for table in TABLE_METRICS:
            try:
                self.means[table] = results.replicate_means(table)
            except UserError:
                continue
            self.judged[table] = results.at_paper_scale(f"table{table}")
        if any(self.judged.values()):  # numbers of another scale do not stand beside these
            self.means = {table: means for table, means in self.means.items() if self.judged[table]}
        self.shifts = _shifts(results)

    def has(self, claim: Claim) -> bool:
        return _tables(claim) <= self.means.keys()


def _tables(claim: Claim) -> set[int]:
    return {line[0] for comparison in claim.comparisons for line in (comparison.first, comparison.second)}


# --- claims --------------------------------------------------------------------------------------------------------


def _claim_line(claim: Claim, available: _Available) -> dict[str, Any]:
    line = {"item": claim.name, "statement": claim.statement, "rule": claim.rule, "chapter": claim.chapter}
    line |= {"number_matches": "", "claim_supported": "not computed", "cause": "not computed"}
    if not available.has(claim):
        return line
    compared = compare_lines(claim, available.means)
    shown = _ratio_line(claim, available) if claim.name in RATIOS else _least_favourable(compared)
    line |= shown | {"n": int(compared["count"].min())}
    if not all(available.judged[table] for table in _tables(claim)):
        enough, cause = False, "other scale"
    else:
        enough, cause = line["n"] >= FEWEST_REPLICATES, "too few replicates"
    if not enough:
        matches = "not enough" if claim.name in RATIOS else ""
        return line | {"number_matches": matches, "claim_supported": "not enough", "cause": cause}
    each = [
        judge(kind, PairedDifference(*numbers), MARGINS.get(metric, 0.0))
        for kind, metric, *numbers in compared[
            ["kind", "metric", "mean", "low", "high", "p_value", "count", "agreeing"]
        ].itertuples(index=False)
    ]
    supported = judge_together(claim.comparisons[0].kind, each)
    return line | {"claim_supported": supported, "cause": _cause_of_claim(supported, compared)}


def _least_favourable(compared: pd.DataFrame) -> dict[str, Any]:
    """Of a claim's comparisons the one that speaks least for it."""
    kinds = compared["kind"]
    if kinds.isin(("rises", "falls")).all():
        least = compared["mean"].where(kinds == "rises", -compared["mean"]).idxmin()
    else:
        least = compared["mean"].where(kinds == "at most", compared["mean"].abs()).idxmax()
    shown = compared.loc[least].to_dict()
    return {name: shown[name] for name in ("split", "metric", "published", "low", "high")} | {"ours": shown["mean"]}


def _ratio_line(claim: Claim, available: _Available) -> dict[str, Any]:
    table, row = RATIOS[claim.name]
    ours = [line_values(available.means, (t, r, "test", "ssim")) for t, r in ((4, "M_I(X~)"), (table, row))]
    first, second = (published_value(t, r, "test", "ssim") for t, r in ((4, "M_I(X~)"), (table, row)))
    joined = pd.concat(ours, axis=1, join="inner")
    interval = prediction_interval(joined.iloc[:, 0] / joined.iloc[:, 1] - 1)
    judged = all(available.judged[each] for each in _tables(claim))
    matches = _inside(first / second - 1, interval, WIDEST["ssim"] / second) if judged else "not enough"
    return {
        "split": "test",
        "metric": "ratio of ssim, minus one",
        "published": first / second - 1,
        "ours": interval.mean,
        "low": interval.low,
        "high": interval.high,
        "number_matches": matches,
    }


def _cause_of_claim(supported: str, compared: pd.DataFrame) -> str:
    if supported == "yes":
        return "as claimed"
    disagreeing = compared["agreeing"] < compared["count"]
    return "other classifiers" if disagreeing.any() else "unknown"


# --- numbers -------------------------------------------------------------------------------------------------------


def _number_line(table: int, printed: Mapping[str, Any], available: _Available) -> dict[str, Any]:
    row, split, metric, published = (printed[name] for name in ("row", "split", "metric", "mean"))
    m = TRAININGS.get(table, 1)
    line = {"item": f"Table {table}: {row}", "statement": "", "split": split, "metric": metric, "published": published}
    line |= {"rule": NUMBER_RULE.format(m=m), "claim_supported": "", "chapter": CHAPTERS[table]}
    if table not in available.means:
        return line | {"number_matches": "not computed", "cause": "not computed"}
    values = line_values(available.means, (table, row, split, metric))
    matches, interval = number_matches(published, values, table=table, metric=metric)
    line |= {"ours": interval.mean, "low": interval.low, "high": interval.high, "n": interval.count}
    if not available.judged[table]:
        return line | {"number_matches": "not enough", "cause": "other scale"}
    return line | {"number_matches": matches, "cause": _cause(table, row, split, metric, matches, interval, available)}


def _cause(
    table: int, row: str, split: str, metric: str, matches: str, interval: Interval, available: _Available
) -> str:
    """Why a number does or does not match, the first that applies."""
    settled = {"yes": "within spread", "not enough": "too few replicates", "cannot tell": "other classifiers"}
    if matches in settled:
        return settled[matches]

    def fits(value: float) -> bool:
        return bool(interval.low <= value <= interval.high)

    if fits(notebook_value(table, row, split, metric)):
        return "the notebook prints another value"
    same = [lines for lines in SAME if (table, row) in lines]
    if any(fits(published_value(*other, split, metric)) for lines in same for other in lines if other != (table, row)):
        return "other classifiers"
    wanted = published_value(table, row, split, metric) - interval.mean
    shift = available.shifts.get((COMPARED_AS.get((table, row), row), metric), {}) if split == "test" else {}
    towards = {name: change for name, change in shift.items() if change * wanted > 0}
    if towards:
        return f"text and code differ: {max(towards, key=lambda name: abs(towards[name]))}"
    return "unknown"


def _shifts(results: Results) -> dict[tuple[str, str], dict[str, float]]:
    """By row and metric of the comparison: each single choice that moves the mean by more than the margin."""
    if not results.has("comparison"):
        return {}
    frame = row_means(results.frame("comparison"))
    means = frame.groupby(["change", "row", "metric"])["value"].mean()
    found: dict[tuple[str, str], dict[str, float]] = {}
    for change in CHANGES:
        if len(change.choices) == 1 and not change.reference:
            for row in change.rows:
                for metric in ("ssim", "mse"):
                    moved = float(means[change.name, row, metric] - means["", row, metric])
                    if abs(moved) > MARGINS[metric]:
                        found.setdefault((row, metric), {})[change.name] = moved
    return found
