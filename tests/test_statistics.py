import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mi_core.study.statistics import (
    Interval,
    bootstrap_interval,
    holm,
    paired_difference,
    prediction_interval,
    t_interval,
    variance_components,
)

NAN = float("nan")
T_2 = 4.302652729911275  # 97.5 % point of Student's t with two degrees of freedom
COMPONENTS = {"replicate": 1.0, "inverse_seed": 0.5, "image": 2.0, "rest": 1.0}


def scores_frame(tables: dict[int, list[list[float]]]) -> pd.DataFrame:
    """One row a score, from (seeds, images) scores by replicate."""
    return pd.DataFrame(
        [
            {"replicate": replicate, "inverse_seed": seed, "image": image, "ssim": score}
            for replicate, table in tables.items()
            for seed, scores in enumerate(table)
            for image, score in enumerate(scores)
        ]
    )


def crossed_frame(seeds: list[int], images: list[int]) -> pd.DataFrame:
    """The index columns of an experiment, by replicate its numbers of seeds and of images."""
    tables = enumerate(zip(seeds, images, strict=True))
    return scores_frame({replicate: np.zeros(size).tolist() for replicate, size in tables})


def simulated_scores(frame: pd.DataFrame, source: np.random.Generator, components: dict[str, float]) -> np.ndarray:
    """Normal scores (rows,) of the model, for components of these variances."""
    levels = {
        "replicate": frame.groupby("replicate"),
        "inverse_seed": frame.groupby(["replicate", "inverse_seed"]),
        "image": frame.groupby(["replicate", "image"]),
        "rest": frame.groupby(["replicate", "inverse_seed", "image"]),
    }
    effects = [
        np.sqrt(components[name]) * source.standard_normal(groups.ngroups)[groups.ngroup()]
        for name, groups in levels.items()
    ]
    return np.sum(effects, axis=0)


def covered(intervals: list[Interval], truth: np.ndarray | float) -> float:
    low, high = np.array([(interval.low, interval.high) for interval in intervals]).T
    return float(((low <= truth) & (truth <= high)).mean())


def four_standard_errors(share: float, draws: int) -> float:
    """What an estimated share misses the true one by once in 16,000 times."""
    return 4 * np.sqrt(share * (1 - share) / draws)


# Intervals over replicates.


def test_t_interval_by_hand():
    found = t_interval([1, 2, 3])
    assert (found.mean, found.count) == (2, 3)
    assert (found.low, found.high) == pytest.approx((2 - T_2 / 3**0.5, 2 + T_2 / 3**0.5))


@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
@pytest.mark.parametrize("count", [3, 5, 40])
def test_t_interval_equals_scipy(count, level):
    values = np.random.default_rng(count).normal(0.4, 0.03, count)
    expected = stats.t.interval(level, count - 1, loc=values.mean(), scale=stats.sem(values))
    found = t_interval(pd.Series(values), level=level)
    assert (found.low, found.high) == pytest.approx(expected)


def test_prediction_interval_by_hand():
    for trainings, factor in ((1, 4 / 3), (5, 8 / 15)):
        found = prediction_interval([1, 2, 3], published_trainings=trainings)
        assert (found.mean, found.count) == (2, 3)
        assert (found.low, found.high) == pytest.approx((2 - T_2 * factor**0.5, 2 + T_2 * factor**0.5))
    narrow, wide = (prediction_interval([1, 2, 3], level=level) for level in (0.5, 0.95))
    assert wide.low < narrow.low < narrow.high < wide.high == prediction_interval([1, 2, 3]).high


def test_a_mean_of_very_many_trainings_is_predicted_by_the_t_interval():
    values = [0.31, 0.35, 0.34, 0.30, 0.36]
    many, mean = prediction_interval(values, published_trainings=10**12), t_interval(values)
    assert (many.low, many.high) == pytest.approx((mean.low, mean.high))


@pytest.mark.parametrize("interval", [t_interval, prediction_interval, bootstrap_interval])
def test_one_value_has_no_interval_and_equal_values_an_empty_one(interval):
    one = interval([0.4])
    assert (one.mean, one.count) == (0.4, 1) and np.isnan([one.low, one.high]).all()
    equal = interval([0.4] * 3)
    assert (equal.mean, equal.low, equal.high) == pytest.approx((0.4, 0.4, 0.4)) and equal.count == 3


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_t_interval_over_five_replicates_covers_at_its_level(level):
    draws = np.random.default_rng(1).normal(3.0, 2.0, (4000, 5))
    share = covered([t_interval(values, level=level) for values in draws], 3.0)
    assert share == pytest.approx(level, abs=four_standard_errors(level, 4000))


