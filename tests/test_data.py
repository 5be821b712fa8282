import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import Resize

from mi_core.data import CLASSES, SIDE, Split, Splits, draw_splits, resize_images
from mi_core.randomness import generator

PER_CLASS_TRAINING, PER_CLASS_TEST, VALIDATION_SIZES = 9, 6, (17, 20)


def raw_file(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    source = np.random.default_rng(seed)
    labels = source.permutation(np.arange(count) % CLASSES).astype(np.uint8)
    return source.integers(0, 256, (count, 28, 28), dtype=np.uint8), labels


@pytest.fixture(scope="module")
def training():
    return raw_file(1, 133)


@pytest.fixture(scope="module")
def test():
    return raw_file(2, 87)


def small_splits(training, test, *stream) -> Splits:
    return draw_splits(
        training,
        test,
        generator=generator(*stream),
        training_per_class=PER_CLASS_TRAINING,
        test_per_class=PER_CLASS_TEST,
        validation_sizes=VALIDATION_SIZES,
    )


@pytest.fixture(scope="module")
def splits(training, test):
    return small_splits(training, test, 0, "split")


def test_sizes_and_types(splits):
    sizes = {name: len(getattr(splits, name)) for name in Splits.names()}
    assert sizes == {
        "target_train": 45,
        "target_validation": 17,
        "shadow_train": 45,
        "shadow_validation": 20,
        "test": 23,
    }
    for name, size in sizes.items():
        split = getattr(splits, name)
        assert split.images.shape == (size, 1, SIDE, SIDE) and split.images.dtype == torch.float32
        assert split.labels.shape == split.indices.shape == (size,)
        assert split.labels.dtype == split.indices.dtype == torch.int64


@pytest.mark.parametrize(
    ("names", "per_class"),
    [
        (("target_train", "shadow_train"), PER_CLASS_TRAINING),
        (("target_validation", "shadow_validation", "test"), PER_CLASS_TEST),
    ],
)
def test_splits_of_a_file_are_disjoint_and_hold_equally_many_of_each_class_together(splits, names, per_class):
    indices = torch.cat([getattr(splits, name).indices for name in names])
    labels = torch.cat([getattr(splits, name).labels for name in names])
    assert len(indices.unique()) == len(indices) == per_class * CLASSES
    assert torch.bincount(labels).tolist() == [per_class] * CLASSES


def test_the_halves_are_not_stratified(splits):
    assert len(set(torch.bincount(splits.target_train.labels, minlength=CLASSES).tolist())) > 1


@pytest.mark.parametrize("name", Splits.names())
def test_every_image_is_the_resized_raw_image_at_its_index(splits, training, test, name):
    split = getattr(splits, name)
    images, labels = training if name.endswith("train") else test
    assert np.array_equal(labels[split.indices.numpy()], split.labels.numpy())
    for image, index in zip(split.images, split.indices.tolist(), strict=True):
        expected = np.asarray(Resize((SIDE, SIDE))(Image.fromarray(images[index])))
        np.testing.assert_array_equal((image[0] * 255).round().numpy().astype(np.uint8), expected)
    assert split.images.min() >= 0 and 0.9 < split.images.max() <= 1


def test_same_stream_same_splits_other_stream_other_splits(splits, training, test):
    again, other = small_splits(training, test, 0, "split"), small_splits(training, test, 1, "split")
    for name in Splits.names():
        assert torch.equal(getattr(again, name).indices, getattr(splits, name).indices)
        assert torch.equal(getattr(again, name).images, getattr(splits, name).images)
        assert not torch.equal(getattr(other, name).indices, getattr(splits, name).indices)


def test_the_order_within_a_split_does_not_follow_the_classes(splits):
    assert not torch.equal(splits.target_train.labels, splits.target_train.labels.sort().values)
    assert not torch.equal(splits.target_train.indices, splits.target_train.indices.sort().values)


def test_a_class_with_too_few_images_is_named(training, test):
    keep = (training[1] != 7) | (np.cumsum(training[1] == 7) <= 4)
    with pytest.raises(ValueError, match="class 7 has 4 images; 9 are needed"):
        small_splits((training[0][keep], training[1][keep]), test, 0)


def test_validation_sets_must_leave_a_test_image(training, test):
    with pytest.raises(ValueError, match="`validation_sizes` must .* leave images .* got 30 and 30 of 60"):
        draw_splits(
            training,
            test,
            generator=generator(0),
            training_per_class=PER_CLASS_TRAINING,
            test_per_class=PER_CLASS_TEST,
            validation_sizes=(30, 30),
        )


def test_first_takes_the_leading_images(auxiliary):
    part = auxiliary.first(5)
    assert len(part) == 5
    assert torch.equal(part.images, auxiliary.images[:5])
    assert torch.equal(part.labels, auxiliary.labels[:5])
    assert torch.equal(part.indices, auxiliary.indices[:5])
    assert Split(auxiliary.images, auxiliary.labels).first(5).indices is None
    assert len(auxiliary.first(64)) == 64


@pytest.mark.parametrize("count", [0, -1, 65])
def test_first_refuses_counts_that_the_split_cannot_give(auxiliary, count):
    with pytest.raises(ValueError, match=f"`count` must be between 1 and 64.*got {count}"):
        auxiliary.first(count)


@pytest.mark.parametrize(("height", "width", "side"), [(28, 28, 32), (28, 28, 13), (20, 31, 32), (32, 32, 32)])
def test_resizing_a_stack_equals_torchvision_one_image_at_a_time(height, width, side):
    raw = np.random.default_rng(height * side).integers(0, 256, (7, height, width), dtype=np.uint8)
    expected = np.stack([np.asarray(Resize((side, side))(Image.fromarray(image))) for image in raw])
    resized = resize_images(raw, side)
    assert resized.dtype == np.uint8
    np.testing.assert_array_equal(resized, expected)


def test_resizing_keeps_images_apart_and_leaves_the_input_alone():
    raw = np.stack([np.zeros((28, 28)), np.full((28, 28), 255), np.zeros((28, 28))]).astype(np.uint8)
    before = raw.copy()
    resized = resize_images(raw)
    assert [(image.min(), image.max()) for image in resized] == [(0, 0), (255, 255), (0, 0)]
    np.testing.assert_array_equal(raw, before)


@pytest.mark.parametrize(
    "raw", [np.zeros((28, 28), np.uint8), np.zeros((2, 28, 28), np.float32), np.zeros((2, 1, 28, 28), np.uint8)]
)
def test_resizing_refuses_what_is_not_a_stack_of_8_bit_images(raw):
    with pytest.raises(ValueError, match=r"`raw` must be \(n, height, width\) uint8; got \("):
        resize_images(raw)
