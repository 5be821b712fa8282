"""Scores: SSIM and MSE per image, distances between all pairs and the rank of the true image among them, F1.

Averaging images is the caller's. What ranks say is in ``mi_core.reidentification``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from mi_core.checks import check_images, check_probabilities
from mi_core.data import CLASSES

__all__ = [
    "SSIM_WINDOW",
    "Ranks",
    "calibration_error",
    "confusion",
    "euclidean_distances",
    "mse_per_image",
    "rank_within_class",
    "ssim_distances",
    "ssim_per_image",
    "weighted_f1",
]

SSIM_WINDOW = 11  # pixels
SSIM_SIGMA = 1.5
SSIM_K1, SSIM_K2 = 0.01, 0.03
PAIRS_AT_ONCE = 4096  # bounds the memory of SSIM between all pairs
DECIMALS = 10  # of distances in float64, so that equal images are equally far whatever was summed first


def ssim_per_image(images: Tensor, reconstructions: Tensor) -> Tensor:
    """Structural similarity of each pair, 11x11 Gaussian window, data range 1, valid region only.

    Differentiable. Not rescaled: 1 for equal images, about 0 for unrelated ones, negative for inverted ones. Equal to
    scikit-image with ``gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1``.

    Args:
        images: (n, 1, height, width) float in [0, 1], at least 11 pixels a side.
        reconstructions: likewise, same shape and dtype.
    Returns:
        (n,) in [-1, 1].
    Raises:
        ValueError: shapes or dtypes differ, or the images are empty, too small or not float, or their pixels are not
            in [0, 1] (looked at only where no gradient is asked for: a training looks at its loss).
    Source: Wang et al. 2004; thesis section 3.4 (which also calls it normalised; its code does not normalise).
    """
    _check_pair(images, reconstructions)
    if min(images.shape[2:]) < SSIM_WINDOW:
        raise ValueError(f"`images` must be at least {SSIM_WINDOW} pixels a side; got {tuple(images.shape[2:])}")
    images, reconstructions = images[:, 0], reconstructions[:, 0]
    return _similarity(images, reconstructions, _local_moments(images), _local_moments(reconstructions))


def mse_per_image(images: Tensor, reconstructions: Tensor) -> Tensor:
    """Mean squared error of each pair over its pixels.

    Args:
        images: (n, 1, height, width) float in [0, 1].
        reconstructions: likewise, same shape and dtype.
    Returns:
        (n,), at least 0.
    Raises:
        ValueError: shapes or dtypes differ, or the images are empty, not float or not in [0, 1], as above.
    """
    _check_pair(images, reconstructions)
    return (images - reconstructions).square().flatten(1).mean(1)


@torch.no_grad()
def euclidean_distances(points: Tensor, others: Tensor) -> Tensor:
    """Euclidean distance of each point to each other one, in float64.

    Args:
        points: (n, ...): images, or features.
        others: (m, ...), the same shape otherwise.
    Returns:
        (n, m), rounded to 10 decimals.
    Raises:
        ValueError: shapes that do not fit, nothing to compare, or what is infinite or not a number.
    """
    if points.shape[1:] != others.shape[1:] or points.ndim < 2:
        raise ValueError(f"`points` and `others` must be alike; got {tuple(points.shape)} and {tuple(others.shape)}")
    if 0 in points.shape or 0 in others.shape or not (torch.isfinite(points).all() and torch.isfinite(others).all()):
        raise ValueError("`points` and `others` must be finite and at least one each")
    # not through matrix products, whose rounding would depend on what else is in the batch
    exact = "donot_use_mm_for_euclid_dist"
    return torch.cdist(points.double().flatten(1), others.double().flatten(1), compute_mode=exact).round(
        decimals=DECIMALS
    )


@torch.no_grad()
def ssim_distances(images: Tensor, others: Tensor) -> Tensor:
    """1 - SSIM of each image with each other one, as ``ssim_per_image`` gives it for a pair, in float64.

    Means and variances are found once an image; only the covariances take all pairs.

    Args:
        images: (n, 1, height, width) float in [0, 1], at least 11 pixels a side.
        others: (m, 1, height, width), likewise.
    Returns:
        (n, m) in [0, 2], rounded to 10 decimals.
    Raises:
        ValueError: shapes that do not fit, images that are too small, empty or not in [0, 1].
    """
    check_images(images, side=None)
    check_images(others, "others", side=None)
    if images.shape[1:] != others.shape[1:] or min(images.shape[2:]) < SSIM_WINDOW:
        raise ValueError(
            f"`images` and `others` must be alike and of at least {SSIM_WINDOW} pixels a side; "
            f"got {tuple(images.shape)} and {tuple(others.shape)}"
        )
    images, others = images.double()[:, 0], others.double()[:, 0]
    moments, other_moments = _local_moments(images), _local_moments(others)
    lines = []
    for place in range(len(images)):
        own = images[place], tuple(moment[place] for moment in moments)
        parts = []
        for first in range(0, len(others), PAIRS_AT_ONCE):
            some = slice(first, first + PAIRS_AT_ONCE)
            parts.append(1 - _similarity(own[0], others[some], own[1], tuple(moment[some] for moment in other_moments)))
        lines.append(torch.cat(parts))
    return torch.stack(lines).round(decimals=DECIMALS)


Moments = tuple[Tensor, Tensor]


def _similarity(images: Tensor, others: Tensor, moments: Moments, other_moments: Moments) -> Tensor:
    """SSIM (n,) of images (n, height, width), or one, with others and the local moments of both."""
    (mean, variance), (other_mean, other_variance) = moments, other_moments
    product = mean * other_mean
    covariance = _windowed(images * others) - product
    brightness = (2 * product + SSIM_K1**2) / (mean.square() + other_mean.square() + SSIM_K1**2)
    structure = (2 * covariance + SSIM_K2**2) / (variance + other_variance + SSIM_K2**2)
    return (brightness * structure).flatten(1).mean(1)


def _local_moments(images: Tensor) -> tuple[Tensor, Tensor]:
    means = _windowed(images)
    return means, _windowed(images.square()) - means.square()


def _windowed(images: Tensor) -> Tensor:
    """Gaussian window means (n, height - 10, width - 10) of images (n, height, width)."""
    height, width = images.shape[1:]
    down, across = (_window_matrix(side, images.dtype, images.device) for side in (height, width))
    return down @ (images @ across.T)  # across first: one product for all images


@cache
@torch.inference_mode(False)  # it is kept, and a training may ask for it next
def _window_matrix(side: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The matrix (side - 10, side) that takes the window's weighted mean at every place of a line."""
    places = torch.arange(SSIM_WINDOW, dtype=dtype, device=device) - SSIM_WINDOW // 2
    weights = torch.exp(-places.square() / (2 * SSIM_SIGMA**2))
    matrix = torch.zeros(side - SSIM_WINDOW + 1, side, dtype=dtype, device=device)
    for line in range(len(matrix)):
        matrix[line, line : line + SSIM_WINDOW] = weights / weights.sum()
    return matrix