@pytest.mark.parametrize("trainings", [1, 5])
def test_prediction_interval_covers_a_published_mean_at_its_level(trainings):
    source = np.random.default_rng(2)
    draws, published = source.normal(3.0, 2.0, (4000, 5)), source.normal(3.0, 2.0, (4000, trainings)).mean(1)
    share = covered([prediction_interval(values, published_trainings=trainings) for values in draws], published)
    assert share == pytest.approx(0.95, abs=four_standard_errors(0.95, 4000))


@pytest.mark.parametrize("interval", [t_interval, prediction_interval, bootstrap_interval])
def test_intervals_refuse_values_and_levels_that_make_none(interval):
    for wrong in ([], [[0.1, 0.2]], 0.3):
        with pytest.raises(ValueError, match=r"`values` must be \(n,\) with n > 0; got \("):
            interval(wrong)
    for wrong in (NAN, np.inf):
        with pytest.raises(ValueError, match=f"`values` must be finite; got {wrong}"):
            interval([0.1, wrong])
    for wrong in (0, 1, 95, -0.5, NAN):
        with pytest.raises(ValueError, match=f"`level` must be between 0 and 1; got {wrong}"):
            interval([0.1, 0.2], level=wrong)


def test_prediction_interval_refuses_a_mean_of_no_trainings():
    with pytest.raises(ValueError, match="`published_trainings` must be at least 1; got 0"):
        prediction_interval([0.1, 0.2], published_trainings=0)


# Paired comparisons.


def test_paired_difference_by_hand_on_common_replicates():
    first, second = pd.Series({0: 3.0, 1: 5.0, 2: 4.0, 7: 90.0}), pd.Series({8: -50.0, 2: 1.0, 1: 3.0, 0: 2.0})
    found = paired_difference(first, second)  # differences 1, 2, 3
    assert (found.mean, found.count, found.agreeing) == (2, 3, 3)
    assert (found.low, found.high) == pytest.approx((2 - T_2 / 3**0.5, 2 + T_2 / 3**0.5))
    assert found.p_value == pytest.approx(1 - (12 / 14) ** 0.5)  # t² = 12; p = 1 - t / sqrt(2 + t²) for two degrees


@pytest.mark.parametrize("count", [3, 5, 30])
def test_paired_difference_equals_scipy(count):
    source = np.random.default_rng(count)
    first, second = pd.DataFrame(source.normal(size=(count, 2)) + 3 * source.normal(size=(count, 1))).to_numpy().T
    expected = stats.ttest_rel(first, second)
    found = paired_difference(pd.Series(first), pd.Series(second), level=0.9)
    low, high = expected.confidence_interval(0.9)
    assert (found.p_value, found.low, found.high) == pytest.approx((expected.pvalue, low, high))
    assert found.agreeing == (np.sign(first - second) == np.sign((first - second).mean())).sum()


def test_paired_difference_changes_sign_with_its_arguments():
    first, second = pd.Series([0.1, 0.5, 0.9, 0.2]), pd.Series([0.0, 0.2, 0.4, 0.3])
    one, other = paired_difference(first, second), paired_difference(second, first)
    assert (other.mean, other.low, other.high) == pytest.approx((-one.mean, -one.high, -one.low))
    assert (one.p_value, one.agreeing) == (pytest.approx(other.p_value), other.agreeing) and one.agreeing == 3


@pytest.mark.parametrize("interval", [t_interval, prediction_interval])
def test_two_values_are_too_few_for_an_interval(interval):
    two = interval([0.4, 0.5])
    assert (two.mean, two.count) == (pytest.approx(0.45), 2) and np.isnan([two.low, two.high]).all()


def test_paired_difference_of_two_replicates_says_how_many_agree_and_no_more():
    found = paired_difference(pd.Series([0.5, 0.7]), pd.Series([0.25, 0.4]))
    assert (found.count, found.agreeing) == (2, 2) and np.isnan([found.low, found.high, found.p_value]).all()


