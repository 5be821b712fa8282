import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity
from sklearn.metrics import f1_score

from mi_core.metrics import confusion, mse_per_image, ssim_per_image, weighted_f1


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
