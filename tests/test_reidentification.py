"""Re-identification: closed forms against every draw of candidates and every order in which ties may be broken."""

from collections.abc import Callable
from fractions import Fraction
from functools import cache
from itertools import combinations, permutations
from math import comb

import numpy as np
import pytest
from scipy.stats import hypergeom

from mi_core.reidentification import area_under_curve, mean_reciprocal_rank, top_1

NAN = float("nan")


def counts(others: int, *, most_tied: int) -> list[tuple[int, int, int]]:
    """All (closer, tied, others) with so many others."""
    pairs = ((closer, tied) for closer in range(others + 1) for tied in range(min(others - closer, most_tied) + 1))
    return [(*pair, others) for pair in pairs]


def lines(cases: list[tuple[int, int, int]]) -> tuple[np.ndarray, ...]:
    return tuple(np.array(cases).T)


@cache
def ranks_of_every_draw(closer: int, tied: int, others: int, candidates: int) -> list[int]:
    """Rank of the true image in each order of the tied ones and each draw of others, all equally likely."""
    ranks = []
    for order in permutations(range(tied + 1)):  # 0 is the true image
        ahead = set(range(closer)) | {closer + place - 1 for place in order[: order.index(0)]}
        ranks += [1 + len(ahead & set(drawn)) for drawn in combinations(range(others), candidates - 1)]
    return ranks


def exact_top_1(closer: int, tied: int, others: int, candidates: int) -> float:
    ranks = ranks_of_every_draw(closer, tied, others, candidates)
    return float(Fraction(ranks.count(1), len(ranks)))


def exact_reciprocal_rank(closer: int, tied: int, others: int, candidates: int) -> float:
    ranks = ranks_of_every_draw(closer, tied, others, candidates)
    return float(sum(Fraction(1, rank) for rank in ranks) / len(ranks))


@pytest.mark.parametrize("others", range(1, 6))
def test_measures_equal_a_count_over_every_draw_and_every_order_of_ties(others: int) -> None:
    cases = counts(others, most_tied=others)
    for candidates in range(2, others + 2):
        expected = [exact_top_1(*case, candidates) for case in cases]
        np.testing.assert_allclose(top_1(*lines(cases), candidates=candidates), expected, rtol=0, atol=1e-14)
        expected = [exact_reciprocal_rank(*case, candidates) for case in cases]
        found = mean_reciprocal_rank(*lines(cases), candidates=candidates)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("others", range(1, 6))
def test_the_area_equals_a_count_over_every_other_image_and_every_order_of_ties(others: int) -> None:
    """Against one other image, the true one is nearer or not: the share where it is."""
    cases = counts(others, most_tied=others)
    np.testing.assert_allclose(area_under_curve(*lines(cases)), [exact_top_1(*case, 2) for case in cases], atol=1e-14)


@pytest.mark.parametrize("candidates", [10, 100])
def test_measures_equal_the_hypergeometric_distribution(candidates: int) -> None:
    others = 133
    cases = counts(others, most_tied=3)
    drawn = np.arange(candidates)
    chances = np.array([hypergeom.pmf(drawn, others, closer, candidates - 1) for closer in range(others + 1)])
    at_place = {"top 1": chances[:, 0], "reciprocal rank": (chances / (1 + drawn)).sum(1)}
    expected = {
        name: [values[closer : closer + tied + 1].mean() for closer, tied, _ in cases]
        for name, values in at_place.items()
    }
    np.testing.assert_allclose(top_1(*lines(cases), candidates=candidates), expected["top 1"], rtol=1e-8)
    found = mean_reciprocal_rank(*lines(cases), candidates=candidates)
    np.testing.assert_allclose(found, expected["reciprocal rank"], rtol=1e-10)


@pytest.mark.parametrize("candidates", [10, 100])
def test_measures_keep_their_digits_among_many_images(candidates: int) -> None:
    others = 133
    cases = counts(others, most_tied=0)

    def share_with(closer: int, drawn: int) -> Fraction:
        found = comb(closer, drawn) * comb(others - closer, candidates - 1 - drawn)
        return Fraction(found, comb(others, candidates - 1))

    nearest = [float(share_with(closer, 0)) for closer, _, _ in cases]
    np.testing.assert_allclose(top_1(*lines(cases), candidates=candidates), nearest, rtol=1e-12)
    reciprocal = [
        float(sum(share_with(closer, drawn) / (1 + drawn) for drawn in range(candidates))) for closer, _, _ in cases
    ]
    np.testing.assert_allclose(mean_reciprocal_rank(*lines(cases), candidates=candidates), reciprocal, rtol=1e-12)


def test_measures_by_hand() -> None:
    # Three of five others are closer, then one is as near. Two candidates besides the true one: 10 draws. None of the
    # three closer is in 1 of them, which holds the tied one: half a win. The rank is 1 or 2 there; with one closer and
    # no tied in 3 draws it is 2, with one closer and the tied one in 3 draws 2 or 3, with two closer in 3 draws 3.
    found = top_1([3], [1], [5], candidates=3)
    np.testing.assert_allclose(found, [0.5 / 10])
    expected = ((1 + 1 / 2) / 2 + 3 / 2 + 3 * (1 / 2 + 1 / 3) / 2 + 3 / 3) / 10
    np.testing.assert_allclose(mean_reciprocal_rank([3], [1], [5], candidates=3), [expected])
    np.testing.assert_allclose(area_under_curve([3], [1], [5]), [1.5 / 5])


