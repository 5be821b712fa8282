"""One training loop for classifiers and inverse models, and batched inference."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from mi_core.checks import check_images
from mi_core.data import CLASSES
from mi_core.models import Classifier
from mi_core.randomness import generator, seeded

__all__ = ["SCHEDULES", "Checkpoint", "History", "fit", "fit_classifier", "mean_batch_loss", "predict"]

BATCH_SIZE = 32  # thesis sections 3.1 and 3.2
LEARNING_RATE = 1e-3
# What the learning rate is multiplied with once a share of all steps is done.
SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda done: 1.0,
    "cosine": lambda done: (1 + math.cos(math.pi * done)) / 2,
}

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass
class History:
    """Losses after each epoch: the mean over the epoch's batches (dropout on), and over validation batches after it."""

    training: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)


class Checkpoint(Protocol):
    """Where a long computation leaves its state between two epochs. ``load`` gives None where there is none.

    ``save`` is given the living tensors: it copies or writes them before it returns.
    """

    def load(self) -> dict[str, Tensor] | None: ...

    def save(self, state: dict[str, Tensor]) -> None: ...


@torch.enable_grad()
def fit(
    model: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    *,
    loss: Loss,
    epochs: int,
    stream: tuple[str | int, ...],
    schedule: str = "constant",
    validation: tuple[Tensor, Tensor] | None = None,
    precision: torch.dtype = torch.float32,
    checkpoint: Checkpoint | None = None,
    on_epoch: Callable[[], None] = lambda: None,
) -> History:
    """Train ``model`` in place with Adam (1e-3) on shuffled batches of 32; the last epoch is kept.

    Parameters that do not require a gradient, or that the answers do not depend on, stay as they are. The model is left
    in evaluation mode.

    The order of the batches and the dropout of each epoch come from streams of their own, so a training that goes on
    from a checkpoint ends with the same weights, on a CPU bit for bit, as one that was never interrupted.

    Args:
        model: the network, on the device to train on.
        inputs: (n, ...) float, on that device.
        targets: (n, ...), what ``loss`` compares the model's answers with.
        loss: (answers, targets) to a scalar, the batch's mean.
        epochs: passes over the data, at least 1.
        stream: names of the random stream, e.g. ``(seed, "replicate", 0, "target")``.
        schedule: of the learning rate, a key of ``SCHEDULES``; the thesis's is "constant".
        validation: inputs and targets that are only measured, after each epoch.
        precision: float32, or bfloat16 for mixed precision where the hardware has it.
        checkpoint: where the state after an epoch is kept.
        on_epoch: called after each epoch that was computed, and once for each that a checkpoint made unnecessary.
    Returns:
        The losses of each epoch.
    Raises:
        ValueError: no epochs, no data, an unknown schedule, a model without a parameter to train, or a checkpoint of
            more epochs.
        FloatingPointError: the loss became infinite or not a number.
    Source: thesis sections 3.1 and 3.2 (Adam, 1e-3, batch 32, 20 epochs, no early stopping).
    """
    if epochs < 1 or len(inputs) == 0 or len(inputs) != len(targets):
        raise ValueError(
            f"`epochs` and the number of images must be at least 1, and inputs and targets equally many; "
            f"got {epochs} epochs, {len(inputs)} inputs, {len(targets)} targets"
        )
    if validation is not None and not len(validation[0]) == len(validation[1]) > 0:
        raise ValueError(
            "`validation` must be inputs and targets, equally many and at least one; "
            f"got {len(validation[0])} and {len(validation[1])}"
        )
    if schedule not in SCHEDULES:
        raise ValueError(f"`schedule` must be one of {', '.join(SCHEDULES)}; got {schedule!r}")
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    if not weights:
        raise ValueError("`model` must have a parameter that requires a gradient; it has none, or all are frozen")
    inputs, targets = inputs.detach(), targets.detach()  # nothing is trained but the model
    device = inputs.device
    model.to(memory_format=torch.channels_last)
    rows = [_in_memory_order(weight) for weight in weights]
    optimiser = torch.optim.Adam(rows, lr=LEARNING_RATE, fused=True)
    history, first_epoch = _restore(model, optimiser, checkpoint)
    if first_epoch > epochs:
        raise ValueError(f"`checkpoint` must be of at most {epochs} epochs, as `epochs` says; it is of {first_epoch}")
    for _ in range(first_epoch):
        on_epoch()
    for epoch in range(first_epoch, epochs):
        order = torch.randperm(len(inputs), generator=generator(*stream, "batches", epoch)).to(device)
        batch_losses = []
        model.train()
        with seeded(*stream, "dropout", epoch):
            batches = order.split(BATCH_SIZE)
            for number, batch in enumerate(batches):
                done = (epoch + number / len(batches)) / epochs
                optimiser.param_groups[0]["lr"] = LEARNING_RATE * SCHEDULES[schedule](done)
                model.zero_grad(set_to_none=True)
                with _autocast(device, precision):
                    answers = model(inputs[batch])
                batch_loss = loss(answers.float(), targets[batch])
                batch_loss.backward()
                for row, weight in zip(rows, weights, strict=True):
                    row.grad = None if weight.grad is None else _in_memory_order(weight.grad)
                optimiser.step()
                batch_losses.append(batch_loss.detach())
        history.training.append(float(torch.stack(batch_losses).double().mean()))
        if not torch.isfinite(torch.tensor(history.training[-1])):
            raise FloatingPointError(f"the training loss is {history.training[-1]} after epoch {epoch + 1} of {epochs}")
        if validation is not None:
            answers = predict(model, validation[0], precision=precision)
            history.validation.append(mean_batch_loss(answers, validation[1], loss=loss))
        if checkpoint is not None and epoch + 1 < epochs:
            checkpoint.save(_state(model, optimiser, history))
        on_epoch()
    model.zero_grad(set_to_none=True)  # nothing of the last batch for the caller's next step
    model.eval()
    return history


