"""Re-identification: from the rank of the true image among others of its class to what an attacker gains by it.

A reconstruction that gives nothing but the class is as near to the true image as to any other image of the class. So
each reconstruction is compared with the true image and with all other images of the same true class; ``closer`` is how
many of these ``others`` are nearer to it than the true one, ``tied`` how many are as near. All measures here follow
from these three counts without drawing anything; ties are broken at random, in expectation. Imports no torch.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["area_under_curve", "mean_reciprocal_rank", "top_1"]

Numbers = NDArray[np.float64]


def area_under_curve(closer: ArrayLike, tied: ArrayLike, others: ArrayLike) -> Numbers:
    """Chance that the true image is nearer to the reconstruction than a random other image of its class.

    Averaged over images this is the area under the curve of true against false positives with a threshold an image
    (Mann-Whitney); ties count half.

    Args:
        closer: (n,) how many others are nearer to the reconstruction than the true image.
        tied: (n,) how many are as near.
        others: (n,) how many there are.
    Returns:
        (n,) in [0, 1]; 0.5 is chance, NaN where there are no others.
    Raises:
        ValueError: counts are negative or exceed ``others``.
    Example:
        >>> area_under_curve([0, 1, 4], [0, 2, 0], [4, 4, 4])
        array([1. , 0.5, 0. ])
    """
    closer, tied, others = _checked(closer, tied, others)
    with np.errstate(invalid="ignore"):
        return 1 - (closer + tied / 2) / others


def top_1(closer: ArrayLike, tied: ArrayLike, others: ArrayLike, *, candidates: int) -> Numbers:
    r"""Chance that the true image is the nearest of ``candidates``: itself and others of its class, drawn at random.

    With c closer ones among m, no closer one is drawn with probability :math:`\binom{m-c}{n-1} / \binom{m}{n-1}`
    (hypergeometric, n candidates); this is averaged over the orders in which ties may be broken.

    Args:
        closer, tied, others: (n,) as in ``area_under_curve``.
        candidates: n, at least 2.
    Returns:
        (n,) in [0, 1]; 1 / ``candidates`` is chance, NaN where there are too few others to draw from.
    Raises:
        ValueError: counts are negative or exceed ``others``, or ``candidates`` is below 2.
    Example:
        >>> top_1([0, 1, 4], [0, 0, 0], [4, 4, 4], candidates=3)
        array([1. , 0.5, 0. ])
    """
    closer, tied, others = _checked(closer, tied, others, candidates)

    def at_place(before: Numbers, others: Numbers) -> Numbers:
        return _share_of_subsets(others - before, others, candidates - 1)

    return _over_ties(at_place, closer, tied, others, candidates)


def mean_reciprocal_rank(closer: ArrayLike, tied: ArrayLike, others: ArrayLike, *, candidates: int) -> Numbers:
    r"""Expected 1 / rank of the true image among ``candidates``: itself and others of its class, drawn at random.

    With c closer ones among m, of which H are drawn with n - 1 others,

    .. math:: \mathrm{E}\frac{1}{1 + H} = \frac{m + 1}{(c + 1)\,n}
              \left(1 - \binom{m - c}{n} \Big/ \binom{m + 1}{n}\right)

    which follows from :math:`\binom{c}{h} / (h + 1) = \binom{c + 1}{h + 1} / (c + 1)` and Vandermonde's identity.

    Args:
        closer, tied, others, candidates: as in ``top_1``.
    Returns:
        (n,) in (0, 1]; NaN where there are too few others to draw from. Chance is the mean of 1 / r over the ranks
        r = 1 ... ``candidates``.
    Raises:
        ValueError: as ``top_1`` does.
    Example:
        >>> mean_reciprocal_rank([0, 4], [0, 0], [4, 4], candidates=3)
        array([1.        , 0.33333333])
    """
    closer, tied, others = _checked(closer, tied, others, candidates)

    def at_place(before: Numbers, others: Numbers) -> Numbers:
        none_drawn = _share_of_subsets(others - before, others + 1, candidates)
        return ((others + 1) / ((before + 1) * candidates) * (1 - none_drawn)).clip(max=1)

    return _over_ties(at_place, closer, tied, others, candidates)


def _over_ties(at_place, closer: Numbers, tied: Numbers, others: Numbers, candidates: int) -> Numbers:
    """Mean of ``at_place`` over the places that the true image may have among those tied with it."""
    total = np.zeros(len(closer))
    for place in range(int(tied.max(initial=0)) + 1):
        here = place <= tied
        total[here] += at_place((closer + place)[here], others[here])
    return np.where(others >= candidates - 1, total / (tied + 1), np.nan)


def _share_of_subsets(allowed: Numbers, everything: Numbers, size: int) -> Numbers:
    """Share of the subsets of ``size`` elements that hold allowed ones only: C(allowed, size) / C(everything, size)."""
    taken = np.arange(size)
    factors = (allowed[:, None] - taken) / np.maximum(everything[:, None] - taken, 1)
    return np.where(allowed >= size, factors.clip(0, 1).prod(1), 0.0)


def _checked(
    closer: ArrayLike, tied: ArrayLike, others: ArrayLike, candidates: int = 2
) -> tuple[Numbers, Numbers, Numbers]:
    closer, tied, others = (np.asarray(count, dtype=np.float64) for count in (closer, tied, others))
    if not closer.shape == tied.shape == others.shape or closer.ndim != 1:
        raise ValueError(
            "`closer`, `tied` and `others` must have one length; "
            f"got the shapes {closer.shape}, {tied.shape} and {others.shape}"
        )
    if len(closer) and not (min(closer.min(), tied.min()) >= 0 and (closer + tied <= others).all()):
        raise ValueError("`closer` and `tied` must be counts of at most `others` together")
    if candidates < 2:
        raise ValueError(f"`candidates` must be at least 2; got {candidates}")
    return closer, tied, others
