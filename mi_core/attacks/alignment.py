"""Alignment: outputs of one classifier, without labels or images, mapped onto the outputs of another.

Two classifiers of one architecture answer the same image with unlike logits: an inverse model that was trained on the
answers of one reads those of the other badly. What both share is that they answer for images of the same kind. So the
outputs of the one are moved until they are distributed like those of the other, the reference, within each predicted
class. Nothing is needed but a set of outputs of each: no label, no image, no query, no weight.
"""

from collections.abc import Callable

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from mi_core.checks import check_outputs
from mi_core.randomness import generator, seeded

__all__ = ["METHODS", "align_outputs", "pool_outputs", "standardise_outputs"]

METHODS = ("none", "standardised", "diagonal", "covariance", "transport", "learned")
RIDGE = 1e-6  # of the mean variance, so that a covariance has an inverse
TRANSPORTED_AT_MOST = 1000  # outputs of a class that are assigned to each other; the cost grows with the third power
LEARNED_UNITS, LEARNED_STEPS, LEARNED_BATCH, LEARNING_RATE = 64, 200, 256, 3e-3
CLASSES_APART = 100.0  # standard deviations: the energy distance compares outputs of one class only

Map = Callable[[Tensor], Tensor]  # (n, c) to (n, c)


def align_outputs(
    outputs: Tensor,
    reference: Tensor,
    *,
    method: str = "covariance",
    prior: float = 10.0,
    seen: Tensor | None = None,
) -> Tensor:
    """Map outputs of one classifier onto the distribution of a reference classifier's, given for other images.

    - "none": as they are.
    - "standardised": each output vector is shifted and scaled to the mean and standard deviation over its ten
      numbers that the reference has on average. Needs no other output.
    - "diagonal": mean and standard deviation of each of the ten numbers, within each predicted class.
    - "covariance": mean and covariance, within each predicted class, by the one linear map between two normal
      distributions that moves least (optimal transport).
    - "transport": within each predicted class, seen outputs are assigned one to one to reference outputs at the least
      total squared distance; an output moves as the seen one nearest to it does.
    - "learned": "covariance", then a correction by a small network (one hidden layer) that is trained until seen and
      reference outputs of each predicted class have the least energy distance.

    The last four begin with the means and standard deviations of all outputs together; predicted classes are those
    after that. Moments of n outputs are weighed against the reference's, which count for ``prior`` outputs: few outputs
    move little, and outputs of a class that was never seen are moved as all outputs together are, no further.

    Args:
        outputs: (n, c) float, of the classifier under attack.
        reference: (m, c) float, of the reference, for images of the same kind.
        method: one of ``METHODS``.
        prior: how many outputs the reference's moments count for in each class, above 0.
        seen: (s, c), the outputs that the map is fitted to; ``outputs`` themselves by default.
    Returns:
        (n, c) float, like ``outputs``.
    Raises:
        ValueError: shapes that do not fit, an unknown method, numbers that are not finite, or a ``prior`` of 0 or less.
    Source: matching of first and second moments as in CORAL (Sun, Feng, Saenko 2016), here within classes; the map
        between normal distributions is that of Dowson and Landau 1982; the energy distance that of Szekely and Rizzo
        2013.
    """
    seen = outputs if seen is None else seen
    _check(outputs, reference, seen, method, prior)
    if method == "none":
        return outputs.detach().clone()
    given, fitted, known = (rows.detach().double() for rows in (outputs, seen, reference))
    if method == "standardised":
        centre, spread = known.mean(1).mean(), known.std(1).mean()
        return (standardise_outputs(given) * spread + centre).to(outputs.dtype)
    if method == "learned":
        pair = [align_outputs(rows, known, prior=prior, seen=fitted) for rows in (given, fitted)]
        return _learned_map(pair[1], known, prior)(pair[0]).to(outputs.dtype)
    overall = _class_map("diagonal", fitted, known, prior)
    given, fitted = overall(given), overall(fitted)
    aligned = given.clone()
    for label in range(outputs.shape[1]):
        here, its, others = (rows[rows.argmax(1) == label] for rows in (given, fitted, known))
        if len(here) and len(its) and len(others) > 1:
            aligned[given.argmax(1) == label] = _class_map(method, its, others, prior)(here)
    return aligned.to(outputs.dtype)


@torch.no_grad()
def standardise_outputs(outputs: Tensor) -> Tensor:
    """Each output vector minus its mean over its numbers, divided by their standard deviation; (n, c) as given."""
    return (outputs - outputs.mean(1, keepdim=True)) / outputs.std(1, keepdim=True).clamp_min(1e-12)


def pool_outputs(parts: list[Tensor], images: Tensor) -> tuple[Tensor, Tensor]:
    """What an inverse model is trained on: answers of several classifiers for the same images, one after another.

    Args:
        parts: outputs of each classifier (n_i, c) for the first n_i of the images, aligned to those of one of them.
        images: (n, ...), with n at least every n_i.
    Returns:
        All outputs (m, c) and the images that they belong to (m, ...), with m the sum of the n_i.
    Raises:
        ValueError: no outputs, more outputs than images, or outputs of unlike widths.
    """
    if not parts or any(len(part) > len(images) for part in parts):
        raise ValueError(
            f"`parts` must be at least one tensor of at most as many outputs as `images`, {len(images)}; "
            f"got {[len(part) for part in parts]}"
        )
    for number, part in enumerate(parts):
        check_outputs(part, f"parts[{number}]", classes=parts[0].shape[1] if number else None)
    return torch.cat(parts).detach(), torch.cat([images[: len(part)] for part in parts])