def test_paired_difference_of_one_replicate_has_no_interval_and_no_p_value():
    found = paired_difference(pd.Series({3: 0.5, 4: 0.7}), pd.Series({3: 0.25}))
    assert (found.mean, found.count, found.agreeing) == (0.25, 1, 1)
    assert np.isnan([found.low, found.high, found.p_value]).all()


@pytest.mark.parametrize(("difference", "p_value"), [(0.1, 0.0), (-0.1, 0.0), (0.0, 1.0)])
def test_differences_that_are_all_equal_are_certain(difference, p_value):
    found = paired_difference(pd.Series([difference] * 3), pd.Series([0.0] * 3))
    assert (found.p_value, found.agreeing, found.opposing) == (p_value, 3 * (difference != 0), 0)
    assert (found.mean, found.low, found.high) == pytest.approx((difference,) * 3)


def test_paired_difference_refuses_what_it_cannot_pair():
    some = pd.Series({0: 0.1, 1: 0.2})
    with pytest.raises(ValueError, match=r"must have a replicate in common; got \[0, 1\] and \[2\]"):
        paired_difference(some, pd.Series({2: 0.1}))
    twice = pd.Series([0.1, 0.2, 0.3], index=[0, 4, 4])
    for name, pair in (("first", (twice, some)), ("second", (some, twice))):
        with pytest.raises(ValueError, match=f"`{name}` must have each replicate once; got replicate 4 more than once"):
            paired_difference(*pair)
    for name, pair in (("first", (some * NAN, some)), ("second", (some, some * NAN))):
        with pytest.raises(ValueError, match=f"`{name}` must be finite; got nan"):
            paired_difference(*pair)
    with pytest.raises(ValueError, match=r"`first` must be \(n,\) with n > 0; got \(0,\)"):
        paired_difference(some[:0], some)
    with pytest.raises(ValueError, match="`level` must be between 0 and 1; got 1"):
        paired_difference(some, some, level=1)


def test_holm_by_hand():
    # sorted 0.01, 0.02, 0.03, 0.5: times 4, 3, 2, 1, and never less than the one before
    found = holm({"c": 0.03, "a": 0.01, "d": 0.5, "b": 0.02})
    assert found == pytest.approx({"c": 0.06, "a": 0.04, "d": 0.5, "b": 0.06})
    assert list(found) == ["c", "a", "d", "b"]
    assert holm({"a": 0.7, "b": 0.6}) == {"a": 1.0, "b": 1.0}
    assert holm({"a": 0.0, "b": 1.0}) == {"a": 0.0, "b": 1.0}


def test_holm_does_not_count_what_was_not_tested():
    found = holm({"a": 0.01, "none": NAN, "b": 0.04})
    assert list(found) == ["a", "none", "b"]
    assert (found["a"], found["b"]) == pytest.approx((0.02, 0.04)) and np.isnan(found["none"])
    assert np.isnan(holm({"none": NAN})["none"])
    assert holm({}) == {}


@pytest.mark.parametrize("wrong", [-0.1, 1.1])
def test_holm_refuses_what_is_no_p_value(wrong):
    with pytest.raises(ValueError, match=rf"`p_values` must be in \[0, 1\] or NaN; got {wrong} for b"):
        holm({"a": 0.5, "b": wrong})


# The bootstrap within a replicate.


def test_bootstrap_of_three_values_has_the_percentiles_of_its_27_resamples():
    # means 0, 1/3, ... 2 have 1, 3, 6, 7, 6, 3, 1 of the 27 resamples; the 10 % point lies between 1/27 and 4/27
    found = bootstrap_interval([2.0, 0.0, 1.0], level=0.8)
    assert (found.mean, found.low, found.high, found.count) == pytest.approx((1, 1 / 3, 5 / 3, 3))
    found = bootstrap_interval([2.0, 0.0, 1.0])  # the 2.5 % point lies below 1/27
    assert (found.low, found.high) == (0, 2)


def test_bootstrap_over_many_images_is_the_normal_interval():
    values = np.random.default_rng(3).gamma(2.0, size=1340)
    half_width = 1.96 * values.std() / 1340**0.5
    found = bootstrap_interval(values)
    # a percentile of 2,000 resamples is known to about 3 % of the half width; 15 % is far outside
    assert found.mean - found.low == pytest.approx(half_width, rel=0.15)
    assert found.high - found.mean == pytest.approx(half_width, rel=0.15)
    assert (found.mean, found.count) == (pytest.approx(values.mean()), 1340)


