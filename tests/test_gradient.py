import math
import statistics

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mi_core.attacks.gradient import (
    STARTS,
    _total_variation_gradient,
    class_averages,
    class_instances,
    draw_regularisers,
    reconstruct_images,
    start_images,
)
from mi_core.data import Split
from mi_core.models import frozen_for_inference
from mi_core.randomness import generator, seeded

WEIGHTS = {"l2_weight": 4.4e-5, "tv_weight": 9.5e-3}
NO_WEIGHTS = {"l2_weight": 0.0, "tv_weight": 0.0}


@pytest.fixture
def shadow() -> nn.Module:
    """A stand-in for the shadow, in double precision: it keeps Adam from magnifying rounding errors."""
    with seeded("stand-in"):
        network = nn.Sequential(nn.Flatten(), nn.Linear(1024, 12), nn.Tanh(), nn.Linear(12, 10))
    return network.double().requires_grad_(False).eval()


@pytest.fixture
def blind_shadow() -> nn.Module:
    """Answers zero whatever the image: only the regularisers have a gradient."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(1024, 10))
    nn.init.zeros_(network[1].weight)
    nn.init.zeros_(network[1].bias)
    return network.requires_grad_(False).eval()


def problem(count: int, scale: float = 3.0) -> tuple[Tensor, Tensor]:
    source = generator("problem", count)
    return scale * torch.randn(count, 10, generator=source), torch.rand(count, 1, 32, 32, generator=source)


def total_variation(images: Tensor) -> Tensor:
    return images.diff(dim=2).abs().sum() + images.diff(dim=3).abs().sum()


def notebook_reconstruction(
    shadow: nn.Module,
    outputs: Tensor,
    start: Tensor,
    *,
    l2_weight: float,
    tv_weight: float,
    steps: int,
    dtype: torch.dtype = torch.float64,
    probabilities: bool = False,
) -> Tensor:
    """One batch as the thesis's notebook optimises it."""
    images = start.clone().requires_grad_(True)
    optimiser = torch.optim.Adam([images], lr=0.01)
    for _ in range(steps):
        optimiser.zero_grad()
        answers = shadow(images.to(dtype)).float()
        loss = F.mse_loss(answers.softmax(1) if probabilities else answers, outputs)
        loss = loss + l2_weight * images.square().sum() + tv_weight * total_variation(images)
        loss.backward()
        nn.utils.clip_grad_norm_([images], 1.0)
        optimiser.step()
        with torch.no_grad():
            images.clamp_(0, 1)
    return images.detach()


@pytest.mark.parametrize("scale", [0.1, 30.0], ids=["unclipped", "clipped"])
def test_a_batch_equals_the_notebook(shadow, scale):
    outputs, start = problem(32, scale)
    expected = notebook_reconstruction(shadow, outputs, start, **WEIGHTS, steps=8)
    reconstructions = reconstruct_images(shadow, outputs, start, **WEIGHTS, steps=8)
    torch.testing.assert_close(reconstructions, expected, rtol=0, atol=1e-4)
    assert (expected - start).abs().mean() > 0.01


def test_groups_equal_the_notebook_batch_by_batch(shadow):
    outputs, start = problem(70)  # the last batch is smaller
    reconstructions = reconstruct_images(shadow, outputs, start, **WEIGHTS, steps=6)
    batches = zip(outputs.split(32), start.split(32), strict=True)
    expected = torch.cat([notebook_reconstruction(shadow, *batch, **WEIGHTS, steps=6) for batch in batches])
    torch.testing.assert_close(reconstructions, expected, rtol=0, atol=1e-4)


def test_probabilities_are_compared_with_the_softmax_of_the_shadow(shadow):
    outputs, start = problem(32)
    options = {**NO_WEIGHTS, "steps": 5, "probabilities": True}
    expected = notebook_reconstruction(shadow, outputs.softmax(1), start, **options)
    torch.testing.assert_close(
        reconstruct_images(shadow, outputs.softmax(1), start, **options), expected, rtol=0, atol=1e-4
    )


def test_the_frozen_classifier_equals_the_notebook_with_evaluation_mode(classifier):
    # Random pixels: where neighbours are equal, rounding errors decide the sign that total variation sees next.
    outputs, start = problem(3)
    frozen = frozen_for_inference(classifier, dtype=torch.float64)
    expected = notebook_reconstruction(classifier.double().eval(), outputs, start, **WEIGHTS, steps=3)
    reconstructions = reconstruct_images(frozen, outputs, start, **WEIGHTS, steps=3)
    torch.testing.assert_close(reconstructions, expected, rtol=0, atol=1e-4)
    assert (expected - start).abs().max() > 0.02


