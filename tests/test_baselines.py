"""Baselines: what the label alone gives, on data where the answer is known."""

from collections import Counter

import numpy as np
import pytest
import torch

from mi_core.attacks.baselines import (
    black_images,
    class_average_images,
    global_average_images,
    nearest_auxiliary_images,
    nearest_output_averages,
    random_class_images,
    shuffled_within_class,
    ssim_optimal_images,
)
from mi_core.attacks.gradient import class_averages
from mi_core.data import CLASSES, Split
from mi_core.metrics import rank_within_class, ssim_per_image
from mi_core.reidentification import area_under_curve, top_1


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


PREDICTED = torch.tensor([3, 7, 3, 0, 3, 3, 7, 9, 3, 0, 3])  # class 9 has one image


def test_shuffling_moves_every_output_within_its_class_but_one_that_is_alone() -> None:
    for seed in range(20):
        donors = shuffled_within_class(PREDICTED, generator=torch.Generator().manual_seed(seed))
        assert donors.dtype == torch.int64
        assert sorted(donors.tolist()) == list(range(len(PREDICTED)))
        assert torch.equal(PREDICTED[donors], PREDICTED)
        kept = torch.nonzero(donors == torch.arange(len(PREDICTED))).flatten()
        assert kept.tolist() == [7]


def test_the_images_of_a_class_form_one_circle() -> None:
    donors = shuffled_within_class(PREDICTED, generator=torch.Generator().manual_seed(4)).tolist()
    for first, size in ((0, 6), (1, 2), (3, 2), (7, 1)):
        circle = [first]
        while (following := donors[circle[-1]]) != first:
            circle.append(following)
        assert len(circle) == size


def test_all_circles_are_equally_likely() -> None:
    generator, alike = torch.Generator().manual_seed(5), torch.full((4,), 3)
    drawn = Counter(tuple(shuffled_within_class(alike, generator=generator).tolist()) for _ in range(1200))
    assert len(drawn) == 6  # of four images
    # 200 each; the standard error is the root of 1200 * 1/6 * 5/6, 12.9
    assert max(abs(count - 200) for count in drawn.values()) < 4 * 12.9


def test_shuffling_depends_on_the_generator_alone() -> None:
    def shuffled(seed: int) -> torch.Tensor:
        return shuffled_within_class(PREDICTED, generator=torch.Generator().manual_seed(seed))

    before = torch.get_rng_state()
    assert torch.equal(shuffled(6), shuffled(6))
    assert torch.equal(torch.get_rng_state(), before)
    assert len({tuple(shuffled(seed).tolist()) for seed in range(8)}) > 1


def test_shuffled_outputs_identify_by_chance_and_unshuffled_ones_always() -> None:
    """Perfect reconstructions of random images: every output tells its image, and nothing of another one."""
    source = torch.Generator().manual_seed(7)
    labels = torch.arange(6).repeat(40)[torch.randperm(240, generator=source)]
    images = torch.rand(240, 1, 5, 7, generator=source)
    donors = shuffled_within_class(labels, generator=source)
    ranks = rank_within_class(images[donors], images, labels, left_out=donors)
    assert ranks.others.tolist() == [38] * 240
    # Whoever gives, all 39 others of the class are equally likely to take: each place among them is, from 0 to 38.
    areas = area_under_curve(ranks.closer, ranks.tied, ranks.others)
    spread = np.std(1 - np.arange(39) / 38)
    assert abs(areas.mean() - 0.5) < 4 * spread / 240**0.5
    assert areas.std() == pytest.approx(spread, rel=0.15)  # five standard errors
    nearest = top_1(ranks.closer, ranks.tied, ranks.others, candidates=5)
    spread = np.std(top_1(np.arange(39), np.zeros(39), np.full(39, 38), candidates=5))
    assert abs(nearest.mean() - 1 / 5) < 4 * spread / 240**0.5
    own = rank_within_class(images.clone(), images, labels)
    assert (area_under_curve(own.closer, own.tied, own.others) == 1).all()
