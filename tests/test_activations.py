import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mi_core.attacks import activations as module
from mi_core.attacks.activations import logits_from_probabilities, recover_activations
from mi_core.randomness import generator


@pytest.fixture
def layer() -> tuple[Tensor, Tensor]:
    """W (10, 50) and b (10,), with the spread that torch gives a linear layer, a little widened by training."""
    source = generator("last layer")
    return 0.3 * torch.randn(10, 50, generator=source), 0.1 * torch.randn(10, generator=source)


def logits(count: int, scale: float = 8.0) -> Tensor:
    return scale * torch.randn(count, 10, generator=generator("logits", count)) - 3


def start_noise(count: int, *stream) -> Tensor:
    return torch.randn(count, 50, generator=generator(*stream), dtype=torch.float64)


def losses(activations: Tensor, outputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return (activations @ weight.T + bias - outputs).square().mean(1)


def null_space_component(activations: Tensor, weight: Tensor) -> Tensor:
    basis = torch.linalg.svd(weight.double()).Vh[10:]
    assert basis.shape == (40, 50)
    return activations.double() @ basis.T


@pytest.mark.parametrize("update", ["gradient_descent", "adam"])
def test_every_group_reaches_the_loss_and_stops_there(layer, update):
    outputs = logits(70)
    activations = recover_activations(outputs, *layer, generator=generator(0), update=update)
    assert activations.shape == (70, 50) and activations.dtype == torch.float32
    per_image = losses(activations, outputs, *layer)
    before = losses(start_noise(70, 0).float(), outputs, *layer)
    for group, group_before in zip(per_image.split(32), before.split(32), strict=True):
        assert group_before.mean() > 10
        assert 1.0 < group.mean() < 1.5  # one step after it fell under 1.5, not further


def test_plain_descent_leaves_the_noise_where_the_loss_is_blind(layer):
    outputs = logits(37)
    activations = recover_activations(outputs, *layer, generator=generator(1))
    noise = start_noise(37, 1)
    blind, blind_before = (null_space_component(x, layer[0]) for x in (activations, noise))
    torch.testing.assert_close(blind, blind_before, rtol=0, atol=1e-5)
    assert (activations - noise).norm(dim=1).min() > 1  # it did move where the loss sees


def test_adam_moves_the_noise_where_the_loss_is_blind(layer):
    outputs = logits(37)
    activations = recover_activations(outputs, *layer, generator=generator(1), update="adam")
    moved = null_space_component(activations, layer[0]) - null_space_component(start_noise(37, 1), layer[0])
    assert moved.square().mean().sqrt() > 0.1


def reference(outputs: Tensor, weight: Tensor, bias: Tensor, noise: Tensor, update: str) -> Tensor:
    """One batch, written out: Adam on the batch's mean loss; plain descent on each image's own mean."""
    outputs, weight, bias = outputs.double(), weight.double(), bias.double()
    activations = noise.clone().requires_grad_(True)
    optimiser = {"adam": torch.optim.Adam, "gradient_descent": torch.optim.SGD}[update]([activations], lr=0.01)
    while True:
        optimiser.zero_grad()
        loss = F.mse_loss(F.linear(activations, weight, bias), outputs)
        (loss if update == "adam" else loss * len(outputs)).backward()
        optimiser.step()
        if loss.item() < 1.5:
            return activations.detach()


@pytest.mark.parametrize("update", ["gradient_descent", "adam"])
def test_a_batch_equals_the_loop_written_out(layer, update):
    outputs = logits(32, scale=5.0)
    activations = recover_activations(outputs, *layer, generator=generator(2), update=update)
    expected = reference(outputs, *layer, start_noise(32, 2), update)
    torch.testing.assert_close(activations.double(), expected, rtol=0, atol=1e-3)  # Adam's epsilon, seen by 1 / 32


def test_groups_stop_each_on_its_own(layer):
    outputs = torch.cat([logits(32, scale=2.0), logits(33, scale=12.0)[:32]])  # an easy and a hard batch
    together = recover_activations(outputs, *layer, generator=generator(3))
    one_stream = generator(3)
    apart = torch.cat([recover_activations(part, *layer, generator=one_stream) for part in outputs.split(32)])
    torch.testing.assert_close(together, apart)
    one_group = recover_activations(outputs, *layer, generator=generator(3), group_size=64)
    assert (together - one_group).abs().max() > 0.01


def test_same_stream_same_activations_other_stream_others(layer):
    outputs = logits(5)
    first, again, other = (recover_activations(outputs, *layer, generator=generator(name)) for name in "aab")
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_step_by_hand():
    outputs, weight, bias = torch.tensor([[1.0], [2.0]]), torch.tensor([[1.0, 0.0]]), torch.tensor([0.5])
    noise = torch.randn(2, 2, generator=generator(4), dtype=torch.float64)
    activations = recover_activations(outputs, weight, bias, generator=generator(4), learning_rate=0.1, group_size=1)
    expected = noise.clone()
    for row in range(2):
        loss = math.inf
        while loss >= 1.5:  # the loss is taken before the step that follows it
            difference = expected[row, 0] + 0.5 - outputs[row, 0]
            expected[row, 0] -= 0.1 * 2 * difference
            loss = difference**2
    torch.testing.assert_close(activations, expected.float())


def test_a_loss_that_stays_is_an_error(monkeypatch, layer):
    monkeypatch.setattr(module, "MOST_STEPS", 40)
    with pytest.raises(RuntimeError, match=r"under a loss of 1\.5 within 40 steps; the worst batch is at 100"):
        recover_activations(
            torch.full((3, 10), 10.0), torch.zeros(10, 50), torch.zeros(10), generator=generator(0), group_size=2
        )


@pytest.mark.parametrize("update", ["gradient_descent", "adam"])
def test_outputs_that_are_not_numbers_are_not_taken_for_recovered(layer, update):
    outputs = logits(5)
    outputs[1, 2] = math.nan
    with pytest.raises((RuntimeError, FloatingPointError, ValueError)):
        recover_activations(outputs, *layer, generator=generator(0), update=update)


def test_a_descent_that_diverges_is_not_taken_for_recovered(layer):
    with pytest.raises((RuntimeError, FloatingPointError)):
        recover_activations(logits(5), *layer, generator=generator(0), learning_rate=100.0)


def test_an_unknown_update_is_refused(layer):
    with pytest.raises(ValueError, match="`update` must be 'adam' or 'gradient_descent'; got 'sgd'"):
        recover_activations(logits(2), *layer, generator=generator(0), update="sgd")


@pytest.mark.parametrize(
    ("outputs", "weight", "bias"),
    [
        ((2, 9), (10, 50), (10,)),
        ((10,), (10, 50), (10,)),
        ((0, 10), (10, 50), (10,)),
        ((2, 10), (500,), (10,)),
        ((2, 10), (10, 50), (50,)),
        ((2, 10), (10, 50), (1,)),
        ((2, 10), (10, 50), (10, 1)),
    ],
)
def test_shapes_that_do_not_fit_are_refused(outputs, weight, bias):
    with pytest.raises(ValueError, match=r"`outputs` must be \(n, c\) and `weight` \(c, a\).*got"):
        recover_activations(torch.zeros(outputs), torch.ones(weight), torch.zeros(bias), generator=generator(0))


def test_a_group_of_none_is_refused(layer):
    with pytest.raises(ValueError, match="`group_size` must be at least 1; got 0"):
        recover_activations(logits(2), *layer, generator=generator(0), group_size=0)


def test_weights_and_outputs_that_ask_for_gradients_give_activations_that_do_not(layer):
    """As the parameters of a classifier do: the graph of thousands of steps would be kept."""
    outputs = logits(5)
    asking = [nn.Parameter(tensor.clone()) for tensor in (outputs, *layer)]
    found = recover_activations(*asking, generator=generator(0))
    assert not found.requires_grad
    assert torch.equal(found, recover_activations(outputs, *layer, generator=generator(0)))


def test_logits_from_probabilities_invert_softmax_up_to_the_mean_of_a_row():
    given = logits(7, scale=2.0).double()
    recovered = logits_from_probabilities(given.softmax(1), floor=1e-12)
    torch.testing.assert_close(recovered, given - given.mean(1, keepdim=True))
    torch.testing.assert_close(recovered.softmax(1), given.softmax(1))


def test_logits_from_probabilities_raise_zeros_to_the_floor():
    recovered = logits_from_probabilities(torch.tensor([[1.0, 0.0], [0.5, 0.5], [0.0, 0.0]]), floor=1e-4)
    half = math.log(1e4) / 2
    torch.testing.assert_close(recovered, torch.tensor([[half, -half], [0.0, 0.0], [0.0, 0.0]]))


@pytest.mark.parametrize(
    ("probabilities", "floor"),
    [([[0.5, 1.1]], 1e-6), ([[-0.1, 0.5]], 1e-6), ([[0.5, 0.5]], 0.0), ([[0.5, 0.5]], 1.0)],
)
def test_logits_from_probabilities_refuse_values_out_of_range(probabilities, floor):
    with pytest.raises(ValueError, match=r"`probabilities` must lie in \[0, 1\]|`floor` must lie between 0 and 1"):
        logits_from_probabilities(torch.tensor(probabilities), floor=floor)