def test_the_text_is_plain_descent_of_the_cross_entropy_of_each_image(shadow):
    outputs, start = problem(5)
    expected = []
    for output, image in zip(outputs, start, strict=True):
        image = image[None].clone()
        for _ in range(4):
            image.requires_grad_(True)
            loss = F.cross_entropy(shadow(image.double()).float(), output.argmax()[None])
            loss = loss + 0.01 * image.square().sum() + 0.02 * total_variation(image)
            (gradient,) = torch.autograd.grad(loss, image)
            image = (image.detach() - 0.5 * gradient).clamp(0, 1)
        expected.append(image)
    reconstructions = reconstruct_images(
        shadow,
        outputs,
        start,
        l2_weight=0.01,
        tv_weight=0.02,
        steps=4,
        data_term="cross_entropy",
        update="gradient_descent",
        learning_rate=0.5,
        clip_norm=None,
        group_size=1,
    )
    torch.testing.assert_close(reconstructions, torch.cat(expected), rtol=0, atol=1e-5)


def test_cross_entropy_sees_the_predicted_class_only(shadow):
    outputs, start = problem(4)
    options = {**WEIGHTS, "steps": 3, "data_term": "cross_entropy", "group_size": 1}
    same_class = F.one_hot(outputs.argmax(1), 10) * 0.5
    other_class = outputs.roll(1, dims=1)
    expected = reconstruct_images(shadow, outputs, start, **options)
    assert torch.equal(reconstruct_images(shadow, same_class, start, **options), expected)
    assert not torch.equal(reconstruct_images(shadow, other_class, start, **options), expected)


def test_one_call_of_three_groups_equals_three_calls(shadow):
    outputs, start = problem(96)
    options = {**WEIGHTS, "steps": 5}
    together = reconstruct_images(shadow, outputs, start, **options)
    pairs = zip(outputs.split(32), start.split(32), strict=True)
    apart = torch.cat([reconstruct_images(shadow, *pair, **options) for pair in pairs])
    torch.testing.assert_close(together, apart, rtol=0, atol=1e-5)
    one_group = reconstruct_images(shadow, outputs, start, **options, group_size=96)
    assert (together - one_group).abs().max() > 1e-3


@pytest.mark.parametrize("update", ["adam", "gradient_descent"])
def test_a_group_of_one_equals_images_one_at_a_time(shadow, update):
    outputs, start = problem(6)
    options = {**WEIGHTS, "steps": 5, "group_size": 1, "update": update}
    together = reconstruct_images(shadow, outputs, start, **options)
    pairs = zip(outputs.split(1), start.split(1), strict=True)
    apart = torch.cat([reconstruct_images(shadow, *pair, **options) for pair in pairs])
    torch.testing.assert_close(together, apart, rtol=0, atol=1e-5)


def test_regularisers_weigh_as_many_times_more_as_a_group_has_images(shadow):
    outputs, start = problem(4)
    options = {"steps": 3, "update": "gradient_descent", "clip_norm": None}
    grouped = reconstruct_images(
        shadow, outputs, start, l2_weight=0.01, tv_weight=0.02, learning_rate=0.4, group_size=4, **options
    )
    alone = reconstruct_images(
        shadow, outputs, start, l2_weight=0.04, tv_weight=0.08, learning_rate=0.1, group_size=1, **options
    )
    torch.testing.assert_close(grouped, alone, rtol=0, atol=1e-5)


def test_the_gradient_of_a_whole_group_is_clipped(shadow):
    outputs, _ = problem(5, scale=100.0)
    start = torch.full((5, 1, 32, 32), 0.5)
    reconstructions = reconstruct_images(
        shadow,
        outputs,
        start,
        **NO_WEIGHTS,
        steps=1,
        update="gradient_descent",
        learning_rate=0.1,
        clip_norm=2.0,
        group_size=3,
    )
    lengths = [(part - 0.5).norm().item() for part in reconstructions.split(3)]
    assert lengths == pytest.approx([0.2, 0.2], rel=1e-4)  # learning rate times norm, for 3 images and for 2
    shares = (reconstructions[:3] - 0.5).flatten(1).norm(dim=1)
    assert (shares < 0.19).all() and shares.min() > 0.01