def test_bootstrap_depends_on_its_seed_alone():
    values = np.random.default_rng(4).normal(size=50)
    assert bootstrap_interval(values) == bootstrap_interval(values, seed=0, resamples=2000)
    assert bootstrap_interval(values, seed=1) == bootstrap_interval(values, seed=1)
    assert bootstrap_interval(values, seed=1) != bootstrap_interval(values, seed=2)
    assert bootstrap_interval(values, resamples=250) != bootstrap_interval(values)


def test_bootstrap_over_five_replicates_covers_far_less_than_it_says():
    draws = np.random.default_rng(5).normal(3.0, 2.0, (1500, 5))
    share = covered([bootstrap_interval(values, seed=n, resamples=500) for n, values in enumerate(draws)], 3.0)
    assert share == pytest.approx(0.83, abs=four_standard_errors(0.83, 1500))  # 0.87 at most


def test_bootstrap_refuses_to_draw_nothing():
    for count in (1, 3):
        with pytest.raises(ValueError, match="`resamples` must be at least 1; got 0"):
            bootstrap_interval([0.5] * count, resamples=0)


# Variance components.


def test_components_within_one_replicate_by_hand():
    # mean squares: seeds 2 (1.5² + 1.5²) = 9, images 2 (2² + 2²) = 16, rest 4 · 1² = 4, one degree of freedom each
    found = variance_components(scores_frame({0: [[1, 3], [2, 8]]}), value="ssim")
    assert list(found) == ["replicate", "inverse_seed", "image", "rest"]
    assert np.isnan(found.pop("replicate"))
    assert found == pytest.approx({"inverse_seed": 2.5, "image": 6.0, "rest": 4.0})


def test_component_of_replicates_by_hand():
    found = variance_components(scores_frame({0: [[1, 3], [2, 8]], 5: [[10, 14]]}), value="ssim")
    within = {"inverse_seed": 2.5, "image": 6.0, "rest": 4.0}  # from replicate 0 alone
    added = (2.5 / 2 + 6 / 2 + 4 / 4) / 2 + (2.5 / 1 + 6 / 2 + 4 / 2) / 2
    assert found == pytest.approx({"replicate": (12 - 3.5) ** 2 / 2 - added, **within})


def test_sums_of_squares_are_pooled_over_replicates_of_different_sizes():
    source = np.random.default_rng(6)
    tables = [source.normal(n, size=size) for n, size in enumerate([(5, 4), (2, 3), (3, 6)])]
    seed_squares = sum(len(y[0]) * ((y.mean(1) - y.mean()) ** 2).sum() for y in tables)
    image_squares = sum(len(y) * ((y.mean(0) - y.mean()) ** 2).sum() for y in tables)
    total = sum(((y - y.mean()) ** 2).sum() for y in tables)
    rest = (total - seed_squares - image_squares) / (4 * 3 + 1 * 2 + 2 * 5)
    seed = (seed_squares - rest * (4 + 1 + 2)) / (4 * 4 + 1 * 3 + 2 * 6)
    image = (image_squares - rest * (3 + 2 + 5)) / (3 * 5 + 2 * 2 + 5 * 3)
    added = [seed / s + image / i + rest / (s * i) for s, i in (y.shape for y in tables)]
    replicate = np.var([y.mean() for y in tables], ddof=1) - np.mean(added)
    found = variance_components(scores_frame({n: y.tolist() for n, y in enumerate(tables)}), value="ssim")
    expected = {"replicate": replicate, "inverse_seed": seed, "image": image, "rest": rest}
    assert found == pytest.approx({name: max(0, estimate) for name, estimate in expected.items()})


def test_with_one_seed_image_and_rest_are_one_and_replicates_hold_the_seeds():
    found = variance_components(scores_frame({0: [[1, 3]], 1: [[10, 14, 18]]}), value="ssim")
    image = (2 + 32) / (1 + 2)
    assert np.isnan([found.pop("inverse_seed"), found.pop("rest")]).all()
    assert found == pytest.approx({"replicate": 12**2 / 2 - (image / 2 + image / 3) / 2, "image": image})


