"""The ladder of threat models for a classifier of one's own: what it reveals to stronger and stronger attackers.

One call: a way to train shadows, outputs of the classifier, and images to judge by. The study's own ladder, with its
choices made on held-out shadows, is in ``mi_core.study.ladder``.
"""

from collections.abc import Callable, Iterator, Sequence

import pandas as pd
from torch import Tensor

from mi_core.attacks.alignment import METHODS, align_outputs, pool_outputs
from mi_core.attacks.baselines import class_average_images
from mi_core.attacks.inverse import fit_inverse_model
from mi_core.data import Split
from mi_core.metrics import mse_per_image, rank_within_class, ssim_per_image
from mi_core.models import InverseModel
from mi_core.reidentification import area_under_curve, top_1
from mi_core.training import predict

__all__ = ["measure_ladder"]

Answers = Callable[[Tensor], Tensor]  # images (n, 1, 32, 32) to outputs (n, 10)
CANDIDATES = 100


def measure_ladder(
    fit_shadow: Callable[[int], Answers],
    target_outputs: Tensor,
    auxiliary: Split,
    truth: Split,
    *,
    shadows: int = 4,
    query: Answers | None = None,
    budgets: Sequence[int] = (),
    method: str = "covariance",
    epochs: int = 4,
    seed: int = 0,
) -> pd.DataFrame:
    """How well images come back from a classifier's outputs, for attackers with more and more access.

    Rows, in this order: "class average" (the predicted label alone), "one shadow" (outputs as they are), "one shadow,
    aligned", "N shadows, aligned" for 2, 4, ... up to ``shadows``, and "queries Q" for each budget, which adds the
    classifier's own answers for the first Q auxiliary images to the largest pool.

    Args:
        fit_shadow: trains shadow number 0, 1, ... on the attacker's images and returns what answers for images.
        target_outputs: (n, 10), what the classifier under test answers for ``truth``.
        auxiliary: the attacker's images, of the kind that the classifier was trained on.
        truth: n images and labels; seen by the scores alone.
        shadows: of the largest pool, at least 1.
        query: asks the classifier under test; called once a budget, with so many auxiliary images.
        budgets: numbers of queries, each at most as many as there are auxiliary images.
        method: of alignment, one of ``mi_core.attacks.alignment.METHODS``.
        epochs: of each inverse model, at least 1, over what all shadows of its pool say.
        seed: of every random draw of the inverse models.
    Returns:
        One line a row, with the attacker's access (shadows, queries) and means over images of ssim, mse, gain (SSIM
        over the class average's), top1_of_100 and auc; images of classes that have too few of them are left out of
        the last two, which are NaN where none remains.
    Raises:
        ValueError: no shadow, no epochs, an unknown method, budgets without a way to query or out of range, or lengths
            that do not fit.
    """
    if len(target_outputs) != len(truth):
        raise ValueError(f"`target_outputs` must be as many as `truth`, {len(truth)}; got {len(target_outputs)}")
    if shadows < 1 or (budgets and query is None) or any(not 1 <= budget <= len(auxiliary) for budget in budgets):
        raise ValueError(
            f"`shadows` must be at least 1, and `budgets` between 1 and {len(auxiliary)}, the number of auxiliary "
            f"images, with a way to `query`; got {shadows} and {list(budgets)}"
        )
    if method not in METHODS or epochs < 1:
        raise ValueError(
            f"`method` must be one of {', '.join(METHODS)} and `epochs` at least 1; got {method!r} and {epochs}"
        )
    attacks = _attacks(fit_shadow, target_outputs, auxiliary, shadows, query, budgets, method, epochs, seed)
    rows = [{**access, **_scores(images, truth)} for access, images in attacks]
    frame = pd.DataFrame(rows)
    frame.insert(5, "gain", frame["ssim"] - frame["ssim"].iloc[0])
    return frame


def _attacks(
    fit_shadow: Callable[[int], Answers],
    attacked: Tensor,
    auxiliary: Split,
    shadows: int,
    query: Answers | None,
    budgets: Sequence[int],
    method: str,
    epochs: int,
    seed: int,
) -> Iterator[tuple[dict[str, str | int], Tensor]]:
    """Access and reconstructions of every row. Gets outputs of the classifier under test, never what they are of."""
    yield _access("class average"), class_average_images(attacked, auxiliary)
    pool = [fit_shadow(0)(auxiliary.images).detach()]
    reference = pool[0]

    def inverse_model(parts: list[Tensor]) -> InverseModel:
        inputs, images = pool_outputs(parts, auxiliary.images)
        return fit_inverse_model(inputs.float(), images, epochs=epochs, stream=(seed, "ladder"), hidden="relu")[0]

    aligned = align_outputs(attacked, reference, method=method).float()
    of_one = inverse_model(pool)
    yield _access("one shadow", shadows=1), predict(of_one, attacked.float())
    if method == "standardised":  # the only one that changes the reference's own outputs
        pool = [align_outputs(reference, reference, method=method)]
        of_one = inverse_model(pool)
    yield _access("one shadow, aligned", shadows=1), predict(of_one, aligned)
    for count in range(2, shadows + 1):
        pool.append(align_outputs(fit_shadow(count - 1)(auxiliary.images), reference, method=method))
        if count == shadows or count.bit_count() == 1:  # powers of two
            yield _access(f"{count} shadows, aligned", shadows=count), predict(inverse_model(pool), aligned)
    for budget in budgets:
        answers = align_outputs(query(auxiliary.images[:budget]), reference, method=method, seen=attacked)
        images = predict(inverse_model([*pool, answers]), aligned)
        yield _access(f"queries {budget}", shadows=shadows, queries=budget), images


def _access(row: str, *, shadows: int = 0, queries: int = 0) -> dict[str, str | int]:
    return {"row": row, "shadows": shadows, "queries": queries}


def _scores(reconstructed: Tensor, truth: Split) -> dict[str, float]:
    reconstructed = reconstructed.to(truth.images.device)
    pair = truth.images.double(), reconstructed.double()
    ranks = rank_within_class(reconstructed, truth.images, truth.labels)
    counts = [count.numpy() for count in (ranks.closer, ranks.tied, ranks.others)]
    return {
        "ssim": float(ssim_per_image(*pair).mean()),
        "mse": float(mse_per_image(*pair).mean()),
        "top1_of_100": float(pd.Series(top_1(*counts, candidates=CANDIDATES)).mean()),
        "auc": float(pd.Series(area_under_curve(*counts)).mean()),
    }
