"""Scores: SSIM and MSE per image, weighted F1 and confusion matrices. Averaging images is the caller's."""

import numpy as np
import pytorch_msssim
from sklearn.metrics import confusion_matrix, f1_score
from torch import Tensor

from mi_core.data import CLASSES

__all__ = ["SSIM_WINDOW", "confusion", "mse_per_image", "ssim_per_image", "weighted_f1"]

SSIM_WINDOW = 11  # pixels; sigma 1.5, K1 0.01, K2 0.03, valid region only


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
        ValueError: shapes or dtypes differ, or the images are empty, too small or not float.
    Source: Wang et al. 2004; thesis section 3.4 (which also calls it normalised; its code does not normalise).
    """
    _check_pair(images, reconstructions)
    if min(images.shape[2:]) < SSIM_WINDOW:
        raise ValueError(f"`images` must be at least {SSIM_WINDOW} pixels a side; got {tuple(images.shape[2:])}")
    return pytorch_msssim.ssim(
        images, reconstructions, data_range=1.0, win_size=SSIM_WINDOW, win_sigma=1.5, size_average=False
    )


def mse_per_image(images: Tensor, reconstructions: Tensor) -> Tensor:
    """Mean squared error of each pair over its pixels.

    Args:
        images: (n, 1, height, width) float in [0, 1].
        reconstructions: likewise, same shape and dtype.
    Returns:
        (n,), at least 0.
    Raises:
        ValueError: shapes or dtypes differ, or the images are empty or not float.
    """
    _check_pair(images, reconstructions)
    return (images - reconstructions).square().flatten(1).mean(1)


def weighted_f1(labels: Tensor, predictions: Tensor) -> float:
    """F1 score of each class, averaged with the class counts as weights.

    Args:
        labels: (n,) int64, true classes.
        predictions: (n,) int64.
    """
    return float(f1_score(labels.numpy(force=True), predictions.numpy(force=True), average="weighted", zero_division=0))


def confusion(labels: Tensor, predictions: Tensor) -> np.ndarray:
    """Counts (10, 10): rows are true classes, columns predicted ones."""
    return confusion_matrix(labels.numpy(force=True), predictions.numpy(force=True), labels=range(CLASSES))


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
