"""Verdicts on tables whose replicate means were chosen, so that each rule has one answer."""

import gc
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mi_core.errors import UserError
from mi_core.report.notebook import show_claims, show_numbers
from mi_core.study import paper
from mi_core.study import results as results_module
from mi_core.study.comparison import CHANGES
from mi_core.study.manifest import Entry
from mi_core.study.paper import notebook_value, published_table, published_value
from mi_core.study.results import Results, open_results
from mi_core.study.store import Store
from mi_core.study.verdicts import CHAPTERS, COLUMNS, claim_comparisons, in_words, number_matches, verdicts

Line = tuple[int, str, str, str]
SPREAD = 1e-4  # of replicates, far below every difference that a claim rests on
T_975 = {2: 12.706205, 3: 4.302653, 5: 2.776445}  # of Student's t by number of replicates, from a printed table
EVERY = set(range(1, 7))
CLAIMS = [f"C{number}" for number in range(1, 11)]
PRINTED = pd.read_csv(Path(paper.__file__).with_name("published.csv"), keep_default_na=False)
LONG = {"target_val": "target_validation", "shadow_val": "shadow_validation"}
OWN = {  # lines of ours that the thesis does not print
    **{(6, f"M_I({part})/k=10", "test", "to_class_average"): 0.5 for part in ("O", "X~")},
    **{(6, f"M_I({part})/k=1", "test", "to_class_average"): 0.7 for part in ("O", "X~")},
    **{(6, f"M_I({part})/k=10", "test", "auc"): 0.9 for part in ("O", "X~")},
    **{(6, f"M_I({part})/k=1", "test", "auc"): 0.6 for part in ("O", "X~")},
    (4, "baseline: class average", "test", "ssim"): 0.45,
}
X, X_AVERAGE = (4, "M_I(X~)", "test", "ssim"), (3, "class_average", "test", "ssim")
O_EXACT, O_ROUNDED = ((5, f"M_I(O)/{name}", "test", "ssim") for name in ("exact", "rounded"))
NONE_DROPOUT = (1, "None/dropout", "target_validation", "f1")
TARGET, SHADOW = (2, "M_T", "target_validation", "f1"), (2, "M_S", "shadow_validation", "f1")


class Tables:
    """What verdicts read of ``Results``, with replicate means of one's own choice.

    Args:
        means: by table.
        at_scale: the tables that are at the thesis's scale.
        comparison: frame of the comparison of text and code, if there is one.
    """

    def __init__(self, means: Mapping[int, pd.DataFrame], at_scale: set[int], comparison: pd.DataFrame | None) -> None:
        self.means, self.at_scale, self.comparison = means, at_scale, comparison

    def replicate_means(self, number: int) -> pd.DataFrame:
        if number not in self.means:
            raise UserError(f"table{number} is not there")
        return self.means[number].copy()

    def at_paper_scale(self, experiment: str) -> bool:
        return experiment == "comparison" or int(experiment.removeprefix("table")) in self.at_scale

    def profile(self, experiment: str) -> str:
        return "paper" if self.at_paper_scale(experiment) else "quick"

    def has(self, experiment: str) -> bool:
        return (self.comparison if experiment == "comparison" else self.means.get(int(experiment[5:]))) is not None

    def frame(self, experiment: str) -> pd.DataFrame:
        assert experiment == "comparison", f"{experiment} is read by its replicate means only"
        return self.comparison


@cache
def centred(number: int, count: int) -> np.ndarray:
    """Draws with mean 0 and sample standard deviation 1: intervals follow by hand, pairs are not in step."""
    draws = np.random.default_rng([7, number]).standard_normal(count)
    return (draws - draws.mean()) / draws.std(ddof=1) if count > 1 else np.zeros(1)


def drawn(mean: float, spread: float, number: int = 0, count: int = 5) -> list[float]:
    return [float(value) for value in mean + spread * centred(number, count)]


def tables(
    lines: Mapping[Line, float | list[float]] | None = None,
    *,
    count: int = 5,
    at_scale: set[int] | None = None,
    only: set[int] | None = None,
    comparison: pd.DataFrame | None = None,
) -> Tables:
    """Every published number as the mean of ``count`` replicates, but for ``lines``: other means, or all values.

    ``only`` some of the tables are there, which is faster.
    """
    printed = {(n, row, LONG.get(split, split), metric): mean for n, row, split, metric, mean, _ in PRINTED.to_numpy()}
    chosen = {**printed, **OWN, **(lines or {})}
    assert len(chosen) == len(printed) + len(OWN), "a line of no table was changed"
    rows = []
    for number, (line, value) in enumerate(chosen.items()):
        values = value if isinstance(value, list) else drawn(value, SPREAD, number, count)
        rows += [(*line, replicate, each) for replicate, each in enumerate(values)]
    frame = pd.DataFrame(rows, columns=["table", "row", "split", "metric", "replicate", "value"])
    means = {
        table: part.drop(columns="table") for table, part in frame.groupby("table") if only is None or table in only
    }
    return Tables(means, EVERY if at_scale is None else at_scale, comparison)


def claims_of(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["statement"] != ""].set_index("item")


def number_of(frame: pd.DataFrame, line: Line) -> pd.Series:
    """The verdict on one published number."""
    table, row, split, metric = line
    name = f"Table {table}: {row}"
    found = frame[(frame["item"] == name) & (frame["split"] == split) & (frame["metric"] == metric)]
    assert len(found) == 1, line
    return found.iloc[0]


def matches(frame: pd.DataFrame, line: Line) -> tuple[str, str]:
    found = number_of(frame, line)
    return found["number_matches"], found["cause"]