def test_negative_estimates_become_zero():
    alike = scores_frame({0: [[1, 3], [2, 8]], 1: [[1, 3], [2, 8]]})  # means of replicates that do not vary at all
    assert variance_components(alike, value="ssim")["replicate"] == 0
    # Two seeds that disagree about every image and agree on the mean: seeds and images are estimated as (0 - 4) / 2.
    # So they are in what is taken from the variance of replicate means, 0 - (-2/2 - 2/2 + 4/4): this keeps it unbiased.
    found = variance_components(scores_frame({0: [[1, 3], [3, 1]], 1: [[1, 3], [3, 1]]}), value="ssim")
    assert found == {"replicate": 1, "inverse_seed": 0, "image": 0, "rest": 4}


def test_components_do_not_depend_on_row_order_names_shift_or_dtype():
    frame = crossed_frame([3, 2, 1], [4, 4, 5])
    frame["ssim"] = np.random.default_rng(7).normal(size=len(frame)).astype(np.float32)
    expected = variance_components(frame, value="ssim")
    other = frame.sample(frac=1, random_state=0).assign(
        replicate=frame["replicate"].map("replicate {}".format).astype("category"),
        image=frame["image"] + 100 * frame["replicate"],  # the same number in two replicates is not the same image
        other=frame["ssim"].astype(np.float64) + 5,
    )
    assert variance_components(other, value="other") == pytest.approx(expected)


def test_components_are_recovered_on_average():
    # Twenty replicates leave estimates positive, so that what becomes 0 does not shift the average.
    frame = crossed_frame([5] + [2] * 15 + [1] * 4, [10] * 20)
    source, found = np.random.default_rng(8), []
    for _ in range(150):
        found.append(variance_components(frame.assign(y=simulated_scores(frame, source, COMPONENTS)), value="y"))
    found = pd.DataFrame(found)
    four_errors = 4 * found.sem()
    assert ((found.mean() - pd.Series(COMPONENTS)).abs() < four_errors).all()
    # Small beside what a wrong formula would be off by: the means of replicates vary by 1.46, not by 1.
    assert (four_errors < 0.2 * pd.Series(COMPONENTS)).all()


def test_components_of_one_seed_are_recovered_on_average():
    frame = crossed_frame([1] * 20, [6, 12] * 10)
    source, found = np.random.default_rng(9), []
    for _ in range(100):
        found.append(variance_components(frame.assign(y=simulated_scores(frame, source, COMPONENTS)), value="y"))
    found = pd.DataFrame(found)[["replicate", "image"]]
    expected = pd.Series({"replicate": 1.0 + 0.5, "image": 2.0 + 1.0})
    assert ((found.mean() - expected).abs() < 4 * found.sem()).all()
    assert (4 * found.sem() < 0.2 * expected).all()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda frame: frame[:0], "`frame` must have rows; got none"),
        (lambda frame: frame.drop(columns="image"), "`frame` must have columns .*; got none named image"),
        (lambda frame: frame.drop(columns="ssim"), "`frame` must have columns .*ssim; got none named ssim"),
        (lambda frame: frame.replace({"ssim": {8.0: NAN}}), "`frame` must have finite entries in .*; got missing"),
        (lambda frame: frame.replace({"ssim": {8.0: np.inf}}), "`frame` must have finite entries in .*; got missing"),
        (lambda frame: frame.replace({"image": {0: NAN}}), "`frame` must have finite entries in .*; got missing"),
        (lambda frame: pd.concat([frame, frame[:1]]), "`frame` must have each score once; got .*'inverse_seed': 0"),
        (
            lambda frame: frame.drop(index=1),
            "every seed and image of a replicate; got 3 for 2 seeds and 2 images in replicate 6",
        ),
        (lambda frame: frame[frame["image"] == 0], "two images or more in a replicate; got 1 in replicate 6"),
    ],
)
def test_components_refuse_frames_that_are_not_crossed(spoil: Callable[[pd.DataFrame], pd.DataFrame], message: str):
    frame = scores_frame({6: [[1.0, 3.0], [2.0, 8.0]]})
    with pytest.raises(ValueError, match=message):
        variance_components(spoil(frame), value="ssim")


def test_statistics_do_not_import_torch():
    code = "import sys; import mi_core.study.statistics; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