@dataclass(frozen=True)
class Ranks:
    """Where the true image stands among the images of its class, for each reconstruction.

    Attributes:
        others: (n,) int64, how many other images of the true class there are.
        closer: (n,) int64, how many of them are nearer to the reconstruction than the true image.
        tied: (n,) int64, how many are as near.
        false_positives: (n,) float64, the share of impostor pairs (a reconstruction with another image of its true
            class; all of this call together) that are nearer than this reconstruction is to its true image, ties
            counting half. A threshold with a false-positive rate p accepts the true pairs whose share is at most p;
            NaN where there is no impostor pair.
    """

    others: Tensor
    closer: Tensor
    tied: Tensor
    false_positives: Tensor


@torch.no_grad()
def rank_within_class(
    reconstructions: Tensor,
    candidates: Tensor,
    labels: Tensor,
    *,
    distance: Callable[[Tensor, Tensor], Tensor] = euclidean_distances,
    truth: Tensor | None = None,
    left_out: Tensor | None = None,
) -> Ranks:
    """Compare each reconstruction with its true image and with all others of the same true class.

    Args:
        reconstructions: (n, ...) images, or their features.
        candidates: (m, ...), the images of the whole split, or their features.
        labels: (m,) int64, their true classes.
        distance: (some of one, some of the other) -> all distances.
        truth: (n,) int64, place of each reconstruction's true image among the candidates; the first n by default.
        left_out: (n,) int64, place of one more candidate that is not compared with, e.g. the image that a shuffled
            output came from; none by default.
    Returns:
        The ranks, in the order of the reconstructions. They depend neither on that order nor on other reconstructions,
        but for ``false_positives``, which pools them.
    Raises:
        ValueError: lengths that do not fit.
    Source: ranks of one true among impostors, as in biometric identification; the pooled threshold is that of
        Carlini et al. 2022 for membership.
    """
    labels, left_out = labels.cpu(), None if left_out is None else left_out.cpu()
    truth = torch.arange(len(reconstructions)) if truth is None else truth.cpu()
    if len(labels) != len(candidates) or len(truth) != len(reconstructions) or len(truth) == 0:
        raise ValueError(
            "`labels` must be as many as `candidates`, `truth` as many as `reconstructions`, and these at least one; "
            f"got {len(labels)}, {len(candidates)}, {len(truth)} and {len(reconstructions)}"
        )
    if left_out is not None and len(left_out) != len(truth):
        raise ValueError(f"`left_out` must be as many as `reconstructions`, {len(truth)}; got {len(left_out)}")
    if not 0 <= int(truth.min()) <= int(truth.max()) < len(candidates):
        raise ValueError(f"`truth` must be places of the {len(candidates)} candidates; got {truth.tolist()[:5]} ...")
    counts = torch.zeros(3, len(truth), dtype=torch.int64)
    own = torch.zeros(len(truth), dtype=torch.float64)
    impostors: list[Tensor] = []
    for label in labels[truth].unique().tolist():
        lines = torch.nonzero(labels[truth] == label).flatten()
        columns = torch.nonzero(labels == label).flatten()
        distances = distance(reconstructions[lines], candidates[columns]).double().cpu()
        is_true = truth[lines, None] == columns
        compared = ~is_true if left_out is None else ~is_true & (left_out[lines, None] != columns)
        own[lines] = distances[is_true]
        closer, tied = (compared & test(distances, own[lines, None]) for test in (torch.lt, torch.eq))
        counts[:, lines] = torch.stack([mask.sum(1) for mask in (compared, closer, tied)])
        impostors.append(distances[compared])
    pooled = torch.cat(impostors).sort().values
    below, to_equal = (torch.searchsorted(pooled, own, right=right) for right in (False, True))
    return Ranks(*counts, (below + to_equal).double() / 2 / len(pooled))


