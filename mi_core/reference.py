"""The plain protocol, as the thesis's released notebook computes it: slow on purpose, one step after another.

Float32, batches of 32, a data loader that resizes every image each time it is read, gradients for weights that no one
changes, scores one image at a time, all by the libraries' own functions. Tests hold the fast path of ``mi_core``
against it, and the benchmark times both. Nothing else uses it.

Source: the notebook released with the thesis, in its steps though not word for word.
"""

from collections.abc import Iterator

import numpy as np
import pytorch_msssim
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from mi_core.data import CLASSES, SIDE
from mi_core.models import InverseModel

__all__ = [
    "ResizedImages",
    "plain_inverse_model",
    "reconstruct_plainly",
    "score_plainly",
    "split_plainly",
    "train_classifier_plainly",
    "train_inverse_plainly",
]

BATCH = 32


class ResizedImages(Dataset):
    """Raw images, resized and scaled one by one whenever they are read.

    Args:
        images: (n, 28, 28) uint8.
        labels: (n,) integers.
        indices: which of them, in this order.
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray, indices: np.ndarray) -> None:
        self.images, self.labels, self.indices = images, labels, indices
        self.transform = transforms.Compose([transforms.Resize((SIDE, SIDE)), transforms.ToTensor()])

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        index = self.indices[place]
        return self.transform(Image.fromarray(self.images[index])), int(self.labels[index])


def split_plainly(data: ResizedImages, per_class: int, *, generator: torch.Generator) -> np.ndarray:
    """Places of ``per_class`` images of every class, found by reading all images for their labels."""
    by_class: list[list[int]] = [[] for _ in range(CLASSES)]
    for place in range(len(data)):
        _, label = data[place]
        by_class[label].append(place)
    orders = [torch.randperm(len(of), generator=generator)[:per_class].tolist() for of in by_class]
    drawn = [of[place] for of, order in zip(by_class, orders, strict=True) for place in order]
    return np.array(drawn)[torch.randperm(len(drawn), generator=generator).numpy()]


def _batches(data: ResizedImages, count: int) -> Iterator[tuple[Tensor, Tensor]]:
    for number, batch in enumerate(DataLoader(data, batch_size=BATCH)):
        if number == count:
            return
        yield batch


def train_classifier_plainly(model: nn.Module, data: ResizedImages, *, batches: int) -> list[float]:
    """Train a classifier on the first ``batches`` batches; the loss of each."""
    optimiser, losses = torch.optim.Adam(model.parameters(), lr=1e-3), []
    model.train()
    for images, labels in _batches(data, batches):
        optimiser.zero_grad()
        loss = F.cross_entropy(model(images), labels)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


def plain_inverse_model(inputs: int, *, hidden: str = "tanh_dropout") -> nn.Module:
    """The layers of ``InverseModel``, all PyTorch's own, initialised anew; takes (n, inputs)."""
    layers = [_plain(layer) for layer in InverseModel(inputs, hidden=hidden).layers]
    return nn.Sequential(nn.Unflatten(1, (inputs, 1, 1)), *layers)


def _plain(layer: nn.Module) -> nn.Module:
    if isinstance(layer, nn.ConvTranspose2d):
        return nn.ConvTranspose2d(layer.in_channels, layer.out_channels, 4, layer.stride, layer.padding)
    return nn.Dropout(layer.p) if isinstance(layer, nn.Dropout) else layer


def train_inverse_plainly(model: nn.Module, inputs: Tensor, data: ResizedImages, *, batches: int) -> list[float]:
    """Train an inverse model on the first ``batches`` batches; the loss, 1 - SSIM, of each."""
    optimiser, losses = torch.optim.Adam(model.parameters(), lr=1e-3), []
    model.train()
    for number, (images, _) in enumerate(_batches(data, batches)):
        optimiser.zero_grad()
        answers = model(inputs[number * BATCH : (number + 1) * BATCH])
        loss = 1 - pytorch_msssim.ssim(images, answers, data_range=1.0)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


def reconstruct_plainly(
    shadow: nn.Module, outputs: Tensor, start: Tensor, *, l2_weight: float, tv_weight: float, steps: int
) -> Tensor:
    """X~ of batches of 32 under the code's protocol: Adam, a batch's gradient clipped to norm 1, pixels to [0, 1].

    Args:
        shadow: a ``Classifier`` in evaluation mode; gradients of its weights are computed and thrown away.
        outputs: (n, 10) logits.
        start: (n, 1, 32, 32) in [0, 1].
        l2_weight, tv_weight: lambda_L2 and lambda_TV.
        steps: iterations.
    Returns:
        (n, 1, 32, 32) in [0, 1].
    """
    found = []
    for given, begin in zip(outputs.split(BATCH), start.split(BATCH), strict=True):
        images = begin.clone().requires_grad_(True)
        optimiser = torch.optim.Adam([images], lr=0.01)
        for _ in range(steps):
            optimiser.zero_grad()
            variation = images.diff(dim=2).abs().sum() + images.diff(dim=3).abs().sum()
            loss = F.mse_loss(shadow(images), given) + l2_weight * images.square().sum() + tv_weight * variation
            loss.backward()
            nn.utils.clip_grad_norm_([images], 1.0)
            optimiser.step()
            with torch.no_grad():
                images.clamp_(0, 1)
        found.append(images.detach())
    return torch.cat(found)


def score_plainly(data: ResizedImages, reconstructions: Tensor) -> tuple[list[float], list[float]]:
    """SSIM and MSE of each pair, one pair at a time."""
    ssim, mse = [], []
    for (image, _), reconstruction in zip(DataLoader(data), reconstructions.split(1), strict=True):
        ssim.append(pytorch_msssim.ssim(image, reconstruction, data_range=1.0).item())
        mse.append(F.mse_loss(image, reconstruction).item())
    return ssim, mse
