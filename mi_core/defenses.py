"""Defences: what a target does to its outputs before it answers. One function each; they compose."""

import torch
from torch import Tensor

from mi_core.checks import check_outputs

__all__ = ["label_only", "round_outputs", "truncate_outputs"]


def round_outputs(outputs: Tensor, decimals: int = 1) -> Tensor:
    """Round every output to a fixed number of decimals.

    Args:
        outputs: (n, c) float: logits, or probabilities (rows are not renormalised).
        decimals: decimals kept, 0 to 7. Fewer is the stronger defence.
    Returns:
        (n, c), a new tensor of the same dtype and device.
    Raises:
        ValueError: ``outputs`` is not as said or not finite, or ``decimals`` is out of range.
    Source: thesis section 4.3 (one decimal, on logits).
    Example:
        >>> round_outputs(torch.tensor([[1.26, -0.04]]))
        tensor([[1.3000, -0.0000]])
    """
    check_outputs(outputs, classes=None)
    if not 0 <= decimals <= 7:
        raise ValueError(f"`decimals` must be between 0 and 7; got {decimals}")
    return torch.round(outputs, decimals=decimals)


def truncate_outputs(outputs: Tensor, k: int, *, fill: str = "zero") -> Tensor:
    """Keep the k largest outputs of every row and hide the others.

    Ties at the k-th place keep the class with the lower number.

    Args:
        outputs: (n, c) float.
        k: how many outputs are kept, 1 to c.
        fill: what the others become: "zero" (the thesis; for logits a zero is not a low score, since true ones are
            mostly negative) or "lowest_remaining" (the smallest output that was kept; with k = 1 every output becomes
            equal, so even the predicted class is hidden).
    Returns:
        (n, c), a new tensor of the same dtype and device.
    Raises:
        ValueError: ``outputs`` is not as said or not finite, ``k`` is out of range, or ``fill`` is unknown.
    Source: thesis section 4.3 (k = 10, 5, 3, 1, zeros).
    Example:
        >>> truncate_outputs(torch.tensor([[3.0, -1.0, 2.0]]), 2)
        tensor([[3., 0., 2.]])
    """
    check_outputs(outputs, classes=None)
    if not 1 <= k <= outputs.shape[1]:
        raise ValueError(f"`k` must be between 1 and {outputs.shape[1]}, the number of outputs; got {k}")
    if fill not in ("zero", "lowest_remaining"):
        raise ValueError(f"`fill` must be 'zero' or 'lowest_remaining'; got {fill!r}")
    kept_values, kept = outputs.sort(dim=1, descending=True, stable=True)
    kept_values, kept = kept_values[:, :k], kept[:, :k]
    filled = torch.zeros_like(outputs) if fill == "zero" else kept_values[:, -1:].expand_as(outputs).clone()
    return filled.scatter(1, kept, kept_values)


def label_only(outputs: Tensor) -> Tensor:
    """Answer with nothing but the predicted class, as a vector of zeros and a one.

    Args:
        outputs: (n, c) float.
    Returns:
        (n, c), a new tensor of the same dtype and device.
    Raises:
        ValueError: ``outputs`` is not as said or not finite.
    Example:
        >>> label_only(torch.tensor([[3.0, -1.0, 2.0]]))
        tensor([[1., 0., 0.]])
    """
    check_outputs(outputs, classes=None)
    return torch.nn.functional.one_hot(outputs.argmax(1), outputs.shape[1]).to(outputs.dtype)