def weighted_f1(labels: Tensor, predictions: Tensor) -> float:
    """F1 score of each class, averaged with the class counts as weights.

    Args:
        labels: (n,) int64, true classes.
        predictions: (n,) int64.
    Raises:
        ValueError: not as many labels as predictions, or none.
    """
    _check_labels(labels, predictions)
    from sklearn.metrics import f1_score  # takes two seconds to load, and few tasks need it

    return float(f1_score(labels.numpy(force=True), predictions.numpy(force=True), average="weighted", zero_division=0))


def calibration_error(probabilities: Tensor, labels: Tensor, *, bins: int = 15) -> float:
    """Expected calibration error: how far confidence and accuracy are apart, in bins of equal width.

    Args:
        probabilities: (n, c) in [0, 1]; the largest of a row is its confidence.
        labels: (n,) int64, true classes.
        bins: of the confidence, at least 1.
    Returns:
        The mean over images of the distance between mean confidence and accuracy of an image's bin, in [0, 1].
    Raises:
        ValueError: lengths that do not fit, no images, no bins, or what are no probabilities.
    Source: Guo et al. 2017, with 15 bins.
    """
    check_probabilities(probabilities)
    if labels.shape != (len(probabilities),) or bins < 1:
        raise ValueError(
            f"`labels` must be ({len(probabilities)},), as many as `probabilities`, and `bins` at least 1; "
            f"got {tuple(labels.shape)} and {bins}"
        )
    confidence, predicted = probabilities.detach().cpu().double().max(1)
    excess = confidence - (predicted == labels.cpu()).double()
    places = (confidence * bins).long().clamp(max=bins - 1)
    sums = torch.zeros(bins, dtype=torch.float64).index_add_(0, places, excess)
    return float(sums.abs().sum() / len(labels))


def confusion(labels: Tensor, predictions: Tensor) -> np.ndarray:
    """Counts (10, 10): rows are true classes, columns predicted ones; both (n,) int64 in 0..9.

    Raises:
        ValueError: not as many labels as predictions, none, or no classes.
    """
    _check_labels(labels, predictions)
    if min(labels.min(), predictions.min()) < 0 or max(labels.max(), predictions.max()) >= CLASSES:
        raise ValueError(f"`labels` and `predictions` must be classes, 0 to {CLASSES - 1}")
    from sklearn.metrics import confusion_matrix

    return confusion_matrix(labels.numpy(force=True), predictions.numpy(force=True), labels=range(CLASSES))


def _check_labels(labels: Tensor, predictions: Tensor) -> None:
    if labels.ndim != 1 or labels.shape != predictions.shape or len(labels) == 0:
        raise ValueError(
            "`labels` and `predictions` must be (n,) with n > 0; "
            f"got {tuple(labels.shape)} and {tuple(predictions.shape)}"
        )


def _check_pair(images: Tensor, reconstructions: Tensor) -> None:
    if images.shape != reconstructions.shape or images.dtype != reconstructions.dtype:
        raise ValueError(
            "`images` and `reconstructions` must have one shape and dtype; got "
            f"{tuple(images.shape)} {images.dtype} and {tuple(reconstructions.shape)} {reconstructions.dtype}"
        )
    if images.ndim != 4 or images.shape[1] != 1 or len(images) == 0 or not images.is_floating_point():
        raise ValueError(
            f"`images` must be (n, 1, height, width) float with n > 0; got {tuple(images.shape)} {images.dtype}"
        )
    if not images.requires_grad and not reconstructions.requires_grad:
        check_images(images, side=None)
        check_images(reconstructions, "reconstructions", side=None)