def _variance(rows: Tensor) -> Tensor:
    return rows.var(0, correction=0).clamp_min(1e-12)


def _class_map(method: str, fitted: Tensor, known: Tensor, prior: float) -> Map:
    """The map of one class, or of all together, from outputs (s, c) to known ones (m, c) of the reference."""
    weight = len(fitted) / (len(fitted) + prior)
    centre = weight * fitted.mean(0) + (1 - weight) * known.mean(0)
    if method == "transport":
        return _assignment_map(fitted, known, weight)
    if method == "diagonal":
        spread = weight * _variance(fitted) + (1 - weight) * _variance(known)
        return lambda rows: (rows - centre) * (_variance(known) / spread).sqrt() + known.mean(0)
    wanted = _covariance(known)
    linear = _least_move(weight * _covariance(fitted) + (1 - weight) * wanted, wanted)
    return lambda rows: (rows - centre) @ linear + known.mean(0)


def _covariance(rows: Tensor) -> Tensor:
    found = torch.cov(rows.T, correction=0)
    return found + (RIDGE * found.diagonal().mean() + 1e-12) * torch.eye(
        len(found), dtype=rows.dtype, device=rows.device
    )


def _least_move(covariance: Tensor, wanted: Tensor) -> Tensor:
    """The symmetric A with A C A = W for two covariances C and W: A = W^1/2 (W^1/2 C W^1/2)^-1/2 W^1/2."""
    root = _power(wanted, 0.5)
    return root @ _power(root @ covariance @ root, -0.5) @ root


def _power(matrix: Tensor, exponent: float) -> Tensor:
    """A power of a symmetric positive definite matrix."""
    values, vectors = torch.linalg.eigh((matrix + matrix.T) / 2)
    return (vectors * values.clamp_min(1e-300) ** exponent) @ vectors.T


def _assignment_map(fitted: Tensor, known: Tensor, weight: float) -> Map:
    """Each fitted output moves to the mean of the known ones that it is assigned; other outputs as the nearest does."""
    fitted, known = fitted[:TRANSPORTED_AT_MOST], known[:TRANSPORTED_AT_MOST]
    copies = max(1, len(known) // len(fitted))
    costs = torch.cdist(fitted, known[: len(fitted) * copies]).square().repeat_interleave(copies, 0)
    rows, columns = linear_sum_assignment(costs.numpy(force=True))
    places = torch.as_tensor(rows, device=fitted.device) // copies
    moves = torch.zeros_like(fitted).index_add_(0, places, known[torch.as_tensor(columns, device=fitted.device)])
    counts = torch.bincount(places, minlength=len(fitted)).to(fitted.dtype)
    assigned = counts > 0
    moves = moves[assigned] / counts[assigned, None] - fitted[assigned]
    return lambda rows: rows + weight * moves[torch.cdist(rows, fitted[assigned]).argmin(1)]


@torch.enable_grad()
def _learned_map(fitted: Tensor, known: Tensor, prior: float) -> Map:
    """A residual network under which the fitted outputs of each class are distributed like the known ones."""
    count = known.shape[1]
    centres = torch.stack([known[known.argmax(1) == label].mean(0).nan_to_num() for label in range(count)])
    spread = (known - centres[known.argmax(1)]).std().clamp_min(1e-12)  # 0 where all outputs of a class are equal
    with seeded("learned alignment"):
        layers = nn.Linear(2 * count, LEARNED_UNITS), nn.Tanh(), nn.Linear(LEARNED_UNITS, count)
    for weights in layers[-1].parameters():
        nn.init.zeros_(weights)  # begins with no correction
    network = nn.Sequential(*layers).to(known)
    optimiser = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1, 0, total_iters=LEARNED_STEPS)
    draws = generator("learned alignment", "batches")
    ours_of, theirs_of = (rows.argmax(1).bincount(minlength=count).double() for rows in (fitted, known))
    as_ours = (ours_of / theirs_of.clamp_min(1))[known.argmax(1)].cpu()  # draws classes as often on either side

    def placed(rows: Tensor, share: float = 0) -> Tensor:
        """Outputs beside their class, corrected or as they are; a distance between classes outweighs all others."""
        labels = rows.argmax(1)
        beside = nn.functional.one_hot(labels, count).to(rows)
        within = (rows - centres[labels]) / spread
        if share:
            within = within + share * network(torch.cat([within, beside], dim=1))
        return torch.cat([within, CLASSES_APART * beside], dim=1)

    for _ in range(LEARNED_STEPS):
        ours = fitted[torch.randint(len(fitted), (LEARNED_BATCH,), generator=draws)]
        theirs = known[torch.multinomial(as_ours, LEARNED_BATCH, replacement=True, generator=draws)]
        pair = placed(ours, 1), placed(theirs)
        distance = 2 * torch.cdist(*pair).mean() - sum(torch.cdist(rows, rows).mean() for rows in pair)
        optimiser.zero_grad()
        distance.backward()
        optimiser.step()
        schedule.step()
    share = len(fitted) / (len(fitted) + prior)
    return lambda rows: (placed(rows, share)[:, :count] * spread + centres[rows.argmax(1)]).detach()


def _check(outputs: Tensor, reference: Tensor, seen: Tensor, method: str, prior: float) -> None:
    if method not in METHODS:
        raise ValueError(f"`method` must be one of {', '.join(METHODS)}; got {method!r}")
    if not prior > 0:
        raise ValueError(f"`prior` must be above 0; got {prior}")
    check_outputs(outputs, classes=None)
    for name, rows in (("seen", seen), ("reference", reference)):
        check_outputs(rows, name, classes=outputs.shape[1])
