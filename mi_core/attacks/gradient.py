"""Gradient reconstruction X~: optimise an image until the shadow's output matches the given one."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mi_core.checks import check_images, check_outputs
from mi_core.data import CLASSES, SIDE, Split

__all__ = [
    "STARTS",
    "class_averages",
    "class_instances",
    "draw_regularisers",
    "places_of_class",
    "reconstruct_images",
    "start_images",
]

STARTS = ("random", "class_instance", "class_average")
BETAS, EPSILON = (0.9, 0.999), 1e-8  # Adam's defaults


def class_averages(auxiliary: Split) -> Tensor:
    """Mean auxiliary image of each class, (10, 1, 32, 32). Raises ValueError where a class has no image."""
    check_images(auxiliary.images, "auxiliary.images")
    return torch.stack([auxiliary.images[places_of_class(auxiliary, label)].mean(0) for label in range(CLASSES)])


def class_instances(auxiliary: Split) -> Tensor:
    """First auxiliary image of each class, (10, 1, 32, 32). Raises ValueError where a class has no image."""
    check_images(auxiliary.images, "auxiliary.images")
    return torch.stack([auxiliary.images[places_of_class(auxiliary, label)[0]] for label in range(CLASSES)])


def places_of_class(auxiliary: Split, label: int) -> Tensor:
    """Places (k,) of the auxiliary images of a class, in order. Raises ValueError where it has no image."""
    found = torch.nonzero(auxiliary.labels == label).flatten()
    if len(found) == 0:
        raise ValueError(f"the auxiliary data hold no image of class {label}; give the attacker more images")
    return found


def start_images(start: str, outputs: Tensor, auxiliary: Split, *, generator: torch.Generator) -> Tensor:
    """Where the optimisation of each image begins.

    Args:
        start: "random" (pixels uniform in [0, 1]), "class_instance" (the first auxiliary image of the predicted
            class) or "class_average" (the mean auxiliary image of the predicted class).
        outputs: (n, 10); the predicted class is the arg-max.
        auxiliary: the attacker's images, D_S^T.
        generator: draws the random pixels.
    Returns:
        (n, 1, 32, 32) in [0, 1].
    Raises:
        ValueError: unknown ``start``, or a class without an auxiliary image.
    Source: thesis section 3.3, Fig 4.
    """
    if start not in STARTS:
        raise ValueError(f"`start` must be one of {', '.join(STARTS)}; got {start!r}")
    check_outputs(outputs)
    if start == "random":
        return torch.rand(len(outputs), 1, SIDE, SIDE, generator=generator).to(outputs.device)
    of_class = class_instances(auxiliary) if start == "class_instance" else class_averages(auxiliary)
    return of_class.to(outputs.device)[outputs.argmax(1)]


def reconstruct_images(
    shadow: nn.Module,
    outputs: Tensor,
    start: Tensor,
    *,
    l2_weight: float,
    tv_weight: float,
    steps: int = 400,
    data_term: str = "output_mse",
    update: str = "adam",
    learning_rate: float = 0.01,
    clip_norm: float | None = 1.0,
    group_size: int = 32,
    probabilities: bool = False,
    on_step: Callable[[], None] = lambda: None,
) -> Tensor:
    r"""Optimise images by gradient descent through the shadow, clamped to [0, 1] after each step.

    For each group of images g the objective is

    .. math:: \frac{1}{|g|} \sum_{i \in g} D(M_S(x_i), o_i)
              + \sum_{i \in g} \left( \lambda_{L2} \lVert x_i \rVert_2^2 + \lambda_{TV}\, \mathrm{TV}(x_i) \right)

    where TV is the sum of absolute differences between vertical and horizontal neighbours. In a group of 32 (the
    thesis's code: its batch) the regularisers weigh 32 times as much against the data term as in a group of 1 (the
    thesis's text: each image on its own), and the gradient is clipped over the group. Groups do not touch each
    other: as long as a call begins at a group's first image, results do not depend on how many images it takes.

    Args:
        shadow: images to logits, frozen and in evaluation mode; computes in the dtype of its weights.
        outputs: (n, 10), what the attacker saw: logits, or probabilities.
        start: (n, 1, 32, 32) in [0, 1], where to begin.
        l2_weight: lambda_L2, at least 0.
        tv_weight: lambda_TV, at least 0.
        steps: iterations, at least 1.
        data_term: "output_mse" (mean squared error over the ten outputs) or "cross_entropy" (with the arg-max).
        update: "adam" or "gradient_descent".
        learning_rate: step size.
        clip_norm: largest norm of a group's gradient, above 0, or None.
        group_size: images that share one objective, at least 1.
        probabilities: whether ``outputs`` are probabilities; then the shadow's are compared with them.
        on_step: called after each iteration.
    Returns:
        (n, 1, 32, 32) float32 in [0, 1].
    Raises:
        ValueError: unknown ``data_term`` or ``update``, shapes that do not fit, a number out of range, or a shadow in
            training mode.
        FloatingPointError: an image became infinite or not a number.
    Source: thesis section 3.3, Eq. 1 and 2; PROTOCOL choices as in the thesis's released notebook by default.
    """
    if data_term not in ("output_mse", "cross_entropy"):
        raise ValueError(f"`data_term` must be 'output_mse' or 'cross_entropy'; got {data_term!r}")
    if update not in ("adam", "gradient_descent"):
        raise ValueError(f"`update` must be 'adam' or 'gradient_descent'; got {update!r}")
    check_outputs(outputs)
    check_images(start, "start")
    if len(outputs) != len(start):
        raise ValueError(f"`outputs` and `start` must be equally many; got {len(outputs)} and {len(start)}")
    if shadow.training:  # its dropout would act, and its running statistics would move
        raise ValueError("`shadow` must be in evaluation mode: call its .eval(), or use frozen_for_inference")
    if steps < 1 or group_size < 1:
        raise ValueError(f"`steps` and `group_size` must be at least 1; got {steps} and {group_size}")
    if not (l2_weight >= 0 and tv_weight >= 0):
        raise ValueError(f"`l2_weight` and `tv_weight` must be at least 0; got {l2_weight} and {tv_weight}")
    if clip_norm is not None and not clip_norm > 0:
        raise ValueError(f"`clip_norm` must be above 0, or None; got {clip_norm}")
    outputs = outputs.detach()
    images = start.detach().float().clone(memory_format=torch.channels_last)
    group = torch.arange(len(images), device=images.device) // group_size
    share = 1 / torch.bincount(group).float()[group]  # 1 / |g| for every image
    dtype = next(shadow.parameters(), images).dtype
    groups = int(group[-1]) + 1
    first_moment, second_moment = torch.zeros_like(images), torch.zeros_like(images)
    for step in range(1, steps + 1):
        gradient = _data_gradient(shadow, images.to(dtype), outputs, share, data_term, probabilities).float()
        gradient += 2 * l2_weight * images + tv_weight * _total_variation_gradient(images)
        if clip_norm is not None:
            gradient *= _clip_factor(gradient, group, groups, clip_norm)
        if update == "adam":
            first_moment.lerp_(gradient, 1 - BETAS[0])
            second_moment.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
            scale = second_moment.sqrt().div_(math.sqrt(1 - BETAS[1] ** step)).add_(EPSILON)
            images.addcdiv_(first_moment, scale, value=-learning_rate / (1 - BETAS[0] ** step))
        else:
            images.sub_(gradient, alpha=learning_rate)
        images.clamp_(0, 1)
        on_step()
    if not torch.isfinite(images).all():
        raise FloatingPointError(f"the reconstruction is not finite after {steps} steps: are the shadow's answers?")
    return images.contiguous()


def _data_gradient(
    shadow: nn.Module, images: Tensor, outputs: Tensor, share: Tensor, data_term: str, probabilities: bool
) -> Tensor:
    """Gradient of the data term with respect to the images, each weighted with its share of the group."""
    with torch.enable_grad():
        images = images.detach().requires_grad_(True)
        answers = shadow(images).float()
        if data_term == "cross_entropy":
            per_image = F.cross_entropy(answers, outputs.argmax(1), reduction="none")
        else:
            answers = answers.softmax(1) if probabilities else answers
            per_image = (answers - outputs).square().mean(1)
        return torch.autograd.grad((per_image * share).sum(), images)[0]


def _total_variation_gradient(images: Tensor) -> Tensor:
    """Subgradient of the sum of absolute differences between neighbours (0 where these are equal)."""
    gradient = torch.zeros_like(images)
    for dimension in (2, 3):
        sign = images.diff(dim=dimension).sign_()
        size = images.shape[dimension] - 1
        gradient.narrow(dimension, 1, size).add_(sign)
        gradient.narrow(dimension, 0, size).sub_(sign)
    return gradient


def _clip_factor(gradient: Tensor, group: Tensor, groups: int, clip_norm: float) -> Tensor:
    """What each image's gradient is multiplied with, as ``torch.nn.utils.clip_grad_norm_`` does for a whole group."""
    squares = gradient.square().flatten(1).sum(1)
    norms = torch.zeros(groups, device=group.device).index_add_(0, group, squares).sqrt_()
    return (clip_norm / (norms + 1e-6)).clamp_(max=1.0)[group][:, None, None, None]


def draw_regularisers(generator: torch.Generator, *, best: tuple[float, float] | None = None) -> tuple[float, float]:
    """Draw (lambda_L2, lambda_TV) log-uniformly: from the whole search space, or from 0.5 to 1.5 times the best pair.

    Raises:
        ValueError: a best weight that is not above 0.
    Source: thesis section 4.1.2, Fig 8.
    """
    if best is not None and not min(best) > 0:
        raise ValueError(f"`best` must be weights above 0; got {best}")
    ranges = [(1e-5, 3e-2), (1e-6, 3e-2)] if best is None else [(0.5 * weight, 1.5 * weight) for weight in best]
    places = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
    l2_weight, tv_weight = (
        math.exp(math.log(low) + place * (math.log(high) - math.log(low)))
        for place, (low, high) in zip(places, ranges, strict=True)
    )
    return l2_weight, tv_weight
