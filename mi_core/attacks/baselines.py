"""What no attack is needed for: reconstructions from the predicted label, or from similar outputs, alone.

An attack shows leakage beyond the label only by what it does better than these. All use the attacker's own images;
only the ceiling ``nearest_auxiliary_images`` sees the true ones, and says so.
"""

import torch
from torch import Tensor

from mi_core.attacks.gradient import class_averages, places_of_class
from mi_core.checks import check_images, check_outputs
from mi_core.data import CLASSES, Split
from mi_core.metrics import ssim_per_image

__all__ = [
    "black_images",
    "class_average_images",
    "global_average_images",
    "nearest_auxiliary_images",
    "nearest_output_averages",
    "random_class_images",
    "shuffled_within_class",
    "ssim_optimal_images",
]

DISTANCES_AT_ONCE = 256  # rows of a distance matrix, to bound memory


def black_images(outputs: Tensor, auxiliary: Split) -> Tensor:
    """A black image (n, 1, 32, 32) for each output vector (n, 10)."""
    _check(outputs, auxiliary)
    return torch.zeros(len(outputs), *auxiliary.images.shape[1:], device=outputs.device)


def global_average_images(outputs: Tensor, auxiliary: Split) -> Tensor:
    """The mean auxiliary image, whatever the output; (n, 1, 32, 32) for (n, 10)."""
    _check(outputs, auxiliary)
    return auxiliary.images.mean(0).to(outputs.device).expand(len(outputs), -1, -1, -1).clone()


def class_average_images(outputs: Tensor, auxiliary: Split) -> Tensor:
    """The mean auxiliary image of the predicted class; (n, 1, 32, 32) for (n, 10).

    Raises:
        ValueError: a class has no auxiliary image.
    """
    _check(outputs, auxiliary)
    return class_averages(auxiliary).to(outputs.device)[outputs.argmax(1)]


def random_class_images(outputs: Tensor, auxiliary: Split, *, generator: torch.Generator) -> Tensor:
    """An auxiliary image of the predicted class, drawn at random; (n, 1, 32, 32) for (n, 10).

    Raises:
        ValueError: a predicted class has no auxiliary image.
    """
    _check(outputs, auxiliary)
    chosen = []
    for label in outputs.argmax(1).tolist():
        candidates = places_of_class(auxiliary, label)
        chosen.append(candidates[torch.randint(len(candidates), (1,), generator=generator)])
    return auxiliary.images[torch.cat(chosen)].to(outputs.device)


def shuffled_within_class(predicted: Tensor, *, generator: torch.Generator) -> Tensor:
    """The control: whose output each image is given when outputs change hands within the predicted class.

    Each class's images pass theirs on in a random circle, so no image keeps its own unless it is alone in its class.
    What an attack still scores with another image's output is not leakage about the image.

    Args:
        predicted: (n,) int64, predicted classes.
        generator: draws the circles.
    Returns:
        (n,) int64, the place of the image whose output each one gets.
    Example:
        >>> shuffled_within_class(torch.tensor([3, 1, 3]), generator=torch.Generator())
        tensor([2, 1, 0])
    """
    if predicted.ndim != 1:
        raise ValueError(f"`predicted` must be (n,), the predicted classes; got {tuple(predicted.shape)}")
    donors = torch.arange(len(predicted))
    known = predicted.cpu()
    for label in known.unique():
        members = torch.nonzero(known == label).flatten()
        circle = members[torch.randperm(len(members), generator=generator)]
        donors[circle] = circle.roll(1)
    return donors.to(predicted.device)


