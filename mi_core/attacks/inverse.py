"""The inverse model M_I: assemble the attack inputs, train on the shadow's answers, reconstruct."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from mi_core.checks import check_images, check_outputs
from mi_core.data import CLASSES
from mi_core.metrics import ssim_per_image
from mi_core.models import InverseModel
from mi_core.randomness import seeded
from mi_core.training import Checkpoint, History, fit

__all__ = ["COMBINATIONS", "LOSSES", "assemble_inputs", "fit_inverse_model", "ssim_loss"]

# The seven combinations of Table 4, in its order.
COMBINATIONS: dict[str, tuple[str, ...]] = {
    "+".join(parts): parts
    for parts in (
        ("O",),
        ("A_L",),
        ("X~",),
        ("O", "A_L"),
        ("O", "X~"),
        ("A_L", "X~"),
        ("O", "A_L", "X~"),
    )
}


def assemble_inputs(combination: str, available: dict[str, Tensor]) -> Tensor:
    """Concatenate the attack inputs that a combination names.

    Args:
        combination: a key of ``COMBINATIONS``, e.g. "O+X~".
        available: "O" (n, 10), "A_L" (n, 50), "X~" (n, 1, 32, 32), as far as the combination needs them.
    Returns:
        (n, c) float32.
    Raises:
        ValueError: unknown combination, a missing part, parts of different lengths, or one that is not as said.
    Example:
        >>> assemble_inputs("O+A_L", {"O": torch.zeros(3, 10), "A_L": torch.zeros(3, 50)}).shape
        torch.Size([3, 60])
    """
    if combination not in COMBINATIONS:
        raise ValueError(f"`combination` must be one of {', '.join(COMBINATIONS)}; got {combination!r}")
    missing = [part for part in COMBINATIONS[combination] if part not in available]
    if missing:
        raise ValueError(f"the combination {combination} needs {', '.join(missing)}, which `available` lacks")
    for part in COMBINATIONS[combination]:
        if part == "X~":
            check_images(available[part], "X~")
        else:
            check_outputs(available[part], part, classes=CLASSES if part == "O" else None)
    parts = [available[part].flatten(1).float() for part in COMBINATIONS[combination]]
    if len({len(part) for part in parts}) != 1:
        raise ValueError(f"the parts of {combination} differ in length: {', '.join(str(len(part)) for part in parts)}")
    return torch.cat(parts, dim=1)


def ssim_loss(reconstructions: Tensor, images: Tensor) -> Tensor:
    """1 - mean SSIM of a batch (thesis section 3.2)."""
    return 1 - ssim_per_image(images, reconstructions).mean()


# What an inverse model can be trained to minimise; the thesis's is "ssim".
LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "ssim": ssim_loss,
    "mse": nn.functional.mse_loss,
    "ssim_and_mse": lambda reconstructions, images: (
        ssim_loss(reconstructions, images) + 10 * nn.functional.mse_loss(reconstructions, images)
    ),
}


def fit_inverse_model(
    inputs: Tensor,
    images: Tensor,
    *,
    epochs: int,
    stream: tuple[str | int, ...],
    hidden: str = "tanh_dropout",
    width: float = 1.0,
    loss: str = "ssim",
    schedule: str = "constant",
    validation: tuple[Tensor, Tensor] | None = None,
    precision: torch.dtype = torch.float32,
    checkpoint: Checkpoint | None = None,
    on_epoch: Callable[[], None] = lambda: None,
) -> tuple[InverseModel, History]:
    """Train M_I to give the attacker's own images back from what the shadow says of them.

    Args:
        inputs: (n, c) from ``assemble_inputs``, for D_S^T through the shadow.
        images: (n, 1, 32, 32), D_S^T.
        epochs, stream, schedule, validation, precision, checkpoint, on_epoch: as in ``mi_core.training.fit``.
        hidden, width: as in ``mi_core.models.InverseModel``.
        loss: a key of ``LOSSES``: "ssim" (1 - SSIM), "mse", or "ssim_and_mse", the one plus ten times the other.
    Returns:
        The trained model and the losses of each epoch.
    Raises:
        ValueError: an unknown loss, or as ``fit`` and ``InverseModel`` do.
    Source: thesis section 3.2.
    """
    check_outputs(inputs, "inputs", classes=None)
    check_images(images)
    if loss not in LOSSES:
        raise ValueError(f"`loss` must be one of {', '.join(LOSSES)}; got {loss!r}")
    with seeded(*stream, "initial weights"):
        model = InverseModel(inputs.shape[1], hidden=hidden, width=width)
    model.to(inputs.device)
    history = fit(
        model,
        inputs,
        images,
        loss=LOSSES[loss],
        epochs=epochs,
        stream=stream,
        schedule=schedule,
        validation=validation,
        precision=precision,
        checkpoint=checkpoint,
        on_epoch=on_epoch,
    )
    return model, history