@pytest.mark.parametrize("update", ["adam", "gradient_descent"])
@pytest.mark.parametrize("data_term", ["output_mse", "cross_entropy"])
def test_reconstructions_are_new_images_between_0_and_1(shadow, update, data_term):
    outputs, start = problem(3, scale=50.0)
    before, seen = start.clone(), []
    reconstructions = reconstruct_images(
        shadow,
        outputs,
        start,
        **WEIGHTS,
        steps=7,
        update=update,
        data_term=data_term,
        learning_rate=0.4,
        on_step=lambda: seen.append(None),
    )
    assert reconstructions.shape == (3, 1, 32, 32) and reconstructions.dtype == torch.float32
    assert reconstructions.is_contiguous() and not reconstructions.requires_grad
    assert reconstructions.min() >= 0 and reconstructions.max() <= 1
    assert not torch.equal(reconstructions, start) and torch.equal(start, before)
    assert len(seen) == 7


def test_the_objective_falls_when_the_outputs_are_those_of_another_image(shadow):
    _, start = problem(4)
    hidden_images = start.flip(2)
    outputs = shadow(hidden_images.double()).float()
    reconstructions = reconstruct_images(shadow, outputs, start, **NO_WEIGHTS, steps=60, learning_rate=0.002)
    first = F.mse_loss(shadow(start.double()).float(), outputs)
    last = F.mse_loss(shadow(reconstructions.double()).float(), outputs)
    assert last < 0.2 * first


def test_an_image_that_already_fits_stays_under_plain_descent(shadow):
    _, start = problem(3)
    outputs = shadow(start.double()).float()
    reconstructions = reconstruct_images(shadow, outputs, start, **NO_WEIGHTS, steps=3, update="gradient_descent")
    torch.testing.assert_close(reconstructions, start, rtol=0, atol=1e-6)


def test_a_step_of_l2_by_hand(blind_shadow):
    start = torch.stack([torch.full((1, 32, 32), value) for value in (0.25, 1.0)])
    options = {"l2_weight": 0.5, "tv_weight": 0.0, "clip_norm": None, "learning_rate": 0.1}
    outputs = torch.zeros(2, 10)
    plain = reconstruct_images(blind_shadow, outputs, start, **options, steps=2, update="gradient_descent")
    torch.testing.assert_close(plain, start * (1 - 0.1 * 2 * 0.5) ** 2)
    # Adam's first step is the learning rate against the sign of the gradient
    torch.testing.assert_close(reconstruct_images(blind_shadow, outputs, start, **options, steps=1), start - 0.1)


def test_two_steps_of_adam_by_hand(blind_shadow):
    start = torch.full((2, 1, 32, 32), 0.8)
    reconstructions = reconstruct_images(
        blind_shadow,
        torch.zeros(2, 10),
        start,
        l2_weight=0.5,
        tv_weight=0.0,
        clip_norm=None,
        steps=2,
        learning_rate=0.2,
    )
    # gradients 0.8 and 0.6: m = 0.9 * 0.08 + 0.1 * 0.6 = 0.132, v = 0.999 * 0.00064 + 0.001 * 0.36 = 0.00099936
    step = 0.2 * (0.132 / 0.19) / math.sqrt(0.00099936 / 0.001999)
    torch.testing.assert_close(reconstructions, torch.full_like(start, 0.6 - step), rtol=0, atol=1e-5)


def test_a_step_of_total_variation_by_hand(blind_shadow):
    start = torch.full((2, 1, 32, 32), 0.5)
    start[0, 0, 10, 20] = 1.0  # a bright point: it falls by 4 steps, its neighbours rise by one
    start[1, 0, 0, 0] = 0.0  # a dark corner: it rises by 2
    expected = start.clone()
    expected[0, 0, 10, 20] -= 0.04
    for row, column in ((9, 20), (11, 20), (10, 19), (10, 21)):
        expected[0, 0, row, column] += 0.01
    expected[1, 0, 0, 0] += 0.02
    expected[1, 0, 0, 1] -= 0.01
    expected[1, 0, 1, 0] -= 0.01
    reconstructions = reconstruct_images(
        blind_shadow,
        torch.zeros(2, 10),
        start,
        l2_weight=0.0,
        tv_weight=0.1,
        steps=1,
        update="gradient_descent",
        learning_rate=0.1,
        clip_norm=None,
    )
    torch.testing.assert_close(reconstructions, expected)