@torch.enable_grad()
def ssim_optimal_images(
    auxiliary: Split,
    *,
    generator: torch.Generator,
    steps: int = 200,
    images_per_step: int = 16,
    learning_rate: float = 0.02,
) -> Tensor:
    """For each class the one image whose mean SSIM with the auxiliary images of the class is highest.

    Stochastic ascent (Adam) from the class average, on ``images_per_step`` auxiliary images of each class a step,
    pixels clamped to [0, 1]; the learning rate falls linearly to zero.

    Args:
        auxiliary: the attacker's images, D_S^T.
        generator: draws the images of each step.
        steps: of the ascent, at least 1.
        images_per_step: auxiliary images of each class that a step looks at, at least 1.
        learning_rate: at the first step.
    Returns:
        (10, 1, 32, 32) in [0, 1]; index it with the predicted class.
    Raises:
        ValueError: a class has no auxiliary image, or a number is out of range.
    """
    if steps < 1 or images_per_step < 1:
        raise ValueError(f"`steps` and `images_per_step` must be at least 1; got {steps} and {images_per_step}")
    known = auxiliary.images.detach()
    images = class_averages(auxiliary).detach().requires_grad_(True)
    members = [places_of_class(auxiliary, label) for label in range(CLASSES)]
    optimiser = torch.optim.Adam([images], lr=learning_rate)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = learning_rate * (1 - step / steps)
        drawn = torch.cat([of[torch.randint(len(of), (images_per_step,), generator=generator)] for of in members])
        optimiser.zero_grad()
        loss = -ssim_per_image(known[drawn], images.repeat_interleave(images_per_step, 0)).mean()
        loss.backward()
        optimiser.step()
        with torch.no_grad():
            images.clamp_(0, 1)
    return images.detach()


def nearest_output_averages(outputs: Tensor, auxiliary: Split, auxiliary_outputs: Tensor, *, k: int) -> Tensor:
    """The mean of the k auxiliary images whose outputs (by the shadow) are nearest to the given one.

    Args:
        outputs: (n, 10), what the attacker saw.
        auxiliary: m images.
        auxiliary_outputs: (m, 10), the shadow's outputs for them.
        k: images averaged, 1 to m.
    Returns:
        (n, 1, 32, 32) in [0, 1].
    Raises:
        ValueError: shapes that do not fit, or ``k`` out of range.
    """
    check_outputs(outputs, classes=None)
    if len(auxiliary) != len(auxiliary_outputs) or outputs.shape[1:] != auxiliary_outputs.shape[1:]:
        raise ValueError(
            f"`auxiliary_outputs` must be ({len(auxiliary)}, {outputs.shape[1]}); got {tuple(auxiliary_outputs.shape)}"
        )
    if not 1 <= k <= len(auxiliary):
        raise ValueError(f"`k` must be between 1 and {len(auxiliary)}, the number of auxiliary images; got {k}")
    check_outputs(auxiliary_outputs, "auxiliary_outputs", classes=None)
    nearest = _nearest(outputs, auxiliary_outputs.to(outputs.device), k).to(auxiliary.images.device)
    return torch.stack([auxiliary.images[places].mean(0) for places in nearest]).to(outputs.device)


def nearest_auxiliary_images(images: Tensor, auxiliary: Split) -> Tensor:
    """A ceiling, not an attack: the auxiliary image that is nearest to the TRUE one in squared error.

    Args:
        images: (n, 1, 32, 32), the true images.
        auxiliary: the attacker's images.
    Returns:
        (n, 1, 32, 32).
    """
    check_images(images)
    check_images(auxiliary.images, "auxiliary.images")
    return auxiliary.images[_nearest(images.flatten(1), auxiliary.images.flatten(1), 1).flatten()]


def _check(outputs: Tensor, auxiliary: Split) -> None:
    check_outputs(outputs)
    check_images(auxiliary.images, "auxiliary.images")


def _nearest(points: Tensor, candidates: Tensor, k: int) -> Tensor:
    """Indices (n, k) of the candidates nearest to each point in Euclidean distance."""
    parts = [torch.cdist(some, candidates).topk(k, largest=False).indices for some in points.split(DISTANCES_AT_ONCE)]
    return torch.cat(parts)
