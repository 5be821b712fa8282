import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity
from sklearn.metrics import f1_score

from mi_core import metrics
from mi_core.metrics import (
    Ranks,
    calibration_error,
    confusion,
    euclidean_distances,
    mse_per_image,
    rank_within_class,
    ssim_distances,
    ssim_per_image,
    weighted_f1,
)
from mi_core.reidentification import area_under_curve, mean_reciprocal_rank, top_1

DISTANCES = [euclidean_distances, ssim_distances]


def scikit_image_ssim(first: np.ndarray, second: np.ndarray) -> float:
    _, full = structural_similarity(
        first.astype(np.float64),
        second.astype(np.float64),
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=1,
        full=True,
    )
    return float(full[5:-5, 5:-5].mean())


@pytest.fixture
def pairs(auxiliary) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    source = torch.Generator().manual_seed(5)
    images = auxiliary.images[:6].double()
    return {
        "noisy": (images, (images + 0.2 * torch.randn(images.shape, generator=source)).clamp(0, 1)),
        "unrelated": (images, auxiliary.images[6:12].double()),
        "noise": (images, torch.rand(images.shape, generator=source).double()),
        "blank": (torch.zeros_like(images), images),
        "white": (torch.ones_like(images), images),
        "inverted": (images, 1 - images),
        "identical": (images, images.clone()),
    }


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ["noisy", "unrelated", "noise", "blank", "white", "inverted", "identical"])
def test_ssim_equals_scikit_image_on_the_valid_region(pairs, name, dtype):
    first, second = (images.to(dtype) for images in pairs[name])
    scores = ssim_per_image(first, second)
    expected = [scikit_image_ssim(*pair) for pair in zip(first[:, 0].numpy(), second[:, 0].numpy(), strict=True)]
    assert scores.shape == (6,) and scores.dtype == dtype
    np.testing.assert_allclose(scores.double().numpy(), expected, rtol=0, atol=1e-6)


def test_ssim_equals_scikit_image_on_images_that_are_not_square():
    source = torch.Generator().manual_seed(6)
    first, second = torch.rand(2, 3, 1, 11, 17, generator=source, dtype=torch.float64)
    expected = [scikit_image_ssim(*pair) for pair in zip(first[:, 0].numpy(), second[:, 0].numpy(), strict=True)]
    np.testing.assert_allclose(ssim_per_image(first, second).numpy(), expected, rtol=0, atol=1e-6)


def test_ssim_is_one_for_equal_images_symmetric_and_not_rescaled(pairs):
    torch.testing.assert_close(ssim_per_image(*pairs["identical"]), torch.ones(6).double())
    torch.testing.assert_close(ssim_per_image(*pairs["noisy"]), ssim_per_image(*pairs["noisy"][::-1]))
    assert (ssim_per_image(*pairs["noisy"]) < 0.9).all()
    assert (ssim_per_image(*pairs["inverted"]) < 0).all()


def test_scores_of_an_image_do_not_depend_on_its_batch(pairs):
    first, second = pairs["noisy"]
    for score in (ssim_per_image, mse_per_image):
        alone = torch.cat([score(first[i : i + 1], second[i : i + 1]) for i in range(len(first))])
        torch.testing.assert_close(score(first, second), alone)
        assert alone.unique().numel() == len(alone)


def test_ssim_is_differentiable(pairs):
    images, reconstructions = pairs["noisy"]
    reconstructions = reconstructions[:2, :, :12, :13].clone().requires_grad_(True)
    assert torch.autograd.gradcheck(
        lambda x: ssim_per_image(images[:2, :, :12, :13], x), reconstructions, fast_mode=True
    )


def test_mse_by_hand():
    images = torch.zeros(3, 1, 2, 2)
    reconstructions = torch.tensor([[0.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.5, 0.0], [1.0, 1.0, 1.0, 1.0]]).view(3, 1, 2, 2)
    torch.testing.assert_close(mse_per_image(images, reconstructions), torch.tensor([0.0, 0.3125, 1.0]))


