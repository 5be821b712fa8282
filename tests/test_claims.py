"""What each claim compares, and what intervals by hand say of it."""

import math

import numpy as np
import pandas as pd
import pytest

from mi_core.study.claims import CLAIMS, MARGINS, compare_lines, judge, judge_together
from mi_core.study.statistics import paired_difference

BY_NAME = {claim.name: claim for claim in CLAIMS}
T_975 = {3: 4.302653, 4: 3.182446, 5: 2.776445}  # of Student's t by number of replicates, from a printed table


def line(table: int, row: str, split: str = "test", metric: str = "ssim") -> tuple[int, str, str, str]:
    return table, row, split, metric


def heads(*without: str) -> list[tuple[int, str, str, str]]:
    names = [
        f"{name}/{end}" for name in ("None", "ReLU", "Sigmoid", "GELU", "SiLU") for end in ("no-dropout", "dropout")
    ]
    return [line(1, name, "target_validation", "f1") for name in names if name not in without]


def truncated(part: str, k: int, metric: str = "ssim") -> tuple[int, str, str, str]:
    return line(6, f"M_I({part})/k={k}", metric=metric)


BEST = line(4, "M_I(X~)")
AVERAGE = {split: line(3, "class_average", split) for split in ("shadow_validation", "test")}
# (first, second and its rivals) of each claim, in any order.
EXPECTED = {
    "C1": [(BEST, {line(4, f"M_I({name})")}, "rises") for name in ("O", "A_L", "O+A_L", "O+X~", "A_L+X~", "O+A_L+X~")],
    "C2": [(BEST, {AVERAGE["test"]}, "rises")],
    "C3": [(BEST, {line(4, "M_I(O)")}, "rises")],
    "C4": [
        (line(4, f"M_I({whole})"), {line(4, f"M_I({part})") for part in parts}, "at most")
        for whole, parts in {
            "O+A_L": ("O", "A_L"),
            "O+X~": ("O", "X~"),
            "A_L+X~": ("A_L", "X~"),
            "O+A_L+X~": ("O", "A_L", "X~"),
        }.items()
    ],
    "C5": [
        (AVERAGE[split], {line(3, start, split)}, "rises")
        for split in ("shadow_validation", "test")
        for start in ("random", "class_instance")
    ],
    "C6": [(line(2, "M_S", "shadow_validation", "f1"), {line(2, "M_T", "target_validation", "f1")}, "equal")],
    "C7": [
        (line(5, f"M_I({part})/rounded", metric=metric), {line(5, f"M_I({part})/exact", metric=metric)}, "equal")
        for part in ("O", "X~")
        for metric in ("ssim", "mse")
    ],
    "C8": [
        (truncated(part, fewer), {truncated(part, more)}, "rises")
        for part in ("O", "X~")
        for fewer, more in ((5, 10), (3, 5), (1, 3))
    ],
    "C9": [
        (truncated(part, 1, metric), {truncated(part, 10, metric)}, kind)
        for part in ("O", "X~")
        for metric, kind in (("to_class_average", "rises"), ("auc", "falls"))
    ],
    "C10": [(*heads()[1:2], {other}, "rises") for other in heads("None/dropout")],
}


def test_the_claims_are_ten_in_order_each_with_its_words() -> None:
    assert [claim.name for claim in CLAIMS] == [f"C{number}" for number in range(1, 11)]
    for claim in CLAIMS:
        assert claim.statement and claim.rule and claim.chapter


@pytest.mark.parametrize("name", EXPECTED)
def test_a_claim_compares_these_lines_and_no_others(name: str) -> None:
    found = [(each.first, {each.second, *each.others}, each.kind) for each in BY_NAME[name].comparisons]
    assert len(found) == len(EXPECTED[name])
    for each in EXPECTED[name]:
        assert each in found
    assert all(len(each.others) == len({each.second, *each.others}) - 1 for each in BY_NAME[name].comparisons)


def test_the_margins_are_those_fixed_beforehand() -> None:
    assert MARGINS == {"ssim": 0.01, "mse": 0.005, "f1": 0.01}


# --- one comparison ------------------------------------------------------------------------------------------------


def judged(kind: str, differences: list[float], margin: float = 0.01) -> str:
    return judge(kind, paired_difference(pd.Series(differences), pd.Series(0.0, range(len(differences)))), margin)


