import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mi_core.models import Classifier
from mi_core.randomness import generator, seeded
from mi_core.training import SCHEDULES, History, fit, fit_classifier, mean_batch_loss, predict

STREAM = (0, "test training")


def toy_network(name: str = "toy", dropout: float = 0.5) -> nn.Module:
    """Small, but with all that a training has to carry along: convolutions, running statistics and dropout."""
    with seeded(name):
        return nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(4 * 6 * 5, 3),
        )


@pytest.fixture
def toy_data() -> tuple[Tensor, Tensor]:
    """70 images of three classes, told apart by their means: batches of 32, 32 and 6."""
    source = torch.Generator().manual_seed(10)
    labels = torch.randint(3, (70,), generator=source)
    return torch.randn(70, 2, 6, 5, generator=source) + labels[:, None, None, None], labels


class KeptInMemory:
    """A checkpoint that keeps copies, laid out as they were or, as files do, in plain row-major order."""

    def __init__(self, memory_format: torch.memory_format = torch.preserve_format) -> None:
        self.memory_format = memory_format
        self.states: list[dict[str, Tensor]] = []

    def load(self) -> dict[str, Tensor] | None:
        if not self.states:
            return None
        return {name: value.clone() for name, value in self.states[-1].items()}

    def save(self, state: dict[str, Tensor]) -> None:
        self.states.append({name: value.clone(memory_format=self.memory_format) for name, value in state.items()})


class Interrupted(Exception):
    pass


def interrupt_after(epochs: int):
    passed = []

    def on_epoch() -> None:
        passed.append(None)
        if len(passed) == epochs:
            raise Interrupted

    return on_epoch


def assert_same_weights(first: nn.Module, second: nn.Module) -> None:
    second_state = second.state_dict()
    for name, value in first.state_dict().items():
        assert torch.equal(value, second_state[name]), name


def test_same_stream_gives_the_same_weights_bit_for_bit(toy_data):
    networks, histories = [], []
    for global_seed in (1, 2):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(global_seed)  # the global stream must not matter
            network = toy_network()
            histories.append(fit(network, *toy_data, loss=F.cross_entropy, epochs=2, stream=STREAM))
            networks.append(network)
    assert_same_weights(*networks)
    assert histories[0] == histories[1]


