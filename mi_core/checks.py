"""What the core asks of tensors that it is given, said in one sentence where they are otherwise."""

import torch
from torch import Tensor

from mi_core.data import CLASSES, SIDE

__all__ = ["check_images", "check_outputs", "check_probabilities"]

SLACK = 1e-3  # beyond [0, 1]: what rounding to bfloat16 can do


def check_outputs(outputs: Tensor, name: str = "outputs", *, classes: int | None = CLASSES) -> None:
    """Refuse what is no (n, classes) float, finite and n > 0; any number of classes with None.

    Raises:
        ValueError: it is something else.
    """
    width = outputs.shape[1] if classes is None and outputs.ndim == 2 else classes
    if outputs.ndim != 2 or outputs.shape[1] != width or len(outputs) == 0 or not outputs.is_floating_point():
        wanted = "c" if classes is None else classes
        raise ValueError(
            f"`{name}` must have two dimensions, (n, {wanted}) float with n > 0; "
            f"got {tuple(outputs.shape)} {outputs.dtype}"
        )
    if not torch.isfinite(outputs).all():
        raise ValueError(f"`{name}` must be finite; some are infinite or not a number")


def check_probabilities(probabilities: Tensor, name: str = "probabilities") -> None:
    """Refuse what is no (n, c) float in [0, 1], n > 0; rows need not sum to 1.

    Raises:
        ValueError: it is something else.
    """
    check_outputs(probabilities, name, classes=None)
    low, high = probabilities.detach().aminmax()
    if low < 0 or high > 1:
        raise ValueError(f"`{name}` must lie in [0, 1]; got {float(low):.3g} to {float(high):.3g}")


def check_images(images: Tensor, name: str = "images", *, side: int | None = SIDE) -> None:
    """Refuse what is no (n, 1, side, side) float in [0, 1], n > 0; any height and width with None.

    Raises:
        ValueError: it is something else.
    """
    wanted = ("height", "width") if side is None else (side, side)
    fitting = images.ndim == 4 and images.shape[1] == 1 and side in (None, *images.shape[2:])
    if not fitting or (side and images.shape[2] != images.shape[3]) or 0 in images.shape:
        raise ValueError(f"`{name}` must be (n, 1, {wanted[0]}, {wanted[1]}) with n > 0; got {tuple(images.shape)}")
    if not images.is_floating_point():
        raise ValueError(f"`{name}` must be float in [0, 1]; got {images.dtype}")
    low, high = images.detach().aminmax()
    if not (low >= -SLACK and high <= 1 + SLACK):  # false where one is not a number
        raise ValueError(f"`{name}` must lie in [0, 1]; got {float(low):.3g} to {float(high):.3g}")