@pytest.mark.parametrize(
    ("differences", "rises", "falls"),
    [
        ([0.020, 0.021, 0.019, 0.020, 0.020], "yes", "no"),
        ([-0.020, -0.021, -0.019, -0.020, -0.020], "no", "yes"),
        ([0.0001] * 5, "yes", "no"),  # however small: no margin applies to an effect
        ([0.01, 0.02, 0.03], "partly", "no"),  # all agree; 0.02 ± 4.303 * 0.01 / sqrt 3 = 0.0248 includes zero
        ([-0.01, -0.02, -0.03], "no", "partly"),
        ([0.02, 0.02, 0.02, 0.02, -0.001], "partly", "no"),  # 0.0158 ± 0.0117 excludes zero, but one disagrees
        ([-0.02, -0.02, -0.02, -0.02, 0.001], "no", "partly"),
        ([0.02, 0.02, 0.02, 0.02, 0.0], "partly", "no"),  # no difference agrees with nothing
        ([0.1, 0.1, 0.1, -0.01, -0.01], "partly", "no"),
        ([0.1, 0.1, -0.01, -0.01, -0.01], "no", "partly"),  # the mean is above zero, most replicates are not
        ([0.1, 0.1, -0.01, -0.01], "no", "no"),  # half are not most
        ([0.0] * 5, "no", "no"),
        ([-0.3, 0.0, 0.0], "no", "no"),  # no difference supports nothing
    ],
)
def test_an_effect_needs_its_interval_beyond_zero_and_every_replicate(
    differences: list[float], rises: str, falls: str
) -> None:
    assert judged("rises", differences) == rises
    assert judged("falls", differences) == falls


def test_an_effect_is_partly_supported_where_most_replicates_agree_and_one_outweighs_them() -> None:
    assert judged("rises", [0.01, 0.01, 0.01, 0.01, -0.2]) == "partly"


def four(mean: float, step: float) -> list[float]:
    """Sample deviation step * sqrt(4 / 3), so the half-width is t(3) / sqrt(3) = 1.8374 steps."""
    return [mean - step, mean - step, mean + step, mean + step]


def test_the_half_width_of_the_cases_below_is_as_computed_by_hand() -> None:
    found = paired_difference(pd.Series(four(0.004, 0.003)), pd.Series(0.0, range(4)))
    assert found.high - found.mean == pytest.approx(T_975[4] / math.sqrt(3) * 0.003)
    assert (found.low, found.high) == pytest.approx((-0.0015121, 0.0095121), abs=1e-7)


@pytest.mark.parametrize(
    ("mean", "step", "margin", "equal", "at_most"),
    [
        (0.0040, 0.003, 0.01, "yes", "yes"),  # -0.0015 to 0.0095
        (-0.0040, 0.003, 0.01, "yes", "yes"),  # -0.0095 to 0.0015
        (0.0050, 0.003, 0.01, "open", "open"),  # -0.0005 to 0.0105
        (-0.0050, 0.003, 0.01, "open", "yes"),  # -0.0105 to 0.0005
        (0.0150, 0.003, 0.01, "open", "open"),  # 0.0095 to 0.0205
        (0.0160, 0.003, 0.01, "no", "no"),  # 0.0105 to 0.0215
        (-0.0150, 0.003, 0.01, "open", "yes"),  # -0.0205 to -0.0095
        (-0.0160, 0.003, 0.01, "no", "yes"),  # -0.0215 to -0.0105
        (0.0, 0.006, 0.01, "open", "open"),  # -0.0110 to 0.0110
        (0.0040, 0.003, 0.005, "open", "open"),  # the first again: a margin of MSE
        (0.0011, 0.0001, 0.005, "yes", "yes"),  # 0.0009 to 0.0013 excludes zero, and yet is inside
        (0.0, 0.0, 0.01, "yes", "yes"),
    ],
)
def test_no_effect_needs_the_whole_interval_inside_the_margin(
    mean: float, step: float, margin: float, equal: str, at_most: str
) -> None:
    assert judged("equal", four(mean, step), margin) == equal
    assert judged("at most", four(mean, step), margin) == at_most


# --- several comparisons -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verdicts", "together"),
    [
        (["yes", "yes"], "yes"),
        (["yes"], "yes"),
        (["yes", "partly"], "partly"),
        (["partly", "no", "yes"], "no"),
        (["yes", "open"], "open"),
        (["open", "no"], "no"),
    ],
)
def test_a_claim_says_what_its_weakest_comparison_says(verdicts: list[str], together: str) -> None:
    assert judge_together(verdicts) == together


# --- comparisons of tables -----------------------------------------------------------------------------------------