@pytest.mark.parametrize("score", [ssim_per_image, mse_per_image])
def test_scores_refuse_pairs_that_do_not_fit(score):
    images = torch.rand(2, 1, 16, 12)
    for other in (images[:1], images[:, :, :, :11], images.double()):
        with pytest.raises(ValueError, match="must have one shape and dtype; got"):
            score(images, other)
    for wrong in (images[:0], images[:, 0], images.expand(2, 3, 16, 12), images.to(torch.uint8)):
        with pytest.raises(ValueError, match=r"`images` must be \(n, 1, height, width\) float with n > 0; got"):
            score(wrong, wrong)


@pytest.mark.parametrize("shape", [(2, 1, 10, 16), (2, 1, 16, 10)])
def test_ssim_refuses_images_smaller_than_its_window(shape):
    with pytest.raises(ValueError, match="`images` must be at least 11 pixels a side; got"):
        ssim_per_image(torch.rand(shape), torch.rand(shape))


def test_weighted_f1_by_hand():
    labels, predictions = torch.tensor([0, 0, 0, 1, 1, 2]), torch.tensor([0, 0, 1, 1, 1, 0])
    # class 0: precision 2/3, recall 2/3; class 1: 2/3 and 1; class 2: nothing found; weights 3/6, 2/6, 1/6
    assert weighted_f1(labels, predictions) == pytest.approx((3 * 2 / 3 + 2 * 0.8 + 1 * 0.0) / 6)


def test_weighted_f1_equals_scikit_learn_and_is_one_for_perfect_answers():
    source = torch.Generator().manual_seed(7)
    labels = torch.randint(10, (83,), generator=source)
    wrong = torch.rand(83, generator=source) < 0.3
    predictions = torch.where(wrong, torch.randint(10, (83,), generator=source), labels)
    expected = f1_score(labels.numpy(), predictions.numpy(), average="weighted")
    assert weighted_f1(labels, predictions) == pytest.approx(expected)
    assert expected < 0.95
    assert weighted_f1(labels, labels) == 1


def test_confusion_by_hand_with_true_classes_in_rows():
    counts = confusion(torch.tensor([0, 0, 3, 9, 3]), torch.tensor([0, 3, 3, 2, 3]))
    expected = np.zeros((10, 10), int)
    expected[0, 0], expected[0, 3], expected[3, 3], expected[9, 2] = 1, 1, 2, 1
    np.testing.assert_array_equal(counts, expected)


# --- distances between all pairs -----------------------------------------------------------------------------------


@pytest.fixture
def stacks() -> tuple[torch.Tensor, torch.Tensor]:
    """Five and eight images of 13 x 17 pixels; two of each are constant, two are shared, one is an inverted one."""
    source = torch.Generator().manual_seed(11)
    first, second = torch.rand(13, 1, 13, 17, generator=source, dtype=torch.float64).split([5, 8])
    first[1], first[3], second[2], second[6] = 0.0, 1.0, 0.0, 0.4
    second[5], second[7], second[1] = first[4], first[0], 1 - first[2]
    return first, second


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(11, 11), (13, 17), (17, 11)])
def test_ssim_of_all_pairs_equals_ssim_of_each(shape, dtype):
    source = torch.Generator().manual_seed(12)
    first, second = torch.rand(7, 1, *shape, generator=source).to(dtype).split([3, 4])
    first[1], second[2], second[3] = 0.25, 1.0, 1 - first[0]
    distances = ssim_distances(first, second)
    pairs = [(one.double(), other.double()) for one in first for other in second]
    expected = 1 - ssim_per_image(*(torch.stack(side) for side in zip(*pairs, strict=True))).view(3, 4)
    assert distances.shape == (3, 4) and distances.dtype == torch.float64
    # The window of ``ssim_per_image`` has single precision, which weighs most where neither image varies.
    tolerance = torch.full((3, 4), 1e-6).double()
    tolerance[1, 2] = 3e-5
    assert ((distances - expected).abs() < tolerance).all()
    assert expected.max() > 1.5 and expected.min() < 0.99


def test_ssim_of_all_pairs_equals_scikit_image(stacks):
    first, second = stacks
    expected = [[1 - scikit_image_ssim(one[0].numpy(), other[0].numpy()) for other in second] for one in first]
    np.testing.assert_allclose(ssim_distances(first, second).numpy(), expected, rtol=0, atol=2e-10)


