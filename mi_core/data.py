"""From raw MNIST images to the five disjoint sets of the study (thesis section 3.1)."""

from dataclasses import dataclass, fields

import numpy as np
import torch
from PIL import Image
from torch import Tensor

__all__ = ["CLASSES", "SIDE", "Split", "Splits", "draw_splits", "resize_images"]

CLASSES = 10
SIDE = 32  # pixels; MNIST's 28 are resized so that three poolings leave 4x4 maps


@dataclass(frozen=True)
class Split:
    """One set of labelled images.

    Attributes:
        images: (n, 1, 32, 32) float32 in [0, 1].
        labels: (n,) int64 in 0..9.
        indices: (n,) int64, positions in the raw file (training or test) that the images come from, where they matter.
    Raises:
        ValueError: not as many of one as of another.
    """

    images: Tensor
    labels: Tensor
    indices: Tensor | None = None

    def __post_init__(self) -> None:
        counts = [len(part) for part in (self.images, self.labels, self.indices) if part is not None]
        if len({*counts}) != 1:
            raise ValueError(f"a split holds as many images as labels and, if given, indices; got {counts}")

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int) -> "Split":
        """The first ``count`` images. The order of a split is random, so this is a random subset.

        Raises:
            ValueError: the split holds fewer images.
        """
        if not 1 <= count <= len(self):
            raise ValueError(f"`count` must be between 1 and {len(self)}, the size of the split; got {count}")
        indices = None if self.indices is None else self.indices[:count]
        return Split(self.images[:count], self.labels[:count], indices)


@dataclass(frozen=True)
class Splits:
    """The five disjoint sets: D_T^T, D_T^V (target), D_S^T, D_S^V (shadow, the attacker's) and D_F (final test)."""

    target_train: Split
    target_validation: Split
    shadow_train: Split
    shadow_validation: Split
    test: Split

    @classmethod
    def names(cls) -> tuple[str, ...]:
        return tuple(field.name for field in fields(cls))


def resize_images(raw: np.ndarray, side: int = SIDE) -> np.ndarray:
    """Resize images bilinearly, exactly as PIL does one image at a time.

    PIL resizes columns first, then rows, rounding to 8 bits after each. Stacking all images into one tall picture
    makes each of the two passes a single call.

    Args:
        raw: (n, height, width) uint8.
        side: pixels of the square result.
    Returns:
        (n, side, side) uint8.
    Raises:
        ValueError: ``raw`` is not a stack of 8-bit images.
    Source: thesis section 3.1 (28x28 to 32x32, before scaling to [0, 1]).
    """
    if raw.ndim != 3 or raw.dtype != np.uint8 or 0 in raw.shape:
        raise ValueError(f"`raw` must be (n, height, width) uint8; got {raw.shape} {raw.dtype}")
    if side < 1:
        raise ValueError(f"`side` must be at least 1; got {side}")
    return _resize_columns(_resize_columns(raw, side).transpose(0, 2, 1), side).transpose(0, 2, 1)


def _resize_columns(stack: np.ndarray, width: int) -> np.ndarray:
    count, height, _ = stack.shape
    tall = Image.fromarray(np.ascontiguousarray(stack.reshape(count * height, -1)))
    return np.asarray(tall.resize((width, count * height), Image.Resampling.BILINEAR)).reshape(count, height, width)


def draw_splits(
    training: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    *,
    generator: torch.Generator,
    training_per_class: int = 2000,
    test_per_class: int = 400,
    validation_sizes: tuple[int, int] = (1320, 1340),
) -> Splits:
    """Draw the five sets of the study.

    A fixed number of images per class is drawn without replacement from each raw file. Those of the training file are
    halved at random into D_T^T and D_S^T; the halves are not stratified, so their class counts vary a little (Fig 3).
    Those of the test file are cut at random into D_T^V, D_S^V and, with what is left, D_F.

    Args:
        training: raw training images (n, 28, 28) uint8 and labels (n,).
        test: raw test images and labels, likewise.
        generator: source of every draw.
        training_per_class: images per class taken from the training file, at least 1.
        test_per_class: images per class taken from the test file, at least 1.
        validation_sizes: sizes of D_T^V and D_S^V.
    Returns:
        The five splits, each in random order.
    Raises:
        ValueError: no images are asked for or a class has too few, a validation set is empty, or no test image is left.
    Source: thesis section 3.1: 10,000 / 1,320 / 10,000 / 1,340 / 1,340 images.
    """
    if min(training_per_class, test_per_class) < 1:
        raise ValueError(
            "`training_per_class` and `test_per_class` must be at least 1; "
            f"got {training_per_class} and {test_per_class}"
        )
    drawn_training = _draw_per_class(training[1], training_per_class, generator)
    drawn_test = _draw_per_class(test[1], test_per_class, generator)
    half = len(drawn_training) // 2
    first, second = validation_sizes
    if min(first, second) < 1 or len(drawn_test) <= first + second:
        raise ValueError(
            "`validation_sizes` must be at least 1 and leave images for the test set; "
            f"got {first} and {second} of {len(drawn_test)}"
        )
    return Splits(
        target_train=_take(training, drawn_training[:half]),
        target_validation=_take(test, drawn_test[:first]),
        shadow_train=_take(training, drawn_training[half:]),
        shadow_validation=_take(test, drawn_test[first : first + second]),
        test=_take(test, drawn_test[first + second :]),
    )


def _draw_per_class(labels: np.ndarray, per_class: int, generator: torch.Generator) -> Tensor:
    """Indices of ``per_class`` images of every class, in random order."""
    labels = torch.as_tensor(labels)
    drawn = []
    for label in range(CLASSES):
        candidates = torch.nonzero(labels == label).flatten()
        if len(candidates) < per_class:
            raise ValueError(f"class {label} has {len(candidates)} images; {per_class} are needed")
        drawn.append(candidates[torch.randperm(len(candidates), generator=generator)[:per_class]])
    pooled = torch.cat(drawn)
    return pooled[torch.randperm(len(pooled), generator=generator)]


def _take(raw: tuple[np.ndarray, np.ndarray], indices: Tensor) -> Split:
    images, labels = raw
    resized = torch.from_numpy(np.ascontiguousarray(resize_images(images[indices.numpy()])))
    return Split(
        images=resized.unsqueeze(1).float() / 255,
        labels=torch.as_tensor(labels)[indices].long(),
        indices=indices,
    )
