"""The fast path held against the plain protocol, from the same seeds."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mi_core import reference
from mi_core.attacks.gradient import reconstruct_images
from mi_core.attacks.inverse import fit_inverse_model, ssim_loss
from mi_core.data import Split, draw_splits
from mi_core.metrics import mse_per_image, ssim_per_image
from mi_core.models import Classifier, InverseModel, frozen_for_inference
from mi_core.randomness import generator, seeded
from mi_core.training import fit, predict

PRECISIONS = (torch.float32, torch.bfloat16)
WEIGHTS = {"l2_weight": 4.4e-5, "tv_weight": 9.5e-3}
STREAM = ("plain and fast",)


class Pictures(reference.ResizedImages):
    """Images of the right side already, in the order in which ``fit`` takes those of its first epoch."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        order = torch.randperm(len(images), generator=generator(*STREAM, "batches", 0))
        super().__init__((images[:, 0] * 255).round().to(torch.uint8).numpy(), labels.numpy(), order.numpy())
        self.pixels = torch.stack([self[int(place)][0] for place in order.argsort()])  # as given, in 256 steps


@pytest.fixture
def pictures(auxiliary: Split) -> Pictures:
    return Pictures(auxiliary.images, auxiliary.labels)


@pytest.fixture
def shadow(pictures: Pictures) -> Classifier:
    """A shadow that has seen the images a few times, so that its gradients mean something."""
    with seeded("shadow of the reference"):
        model = Classifier(dropout=False)
    labels = torch.as_tensor(pictures.labels)
    fit(model, pictures.pixels, labels, loss=F.cross_entropy, epochs=4, stream=("shadow",))
    return model.eval()


def ssim(images: Tensor, reconstructions: Tensor) -> float:
    return float(ssim_per_image(images, reconstructions.float()).mean())


@pytest.mark.parametrize("precision", PRECISIONS)
def test_reconstructions_are_those_of_the_plain_protocol(pictures: Pictures, shadow: Classifier, precision):
    """64 images are two groups of 32 here and two batches there: a larger call must not change what they weigh."""
    outputs = predict(shadow, pictures.pixels) + 0.3
    start = pictures.pixels.mean(0, keepdim=True).expand(64, -1, -1, -1)
    plain = reference.reconstruct_plainly(shadow, outputs, start, steps=20, **WEIGHTS)
    fast = reconstruct_images(frozen_for_inference(shadow, dtype=precision), outputs, start, steps=20, **WEIGHTS)
    assert ssim(start, plain) < 0.9  # they have left the start
    if precision == torch.float32:
        assert (fast - plain).abs().mean() < 1e-3  # Adam turns the sign of a vanishing gradient into a whole step
    assert ssim(pictures.pixels, fast) == pytest.approx(ssim(pictures.pixels, plain), abs=0.01)


def plain_and_fast(
    plain: Callable[[], list[float]], fast: Callable[[], list[float]], precision: torch.dtype
) -> tuple[float, float]:
    """Mean losses of an epoch; losses of the fast path are those of the plain one up to the precision's rounding."""
    slow, quick = float(np.mean(plain())), fast()[0]
    assert quick == pytest.approx(slow, rel=1e-4 if precision == torch.float32 else 0.02)
    return slow, quick


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_classifier_learns_what_it_learns_plainly(pictures: Pictures, precision):
    with seeded("same classifier"):
        one = Classifier(dropout=False)
    two = Classifier(dropout=False)
    two.load_state_dict(one.state_dict())
    labels = torch.as_tensor(pictures.labels)

    def fast() -> list[float]:
        options = {"loss": F.cross_entropy, "epochs": 1, "stream": STREAM, "precision": precision}
        return fit(two, pictures.pixels, labels, **options).training

    plain_and_fast(lambda: reference.train_classifier_plainly(one, pictures, batches=2), fast, precision)
    if precision == torch.float32:
        torch.testing.assert_close(predict(two, pictures.pixels), predict(one, pictures.pixels), atol=0.02, rtol=0.01)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("width", [10, 1024])
def test_an_inverse_model_learns_what_it_learns_plainly(pictures: Pictures, precision, width: int):
    """Without dropout, whose draws differ; from the same initial weights and in the same batches."""
    inputs = torch.randn(64, width, generator=generator("inputs of the reference"))
    with seeded(*STREAM, "initial weights"):
        model = InverseModel(width, hidden="relu")
    plain = reference.plain_inverse_model(width, hidden="relu")
    plain.load_state_dict(dict(zip(plain.state_dict(), model.state_dict().values(), strict=True)))
    fitted: list[nn.Module] = []

    def fast() -> list[float]:
        options = {"epochs": 1, "stream": STREAM, "hidden": "relu", "precision": precision}
        found, history = fit_inverse_model(inputs, pictures.pixels, **options)
        fitted.append(found)
        return history.training

    ordered = inputs[torch.as_tensor(pictures.indices)]
    plain_and_fast(lambda: reference.train_inverse_plainly(plain, ordered, pictures, batches=2), fast, precision)
    answers = [predict(each, inputs) for each in (plain, *fitted)]
    scores = [ssim(pictures.pixels, each) for each in answers]
    assert scores[1] == pytest.approx(scores[0], abs=0.01)
    assert float(ssim_loss(answers[1], answers[0])) < 0.05  # and the pictures themselves are alike


def test_scores_are_those_of_one_image_at_a_time(pictures: Pictures):
    others = pictures.pixels.roll(1, 0)
    plain_ssim, plain_mse = reference.score_plainly(pictures, others[torch.as_tensor(pictures.indices)])
    places = torch.as_tensor(pictures.indices)
    torch.testing.assert_close(ssim_per_image(pictures.pixels, others)[places], torch.tensor(plain_ssim))
    torch.testing.assert_close(mse_per_image(pictures.pixels, others)[places], torch.tensor(plain_mse))


def test_splits_hold_what_plain_drawing_holds():
    """Other draws, the same rule: as many images of every class, none twice, resized to the same pixels."""
    source = np.random.default_rng(5)
    images, labels = source.integers(0, 256, (400, 28, 28), dtype=np.uint8), np.arange(400) % 10
    data = reference.ResizedImages(images, labels, np.arange(400))
    places = reference.split_plainly(data, 12, generator=generator("plain split"))
    sizes = {"training_per_class": 12, "test_per_class": 5, "validation_sizes": (10, 10)}
    drawn = draw_splits((images, labels), (images, labels), generator=generator("fast split"), **sizes)
    both = torch.cat([drawn.target_train.indices, drawn.shadow_train.indices])
    assert len(set(places.tolist())) == len(set(both.tolist())) == 120
    assert (np.bincount(labels[places]) == np.bincount(labels[both.numpy()])).all()
    first = int(drawn.target_train.indices[0])
    torch.testing.assert_close(drawn.target_train.images[0], data[first][0])