def test_ssim_of_constant_images_by_hand():
    first, second = (
        torch.tensor(values).double().view(-1, 1, 1, 1).expand(-1, 1, 12, 14) for values in ([0, 0.5], [1])
    )
    # no variance: what is left is (2 a b + 0.0001) / (a^2 + b^2 + 0.0001)
    expected = torch.tensor([[1 - 0.0001 / 1.0001], [1 - 1.0001 / 1.2501]], dtype=torch.float64)
    torch.testing.assert_close(ssim_distances(first, second), expected, rtol=0, atol=1e-10)


def test_euclidean_distances_equal_the_norm_of_each_difference(stacks):
    first, second = stacks
    expected = torch.stack([torch.stack([torch.norm(one - other) for other in second]) for one in first])
    torch.testing.assert_close(euclidean_distances(first, second), expected, rtol=0, atol=1e-10)
    single = euclidean_distances(first.float(), second.float())
    assert single.dtype == torch.float64
    torch.testing.assert_close(single, expected, rtol=0, atol=1e-6)


def test_euclidean_distances_by_hand_also_of_features_and_far_from_the_origin():
    points, others = torch.tensor([[0.0, 0.0], [1.0, 2.0]]), torch.tensor([[3.0, 4.0], [1.0, 2.0], [1.0, 0.0]])
    expected = torch.tensor([[5.0, 5**0.5, 1.0], [8**0.5, 0.0, 2.0]], dtype=torch.float64)
    torch.testing.assert_close(euclidean_distances(points, others), expected, rtol=0, atol=1e-10)
    found = euclidean_distances(points.double() + 1e5 / 3, others.double() + 1e5 / 3)  # squares lose seven digits
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("distance", DISTANCES)
def test_equal_images_are_at_distance_zero_and_tie_exactly(stacks, distance):
    first, second = stacks
    distances = distance(first, second)
    assert distances[4, 5] == 0 and distances[0, 7] == 0 and distances[1, 2] == 0
    assert (distances == 0).sum() == 3
    doubled = distance(first, torch.cat([second, second.flip(0)]))
    assert torch.equal(doubled[:, :8], doubled[:, 8:].flip(1))
    assert torch.equal(doubled[:, :8], distances)


@pytest.mark.parametrize("distance", DISTANCES)
def test_the_distance_of_a_pair_does_not_depend_on_its_batch(stacks, distance, monkeypatch):
    first, second = stacks
    distances = distance(first, second)
    pairs = [[distance(first[i : i + 1], second[k : k + 1]) for k in range(8)] for i in range(5)]
    assert torch.equal(torch.cat([torch.cat(line, 1) for line in pairs]), distances)
    assert torch.equal(distance(second, first).T, distances)
    order = torch.tensor([3, 0, 7, 6, 1, 2, 5, 4])
    assert torch.equal(distance(first, second[order]), distances[:, order])
    monkeypatch.setattr(metrics, "PAIRS_AT_ONCE", 3)
    assert torch.equal(distance(first, second), distances)


def test_distances_refuse_what_does_not_fit():
    images = torch.rand(2, 1, 12, 13)
    for other in (images[:, 0], images[..., :12], images.flatten(1)):
        for distance in DISTANCES:
            with pytest.raises(ValueError, match=r"`(images|points|others)` .*must be .*; got \(2, "):
                distance(images, other)
    with pytest.raises(ValueError, match=r"`points` and `others` must be alike; got \(2,\) and \(3,\)"):
        euclidean_distances(torch.rand(2), torch.rand(3))
    with pytest.raises(ValueError, match=r"`images` must be \(n, 1, height, width\) with n > 0; got \(3, 12, 13\)"):
        ssim_distances(torch.rand(3, 12, 13), torch.rand(3, 12, 13))
    for shape in ((3, 1, 10, 16), (3, 1, 16, 10)):
        with pytest.raises(ValueError, match="must be alike and of at least 11 pixels a side; got"):
            ssim_distances(torch.rand(shape), torch.rand(shape))


