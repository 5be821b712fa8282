"""Last-layer activations A_L: recover what went into the last linear layer from what came out of it."""

import torch
from torch import Tensor

from mi_core.checks import check_probabilities

__all__ = ["logits_from_probabilities", "recover_activations"]

STOP_LOSS = 1.5  # mean squared error of a batch at which the thesis stops
MOST_STEPS = 20_000


@torch.no_grad()
def recover_activations(
    outputs: Tensor,
    weight: Tensor,
    bias: Tensor,
    *,
    generator: torch.Generator,
    update: str = "gradient_descent",
    learning_rate: float = 0.01,
    group_size: int = 32,
) -> Tensor:
    r"""Descend :math:`\mathrm{MSE}(A W^T + b, O)` from normal noise until a batch's loss falls under 1.5.

    Each group of 32 stops on its own, one step after its loss first falls under 1.5 (as the thesis's code does). The
    loss sees only 10 of the 50 directions: plain descent leaves the start noise in the other 40 as it is, Adam moves
    it without gain for the loss. Computed in float64.

    Args:
        outputs: (n, c) logits.
        weight: (c, a), W of the last linear layer. A gray-box attacker has the shadow's only.
        bias: (c,), its b.
        generator: draws the start noise.
        update: "gradient_descent" (thesis text: on each image's own mean over the outputs) or "adam" (its code).
        learning_rate: step size.
        group_size: images that stop together, at least 1.
    Returns:
        (n, a) float32.
    Raises:
        ValueError: unknown ``update``, shapes that do not fit, or a group size below 1.
        RuntimeError: a group's loss stays above 1.5 for 20,000 steps.
        FloatingPointError: a loss became infinite or not a number.
    Source: thesis section 3.3; its released notebook.
    """
    if update not in ("adam", "gradient_descent"):
        raise ValueError(f"`update` must be 'adam' or 'gradient_descent'; got {update!r}")
    given = (outputs, weight, bias)
    shapes = [tuple(tensor.shape) for tensor in given]
    fitting = outputs.ndim == weight.ndim == 2 and outputs.shape[1:] == bias.shape == weight.shape[:1]
    if not fitting or len(outputs) == 0:
        raise ValueError(f"`outputs` must be (n, c) and `weight` (c, a), `bias` (c,), n > 0; got {shapes}")
    if not all(tensor.is_floating_point() for tensor in given):
        raise ValueError(f"`outputs`, `weight` and `bias` must be float; got {[tensor.dtype for tensor in given]}")
    if group_size < 1:
        raise ValueError(f"`group_size` must be at least 1; got {group_size}")
    targets, weight, bias = outputs.double(), weight.double(), bias.double()
    noise = torch.randn(len(outputs), weight.shape[1], generator=generator, dtype=torch.float64)
    activations = noise.to(outputs.device)
    first_moment, second_moment = torch.zeros_like(activations), torch.zeros_like(activations)
    group = torch.arange(len(outputs), device=outputs.device) // group_size
    sizes = torch.bincount(group).double()
    active = torch.ones(len(outputs), dtype=torch.bool, device=outputs.device)
    for step in range(1, MOST_STEPS + 1):
        rows = torch.nonzero(active).flatten()
        difference = activations[rows] @ weight.T + bias - targets[rows]
        gradient = 2 / outputs.shape[1] * difference @ weight
        if update == "adam":
            first_moment[rows] = 0.9 * first_moment[rows] + 0.1 * gradient
            second_moment[rows] = 0.999 * second_moment[rows] + 0.001 * gradient.square()
            scale = (second_moment[rows] / (1 - 0.999**step)).sqrt() + 1e-8
            gradient = first_moment[rows] / (1 - 0.9**step) / scale
        activations[rows] -= learning_rate * gradient
        losses = torch.zeros_like(sizes).index_add_(0, group[rows], difference.square().mean(1)) / sizes
        if not torch.isfinite(losses).all():
            raise FloatingPointError(f"`recover_activations` diverged at step {step}: are the outputs finite?")
        active[rows] = (losses >= STOP_LOSS)[group[rows]]
        if not active.any():
            return activations.float()
    raise RuntimeError(
        f"`recover_activations` did not bring every batch under a loss of {STOP_LOSS} within {MOST_STEPS} steps; "
        "the worst batch is at {:.3g}".format(float(losses.max()))
    )


@torch.no_grad()
def logits_from_probabilities(probabilities: Tensor, *, floor: float = 1e-6) -> Tensor:
    """Logits that give these probabilities, centred to mean 0 per row (softmax forgets a constant per row).

    Args:
        probabilities: (n, c) in [0, 1]; rows need not sum to 1 (a rounded or truncated answer).
        floor: what smaller probabilities, zeros among them, are raised to before the logarithm.
    Returns:
        (n, c).
    Raises:
        ValueError: a value outside [0, 1], or a floor outside (0, 1).
    """
    check_probabilities(probabilities)
    if not 0 < floor < 1:
        raise ValueError(f"`floor` must lie between 0 and 1; got {floor}")
    logarithms = probabilities.clamp(min=floor).log()
    return logarithms - logarithms.mean(1, keepdim=True)