def test_other_streams_give_other_weights(toy_data):
    networks = [toy_network(), toy_network()]
    for number, network in enumerate(networks):
        fit(network, *toy_data, loss=F.cross_entropy, epochs=1, stream=(number, "other"))
    assert not torch.equal(networks[0][-1].weight, networks[1][-1].weight)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_fit_equals_a_plain_loop(toy_data, schedule):
    # Double precision: a bias before a batch norm has no gradient but rounding errors, which Adam would magnify.
    inputs, targets = toy_data[0].double(), toy_data[1]
    validation = (inputs[:40] + 0.1, targets[:40])
    network, reference = toy_network(dropout=0.0).double(), toy_network(dropout=0.0).double()
    named = {"epochs": 3, "stream": STREAM, "schedule": schedule, "validation": validation}
    history = fit(network, inputs, targets, loss=F.cross_entropy, **named)

    optimiser = torch.optim.Adam(reference.parameters(), lr=1e-3)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=9)  # three epochs of three batches
    expected = History()
    for epoch in range(3):
        reference.train()
        losses = []
        for batch in torch.randperm(70, generator=generator(*STREAM, "batches", epoch)).split(32):
            optimiser.zero_grad()
            loss = F.cross_entropy(reference(inputs[batch]), targets[batch])
            loss.backward()
            optimiser.step()
            if schedule == "cosine":
                cosine.step()
            losses.append(loss.item())
        expected.training.append(sum(losses) / 3)
        reference.eval()
        with torch.no_grad():
            batches = zip(validation[0].split(32), validation[1].split(32), strict=True)
            losses = [F.cross_entropy(reference(images), labels).item() for images, labels in batches]
        expected.validation.append(sum(losses) / 2)
    assert history.training == pytest.approx(expected.training, rel=1e-5)
    assert history.validation == pytest.approx(expected.validation, rel=1e-5)
    for parameter, expected_parameter in zip(network.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(parameter, expected_parameter, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("memory_format", [torch.preserve_format, torch.contiguous_format])
@pytest.mark.parametrize("stopped_after", [1, 3])
def test_a_resumed_training_ends_as_if_never_interrupted(toy_data, stopped_after, memory_format):
    validation = (toy_data[0][:37], toy_data[1][:37])
    whole = toy_network()
    named = {"epochs": 4, "stream": STREAM, "schedule": "cosine", "validation": validation}
    whole_history = fit(whole, *toy_data, loss=F.cross_entropy, **named)

    checkpoint = KeptInMemory(memory_format)
    with pytest.raises(Interrupted):
        fit(
            toy_network(),
            *toy_data,
            loss=F.cross_entropy,
            **named,
            checkpoint=checkpoint,
            on_epoch=interrupt_after(stopped_after),
        )
    assert len(checkpoint.states) == stopped_after
    resumed, epochs_seen = toy_network("other initial weights"), []
    resumed_history = fit(
        resumed,
        *toy_data,
        loss=F.cross_entropy,
        **named,
        checkpoint=checkpoint,
        on_epoch=lambda: epochs_seen.append(None),
    )
    assert len(epochs_seen) == 4  # skipped epochs count for the progress bar
    assert len(checkpoint.states) == 3  # after each epoch but the last; none was computed twice
    assert resumed_history == whole_history
    assert len(whole_history.training) == len(whole_history.validation) == 4
    assert_same_weights(whole, resumed)


def test_keeping_checkpoints_does_not_change_the_training(toy_data):
    plain, kept, checkpoint = toy_network(), toy_network(), KeptInMemory()
    fit(plain, *toy_data, loss=F.cross_entropy, epochs=2, stream=STREAM)
    fit(kept, *toy_data, loss=F.cross_entropy, epochs=2, stream=STREAM, checkpoint=checkpoint)
    assert_same_weights(plain, kept)
    assert len(checkpoint.states) == 1
    assert all(isinstance(value, Tensor) for value in checkpoint.states[0].values())


def test_what_is_trained_on_keeps_its_gradients_and_gets_none(toy_data):
    """Outputs straight from a classifier carry its graph, which a second batch could not go back through."""
    inputs = toy_data[0].clone().requires_grad_(True)
    plain, given = toy_network(), toy_network()
    fit(plain, *toy_data, loss=F.cross_entropy, epochs=1, stream=STREAM)
    fit(given, inputs.exp().log(), toy_data[1], loss=F.cross_entropy, epochs=1, stream=STREAM)
    assert inputs.grad is None
    targets = torch.zeros(70, 3, requires_grad=True)
    fit(given, toy_data[0], targets * 2, loss=F.mse_loss, epochs=1, stream=STREAM, validation=(toy_data[0], targets))
    assert targets.grad is None


def test_a_trained_model_is_left_in_evaluation_mode(toy_data):
    network = toy_network()
    fit(network, *toy_data, loss=F.cross_entropy, epochs=1, stream=STREAM)
    assert not any(module.training for module in network.modules())


def test_a_model_is_trained_where_gradients_are_switched_off(toy_data):
    plain, within = toy_network(), toy_network()
    fit(plain, *toy_data, loss=F.cross_entropy, epochs=1, stream=STREAM)
    with torch.no_grad():
        fit(within, *toy_data, loss=F.cross_entropy, epochs=1, stream=STREAM)
    assert_same_weights(plain, within)


class WithUnused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.unused, self.used = nn.Linear(2, 2), toy_network()

    def forward(self, images: Tensor) -> Tensor:
        return self.used(images)


@pytest.mark.parametrize("frozen", [True, False])
def test_frozen_and_unused_parameters_stay_and_the_others_learn_as_without_them(toy_data, frozen):
    whole, alone = WithUnused(), toy_network()
    whole.unused.requires_grad_(not frozen)
    whole.used[0].requires_grad_(not frozen)
    alone[0].requires_grad_(not frozen)
    before = [parameter.clone() for parameter in (*whole.unused.parameters(), *whole.used[0].parameters())]
    checkpoint = KeptInMemory()
    named = {"loss": F.cross_entropy, "epochs": 2, "stream": STREAM}
    with pytest.raises(Interrupted):
        fit(whole, *toy_data, **named, checkpoint=checkpoint, on_epoch=interrupt_after(1))
    fit(whole, *toy_data, **named, checkpoint=checkpoint)
    fit(alone, *toy_data, **named)
    assert_same_weights(alone, whole.used)
    same = [
        torch.equal(*pair)
        for pair in zip(before, (*whole.unused.parameters(), *whole.used[0].parameters()), strict=True)
    ]
    assert same == [True, True, frozen, frozen]


def test_a_model_with_nothing_to_train_is_refused(toy_data):
    with pytest.raises(ValueError, match="`model` must have a parameter that requires a gradient"):
        fit(toy_network().requires_grad_(False), *toy_data, loss=F.cross_entropy, epochs=1, stream=STREAM)


def test_training_leaves_the_global_random_stream_alone(toy_data):
    network = toy_network()
    before = torch.get_rng_state()
    fit(network, *toy_data, loss=F.cross_entropy, epochs=1, stream=STREAM)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_loss_falls_on_a_problem_that_can_be_learnt(toy_data):
    epochs_seen = []
    history = fit(
        toy_network(),
        *toy_data,
        loss=F.cross_entropy,
        epochs=12,
        stream=STREAM,
        validation=toy_data,
        on_epoch=lambda: epochs_seen.append(None),
    )
    assert len(epochs_seen) == 12
    assert history.training[-1] < 0.7 * history.training[0]
    assert history.validation[-1] < 0.7 * history.validation[0]


def test_trainings_of_the_classifier_repeat_bit_for_bit(auxiliary):
    auxiliary = auxiliary.first(34)  # batches of 32 and 2
    models, histories = [], []
    for _ in range(2):
        with seeded("initial"):
            models.append(Classifier())
        options = {"loss": F.cross_entropy, "epochs": 2, "stream": STREAM}
        histories.append(fit(models[-1], auxiliary.images, auxiliary.labels, **options))
    assert histories[0] == histories[1]
    assert_same_weights(*models)


def test_fit_classifier_is_fit_with_the_classifier_of_its_stream(auxiliary):
    auxiliary = auxiliary.first(34)
    options = {"epochs": 1, "stream": STREAM, "validation": (auxiliary.images[:4], auxiliary.labels[:4])}
    with seeded(*STREAM, "initial weights"):
        expected = Classifier(activation="ReLU", dropout=False)
    history = fit(expected, auxiliary.images, auxiliary.labels, loss=F.cross_entropy, **options)
    model, same = fit_classifier(auxiliary.images, auxiliary.labels, activation="ReLU", dropout=False, **options)
    assert same == history and not model.training
    assert_same_weights(model, expected)


def test_training_in_mixed_precision_stays_close(toy_data):
    results = {}
    for precision in (torch.float32, torch.bfloat16):
        network = toy_network(dropout=0.0)
        history = fit(network, *toy_data, loss=F.cross_entropy, epochs=2, stream=STREAM, precision=precision)
        assert all(parameter.dtype == torch.float32 for parameter in network.parameters())
        results[precision] = history.training
    assert results[torch.bfloat16] == pytest.approx(results[torch.float32], rel=0.02)
    assert results[torch.bfloat16] != results[torch.float32]


@pytest.mark.parametrize(("epochs", "inputs", "targets"), [(0, 5, 5), (-1, 5, 5), (1, 0, 0), (1, 5, 4)])
def test_fit_refuses_nothing_to_do_and_unequal_lengths(toy_data, epochs, inputs, targets):
    with pytest.raises(ValueError, match=f"got {epochs} epochs, {inputs} inputs, {targets} targets"):
        fit(
            toy_network(),
            toy_data[0][:inputs],
            toy_data[1][:targets],
            loss=F.cross_entropy,
            epochs=epochs,
            stream=STREAM,
        )


def test_a_loss_that_is_not_a_number_stops_the_training(toy_data):
    inputs, targets = toy_data
    inputs[69, 1, 0, 0] = float("nan")
    checkpoint = KeptInMemory()
    with pytest.raises(FloatingPointError, match="the training loss is nan after epoch 1 of 2"):
        fit(
            toy_network(),
            inputs,
            targets,
            loss=F.cross_entropy,
            epochs=2,
            stream=STREAM,
            checkpoint=checkpoint,
        )
    assert checkpoint.states == []  # a broken state must not be resumed


@pytest.mark.parametrize("mode", [True, False])
def test_predict_evaluates_without_gradients_and_restores_the_mode(toy_data, mode):
    network = toy_network().train(mode)
    state = {name: value.clone() for name, value in network.state_dict().items()}
    answers = predict(network, toy_data[0], batch_size=32)
    assert all(module.training is mode for module in network.modules())
    assert not answers.requires_grad and answers.dtype == torch.float32
    for name, value in network.state_dict().items():
        assert torch.equal(value, state[name])  # running statistics included
    network.eval()
    torch.testing.assert_close(answers, network(toy_data[0]).detach())


def test_predict_restores_the_mode_after_an_error(toy_data):
    network = toy_network().train()
    with pytest.raises(RuntimeError):
        predict(network, toy_data[0][:, :1])
    assert network.training and network[4].training


def test_predict_answers_in_float32_whatever_the_precision(toy_data):
    network = toy_network()
    exact, mixed = (predict(network, toy_data[0], precision=kind) for kind in (torch.float32, torch.bfloat16))
    assert mixed.dtype == torch.float32
    torch.testing.assert_close(mixed, exact, rtol=0.05, atol=0.05)
    assert not torch.equal(mixed, exact)


def test_predict_refuses_no_inputs(toy_data):
    with pytest.raises(ValueError, match="`inputs` must hold at least one image; got none"):
        predict(toy_network(), toy_data[0][:0])


def test_mean_batch_loss_counts_a_smaller_last_batch_as_much_as_any():
    network = nn.Linear(1, 1, bias=False)
    nn.init.ones_(network.weight)
    inputs = torch.cat([torch.full((32, 1), 1.0), torch.full((3, 1), 3.0)])
    loss = mean_batch_loss(predict(network, inputs), torch.zeros(35, 1), loss=F.mse_loss)
    assert loss == pytest.approx((1 + 9) / 2)


def test_predict_restores_each_module_s_own_mode(toy_data):
    network = toy_network().train()
    network[1].eval()  # frozen running statistics
    predict(network, toy_data[0])
    assert network.training and network[4].training and not network[1].training


def test_a_training_leaves_no_gradients_behind(toy_data):
    network = toy_network()
    fit(network, *toy_data, loss=F.cross_entropy, epochs=1, stream=STREAM)
    assert all(weight.grad is None for weight in network.parameters())


def test_a_checkpoint_of_more_epochs_than_asked_for_is_refused(toy_data):
    checkpoint = KeptInMemory()
    fit(toy_network(), *toy_data, loss=F.cross_entropy, epochs=4, stream=STREAM, checkpoint=checkpoint)
    with pytest.raises(ValueError, match="`checkpoint` must be of at most 2 epochs, as `epochs` says; it is of 3"):
        fit(toy_network(), *toy_data, loss=F.cross_entropy, epochs=2, stream=STREAM, checkpoint=checkpoint)


@pytest.mark.parametrize("kept", [0, 69])
def test_validation_of_unequal_lengths_is_refused_before_any_epoch(toy_data, kept):
    inputs, labels = toy_data
    epochs = []
    with pytest.raises(ValueError, match=f"`validation` must be inputs and targets.*got 70 and {kept}"):
        fit(
            toy_network(),
            inputs,
            labels,
            loss=F.cross_entropy,
            epochs=1,
            stream=STREAM,
            validation=(inputs, labels[:kept]),
            on_epoch=lambda: epochs.append(1),
        )
    assert not epochs