# --- rank of the true image ----------------------------------------------------------------------------------------


def assert_ranks(found, *, others, closer, tied, false_positives):
    assert isinstance(found, Ranks)
    for counts, expected in ((found.others, others), (found.closer, closer), (found.tied, tied)):
        assert counts.dtype == torch.int64 and counts.tolist() == expected
    np.testing.assert_allclose(found.false_positives.numpy(), false_positives, rtol=0, atol=1e-7)


@pytest.fixture
def line_up():
    """Points on a line: those of class 0 at 0, 1, 4 and 6, those of class 1 at 10, 12 and 10 again."""
    candidates = torch.tensor([0.0, 10.0, 1.0, 12.0, 4.0, 10.0, 6.0]).unsqueeze(1)
    return candidates, torch.tensor([0, 1, 0, 1, 0, 1, 0])


def test_ranks_by_hand(line_up):
    found = rank_within_class(torch.tensor([[2.5], [10.0], [3.0], [11.0]]), *line_up)
    # To the true image 2.5, 0, 2 and 1; to others 1.5, 1.5, 3.5 | 2, 0 | 3, 1, 3 | 1, 1: ten impostor pairs in all,
    # of which 7 are below 2.5; none below and one at 0; 6 below and one at 2; one below and three at 1.
    assert_ranks(
        found,
        others=[3, 2, 3, 2],
        closer=[2, 0, 1, 0],
        tied=[0, 1, 0, 2],
        false_positives=[0.7, 0.05, 0.65, 0.25],
    )


def test_ranks_by_hand_with_the_true_images_elsewhere(line_up):
    found = rank_within_class(torch.tensor([[2.5], [11.0], [7.0]]), *line_up, truth=torch.tensor([6, 3, 4]))
    # To the true image 3.5, 1 and 3; to others 2.5, 1.5, 1.5 | 1, 1 | 7, 6, 1.
    assert_ranks(found, others=[3, 2, 3], closer=[3, 0, 1], tied=[0, 2, 0], false_positives=[6 / 8, 1.5 / 8, 6 / 8])
    twice = rank_within_class(torch.tensor([[2.5], [2.5]]), *line_up, truth=torch.tensor([6, 2]))
    assert_ranks(twice, others=[3, 3], closer=[3, 0], tied=[0, 1], false_positives=[5.5 / 6, 1.5 / 6])


def test_shares_of_impostors_have_double_precision(line_up):
    shares = rank_within_class(torch.tensor([[2.5], [10.0], [3.0], [11.0]]), *line_up).false_positives
    assert shares.dtype == torch.float64
    np.testing.assert_allclose(shares.numpy(), [0.7, 0.05, 0.65, 0.25], rtol=1e-15)


def test_what_is_left_out_is_not_compared_with(line_up):
    reconstructions = torch.tensor([[2.5], [10.0], [3.0], [11.0]])
    found = rank_within_class(reconstructions, *line_up, left_out=torch.tensor([4, 5, 0, 0]))
    # 1.5, 3.5 | 2 | 1, 3 | 1, 1: the last one's is of another class and was no impostor, so it stays 1, 1
    assert_ranks(
        found, others=[2, 1, 2, 2], closer=[1, 0, 1, 0], tied=[0, 0, 0, 2], false_positives=[5 / 7, 0, 4.5 / 7, 1.5 / 7]
    )
    own = rank_within_class(reconstructions, *line_up, left_out=torch.arange(4))
    assert_ranks(
        own, **{name: value.tolist() for name, value in vars(rank_within_class(reconstructions, *line_up)).items()}
    )


def test_an_image_alone_in_its_class_has_no_others():
    candidates, labels = torch.tensor([[0.0], [5.0], [9.0]]), torch.tensor([0, 1, 1])
    found = rank_within_class(torch.tensor([[3.0], [6.0]]), candidates, labels)
    assert_ranks(found, others=[0, 1], closer=[0, 0], tied=[0, 0], false_positives=[0.5, 0])
    alone = rank_within_class(torch.tensor([[3.0]]), candidates, labels)
    assert_ranks(alone, others=[0], closer=[0], tied=[0], false_positives=[float("nan")])


