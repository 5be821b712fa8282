"""One verdict for each claim of the thesis and each number that it prints, by rules fixed beforehand. No torch."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pandas as pd

from mi_core.errors import UserError
from mi_core.study.claims import (
    CLAIMS,
    EFFECTS,
    MARGINS,
    VERDICTS,
    Claim,
    compare_lines,
    judge,
    judge_together,
    line_values,
)
from mi_core.study.comparison import CHANGES, Change
from mi_core.study.experiments import STARTS
from mi_core.study.leakage import row_means
from mi_core.study.paper import TABLE_METRICS, notebook_value, published_table, published_value
from mi_core.study.parameters import CODE, PROFILES, TEXT
from mi_core.study.results import Results
from mi_core.study.statistics import FEWEST_REPLICATES, Interval, PairedDifference, prediction_interval

__all__ = [
    "CHAPTERS",
    "COLUMNS",
    "EXPERIMENTS",
    "claim_comparisons",
    "in_words",
    "number_matches",
    "verdicts",
]

EXPERIMENTS = ("agreement", *(f"table{table}" for table in TABLE_METRICS))  # published ones come from one profile
WIDEST = {"ssim": 0.05, "mse": 0.02, "f1": 0.02}  # half-widths beyond which a comparison cannot tell
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
    "compared",
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
SINGULAR = {"are": "is", "match": "matches", "do": "does", "vary": "varies"}
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
    means average five trainings, else 1. Where the half-width exceeds 0.05 SSIM, 0.02 MSE, 0.02 F1 or half the
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
    if interval.half_width > widest:
        return "cannot tell"
    return "yes" if interval.low <= published <= interval.high else "no"


def verdicts(results: Results) -> pd.DataFrame:
    """The ten claims, then every published number: ours, the rule, what it says, and why.

    Only tables at the thesis's own scale with at least three replicates are judged; other lines read "not enough".
    A table that is not there reads "not computed".

    Returns:
        ``COLUMNS``: item ("C1" or "Table 4: M_I(O)"), statement (of a claim), compared (the rows whose difference or
        ratio a claim's line shows, "" for a number), split, metric, published, ours, low and high (interval; for a
        number or a ratio where the published one may lie), n, rule, number_matches, claim_supported
        ("" where it does not apply), cause and chapter. A claim of several comparisons shows the one that is least
        in its favour.
    """
    available = _Available(results)
    lines = [_claim_line(claim, available) for claim in CLAIMS]
    for table in TABLE_METRICS:
        lines += [_number_line(table, line, available) for line in published_table(table).to_dict("records")]
    return pd.DataFrame(lines, columns=COLUMNS)


def in_words(frame: pd.DataFrame) -> str:
    """What verdicts come to: their counts, or one sentence where none could be given.

    Args:
        frame: what ``verdicts`` gives.
    """
    claims = frame.loc[frame["statement"] != "", "claim_supported"].value_counts()
    numbers = frame.loc[frame["statement"] == "", "number_matches"].value_counts()
    if not {*claims.index, *numbers.index} - {"not enough", "not computed"}:
        return "No verdicts yet: they need the thesis's sizes and at least three replicates"
    yes, partly, no = (claims.get(verdict, 0) for verdict in ("yes", "partly", "no"))
    match, miss, wide = (numbers.get(verdict, 0) for verdict in ("yes", "no", "cannot tell"))
    decided = {"are supported": yes, "are supported partly": partly, "are not supported": no}
    decided["are undecided"] = claims.sum() - yes - partly - no
    judged = {"match": match, "do not": miss, "vary too much here to tell": wide}
    judged["are not judged"] = numbers.sum() - match - miss - wide
    said = f"Of {claims.sum()} claims {_counts(decided)}; of {numbers.sum()} printed numbers {_counts(judged)}"
    by_chance = round((match + miss) / 20)
    return f"{said}. Were all {match + miss} correct, about {by_chance} would miss by chance" if by_chance else said


def _counts(found: Mapping[str, int]) -> str:
    return ", ".join(
        f"{count} {_of_one(verdict) if count == 1 else verdict}" for verdict, count in found.items() if count
    )


def _of_one(verdict: str) -> str:
    verb, _, rest = verdict.partition(" ")
    return " ".join([SINGULAR[verb], rest]).strip()


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
    """Replicate means of the tables of one profile, the largest that any has, and whether that is the thesis's scale.

    Numbers of another scale do not stand beside these: such a table counts as not computed.
    """

    def __init__(self, results: Results) -> None:
        means, profiles = {}, {}
        for table in TABLE_METRICS:
            with suppress(UserError):  # neither there nor to be computed
                means[table] = results.replicate_means(table)
                profiles[table] = results.profile(f"table{table}")
        largest = max(profiles.values(), key=list(PROFILES).index, default=None)
        self.means = {table: frame for table, frame in means.items() if profiles[table] == largest}
        self.judged = {table: results.at_paper_scale(f"table{table}") for table in self.means}
        self.shifts = _shifts(results, largest)

    def has(self, claim: Claim) -> bool:
        """Whether there is a replicate with all tables that a claim compares."""
        if not _tables(claim) <= self.means.keys():
            return False
        return bool(set.intersection(*(set(self.means[table]["replicate"]) for table in _tables(claim))))


def _tables(claim: Claim) -> set[int]:
    return {line[0] for comparison in claim.comparisons for line in (comparison.first, comparison.second)}


# --- claims --------------------------------------------------------------------------------------------------------


def _claim_line(claim: Claim, available: _Available) -> dict[str, Any]:
    number = "not computed" if claim.name in RATIOS else ""
    line = {"item": claim.name, "statement": claim.statement, "compared": ""}
    line |= {"rule": claim.rule, "chapter": claim.chapter}
    if not available.has(claim):
        return line | {"number_matches": number, "claim_supported": "not computed", "cause": "not computed"}
    compared = _judged(compare_lines(claim, available.means))
    line |= _ratio_line(claim, available) if claim.name in RATIOS else {"number_matches": ""} | _shown(compared)
    line["n"] = int(compared["count"].min())
    at_scale = all(available.judged[table] for table in _tables(claim))
    if not at_scale or line["n"] < FEWEST_REPLICATES:
        number = "not enough" if claim.name in RATIOS else ""
        cause = "too few replicates" if at_scale else "other scale"
        return line | {"number_matches": number, "claim_supported": "not enough", "cause": cause}
    supported = judge_together(compared["verdict"].tolist())
    cause = _cause_of_claim(supported, compared)
    if supported == "yes" and line["number_matches"] == "no":
        cause = "the size differs"
    return line | {"claim_supported": supported, "cause": cause}


def _judged(compared: pd.DataFrame) -> pd.DataFrame:
    """Comparisons with what each says, those that speak least for the claim first: by that, then by size in margins."""
    verdicts, favour = [], []
    for line in compared.itertuples():
        found = PairedDifference(line.mean, line.low, line.high, line.p_value, line.count, line.agreeing, line.opposing)
        margin = MARGINS.get(line.metric, 0.01)
        verdicts.append(judge(line.kind, found, margin))
        towards = {"rises": line.mean, "falls": -line.mean, "at most": -line.mean, "equal": -abs(line.mean)}[line.kind]
        favour.append(towards / margin)
    frame = compared.assign(verdict=verdicts, favour=favour, order=[VERDICTS.index(verdict) for verdict in verdicts])
    return frame.sort_values(["order", "favour"], kind="stable").drop(columns=["order", "favour"])


def _shown(compared: pd.DataFrame) -> dict[str, Any]:
    least = compared.iloc[0].to_dict()
    shown = {name: least[name] for name in ("split", "metric", "published", "low", "high")}
    compared = f"{_full_name(least['first'])} less {_full_name(least['second'])}"
    return shown | {"ours": least["mean"], "compared": compared}


def _full_name(row: str) -> str:
    """A row of Table 3 is named by its start alone there."""
    return f"X~/{row}" if row in STARTS else row


def _ratio_line(claim: Claim, available: _Available) -> dict[str, Any]:
    """The mean ratio of a replicate, and where the ratio of another one may lie."""
    lines = ((4, "M_I(X~)", "test", "ssim"), (*RATIOS[claim.name], "test", "ssim"))
    ours = pd.concat([line_values(available.means, line) for line in lines], axis=1, join="inner")
    first, second = (published_value(*line) for line in lines)
    interval = prediction_interval(ours.iloc[:, 0] / ours.iloc[:, 1] - 1)
    return {
        "compared": f"{lines[0][1]} over {_full_name(lines[1][1])}",
        "split": "test",
        "metric": "ratio of ssim, minus one",
        "published": first / second - 1,
        "ours": interval.mean,
        "low": interval.low,
        "high": interval.high,
        "number_matches": _inside(first / second - 1, interval, WIDEST["ssim"] / second),
    }


def _cause_of_claim(supported: str, compared: pd.DataFrame) -> str:
    if supported == "yes":
        return "as claimed"
    against = compared[(compared["verdict"] == supported) & compared["kind"].isin(EFFECTS)]
    return "other classifiers" if (against["agreeing"] < against["count"]).any() else "unknown"


# --- numbers -------------------------------------------------------------------------------------------------------


def _number_line(table: int, printed: Mapping[str, Any], available: _Available) -> dict[str, Any]:
    row, split, metric, published = (printed[name] for name in ("row", "split", "metric", "mean"))
    m = TRAININGS.get(table, 1)
    line = {"item": f"Table {table}: {row}", "statement": "", "compared": "", "split": split, "metric": metric}
    line |= {"published": published, "rule": NUMBER_RULE.format(m=m), "claim_supported": "", "chapter": CHAPTERS[table]}
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
    nearer = {name: abs(wanted - moved) for name, moved in shift.items() if abs(wanted - moved) < abs(wanted) / 2}
    if nearer:
        return f"text and code differ: {min(nearer, key=nearer.get)}"
    return "unknown"


def _is_the_text_s(change: Change) -> bool:
    """Whether a change is a single choice of the text's, made to the code's protocol."""
    if len(change.choices) != 1 or change.reference or change.protocol != "code":
        return False
    [(name, value)] = change.choices.items()
    return getattr(CODE, name) != getattr(TEXT, name) == value


def _shifts(results: Results, profile: str | None) -> dict[tuple[str, str], dict[str, float]]:
    """By row and metric of the comparison: each choice on which text and code differ, if the text's moves the mean by
    more than the margin; nothing where the comparison stands at another profile than the tables."""
    if not results.has("comparison") or results.profile("comparison") != profile:
        return {}
    frame = row_means(results.frame("comparison"))
    means = frame.groupby(["change", "row", "metric"])["value"].mean()
    found: dict[tuple[str, str], dict[str, float]] = {}
    for change in CHANGES:
        if _is_the_text_s(change):
            for row in change.rows:
                for metric in ("ssim", "mse"):
                    moved = float(means[change.name, row, metric] - means["", row, metric])
                    if abs(moved) > MARGINS[metric]:
                        found.setdefault((row, metric), {})[change.name] = moved
    return found