def test_the_nearest_image_is_always_found_and_the_farthest_never() -> None:
    others = np.array([9, 133, 9, 133])
    closer, tied = np.where([True, True, False, False], 0, others), np.zeros(4, int)
    np.testing.assert_array_equal(area_under_curve(closer, tied, others), [1, 1, 0, 0])
    np.testing.assert_array_equal(top_1(closer, tied, others, candidates=10), [1, 1, 0, 0])
    ranks = mean_reciprocal_rank(closer, tied, others, candidates=10)
    np.testing.assert_allclose(ranks, [1, 1, 1 / 10, 1 / 10], rtol=1e-14)


def test_too_few_others_to_draw_from_give_nan_and_just_enough_do_not() -> None:
    others = [0, 3, 4, 5]
    np.testing.assert_array_equal(area_under_curve([0] * 4, [0] * 4, others), [NAN, 1, 1, 1])
    for measure in (top_1, mean_reciprocal_rank):
        np.testing.assert_allclose(measure([0] * 4, [0] * 4, others, candidates=5), [NAN, NAN, 1, 1])
        np.testing.assert_array_equal(measure([0], [0], [0], candidates=2), [NAN])
        np.testing.assert_array_equal(measure([0, 2], [4, 0], [4, 4], candidates=1000), [NAN, NAN])


@pytest.mark.parametrize("candidates", [2, 10, 100])
def test_ranks_that_are_uniform_give_chance(candidates: int) -> None:
    others = 133
    harmonic = float(sum(Fraction(1, rank) for rank in range(1, candidates + 1)) / candidates)
    uniform = np.arange(others + 1), np.zeros(others + 1, int), np.full(others + 1, others)
    in_groups = np.repeat([0, 1, 34, 84], [1, 33, 50, 50]), np.repeat([0, 32, 49, 49], [1, 33, 50, 50]), uniform[2]
    all_tied = np.array([0]), np.array([others]), np.array([others])
    for ranks in (uniform, in_groups, all_tied):
        assert area_under_curve(*ranks).mean() == pytest.approx(0.5, rel=1e-13)
        assert top_1(*ranks, candidates=candidates).mean() == pytest.approx(1 / candidates, rel=1e-13)
        assert mean_reciprocal_rank(*ranks, candidates=candidates).mean() == pytest.approx(harmonic, rel=1e-13)


@pytest.mark.parametrize("candidates", [2, 3, 7])
def test_measures_fall_with_every_closer_image_and_with_more_candidates(candidates: int) -> None:
    closer, none = np.arange(21), np.zeros(21, int)
    for measure in (top_1, mean_reciprocal_rank):
        values = measure(closer, none, none + 20, candidates=candidates)
        wider = measure(closer, none, none + 20, candidates=candidates + 1)
        assert (np.diff(values) <= 0).all() and (np.diff(values[: 22 - candidates]) < 0).all()
        assert (wider[1:] <= values[1:]).all() and (wider[1:-1] < values[1:-1]).any()


def test_an_image_s_value_depends_on_its_own_counts_alone() -> None:
    cases = [case for others in (4, 9, 30) for case in counts(others, most_tied=others)]
    cases = [cases[place] for place in np.random.default_rng(3).permutation(len(cases))]
    measures: list[Callable[..., np.ndarray]] = [
        area_under_curve,
        lambda *given: top_1(*given, candidates=5),
        lambda *given: mean_reciprocal_rank(*given, candidates=5),
    ]
    for measure in measures:
        alone = np.concatenate([measure(*lines([case])) for case in cases])
        found = measure(*lines(cases))
        assert found.shape == (len(cases),) and found.dtype == np.float64
        np.testing.assert_allclose(found, alone, rtol=1e-14)
        np.testing.assert_array_equal(measure(*(part.astype(np.int16) for part in lines(cases))), found)
        assert len(measure([], [], [])) == 0


@pytest.mark.parametrize("measure", [area_under_curve, top_1, mean_reciprocal_rank])
@pytest.mark.parametrize(
    ("given", "message"),
    [
        (([0, 1], [0], [4]), r"`others` must have one length; got the shapes \(2,\), \(1,\) and \(1,\)"),
        (([0, 1], [0, 0], [4]), r"`others` must have one length; got the shapes \(2,\), \(2,\) and \(1,\)"),
        (([[0, 1]], [[0, 0]], [[4, 4]]), r"`others` must have one length; got the shapes \(1, 2\)"),
        ((0, 0, 4), r"`others` must have one length; got the shapes \(\)"),
        (([0, -1], [0, 2], [4, 4]), "must be counts of at most `others` together"),
        (([0, 2], [0, -1], [4, 4]), "must be counts of at most `others` together"),
        (([0, 3], [0, 2], [4, 4]), "must be counts of at most `others` together"),
        (([0, NAN], [0, 2], [4, 4]), "must be counts of at most `others` together"),
    ],
)
def test_counts_that_cannot_be_are_refused(measure: Callable[..., np.ndarray], given: tuple, message: str) -> None:
    named = {} if measure is area_under_curve else {"candidates": 3}
    with pytest.raises(ValueError, match=message):
        measure(*given, **named)


@pytest.mark.parametrize("measure", [top_1, mean_reciprocal_rank])
@pytest.mark.parametrize("candidates", [1, 0, -3])
def test_fewer_than_two_candidates_are_refused(measure: Callable[..., np.ndarray], candidates: int) -> None:
    with pytest.raises(ValueError, match=f"`candidates` must be at least 2; got {candidates}"):
        measure([0], [0], [4], candidates=candidates)