def test_total_variation_gradient_by_hand():
    images = torch.tensor([[[[0.0, 1.0, 1.0], [0.5, 0.5, 0.0]]], [[[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]]])
    expected = torch.tensor([[[[-2.0, 2.0, 1.0], [1.0, 0.0, -2.0]]], [[[0.0, 0.0, -1.0], [0.0, -1.0, 2.0]]]])
    assert torch.equal(_total_variation_gradient(images), expected)


def test_total_variation_gradient_equals_autograd_with_ties():
    images = (4 * torch.rand(3, 1, 6, 5, generator=generator("ties"))).round().div(4).requires_grad_(True)
    (expected,) = torch.autograd.grad(total_variation(images), images)
    assert torch.equal(_total_variation_gradient(images.detach()), expected)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"data_term": "mse"}, "`data_term` must be 'output_mse' or 'cross_entropy'; got 'mse'"),
        ({"update": "sgd"}, "`update` must be 'adam' or 'gradient_descent'; got 'sgd'"),
    ],
)
def test_unknown_choices_are_refused(shadow, option, message):
    with pytest.raises(ValueError, match=message):
        reconstruct_images(shadow, *problem(2), **NO_WEIGHTS, **option)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"clip_norm": -1.0}, "`clip_norm` must be above 0, or None; got -1.0"),
        ({"clip_norm": math.nan}, "`clip_norm` must be above 0, or None; got nan"),
        ({"l2_weight": -1.0}, "`l2_weight` and `tv_weight` must be at least 0; got -1.0 and 0.0"),
        ({"tv_weight": math.nan}, "`l2_weight` and `tv_weight` must be at least 0; got 0.0 and nan"),
        ({"steps": -3}, "`steps` and `group_size` must be at least 1; got -3 and 32"),
        ({"group_size": 0}, "`steps` and `group_size` must be at least 1; got 1 and 0"),
    ],
)
def test_numbers_out_of_range_are_refused(shadow, option, message):
    with pytest.raises(ValueError, match=message):
        reconstruct_images(shadow, *problem(2), **{**NO_WEIGHTS, "steps": 1, **option})


def test_a_shadow_in_training_mode_is_refused_and_stays_as_it_is():
    shadow = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(1024, 10))
    with pytest.raises(ValueError, match=r"`shadow` must be in evaluation mode: call its \.eval\(\)"):
        reconstruct_images(shadow, *problem(2), **NO_WEIGHTS, steps=1)
    assert shadow[0].running_mean.item() == 0


def test_outputs_with_a_graph_give_images_without_one(shadow):
    outputs, start = problem(2)
    leaf = outputs.clone().requires_grad_(True)
    found = reconstruct_images(shadow, leaf * 1, start, **WEIGHTS, steps=2)
    assert torch.equal(found, reconstruct_images(shadow, outputs, start, **WEIGHTS, steps=2))
    assert not found.requires_grad and leaf.grad is None