@pytest.fixture
def attacked(auxiliary):
    """Noisy reconstructions of the first 40 of 64 images of 13 x 17 pixels, the images and their classes.

    Each class's last image is also one of its first, so some of the others tie with each other or with the true one.
    """
    images, labels = auxiliary.images[:, :, 8:21, 8:25].double().clone(), auxiliary.labels
    for label in range(10):
        members = torch.nonzero(labels == label).flatten()
        images[members[-1]] = images[members[label % 2]]
    noise = torch.randn(40, 1, 13, 17, generator=torch.Generator().manual_seed(13), dtype=torch.float64)
    return (0.5 * images[:40] + 0.5 * images[20:60] + 0.2 * noise).clamp(0, 1), images, labels


@pytest.mark.parametrize("distance", DISTANCES)
def test_ranks_equal_a_count_over_single_pairs(attacked, distance):
    reconstructions, images, labels = attacked
    own, others = [], []
    for place, reconstruction in enumerate(reconstructions):
        to = [float(distance(reconstruction[None], image[None])) for image in images]
        own.append(to[place])
        others.append([to[k] for k in range(64) if labels[k] == labels[place] and k != place])
    pool = [value for line in others for value in line]
    found = rank_within_class(reconstructions, images, labels, distance=distance)
    assert_ranks(
        found,
        others=[len(line) for line in others],
        closer=[sum(value < mine for value in line) for line, mine in zip(others, own, strict=True)],
        tied=[sum(value == mine for value in line) for line, mine in zip(others, own, strict=True)],
        false_positives=[np.mean([(value < mine) + (value == mine) / 2 for value in pool]) for mine in own],
    )
    assert len(found.closer.unique()) > 4 and found.others.unique().tolist() == [5, 6] and (found.tied > 0).sum() > 3


@pytest.mark.parametrize("distance", DISTANCES)
def test_ranks_do_not_depend_on_the_order_of_reconstructions_or_candidates(attacked, distance):
    reconstructions, images, labels = attacked
    expected = rank_within_class(reconstructions, images, labels, distance=distance)
    source = torch.Generator().manual_seed(14)
    order, places = torch.randperm(40, generator=source), torch.randperm(64, generator=source)
    given = (images[places], labels[places])  # candidate i now stands where places is i
    found = rank_within_class(reconstructions[order], *given, distance=distance, truth=places.argsort()[order])
    for name, value in vars(expected).items():
        assert torch.equal(getattr(found, name), value[order])


@pytest.mark.parametrize("distance", DISTANCES)
def test_ranks_do_not_depend_on_other_reconstructions(attacked, distance):
    reconstructions, images, labels = attacked
    together = rank_within_class(reconstructions, images, labels, distance=distance)
    halves = [
        rank_within_class(reconstructions[part], images, labels, distance=distance, truth=part)
        for part in torch.arange(40).split([17, 23])
    ]
    for name in ("others", "closer", "tied"):
        assert torch.equal(torch.cat([getattr(half, name) for half in halves]), getattr(together, name))
    assert not torch.equal(torch.cat([half.false_positives for half in halves]), together.false_positives)


@pytest.mark.parametrize("distance", DISTANCES)
def test_perfect_reconstructions_are_all_identified(auxiliary, distance):
    images, labels = auxiliary.images[:, :, 8:21, 8:25], auxiliary.labels
    for count in (64, 23):
        found = rank_within_class(images[:count].clone(), images, labels, distance=distance)
        others = (labels[:count, None] == labels).sum(1) - 1
        assert_ranks(
            found,
            others=others.tolist(),
            closer=[0] * count,
            tied=[0] * count,
            false_positives=[0.0] * count,
        )
        ranks = (found.closer, found.tied, found.others)
        assert (area_under_curve(*ranks) == 1).all()
        assert (top_1(*ranks, candidates=3) == 1).all()
        np.testing.assert_allclose(mean_reciprocal_rank(*ranks, candidates=3), 1, rtol=1e-14)