def means(lines: dict[tuple[int, str, str, str], list[float]]) -> dict[int, pd.DataFrame]:
    columns = ["table", "row", "split", "metric", "replicate", "value"]
    rows = [(*name, replicate, value) for name, values in lines.items() for replicate, value in enumerate(values)]
    frame = pd.DataFrame(rows, columns=columns)
    return {table: part.drop(columns="table") for table, part in frame.groupby("table")}


def seven(**other: list[float]) -> dict[int, pd.DataFrame]:
    """Table 4: 0.2, 0.3 and 0.4 for one input, larger combinations as the best of their parts."""
    rows = {"O": 0.2, "A_L": 0.3, "X~": 0.4, "O+A_L": 0.3, "O+X~": 0.4, "A_L+X~": 0.4, "O+A_L+X~": 0.4}
    values = {row: [value] * 3 for row, value in rows.items()} | {
        name.replace("_and_", "+"): v for name, v in other.items()
    }
    return means({line(4, f"M_I({row})"): each for row, each in values.items()})


def test_a_combination_is_compared_with_the_best_of_its_parts_by_our_own_means() -> None:
    compared = compare_lines(BY_NAME["C4"], seven()).set_index("first")
    found = compared["second"]
    assert compared.loc["M_I(O+A_L)", "published"] == pytest.approx(0.1619 - 0.1218)  # of the same two, not of O
    best = {"O+A_L": "A_L", "O+X~": "X~", "A_L+X~": "X~", "O+A_L+X~": "X~"}
    assert found.to_dict() == {f"M_I({whole})": f"M_I({part})" for whole, part in best.items()}
    found = compare_lines(BY_NAME["C4"], seven(O=[0.9, 0.1, 0.3])).set_index("first")["second"]
    assert found["M_I(O+A_L)"] == "M_I(O)"  # 0.43 on average, although A_L is better in one replicate and equal in one


def test_a_difference_is_first_minus_second_by_replicate_with_the_thesis_s_own_beside_it() -> None:
    lines = {BEST: [0.40, 0.41, 0.45], line(3, "class_average"): [0.30, 0.32, 0.34]}
    tables = means(lines)
    tables[3] = tables[3].iloc[::-1]  # replicates are matched by number, not by place
    found = compare_lines(BY_NAME["C2"], tables).iloc[0]
    half = T_975[3] * np.std([0.10, 0.09, 0.11], ddof=1) / math.sqrt(3)
    assert (found["mean"], found["low"], found["high"]) == pytest.approx((0.1, 0.1 - half, 0.1 + half), abs=1e-7)
    assert (found["first"], found["second"]) == ("M_I(X~)", "class_average")
    assert (found["split"], found["metric"], found["kind"]) == ("test", "ssim", "rises")
    assert (found["count"], found["agreeing"]) == (3, 3)
    assert found["published"] == pytest.approx(0.3727 - 0.2409)


def test_only_replicates_that_both_tables_have_are_compared() -> None:
    tables = means({BEST: [0.4, 0.4, 0.4, 0.9], line(3, "class_average"): [0.3, 0.3, 0.3]})
    found = compare_lines(BY_NAME["C2"], tables).iloc[0]
    assert found["count"] == 3
    assert found["mean"] == pytest.approx(0.1)


def test_p_values_are_adjusted_for_the_comparisons_of_their_claim() -> None:
    rng = np.random.default_rng(11)
    noisy = {f"{row}": list(0.3 + 0.1 * rng.standard_normal(3)) for row in ("O", "A_L", "X~", "O_and_X~")}
    found = compare_lines(BY_NAME["C1"], seven(**noisy))
    p_values = np.sort(found["p_value"])
    holm = np.maximum.accumulate(p_values * np.arange(6, 0, -1)).clip(max=1)
    np.testing.assert_allclose(found.sort_values("p_value")["holm"], holm)
    assert (found["holm"] >= found["p_value"]).all()
    assert found["holm"].max() > found["p_value"].max() or found["holm"].min() > found["p_value"].min()


def test_a_measure_that_the_thesis_lacks_has_no_published_difference() -> None:
    lines = {
        each: [0.5, 0.5] for comparison in BY_NAME["C9"].comparisons for each in (comparison.first, comparison.second)
    }
    assert compare_lines(BY_NAME["C9"], means(lines))["published"].isna().all()


def test_a_line_that_the_table_lacks_is_an_error() -> None:
    with pytest.raises(KeyError, match="class_average"):
        compare_lines(BY_NAME["C2"], means({BEST: [0.4], line(3, "random"): [0.1]}))