@pytest.mark.parametrize(
    ("outputs", "start", "message"),
    [
        ((2, 10), (3, 1, 32, 32), "`outputs` and `start` must be equally many; got 2 and 3"),
        ((0, 10), (0, 1, 32, 32), r"`outputs` must have two dimensions, \(n, 10\) float with n > 0"),
        ((20,), (20, 1, 32, 32), "`outputs` must have two dimensions"),
        ((2, 1), (2, 1, 32, 32), "`outputs` must have two dimensions"),
        ((2, 9), (2, 1, 32, 32), "`outputs` must have two dimensions"),
        ((2, 10), (2, 32, 32), r"`start` must be \(n, 1, 32, 32\)"),
        ((2, 10), (2, 2, 16, 32), r"`start` must be \(n, 1, 32, 32\)"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(shadow, outputs, start, message):
    with pytest.raises(ValueError, match=message):
        reconstruct_images(shadow, torch.zeros(outputs), torch.zeros(start), **NO_WEIGHTS, steps=1)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("update", ["adam", "gradient_descent"])
def test_outputs_that_are_not_finite_are_refused_and_answers_that_are_not_are_noticed(shadow, value, update):
    outputs, start = problem(3)
    broken = outputs.clone()
    broken[1, 4] = value
    with pytest.raises(ValueError, match="`outputs` must be finite"):
        reconstruct_images(shadow, broken, start, **NO_WEIGHTS, steps=2, update=update)
    with torch.no_grad():
        next(shadow.parameters()).fill_(math.nan)
    with pytest.raises(FloatingPointError, match="the reconstruction is not finite after 2 steps"):
        reconstruct_images(shadow, outputs, start, **NO_WEIGHTS, steps=2, update=update)


def test_a_shadow_without_parameters_computes_in_float32():
    outputs, start = problem(2)
    corner = nn.Sequential(nn.Flatten(), nn.AdaptiveAvgPool1d(10)).eval()  # each output the mean of some pixels
    found = reconstruct_images(corner, outputs, start, **NO_WEIGHTS, steps=2)
    assert found.dtype == torch.float32 and not torch.equal(found, start)


def test_class_averages_and_instances_by_their_definition(auxiliary):
    averages, instances = class_averages(auxiliary), class_instances(auxiliary)
    assert averages.shape == instances.shape == (10, 1, 32, 32)
    for label in range(10):
        members = [
            image for image, given in zip(auxiliary.images, auxiliary.labels.tolist(), strict=True) if given == label
        ]
        assert len(members) in (6, 7)
        torch.testing.assert_close(averages[label], sum(members) / len(members))
        assert torch.equal(instances[label], members[0])


@pytest.mark.parametrize("of_each_class", [class_averages, class_instances])
def test_a_class_without_an_image_is_named(auxiliary, of_each_class):
    keep = auxiliary.labels != 4
    fewer = Split(auxiliary.images[keep], auxiliary.labels[keep], auxiliary.indices[keep])
    with pytest.raises(ValueError, match="the auxiliary data hold no image of class 4"):
        of_each_class(fewer)
    start = "class_average" if of_each_class is class_averages else "class_instance"
    with pytest.raises(ValueError, match="no image of class 4"):
        start_images(start, torch.eye(10), fewer, generator=generator(0))


@pytest.mark.parametrize("start", STARTS)
def test_starts_are_images_between_0_and_1(auxiliary, start):
    images = start_images(start, problem(7)[0], auxiliary, generator=generator(0))
    assert images.shape == (7, 1, 32, 32) and images.dtype == torch.float32
    assert images.min() >= 0 and images.max() <= 1


@pytest.mark.parametrize(("start", "table"), [("class_average", class_averages), ("class_instance", class_instances)])
def test_class_starts_follow_the_arg_max(auxiliary, start, table):
    outputs = torch.full((3, 10), -5.0)
    outputs[0, 9], outputs[1, 2], outputs[2, 0] = -1.0, 3.0, 0.5
    images = start_images(start, outputs, auxiliary, generator=generator(0))
    assert torch.equal(images, table(auxiliary)[[9, 2, 0]])


def test_random_starts_are_uniform_and_follow_their_stream(auxiliary):
    outputs = torch.zeros(11, 10)
    images, again, other = (
        start_images("random", outputs, auxiliary, generator=generator(name)) for name in ("a", "a", "b")
    )
    assert torch.equal(images, again) and not torch.equal(images, other)
    assert images.mean() == pytest.approx(0.5, abs=0.02)
    assert images.std() == pytest.approx(math.sqrt(1 / 12), abs=0.01)
    assert len(images.flatten(1).unique(dim=0)) == 11


def test_an_unknown_start_is_refused(auxiliary):
    with pytest.raises(ValueError, match="`start` must be one of random, class_instance, class_average; got 'mean'"):
        start_images("mean", torch.zeros(2, 10), auxiliary, generator=generator(0))


def test_regularisers_are_log_uniform_in_the_whole_search_space():
    source = generator("search")
    draws = [draw_regularisers(source) for _ in range(600)]
    for weights, low, high in zip(zip(*draws, strict=True), (1e-5, 1e-6), (3e-2, 3e-2), strict=True):
        assert low <= min(weights) < 1.1 * low and high / 1.1 < max(weights) <= high
        places = [math.log(weight / low) / math.log(high / low) for weight in weights]
        quartiles = statistics.quantiles(places, n=4)
        assert quartiles == pytest.approx([0.25, 0.5, 0.75], abs=0.06)
    logarithms = [[math.log(weight) for weight in weights] for weights in zip(*draws, strict=True)]
    assert abs(statistics.correlation(*logarithms)) < 0.15


def test_fine_regularisers_lie_around_the_best():
    source = generator("fine")
    draws = [draw_regularisers(source, best=(4e-5, 8e-3)) for _ in range(200)]
    for weights, best in zip(zip(*draws, strict=True), (4e-5, 8e-3), strict=True):
        assert 0.5 * best <= min(weights) < 0.55 * best and 1.4 * best < max(weights) <= 1.5 * best


def test_the_draw_follows_its_stream():
    assert draw_regularisers(generator("a")) == draw_regularisers(generator("a"))
    assert draw_regularisers(generator("a")) != draw_regularisers(generator("b"))