def fit_classifier(
    images: Tensor,
    labels: Tensor,
    *,
    epochs: int,
    stream: tuple[str | int, ...],
    activation: str = "None",
    dropout: bool = True,
    validation: tuple[Tensor, Tensor] | None = None,
    precision: torch.dtype = torch.float32,
    checkpoint: Checkpoint | None = None,
    on_epoch: Callable[[], None] = lambda: None,
) -> tuple[Classifier, History]:
    """Train a target or a shadow to name the class of an image, by cross-entropy.

    Args:
        images: (n, 1, 32, 32) float in [0, 1].
        labels: (n,) int64 in 0..9.
        epochs, stream, validation, precision, checkpoint, on_epoch: as in ``fit``; the initial weights are drawn from
            the stream too.
        activation, dropout: as in ``mi_core.models.Classifier``.
    Returns:
        The trained classifier, in evaluation mode, and the losses of each epoch.
    Raises:
        ValueError: images or labels that are not as said, or as ``fit`` and ``Classifier`` do.
    Source: thesis section 3.1.
    """
    check_images(images)
    fitting = labels.shape == (len(images),) and labels.dtype == torch.int64
    if not fitting or labels.min() < 0 or labels.max() >= CLASSES:
        raise ValueError(
            f"`labels` must be ({len(images)},) int64, one for each image, from 0 to {CLASSES - 1}; "
            f"got {tuple(labels.shape)} {labels.dtype}"
        )
    with seeded(*stream, "initial weights"):
        model = Classifier(activation=activation, dropout=dropout)
    model.to(images.device)
    history = fit(
        model,
        images,
        labels,
        loss=nn.functional.cross_entropy,
        epochs=epochs,
        stream=stream,
        validation=validation,
        precision=precision,
        checkpoint=checkpoint,
        on_epoch=on_epoch,
    )
    return model, history


def predict(
    model: nn.Module, inputs: Tensor, *, batch_size: int = 256, precision: torch.dtype = torch.float32
) -> Tensor:
    """Answers of ``model`` in evaluation mode, without gradients, as float32; each module's mode is restored.

    Raises:
        ValueError: no inputs, or some that are infinite or not a number.
    """
    if len(inputs) == 0:
        raise ValueError("`inputs` must hold at least one image; got none")
    if not torch.isfinite(inputs).all():
        raise ValueError("`inputs` must be finite; some are infinite or not a number")
    with _evaluating(model), torch.no_grad(), _autocast(inputs.device, precision):
        return torch.cat([model(batch).float() for batch in inputs.split(batch_size)])


@torch.no_grad()
def mean_batch_loss(answers: Tensor, targets: Tensor, *, loss: Loss) -> float:
    """Loss of a model's answers, the mean over batches of 32 (a smaller last one counts as much).

    Raises:
        ValueError: not as many answers as targets, or none.
    """
    if len(answers) != len(targets) or len(answers) == 0:
        raise ValueError(
            f"`answers` and `targets` must be equally many and at least one; got {len(answers)} and {len(targets)}"
        )
    pairs = zip(answers.split(BATCH_SIZE), targets.split(BATCH_SIZE), strict=True)
    return float(torch.stack([loss(*pair) for pair in pairs]).double().mean())


def _autocast(device: torch.device, precision: torch.dtype):
    return nullcontext() if precision == torch.float32 else torch.autocast(device.type, dtype=precision)


def _in_memory_order(tensor: Tensor) -> Tensor:
    """All numbers of a dense tensor, seen as one row; the fused update first copies whatever lies otherwise.

    A gradient lies as its weight does: autograd promises that for dense weights.
    """
    return tensor.detach().as_strided((tensor.numel(),), (1,))


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    were_training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in were_training:
            module.training = True


def _state(model: nn.Module, optimiser: torch.optim.Optimizer, history: History) -> dict[str, Tensor]:
    state = {f"model.{name}": value for name, value in model.state_dict().items()}
    for number, moments in optimiser.state_dict()["state"].items():
        state |= {f"optimiser.{number}.{name}": value for name, value in moments.items()}
    return state | {
        "history.training": torch.tensor(history.training, dtype=torch.float64),
        "history.validation": torch.tensor(history.validation, dtype=torch.float64),
    }


def _restore(model: nn.Module, optimiser: torch.optim.Optimizer, checkpoint: Checkpoint | None) -> tuple[History, int]:
    state = checkpoint.load() if checkpoint is not None else None
    if state is None:
        return History(), 0
    model.load_state_dict({name[6:]: value for name, value in state.items() if name.startswith("model.")})
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in state.items():
        if name.startswith("optimiser."):
            _, number, kind = name.split(".")
            moments.setdefault(int(number), {})[kind] = value
    optimiser.load_state_dict({**optimiser.state_dict(), "state": moments})
    history = History(state["history.training"].tolist(), state["history.validation"].tolist())
    return history, len(history.training)