def supported(frame: pd.DataFrame, claim: str) -> str:
    return claims_of(frame).loc[claim, "claim_supported"]


@pytest.fixture(autouse=True, scope="module")
def few_objects_to_collect() -> Iterator[None]:
    """Adjusting p values collects garbage each time, which takes long beside everything that is imported."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="module")
def as_printed() -> pd.DataFrame:
    return verdicts(tables())


# --- everything as published ---------------------------------------------------------------------------------------


def test_ten_claims_come_first_then_the_86_numbers_in_the_order_of_the_thesis(as_printed: pd.DataFrame) -> None:
    assert list(as_printed.columns) == COLUMNS
    assert len(as_printed) == 96
    assert list(as_printed["item"][:10]) == CLAIMS
    numbers = as_printed[10:].reset_index(drop=True)
    assert list(numbers["item"]) == [f"Table {table}: {row}" for table, row in PRINTED[["table", "row"]].to_numpy()]
    assert list(numbers["split"]) == [LONG.get(split, split) for split in PRINTED["split"]]
    assert list(numbers["metric"]) == list(PRINTED["metric"])
    np.testing.assert_array_equal(numbers["published"], PRINTED["mean"])
    assert list(numbers["chapter"]) == [CHAPTERS[table] for table in PRINTED["table"]]


def test_published_means_with_a_small_spread_match_and_support_every_claim(as_printed: pd.DataFrame) -> None:
    numbers = as_printed[10:]
    assert set(numbers["number_matches"]) == {"yes"}
    assert set(numbers["cause"]) == {"within spread"}
    assert set(numbers["claim_supported"]) == {""}
    assert set(as_printed["n"]) == {5}
    claims = claims_of(as_printed)
    assert claims["claim_supported"].to_dict() == dict.fromkeys(CLAIMS, "yes")
    assert set(claims["cause"]) == {"as claimed"}
    assert (claims["statement"] != "").all() and (claims["rule"] != "").all() and (claims["chapter"] != "").all()
    assert claims.loc[claims["number_matches"] != "", "number_matches"].to_dict() == {"C2": "yes", "C3": "yes"}


def test_two_claims_are_ratios_of_means_as_well(as_printed: pd.DataFrame) -> None:
    claims = claims_of(as_printed)
    for claim, ratio in (("C2", 0.3727 / 0.2409 - 1), ("C3", 0.3727 / 0.2298 - 1)):
        found = claims.loc[claim]
        assert found["published"] == pytest.approx(ratio, abs=1e-12)
        assert found["ours"] == pytest.approx(ratio, abs=1e-4)
        assert found["low"] < ratio < found["high"]
        assert found["high"] - found["low"] < 0.01


def test_the_comparison_that_is_shown_is_the_least_favourable(as_printed: pd.DataFrame) -> None:
    claims = claims_of(as_printed)
    expected = {  # difference of the published means that speaks least for the claim
        "C1": 0.3727 - 0.2467,  # O+X~
        "C4": 0.1619 - 0.2298,  # O+A_L
        "C5": 0.3014 - 0.2476,  # class_instance, D_S^V
        "C6": 0.9866 - 0.9856,
        "C7": 0.0965 - 0.0977,  # MSE of M_I(O)
        "C8": 0.4135 - 0.4092,  # 1 over 3, M_I(O)
        "C10": 0.9865 - 0.9851,  # Sigmoid without dropout
    }
    compared = {
        "C1": "M_I(X~) less M_I(O+X~)",
        "C2": "M_I(X~) over X~/class_average",
        "C3": "M_I(X~) over M_I(O)",
        "C5": "X~/class_average less X~/class_instance",
        "C6": "M_S less M_T (target_validation)",
        "C8": "M_I(O)/k=1 less M_I(O)/k=3",
    }
    assert claims.loc[list(compared), "compared"].to_dict() == compared
    assert set(as_printed["compared"][10:]) == {""}
    for claim, difference in expected.items():
        assert claims.loc[claim, "published"] == pytest.approx(difference), claim
        assert claims.loc[claim, "ours"] == pytest.approx(difference, abs=1e-9), claim
        assert claims.loc[claim, "low"] < difference < claims.loc[claim, "high"]
    assert claims.loc["C5", "split"] == "shadow_validation"
    assert claims.loc["C7", "metric"] == "mse"
    assert (claims.loc["C9", "metric"], claims.loc["C9", "ours"]) == ("to_class_average", pytest.approx(0.2))
    assert math.isnan(claims.loc["C9", "published"])


# --- the interval of a number --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("line", "m"), [(NONE_DROPOUT, 5), (TARGET, 1), (X_AVERAGE, 1), (X, 1), (O_EXACT, 1)])
@pytest.mark.parametrize("count", [3, 5])
def test_the_interval_is_as_computed_by_hand(line: Line, m: int, count: int) -> None:
    published = published_value(*line)
    half = T_975[count] * 0.002 * math.sqrt(1 / m + 1 / count)
    for offset, expected in ((0.99 * half, "yes"), (1.01 * half, "no"), (-0.99 * half, "yes"), (-1.01 * half, "no")):
        values = pd.Series(drawn(published + offset, 0.002, count=count))
        found, interval = number_matches(published, values, table=line[0], metric=line[3])
        assert found == expected
        bounds = (published + offset - half, published + offset + half)
        assert (interval.low, interval.high) == pytest.approx(bounds, abs=1e-8)
        assert interval.count == count


def test_a_mean_of_five_trainings_must_lie_nearer_than_one_of_a_single_training() -> None:
    """0.005 lies between 2.776 * 0.002 * sqrt(1/5 + 1/5) = 0.0035 and 2.776 * 0.002 * sqrt(1 + 1/5) = 0.0061."""
    changed = {line: drawn(published_value(*line) + 0.005, 0.002) for line in (NONE_DROPOUT, TARGET)}
    frame = verdicts(tables(changed, only={1, 2}))
    assert number_of(frame, NONE_DROPOUT)["number_matches"] == "no"
    assert number_of(frame, TARGET)["number_matches"] == "yes"
    assert number_of(frame, NONE_DROPOUT)["rule"] != number_of(frame, TARGET)["rule"]
    assert number_of(frame, TARGET)["high"] == pytest.approx(0.9856 + 0.005 + T_975[5] * 0.002 * math.sqrt(6 / 5))
    assert "1/5 + 1/n" in number_of(frame, NONE_DROPOUT)["rule"]
    assert "1/1 + 1/n" in number_of(frame, TARGET)["rule"]


@pytest.mark.parametrize(
    ("line", "m", "widest"),
    [
        (X, 1, 0.05),
        ((4, "M_I(X~)", "test", "mse"), 1, 0.02),
        (NONE_DROPOUT, 5, 0.02),
        (TARGET, 1, 0.02),
        ((1, "GELU/no-dropout", "target_train", "cross_entropy"), 5, 0.0075 / 2),
        ((2, "M_S", "shadow_validation", "cross_entropy"), 1, 0.0491 / 2),
    ],
)
@pytest.mark.parametrize(("far", "told"), [(0.0, "yes"), (2.0, "no")])
def test_where_the_interval_is_too_wide_nothing_is_told(
    line: Line, m: int, widest: float, far: float, told: str
) -> None:
    published = published_value(*line)
    for share, expected in ((0.99, told), (1.01, "cannot tell")):
        spread = share * widest / (T_975[5] * math.sqrt(1 / m + 1 / 5))
        values = pd.Series(drawn(published + far * widest, spread))
        assert number_matches(published, values, table=line[0], metric=line[3])[0] == expected


@pytest.mark.parametrize("table", [1, 4])
def test_a_number_from_the_same_distribution_misses_in_one_case_of_twenty(table: int) -> None:
    rng, trials, spread = np.random.default_rng(20), 3000, 0.003
    published = 0.7 + spread / math.sqrt(5 if table == 1 else 1) * rng.standard_normal(trials)
    ours = 0.7 + spread * rng.standard_normal((trials, 5))
    metric = "f1" if table == 1 else "ssim"
    found = [
        number_matches(number, pd.Series(values), table=table, metric=metric)[0]
        for number, values in zip(published, ours, strict=True)
    ]
    assert set(found) == {"yes", "no"}
    standard_error = math.sqrt(0.05 * 0.95 / trials)  # 0.004
    assert found.count("no") / trials == pytest.approx(0.05, abs=3 * standard_error)


# --- causes --------------------------------------------------------------------------------------------------------


def comparison_of(moves: Mapping[tuple[str, str], tuple[float, float]], scale: float = 1.0) -> pd.DataFrame:
    """Scores of the comparison: 0.3 SSIM and 0.08 MSE, moved by (change, row). Images and replicates average out."""
    rows = [(change.name, row) for change in CHANGES for row in change.rows]
    lines = []
    for change, row in [*rows, ("", "baseline: class average")]:
        ssim, mse = moves.get((change, row), (0.0, 0.0))
        for replicate, image, noise in ((0, 0, 0.5), (0, 1, -0.25), (1, 0, 0.0), (1, 1, -0.25)):
            at = {"replicate": replicate, "change": change, "row": row, "split": "test", "inverse_seed": 0}
            scores = {"ssim": 0.3 + scale * ssim + noise * ssim, "mse": 0.08 + scale * mse + noise * mse}
            lines.append(at | {"image": image, "label": 0, "judged": 0} | scores)
    ranks = {f"{name}_{by}": 1 for name in ("closer", "tied") for by in ("l2", "ssim", "features")}
    shares = {f"false_positives_{by}": 0.5 for by in ("l2", "ssim", "features")}
    rest = dict.fromkeys(("feature_distance", "to_class_average", "shuffled_ssim", "shuffled_mse", "shuffled_auc"), 0.5)
    return pd.DataFrame(lines).assign(others=200, **ranks, **shares, **rest)


MOVES = {
    # M_I(X~) has to rise: of the choices on which text and code differ, the update closes more than half of the gap.
    ("data_term=cross_entropy", "M_I(X~)"): (0.03, 0.02),
    ("update=gradient_descent", "M_I(X~)"): (0.06, -0.02),
    ("learning_rate=0.1", "M_I(X~)"): (0.07, -0.025),  # on these two text and code agree
    ("clip_norm=0.0", "M_I(X~)"): (-0.06, -0.004),
    ("outputs=probabilities", "M_I(X~)"): (0.07, 0.036),
    ("regularisers=own_search, search_outputs=shadow", "M_I(X~)"): (0.3, -0.03),
    ("protocol=text", "M_I(X~)"): (0.3, -0.03),
    ("protocol=text, learning_rate=0.1", "M_I(X~)"): (0.3, -0.03),
    ("update=gradient_descent", "X~/class_average"): (-0.05, 0.0),
    ("regulariser_scope=image", "X~/class_average"): (0.05, 0.0),
    ("inverse_hidden=relu", "M_I(O)"): (0.0, 0.03),
    ("activation_weights=shadow", "M_I(A_L)"): (0.0099, -0.0049),  # below the margins: no difference
    ("activation_update=gradient_descent", "M_I(A_L)"): (-0.05, 0.01),
    ("round_training=True", "M_I(O)/rounded"): (0.05, 0.03),
    ("round_training=True", "M_I(X~)/rounded"): (0.05, 0.01),
    ("truncation_fill=lowest_remaining", "M_I(X~)/k=3"): (-0.02, 0.0051),
}
SHIFTED = {
    # (number, our mean): cause
    (X, 0.30): "text and code differ: update=gradient_descent",
    ((4, "M_I(X~)", "test", "mse"), 0.09): "text and code differ: update=gradient_descent",
    ((5, "M_I(X~)/exact", "test", "ssim"), 0.45): "text and code differ: clip_norm=0.0",
    ((5, "M_I(X~)/exact", "test", "mse"), 0.03): "text and code differ: data_term=cross_entropy",
    ((6, "M_I(X~)/k=10", "test", "ssim"), 0.31): "text and code differ: update=gradient_descent",
    ((6, "M_I(O)/k=10", "test", "mse"), 0.05): "text and code differ: inverse_hidden=relu",
    ((6, "M_I(O)/k=10", "test", "ssim"), 0.35): "unknown",
    (X_AVERAGE, 0.30): "text and code differ: update=gradient_descent",
    ((3, "class_average", "test", "mse"), 0.10): "unknown",
    ((3, "class_average", "shadow_validation", "ssim"), 0.40): "unknown",  # the comparison is of D_F
    ((3, "random", "test", "ssim"), 0.0718): "the notebook prints another value",
    ((3, "random", "shadow_validation", "ssim"), 0.1143): "the notebook prints another value",
    ((3, "class_instance", "test", "ssim"), 0.25): "unknown",
    (TARGET, 0.9886): "the notebook prints another value",
    ((2, "M_T", "target_train", "cross_entropy"), 0.0239): "the notebook prints another value",
    (SHADOW, 0.99): "unknown",
    (NONE_DROPOUT, 0.97): "unknown",
    ((4, "M_I(O)", "test", "ssim"), 0.2538): "other classifiers",  # what Table 6 prints of it, with k = 10
    ((4, "M_I(O)", "test", "mse"), 0.0977): "other classifiers",  # Table 5
    (O_EXACT, 0.2538): "other classifiers",  # Table 6
    ((4, "M_I(A_L)", "test", "ssim"), 0.10): "unknown",
    ((4, "M_I(A_L)", "test", "mse"), 0.09): "text and code differ: activation_update=gradient_descent",
    ((4, "M_I(O+X~)", "test", "ssim"), 0.30): "unknown",
    (O_ROUNDED, 0.2316): "the notebook prints another value",  # before what text and code say
    ((5, "M_I(O)/rounded", "test", "mse"), 0.05): "text and code differ: round_training=True",
    ((5, "M_I(X~)/rounded", "test", "ssim"), 0.30): "text and code differ: round_training=True",
    ((5, "M_I(X~)/rounded", "test", "mse"), 0.05): "text and code differ: round_training=True",
    ((6, "M_I(X~)/k=3", "test", "ssim"), 0.50): "unknown",
    ((6, "M_I(X~)/k=3", "test", "mse"), 0.05): "unknown",
    ((6, "M_I(X~)/k=5", "test", "ssim"), 0.50): "unknown",
}


@pytest.fixture(scope="module")
def shifted() -> pd.DataFrame:
    return verdicts(tables(dict(SHIFTED.keys()), comparison=comparison_of(MOVES)))


@pytest.mark.parametrize(
    ("shift", "cause"), SHIFTED.items(), ids=[" ".join(map(str, (*line, mean))) for line, mean in SHIFTED]
)
def test_the_cause_of_another_number_follows_from_what_else_is_printed_and_computed(
    shifted: pd.DataFrame, shift: tuple[Line, float], cause: str
) -> None:
    assert matches(shifted, shift[0]) == ("no", cause)


def test_numbers_that_were_not_moved_match_whatever_the_comparison_says(shifted: pd.DataFrame) -> None:
    numbers = shifted[10:]
    assert (numbers["number_matches"] == "no").sum() == len(SHIFTED)
    assert set(numbers.loc[numbers["number_matches"] != "no", "cause"]) == {"within spread"}


def test_the_same_experiment_in_another_table_comes_before_text_and_code() -> None:
    moves = {("inverse_hidden=relu", "M_I(O)"): (-0.02, 0.0), ("clip_norm=0.0", "M_I(X~)"): (-0.02, 0.0)}
    lines = {(4, "M_I(O)", "test", "ssim"): 0.2538, (6, "M_I(X~)/k=10", "test", "ssim"): 0.3727}
    frame = verdicts(tables(lines, comparison=comparison_of(moves), only={4, 6}))
    for line in lines:
        assert matches(frame, line) == ("no", "other classifiers")


def test_a_comparison_at_another_scale_explains_nothing() -> None:
    results = tables({X: 0.30}, comparison=comparison_of(MOVES), only={4})
    assert matches(verdicts(results), X) == ("no", "text and code differ: update=gradient_descent")
    at_scale = type(results).profile
    results.profile = lambda name: "quick" if name == "comparison" else at_scale(results, name)
    assert matches(verdicts(results), X) == ("no", "unknown")


def test_without_a_comparison_text_and_code_are_no_cause() -> None:
    frame = verdicts(tables({X: 0.30, X_AVERAGE: 0.2527}, only={3, 4}))
    assert matches(frame, X) == ("no", "unknown")
    assert matches(frame, X_AVERAGE) == ("no", "the notebook prints another value")


def test_another_metric_or_split_of_the_same_row_explains_nothing() -> None:
    """0.0966 is the MSE of M_I(O), 0.2295 the SSIM of the rounded row; neither is a value of the line itself."""
    lines = {(4, "M_I(O)", "test", "ssim"): 0.0966, (3, "random", "test", "ssim"): 0.1143, O_EXACT: 0.2316}
    frame = verdicts(tables(lines, only={3, 4, 5}))
    for line in lines:
        assert matches(frame, line) == ("no", "unknown")


def test_a_choice_that_leads_further_away_on_the_other_side_is_no_cause() -> None:
    moves = {("update=gradient_descent", "M_I(X~)"): (0.25, 0.0), ("clip_norm=0.0", "M_I(X~)"): (0.02, 0.0)}
    frame = verdicts(tables({X: 0.35}, comparison=comparison_of(moves), only={4}))
    assert matches(frame, X) == ("no", "text and code differ: clip_norm=0.0")


def test_a_spread_that_says_nothing_is_put_down_to_the_classifiers() -> None:
    frame = verdicts(
        tables({X: drawn(0.3727, 0.05), TARGET: drawn(0.5, 0.1), X_AVERAGE: drawn(0.2527, 0.05)}, only={2, 3, 4})
    )
    for line in (X, TARGET, X_AVERAGE):
        assert matches(frame, line) == ("cannot tell", "other classifiers")


# --- what is not judged --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2])
def test_fewer_than_three_replicates_are_not_enough(count: int) -> None:
    frame = verdicts(tables(count=count))
    assert set(frame["n"]) == {count}
    assert set(frame["cause"]) == {"too few replicates"}
    assert set(frame["number_matches"][10:]) == {"not enough"}
    assert set(frame["claim_supported"][:10]) == {"not enough"}
    assert set(claims_of(frame).loc[["C2", "C3"], "number_matches"]) == {"not enough"}
    assert frame["ours"].notna().all()


def test_three_replicates_are_enough() -> None:
    frame = verdicts(tables(count=3))
    assert set(frame["number_matches"][10:]) == {"yes"}
    assert set(frame["claim_supported"][:10]) == {"yes"}


def test_one_line_with_fewer_replicates_takes_only_its_own_verdict_and_its_claims() -> None:
    frame = verdicts(tables({X_AVERAGE: drawn(0.2409, SPREAD, count=2)}, only={3, 4}))
    assert matches(frame, X_AVERAGE) == ("not enough", "too few replicates")
    claims = claims_of(frame)
    assert list(claims.index[claims["claim_supported"] == "not enough"]) == ["C2", "C5"]
    assert (frame["number_matches"][10:] == "not enough").sum() == 1
    assert (frame["number_matches"][10:] == "yes").sum() == 12 - 1 + 14
    assert claims.loc["C2", "n"] == claims.loc["C5", "n"] == 2


def test_another_scale_is_shown_but_not_judged() -> None:
    lines = {X: drawn(0.1, 0.2), X_AVERAGE: drawn(0.2409, SPREAD, count=2), TARGET: 0.5}  # neither far, wide nor few
    frame = verdicts(tables(lines, at_scale=set()))
    assert set(frame["cause"]) == {"other scale"}
    assert set(frame["number_matches"][10:]) == {"not enough"}
    assert set(frame["claim_supported"][:10]) == {"not enough"}
    assert set(claims_of(frame).loc[["C2", "C3"], "number_matches"]) == {"not enough"}
    assert frame["ours"].notna().all()
    assert number_of(frame, X)["ours"] == pytest.approx(0.1)


def test_counts_are_of_claims_and_of_printed_numbers_and_none_is_counted_twice(as_printed: pd.DataFrame) -> None:
    assert in_words(as_printed) == (
        "Of 10 claims 10 are supported; of 86 printed numbers 86 match. "
        "Were all 86 correct, about 4 would miss by chance"
    )
    some = in_words(verdicts(tables(only={1, 2, 4, 6})))
    assert "Of 10 claims 7 are supported, 3 are undecided" in some
    assert "of 86 printed numbers 66 match, 20 are not judged" in some


def test_where_nothing_can_be_judged_nothing_is_counted() -> None:
    for frame in (verdicts(tables(at_scale=set())), verdicts(tables(only=set())), verdicts(tables(count=2))):
        assert in_words(frame) == "No verdicts yet: they need the thesis's sizes and at least three replicates"


def test_what_brackets_mean_is_said_at_their_head(as_printed: pd.DataFrame) -> None:
    frame = as_printed.assign(ours=-1e-6, low=-1e-6, high=0.0)
    claims, numbers = show_claims(frame).data, show_numbers(frame).data
    assert "here [95 % interval]" in claims and "Of a ratio, brackets hold where the thesis's would match." in claims
    assert "M_I(X~) less M_I(O+X~)" in claims
    assert "here [where the thesis&#x27;s would match]" in numbers
    assert "0.0000 [0.0000, 0.0000]" in claims and "-0.0000" not in claims + numbers


def test_a_table_that_is_missing_reads_not_computed() -> None:
    frame = verdicts(tables(only={1, 2, 4, 6}))
    missing = frame["item"].str.startswith(("Table 3", "Table 5"))
    assert missing.sum() == 12 + 8
    numbers, claims = frame[10:], claims_of(frame)
    assert set(numbers.loc[missing, "number_matches"]) == set(numbers.loc[missing, "cause"]) == {"not computed"}
    assert set(numbers.loc[~missing, "number_matches"]) == {"yes"}
    absent = claims["claim_supported"] == "not computed"
    assert list(claims.index[absent]) == ["C2", "C5", "C7"]
    assert set(claims.loc[absent, "cause"]) == {"not computed"}
    assert set(claims.loc[~absent, "claim_supported"]) == {"yes"}
    assert frame.loc[missing, "published"].notna().all()
    assert (
        frame.loc[missing | frame["item"].isin(["C2", "C5", "C7"]), ["ours", "low", "high", "n"]].isna().all(axis=None)
    )


def test_without_any_table_there_are_96_lines_of_nothing() -> None:
    nothing = tables(only=set())
    frame = verdicts(nothing)
    assert len(frame) == 96
    assert list(frame.columns) == COLUMNS
    assert set(frame["cause"]) == {"not computed"}
    assert frame[["ours", "low", "high", "n"]].isna().all(axis=None)
    assert claim_comparisons(nothing).empty


def test_beside_tables_at_the_thesis_s_scale_no_other_number_is_shown() -> None:
    mixed = tables({TARGET: 0.5, X_AVERAGE: 0.9}, at_scale={4, 6})
    frame = verdicts(mixed)
    ours = frame["item"].str.startswith(("Table 4", "Table 6")) | frame["item"].isin(["C1", "C3", "C4", "C8", "C9"])
    assert frame.loc[~ours, ["ours", "low", "high", "n"]].isna().all(axis=None)
    assert set(frame.loc[~ours, "cause"]) == {"not computed"}
    assert set(frame.loc[ours, "cause"]) == {"within spread", "as claimed"}
    assert set(claim_comparisons(mixed)["claim"]) == {"C1", "C3", "C4", "C8", "C9"}


# --- claims --------------------------------------------------------------------------------------------------------


def against(reference: list[float], differences: list[float]) -> list[float]:
    return [value + difference for value, difference in zip(reference, differences, strict=True)]


def test_a_replicate_that_disagrees_leaves_an_effect_partly_supported() -> None:
    average = drawn(0.2409, 0.001)
    frame = verdicts(tables({X_AVERAGE: average, X: against(average, [0.13, 0.14, 0.13, 0.14, -0.001])}, only={3, 4}))
    assert supported(frame, "C2") == "partly"
    assert claims_of(frame).loc["C2", "cause"] == "other classifiers"
    assert supported(frame, "C5") == "yes"


def test_an_effect_that_most_replicates_deny_is_not_supported() -> None:
    average = drawn(0.2409, 0.001)
    frame = verdicts(tables({X_AVERAGE: average, X: against(average, [-0.02, -0.03, -0.02, -0.03, 0.01])}, only={3, 4}))
    assert supported(frame, "C2") == "no"
    assert claims_of(frame).loc["C2", "cause"] == "other classifiers"
    frame = verdicts(
        tables({X_AVERAGE: average, X: against(average, [-0.02, -0.03, -0.02, -0.03, -0.01])}, only={3, 4})
    )
    assert supported(frame, "C2") == "no"
    assert claims_of(frame).loc["C2", "cause"] == "unknown"  # no replicate bears it out


def test_an_effect_whose_replicates_agree_but_vary_is_partly_supported() -> None:
    average = drawn(0.2409, 0.0001, count=3)
    lines = {X_AVERAGE: average, X: against(average, [0.01, 0.02, 0.03])}  # 0.02 ± 0.0248
    claim = claims_of(verdicts(tables(lines, count=3, only={3, 4}))).loc["C2"]
    assert claim["claim_supported"] == "partly"


def test_one_better_rival_refutes_the_best_of_seven_and_is_shown() -> None:
    rival = (4, "M_I(O+A_L)", "test", "ssim")
    claim = claims_of(verdicts(tables({rival: 0.40}, only={4}))).loc["C1"]
    assert claim["claim_supported"] == "no"
    assert claim["ours"] == pytest.approx(0.3727 - 0.40)
    assert claim["published"] == pytest.approx(0.3727 - 0.1619)


def test_the_ratio_may_differ_where_the_effect_is_there() -> None:
    frame = verdicts(tables({X: 0.45}, only={3, 4}))
    for claim, second in (("C2", 0.2409), ("C3", 0.2298)):
        found = claims_of(frame).loc[claim]
        assert (found["number_matches"], found["claim_supported"]) == ("no", "yes")
        assert found["ours"] == pytest.approx(0.45 / second - 1, abs=1e-4)
    frame = verdicts(tables({X: drawn(0.3727, 0.06)}, only={3, 4}))
    assert set(claims_of(frame).loc[["C2", "C3"], "number_matches"]) == {"cannot tell"}


def test_the_ratio_s_interval_is_that_of_one_further_training() -> None:
    lines = {X: drawn(0.4, 0.004), X_AVERAGE: [0.25] * 5}
    found = claims_of(verdicts(tables(lines, only={3, 4}))).loc["C2"]
    half = T_975[5] * 0.004 / 0.25 * math.sqrt(1 + 1 / 5)
    assert (found["ours"], found["low"], found["high"]) == pytest.approx((0.6, 0.6 - half, 0.6 + half), abs=1e-7)
    assert found["number_matches"] == "no"  # 0.6 ± 0.0487 does not hold 0.5471
    found = claims_of(verdicts(tables(lines | {X: drawn(0.4, 0.005)}, only={3, 4}))).loc["C2"]
    assert found["number_matches"] == "yes"  # 0.6 ± 0.0608 does


def four(mean: float, step: float) -> list[float]:
    """Four differences whose half-width is t(3) / sqrt(3) = 1.8374 steps."""
    return [mean - step, mean - step, mean + step, mean + step]


@pytest.mark.parametrize(
    ("mean", "expected"), [(0.004, "yes"), (-0.004, "yes"), (0.005, "open"), (0.016, "no"), (-0.016, "no")]
)
def test_claims_of_no_effect_are_decided_by_their_margins(mean: float, expected: str) -> None:
    """Steps of 0.003 give ± 0.0055: F1 and SSIM have a margin of 0.01, MSE one of 0.005."""
    exact, target = drawn(0.2287, 0.001, count=4), drawn(0.9856, 0.001, count=4)
    lines = {
        **{TARGET: target, SHADOW: against(target, four(mean, 0.003))},
        **{O_EXACT: exact, O_ROUNDED: against(exact, four(mean, 0.003))},
    }
    frame = verdicts(tables(lines, count=4, only={2, 5}))
    assert supported(frame, "C6") == supported(frame, "C7") == expected


@pytest.mark.parametrize(("mean", "expected"), [(0.002, "yes"), (-0.002, "yes"), (0.004, "open"), (-0.008, "no")])
def test_rounding_must_leave_the_error_within_its_own_margin(mean: float, expected: str) -> None:
    """Steps of 0.001 give ± 0.0018 MSE."""
    exact = drawn(0.0659, 0.001, count=4)
    lines = {
        (5, "M_I(X~)/exact", "test", "mse"): exact,
        (5, "M_I(X~)/rounded", "test", "mse"): against(exact, four(mean, 0.001)),
    }
    assert supported(verdicts(tables(lines, count=4, only={5})), "C7") == expected


@pytest.mark.parametrize(("mean", "expected"), [(-0.1, "yes"), (0.004, "yes"), (0.006, "open"), (0.02, "no")])
def test_more_inputs_may_harm_but_not_help_beyond_the_margin(mean: float, expected: str) -> None:
    best = drawn(0.3727, 0.001, count=4)
    lines = {X: best, (4, "M_I(O+A_L+X~)", "test", "ssim"): against(best, four(mean, 0.003))}
    found = claims_of(verdicts(tables(lines, count=4, only={4}))).loc["C4"]
    assert found["claim_supported"] == expected
    assert found["ours"] == pytest.approx(max(mean, 0.1619 - 0.2298))


def test_losing_the_instance_needs_both_to_happen_in_both_models() -> None:
    auc = (6, "M_I(X~)/k=1", "test", "auc")
    found = claims_of(verdicts(tables({auc: 0.95}, only={6}))).loc["C9"]  # rises from 0.9
    assert (found["claim_supported"], found["metric"]) == ("no", "auc")
    assert found["ours"] == pytest.approx(0.05)
    falling = {(6, f"M_I({part})/k=1", "test", "to_class_average"): 0.4 for part in ("O", "X~")}
    rising = {(6, f"M_I({part})/k=1", "test", "auc"): 0.95 for part in ("O", "X~")}
    assert supported(verdicts(tables({**falling, **rising}, only={6})), "C9") == "no"


def test_every_comparison_of_a_claim_is_listed_with_it() -> None:
    found = claim_comparisons(tables())
    sizes = {"C1": 6, "C2": 1, "C3": 1, "C4": 4, "C5": 4, "C6": 1, "C7": 4, "C8": 6, "C9": 4, "C10": 9}
    assert found["claim"].value_counts(sort=False).to_dict() == sizes
    assert list(found.columns[:3]) == ["claim", "first", "second"]
    assert (found["low"] < found["mean"]).all() and (found["mean"] < found["high"]).all()
    assert found.index.is_unique


def test_of_several_metrics_the_one_that_is_outside_its_margin_is_shown() -> None:
    """0.008 SSIM is inside 0.01, 0.007 MSE outside 0.005."""
    lines = {O_EXACT: 0.22, O_ROUNDED: 0.228}
    lines |= {(5, "M_I(O)/exact", "test", "mse"): 0.09, (5, "M_I(O)/rounded", "test", "mse"): 0.097}
    found = claims_of(verdicts(tables(lines, only={5}))).loc["C7"]
    assert found["claim_supported"] == "no"
    assert (found["metric"], found["ours"]) == ("mse", pytest.approx(0.007))


def test_the_comparison_that_keeps_a_claim_from_being_supported_is_shown() -> None:
    best = drawn(0.3727, SPREAD)
    lines = {X: best, (4, "M_I(O)", "test", "ssim"): drawn(0.3627, SPREAD, 1)}  # 0.01 in every replicate
    lines |= {(4, "M_I(A_L)", "test", "ssim"): against(best, [-0.12, -0.12, -0.12, -0.12, 0.02])}  # not in one
    found = claims_of(verdicts(tables(lines, only={4}))).loc["C1"]
    assert found["claim_supported"] == "partly"
    assert found["ours"] == pytest.approx(0.092)


def test_the_cause_of_a_claim_comes_from_the_comparisons_that_fail() -> None:
    exact = drawn(0.2287, SPREAD)
    lines = {O_EXACT: exact, O_ROUNDED: against(exact, [1e-4, -1e-4, 1e-4, -1e-4, 1e-4])}  # inside, signs mixed
    lines |= {(5, "M_I(X~)/rounded", "test", "mse"): 0.1}  # outside in every replicate
    found = claims_of(verdicts(tables(lines, only={5}))).loc["C7"]
    assert (found["claim_supported"], found["cause"]) == ("no", "unknown")


# --- what verdicts read --------------------------------------------------------------------------------------------


def test_published_values_are_those_of_the_tables_and_nan_elsewhere() -> None:
    for table in range(1, 7):
        for line in published_table(table).itertuples():
            assert published_value(table, line.row, line.split, line.metric) == line.mean
    assert published_value(*X) == 0.3727
    assert published_value(*NONE_DROPOUT) == 0.9865
    for line in ((7, "M_I(X~)", "test", "ssim"), (4, "M_I(X~)", "test", "auc"), (3, "random", "shadow_val", "ssim")):
        assert math.isnan(published_value(*line))


def test_the_notebook_s_values_belong_to_published_lines_and_are_nan_elsewhere() -> None:
    assert notebook_value(*X_AVERAGE) == 0.2527
    assert notebook_value(*TARGET) == 0.9886
    assert notebook_value(3, "random", "shadow_validation", "ssim") == 0.1143
    assert math.isnan(notebook_value(*X))
    rows = pd.read_csv(Path(paper.__file__).with_name("notebook.csv"))
    for row in rows.itertuples():
        line = (row.table, row.row, LONG.get(row.split, row.split), row.metric)
        assert notebook_value(*line) == row.mean
        assert not math.isnan(published_value(*line))


@pytest.mark.parametrize(
    ("profile", "changes", "expected"),
    [
        ("paper", {}, True),
        ("paper", {"seed": 3, "replicates": 2, "device": "cpu", "precision": "float32"}, True),
        ("paper", {"steps": 399}, False),
        ("paper", {"inverse_seeds": 1}, False),
        ("paper", {"protocol": "text"}, False),
        ("paper", {"learning_rate": 0.1}, False),
        ("standard", {}, False),
        ("quick", {}, False),
    ],
)
def test_only_the_thesis_s_sizes_and_choices_are_its_scale(
    profile: str, changes: dict[str, object], expected: bool, tmp_path: Path
) -> None:
    results = open_results(profile, changes, store=tmp_path, compute=False)
    assert results.at_paper_scale("table4") is expected


def test_published_tables_are_at_the_scale_of_their_own_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = [
        Entry(profile, experiment, 0, "score_table", 1, "0" * 32, "artefacts/none", 1.0, {})
        for profile, experiment in (("quick", "table4"), ("paper", "table4"), ("quick", "table5"))
    ]
    (tmp_path / "manifest.json").write_text(json.dumps({"entries": [asdict(entry) for entry in entries]}))
    monkeypatch.setattr(results_module, "published_folder", lambda: tmp_path)
    results = Results("published", None, Store(tmp_path / "empty"))
    assert results.at_paper_scale("table4") is True
    assert results.at_paper_scale("table5") is False
    assert results.has("table4") is results.has("table5") is True
    assert results.has("table6") is results.has("comparison") is False


def test_a_frame_is_there_once_one_replicate_is_finished_and_nothing_is_computed(tmp_path: Path) -> None:
    results = open_results("smoke", {"replicates": 2}, store=tmp_path, compute=False)
    assert results.has("table4") is False
    task = module_tasks(results)["table4"]
    Store(tmp_path).save(task.stage, task.key, pd.DataFrame({"row": ["M_I(O)"]}), {})
    assert results.has("table4") is True
    assert results.has("comparison") is False


def module_tasks(results: Results) -> dict[str, object]:
    """Tasks of the second replicate."""
    second = results_module.replicates(results.study)[1]
    return {name: results_module.EXPERIMENTS[name](second) for name in ("table4", "comparison")}


def test_replicate_means_average_images_then_inverse_seeds(tmp_path: Path) -> None:
    results = open_results("smoke", {}, store=tmp_path, compute=False)
    scores = comparison_of({}).query("change == '' and row in ('M_I(O)', 'M_I(X~)')").drop(columns="change")
    more = scores.query("image == 0").assign(inverse_seed=1)  # fewer images: seeds weigh the same nevertheless
    frame = pd.concat([scores.assign(ssim=0.2 + 0.1 * scores["image"]), more.assign(ssim=0.45)])
    results._frames["table4"] = frame
    found = results.replicate_means(4)
    assert list(found.columns) == ["row", "split", "metric", "replicate", "value"]
    ssim = found.query("metric == 'ssim'").set_index(["row", "replicate"])["value"]
    assert ssim.to_dict() == pytest.approx({(f"M_I({name})", r): 0.35 for name in ("O", "X~") for r in (0, 1)})
    assert not found.duplicated(["row", "split", "metric", "replicate"]).any()


def test_replicate_means_of_classifiers_are_their_scores(tmp_path: Path) -> None:
    results = open_results("smoke", {}, store=tmp_path, compute=False)
    row = {"row": "M_T", "split": "target_validation", "metric": "f1"}
    results._frames["table2"] = pd.DataFrame([{"replicate": r, **row, "value": 0.9 + r / 100} for r in range(3)])
    found = results.replicate_means(2)
    assert found.to_dict("records") == [{**row, "replicate": r, "value": 0.9 + r / 100} for r in range(3)]
    with pytest.raises(UserError, match="not computed yet"):
        results.replicate_means(4)


def test_one_of_a_kind_is_said_in_the_singular(as_printed: pd.DataFrame) -> None:
    single = as_printed.iloc[[0, 1, 10, 11]].copy()
    single["claim_supported"] = ["yes", "open", "", ""]
    single["number_matches"] = ["", "", "no", "cannot tell"]
    assert in_words(single) == (
        "Of 2 claims 1 is supported, 1 is undecided; of 2 printed numbers 1 does not, 1 varies too much here to tell"
    )
