"""Statistics of a replicated experiment: intervals, paired comparisons, and where variation comes from.

The unit of inference is the replicate, a new training of everything; images and inverse seeds within one are averaged
before. Only ``bootstrap_interval`` and ``variance_components`` look inside a replicate. Imports no torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import stdtr, stdtrit

__all__ = [
    "FEWEST_REPLICATES",
    "Interval",
    "PairedDifference",
    "bootstrap_interval",
    "holm",
    "paired_difference",
    "prediction_interval",
    "t_interval",
    "variance_components",
]

FEWEST_REPLICATES = 3  # for an interval or a test: of two, Student's factor is 12.7, and chance decides what it spans
CROSSED = ["replicate", "inverse_seed", "image"]
RESAMPLES_AT_ONCE = 100  # bounds memory: 8 MB an array for 10,000 images


@dataclass(frozen=True)
class Interval:
    """A mean with an interval; ``low`` and ``high`` are NaN where the function that gives it says so."""

    mean: float
    low: float
    high: float
    count: int

    @property
    def half_width(self) -> float:
        return (self.high - self.low) / 2


@dataclass(frozen=True)
class PairedDifference:
    """A mean difference with its interval and test.

    ``count`` is the number of replicates, ``agreeing`` how many of them have a difference of the mean's sign, and
    ``opposing`` how many of the other sign.
    """

    mean: float
    low: float
    high: float
    p_value: float
    count: int
    agreeing: int
    opposing: int


def t_interval(values: ArrayLike, *, level: float = 0.95) -> Interval:
    """Mean of replicate means with Student's t interval.

    Args:
        values: (n,) finite, one mean a replicate, n > 0.
        level: coverage, strictly between 0 and 1.
    Returns:
        With n - 1 degrees of freedom; NaN as bounds for n < ``FEWEST_REPLICATES``.
    Raises:
        ValueError: values are empty, not one-dimensional or not finite, or the level is out of range.
    """
    values = _checked(values, level=level)
    return _interval(values, _half_width(values, 1 / len(values), level=level))


def prediction_interval(values: ArrayLike, *, published_trainings: int = 1, level: float = 0.95) -> Interval:
    """Where a mean of further trainings would lie, were they replicates like ours.

    A published number outside it differs from ours by more than training anew explains. mean ± t(n-1) s sqrt(1/m + 1/n)
    with the sample standard deviation s over replicates. For m > 1 it takes the m trainings for as independent of each
    other as replicates are; trainings that share data or a target model would vary together.

    Args:
        values: (n,) finite, one mean a replicate, n > 0.
        published_trainings: m, how many trainings the published mean averages: 5 in table 1, 1 elsewhere.
        level: coverage, strictly between 0 and 1.
    Returns:
        Around the mean of ``values``; NaN as bounds for n < ``FEWEST_REPLICATES``.
    Raises:
        ValueError: as ``t_interval``, or fewer than one training.
    Source: Hahn and Meeker, Statistical Intervals, 1991.
    """
    values = _checked(values, level=level)
    if published_trainings < 1:
        raise ValueError(f"`published_trainings` must be at least 1; got {published_trainings}")
    return _interval(values, _half_width(values, 1 / published_trainings + 1 / len(values), level=level))


def paired_difference(first: pd.Series, second: pd.Series, *, level: float = 0.95) -> PairedDifference:
    """First minus second, paired by replicate, with Student's t interval and the two-sided p value of a mean of zero.

    Args:
        first: finite means, indexed by replicate, each replicate once.
        second: likewise. Only replicates that both have are used.
        level: coverage, strictly between 0 and 1.
    Returns:
        Interval and p value are NaN for fewer than ``FEWEST_REPLICATES`` replicates. Where all differences are equal,
        the p value is 0, or 1 if they are zero.
    Raises:
        ValueError: no replicate is in both, one is twice in either, a value is not finite, or the level is out of
            range.
    """
    for name, series in (("first", first), ("second", second)):
        if not series.index.is_unique:
            twice = series.index[series.index.duplicated()][0]
            raise ValueError(f"`{name}` must have each replicate once; got replicate {twice} more than once")
        _checked(series, name=name, level=level)
    common = first.index.intersection(second.index)
    if common.empty:
        raise ValueError(
            "`first` and `second` must have a replicate in common; got "
            f"{first.index.tolist()} and {second.index.tolist()}"
        )
    differences = first.loc[common].to_numpy(np.float64) - second.loc[common].to_numpy(np.float64)
    around = _interval(differences, _half_width(differences, 1 / len(differences), level=level))
    signs = np.sign(differences) * np.sign(around.mean)
    return PairedDifference(
        around.mean,
        around.low,
        around.high,
        _p_value(differences),
        count=around.count,
        agreeing=int((signs > 0).sum()),
        opposing=int((signs < 0).sum()),
    )


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """P values adjusted for their number, so that the chance of any false rejection stays below the level.

    >>> holm({"one": 0.02, "other": 0.5, "untested": float("nan")})
    {'one': 0.04, 'other': 0.5, 'untested': nan}

    Args:
        p_values: by name, in [0, 1]. A NaN, where there was nothing to test, stays NaN and does not count.
    Returns:
        By the same names, in the same order, none smaller than before.
    Raises:
        ValueError: a p value is out of range.
    Source: Holm, A simple sequentially rejective multiple test procedure, 1979.
    """
    for name, p_value in p_values.items():
        if p_value < 0 or p_value > 1:
            raise ValueError(f"`p_values` must be in [0, 1] or NaN; got {p_value} for {name}")
    tested = {name: p_value for name, p_value in p_values.items() if not np.isnan(p_value)}
    if not tested:
        return dict(p_values)
    from statsmodels.stats.multitest import multipletests  # takes a second to load

    adjusted = multipletests(list(tested.values()), method="holm")[1]
    return dict(p_values) | dict(zip(tested, adjusted.tolist(), strict=True))


def bootstrap_interval(values: ArrayLike, *, seed: int = 0, resamples: int = 2000, level: float = 0.95) -> Interval:
    """Percentile bootstrap of the mean over the images of one replicate: what other images would have changed.

    It describes variation over images for trainings that are given, and nothing else. It is no interval over
    replicates: over five of them its 95 % interval would cover about 83 %; ``t_interval`` is for that.

    Args:
        values: (n,) finite, one score an image, n > 0.
        seed: equal seeds give equal intervals.
        resamples: at least 1.
        level: coverage, strictly between 0 and 1.
    Returns:
        The mean of ``values`` itself, not of resamples; NaN as bounds for n = 1.
    Raises:
        ValueError: as ``t_interval``, or fewer than one resample.
    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
    """
    values = _checked(values, level=level)
    if resamples < 1:
        raise ValueError(f"`resamples` must be at least 1; got {resamples}")
    if len(values) < 2:
        return _interval(values, np.nan)
    from scipy import stats  # takes a second to load

    found = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=resamples,
        batch=RESAMPLES_AT_ONCE,
        confidence_level=level,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(float(values.mean()), float(found.low), float(found.high), len(values))


def variance_components(frame: pd.DataFrame, *, value: str) -> dict[str, float]:
    """How much of the variance of scores comes from replicates, inverse seeds, images, and the rest.

    The model is y = mean + replicate + seed(replicate) + image(replicate) + rest, all but the mean random, independent
    and of mean zero. Images and seeds are nested in replicates and crossed within one: every seed scores every image
    once, so that ``rest`` is their interaction together with any noise.

    Estimated by the method of moments: sums of squares over seeds, over images and over the rest, pooled over the
    replicates that have two seeds or more, are equated with their expectations. The variance of replicate means, less
    what the three add to it on average (seed / S + image / I + rest / (S I) for S seeds and I images), is the component
    of replicates. Estimates are unbiased until negative ones become 0, which comes last: what is taken from the
    variance of replicate means may still be negative.

    Where every replicate has one seed only, ``inverse_seed`` and ``rest`` are NaN: ``image`` then holds the rest as
    well, and ``replicate`` the seeds.

    Args:
        frame: one row a score, with columns replicate, inverse_seed, image and ``value``. Replicates may differ in
            their numbers of seeds and of images; each needs two images.
        value: name of the column of scores.
    Returns:
        Variances, at least 0, by "replicate" (NaN if there is one only), "inverse_seed", "image" and "rest".
    Raises:
        ValueError: the frame is empty, lacks a column or an entry, has an infinite score, a score twice or a replicate
            with one image, or a seed did not score every image of its replicate.
    Source: Searle, Casella and McCulloch, Variance Components, 1992.
    """
    _check_entries(frame, value)
    table = _sums_of_squares(frame, value)
    _check_crossed(table)
    several = table[table["seeds"] > 1]
    if several.empty:
        within = {"inverse_seed": np.nan, "image": _pooled(table, "image"), "rest": np.nan}
    else:
        rest = _pooled(several, "rest")
        within = {
            "inverse_seed": _pooled(several, "seed", rest=rest, scores="images"),
            "image": _pooled(several, "image", rest=rest, scores="seeds"),
            "rest": rest,
        }
    seed, image, rest = np.nan_to_num(list(within.values()))
    in_means = seed / table["seeds"] + image / table["images"] + rest / (table["seeds"] * table["images"])
    components = {"replicate": table["mean"].var(ddof=1) - in_means.mean(), **within}
    return {name: float(np.maximum(0.0, estimate)) for name, estimate in components.items()}


def _checked(values: ArrayLike, *, level: float, name: str = "values") -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or len(values) == 0:
        raise ValueError(f"`{name}` must be (n,) with n > 0; got {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"`{name}` must be finite; got {values[~np.isfinite(values)][0]}")
    if not 0 < level < 1:
        raise ValueError(f"`level` must be between 0 and 1; got {level}")
    return values


def _interval(values: np.ndarray, half_width: float) -> Interval:
    mean = float(values.mean())
    return Interval(mean, mean - half_width, mean + half_width, len(values))


def _half_width(values: np.ndarray, variance_factor: float, *, level: float) -> float:
    """t quantile times the sample standard deviation times the root of a factor; NaN for too few values."""
    if len(values) < FEWEST_REPLICATES:
        return np.nan
    quantile = stdtrit(len(values) - 1, (1 + level) / 2)
    return float(quantile * values.std(ddof=1) * np.sqrt(variance_factor))


def _p_value(differences: np.ndarray) -> float:
    if len(differences) < FEWEST_REPLICATES:
        return np.nan
    if (differences == differences[0]).all():  # no spread to divide by; rounding may leave the deviation above 0
        return 1.0 if differences[0] == 0 else 0.0
    statistic = differences.mean() / (differences.std(ddof=1) / np.sqrt(len(differences)))
    return float(2 * stdtr(len(differences) - 1, -abs(statistic)))


def _check_entries(frame: pd.DataFrame, value: str) -> None:
    columns = [*CROSSED, value]
    if missing := [column for column in columns if column not in frame]:
        raise ValueError(f"`frame` must have columns {', '.join(columns)}; got none named {', '.join(missing)}")
    if frame.empty:
        raise ValueError("`frame` must have rows; got none")
    if frame[columns].isna().any(axis=None) or np.isinf(frame[value].to_numpy(np.float64)).any():
        raise ValueError(f"`frame` must have finite entries in {', '.join(columns)}; got missing or infinite ones")
    if (twice := frame.duplicated(CROSSED)).any():
        which = dict(frame.loc[twice, CROSSED].astype(object).iloc[0])
        raise ValueError(f"`frame` must have each score once; got more than one for {which}")


def _sums_of_squares(frame: pd.DataFrame, value: str) -> pd.DataFrame:
    """By replicate: mean, rows, seeds and images, and sum of squares and degrees of freedom of seed, image, rest."""
    scores = frame[value].astype(np.float64)

    def means(*columns: str) -> pd.Series:
        return scores.groupby([frame[column] for column in columns], observed=True).transform("mean")

    mean, of_seed, of_image = means("replicate"), means("replicate", "inverse_seed"), means("replicate", "image")
    deviations = {"seed": of_seed - mean, "image": of_image - mean, "rest": scores - of_seed - of_image + mean}
    squares = pd.DataFrame({f"{name}_squares": each**2 for name, each in deviations.items()})
    replicates = frame.groupby("replicate", observed=True)
    table = squares.groupby(frame["replicate"], observed=True).sum()
    table = table.assign(
        mean=scores.groupby(frame["replicate"], observed=True).mean(),
        rows=replicates.size(),
        seeds=replicates["inverse_seed"].nunique(),
        images=replicates["image"].nunique(),
    )
    freedom = {"seed_freedom": table["seeds"] - 1, "image_freedom": table["images"] - 1}
    return table.assign(**freedom, rest_freedom=freedom["seed_freedom"] * freedom["image_freedom"])


def _check_crossed(table: pd.DataFrame) -> None:
    for replicate, line in table.iterrows():
        rows, seeds, images = int(line["rows"]), int(line["seeds"]), int(line["images"])
        if images < 2:
            raise ValueError(f"`frame` must have two images or more in a replicate; got 1 in replicate {replicate}")
        if rows != seeds * images:
            raise ValueError(
                "`frame` must have a score for every seed and image of a replicate; got "
                f"{rows} for {seeds} seeds and {images} images in replicate {replicate}"
            )


def _pooled(table: pd.DataFrame, source: str, *, rest: float = 0.0, scores: str | None = None) -> float:
    """Component whose pooled sum of squares is sum(freedom * (rest + scores * component)) in expectation.

    ``scores`` names the column that counts how many scores each level of the source has; None stands for 1.
    """
    squares, freedom = table[f"{source}_squares"], table[f"{source}_freedom"]
    weight = freedom if scores is None else freedom * table[scores]
    return float((squares.sum() - rest * freedom.sum()) / weight.sum())
