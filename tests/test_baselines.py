"""Baselines: what the label alone gives, on data where the answer is known."""

import pytest
import torch

from mi_core.attacks.baselines import (
    black_images,
    class_average_images,
    global_average_images,
    nearest_auxiliary_images,
    nearest_output_averages,
    random_class_images,
    ssim_optimal_images,
)
from mi_core.attacks.gradient import class_averages
from mi_core.data import CLASSES, Split
from mi_core.metrics import ssim_per_image


@pytest.fixture
def outputs() -> torch.Tensor:
    """Outputs (12, 10) whose predicted classes are 0 to 9, 3 and 7."""
    labels = torch.tensor([*range(CLASSES), 3, 7])
    return torch.nn.functional.one_hot(labels, CLASSES).float() * 5 - 1


def test_constant_baselines_look_at_nothing(outputs: torch.Tensor, auxiliary: Split) -> None:
    assert black_images(outputs, auxiliary).shape == (12, 1, 32, 32)
    assert not black_images(outputs, auxiliary).any()
    average = global_average_images(outputs, auxiliary)
    assert torch.equal(average[0], average[11])
    assert torch.allclose(average[0], auxiliary.images.mean(0))


def test_class_baselines_depend_on_the_predicted_class_alone(outputs: torch.Tensor, auxiliary: Split) -> None:
    average = class_average_images(outputs, auxiliary)
    assert torch.equal(average[3], average[10])
    assert torch.allclose(average[7], auxiliary.images[auxiliary.labels == 7].mean(0))
    drawn = random_class_images(outputs, auxiliary, generator=torch.Generator().manual_seed(1))
    for image, label in zip(drawn, outputs.argmax(1), strict=True):
        of_class = auxiliary.images[auxiliary.labels == label]
        assert any(torch.equal(image, candidate) for candidate in of_class)


def test_a_class_without_auxiliary_images_is_an_error(outputs: torch.Tensor, auxiliary: Split) -> None:
    kept = auxiliary.labels != 4
    lacking = Split(auxiliary.images[kept], auxiliary.labels[kept], auxiliary.indices[kept])
    with pytest.raises(ValueError, match="no image of class 4"):
        class_average_images(outputs, lacking)
    with pytest.raises(ValueError, match="no image of class 4"):
        random_class_images(outputs, lacking, generator=torch.Generator())
    with pytest.raises(ValueError, match="no image of class 4"):
        ssim_optimal_images(lacking, generator=torch.Generator())


def test_the_ssim_optimal_image_beats_the_class_average_in_ssim(auxiliary: Split) -> None:
    images = ssim_optimal_images(auxiliary, generator=torch.Generator().manual_seed(2), steps=60, images_per_step=4)
    assert images.shape == (CLASSES, 1, 32, 32)
    assert images.min() >= 0
    assert images.max() <= 1
    optimal = ssim_per_image(auxiliary.images, images[auxiliary.labels]).mean()
    average = ssim_per_image(auxiliary.images, class_averages(auxiliary)[auxiliary.labels]).mean()
    assert optimal > average + 0.003


def test_nearest_outputs_average_the_images_that_answer_alike() -> None:
    images = torch.arange(6.0).reshape(6, 1, 1, 1).expand(6, 1, 32, 32) / 10
    auxiliary = Split(images, torch.arange(6), torch.arange(6))
    answers = torch.tensor([[0.0, 0], [0, 1], [0, 2], [10, 0], [10, 1], [10, 3]])
    nearest = nearest_output_averages(torch.tensor([[0.0, 0.4], [10, 2.1]]), auxiliary, answers, k=2)
    assert torch.allclose(nearest[:, 0, 0, 0], torch.tensor([0.05, 0.45]))
    with pytest.raises(ValueError, match="`k` must be between 1 and 6"):
        nearest_output_averages(torch.zeros(1, 2), auxiliary, answers, k=7)
    with pytest.raises(ValueError, match=r"`auxiliary_outputs` must be \(6, 3\)"):
        nearest_output_averages(torch.zeros(1, 3), auxiliary, answers, k=1)


def test_the_nearest_auxiliary_image_of_an_auxiliary_image_is_itself(auxiliary: Split) -> None:
    found = nearest_auxiliary_images(auxiliary.images[5:9] + 0.001, auxiliary)
    assert torch.equal(found, auxiliary.images[5:9])