@pytest.mark.parametrize("distance", DISTANCES)
def test_one_image_for_all_of_a_class_is_identified_by_chance_exactly(attacked, distance):
    """The class average says nothing beyond the class, and then the mean over the class is chance without an error."""
    _, images, labels = attacked
    averages = torch.stack([images[labels == label].mean(0) for label in range(10)])
    found = rank_within_class(averages[labels], images, labels, distance=distance)
    ranks = (found.closer, found.tied, found.others)
    areas = area_under_curve(*ranks)
    assert len(np.unique(areas)) > 5 and (found.tied > 0).sum() >= 20
    for label in range(10):
        assert areas[labels == label].mean() == pytest.approx(0.5, rel=1e-13)
        for candidates in (2, 3, 6):
            nearest = top_1(*ranks, candidates=candidates)[labels == label]
            assert nearest.mean() == pytest.approx(1 / candidates, rel=1e-13)


def test_ranks_refuse_lengths_that_do_not_fit(line_up):
    candidates, labels = line_up
    points = candidates[:3]
    for given, truth in (
        ((points, candidates, labels[:6]), None),
        ((points, candidates[:6], labels), None),
        ((points, candidates, labels), torch.arange(2)),
        ((points, candidates, labels), torch.arange(4)),
        ((points[:0], candidates, labels), None),
    ):
        with pytest.raises(ValueError, match="`labels` must be as many as `candidates`, .* at least one; got"):
            rank_within_class(*given, truth=truth)
    with pytest.raises(ValueError, match="`truth` must be places of the 7 candidates; got"):
        rank_within_class(points, candidates, labels, truth=torch.tensor([0, 7, 2]))
    with pytest.raises(ValueError, match="`truth` must be places of the 7 candidates; got"):
        rank_within_class(torch.cat([candidates, points]), candidates, labels, truth=torch.arange(10) % 8)
    with pytest.raises(ValueError, match="`truth` must be places of the 2 candidates; got"):
        rank_within_class(points, candidates[:2], labels[:2])
    with pytest.raises(ValueError, match="must be alike"):
        rank_within_class(points.expand(3, 2), candidates, labels)


def test_calibration_error_by_hand_and_its_refusal():
    probabilities = torch.tensor([[0.8, 0.2], [0.8, 0.2], [0.3, 0.7], [1.0, 0.0]])
    labels = torch.tensor([0, 1, 1, 0])
    # bins: 0.8 twice (right once), 0.7 once (right), 1.0 once (right)
    assert calibration_error(probabilities, labels) == pytest.approx((abs(1.6 - 1) + abs(0.7 - 1) + 0) / 4)
    assert calibration_error(torch.eye(2), torch.tensor([0, 1])) == 0
    assert calibration_error(torch.eye(2), torch.tensor([1, 0])) == 1
    with pytest.raises(ValueError, match=r"`labels` must be \(4,\), .* `bins` at least 1; got \(3,\) and 15"):
        calibration_error(probabilities, labels[:3])
    with pytest.raises(ValueError, match=r"`bins` at least 1; got \(4,\) and 0"):
        calibration_error(probabilities, labels, bins=0)
    with pytest.raises(ValueError, match=r"`probabilities` must lie in \[0, 1\]; got -4 to 9"):
        calibration_error(torch.tensor([[9.0, -4.0]]), labels[:1])


def test_scores_in_inference_mode_leave_later_trainings_alone():
    with torch.inference_mode():
        images = torch.rand(2, 1, 13, 14, generator=torch.Generator().manual_seed(8))  # of a size of its own
        ssim_per_image(images, images)
    reconstructions = torch.full((2, 1, 13, 14), 0.5, requires_grad=True)
    ssim_per_image(images.clone(), reconstructions).sum().backward()
    assert reconstructions.grad.abs().sum() > 0


@pytest.mark.parametrize("distance", DISTANCES)
def test_distances_and_ranks_keep_no_gradients(auxiliary, distance):
    asking = auxiliary.images[:4].clone().requires_grad_(True) * 1
    assert not distance(asking, asking).requires_grad
    ranks = rank_within_class(
        asking, asking, torch.zeros(4), distance=lambda one, other: torch.cdist(one.flatten(1), other.flatten(1))
    )
    assert not ranks.false_positives.requires_grad
