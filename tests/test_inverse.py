import pytest
import torch

from mi_core.attacks.inverse import COMBINATIONS, LOSSES, assemble_inputs, fit_inverse_model, ssim_loss
from mi_core.metrics import ssim_per_image
from mi_core.training import mean_batch_loss, predict

STREAM = (0, "test inverse")


@pytest.fixture
def available() -> dict[str, torch.Tensor]:
    source = torch.Generator().manual_seed(11)
    return {
        "X~": torch.rand(7, 1, 32, 32, generator=source),
        "A_L": torch.randn(7, 50, generator=source, dtype=torch.float64),
        "O": torch.randn(7, 10, generator=source),
    }


@pytest.mark.parametrize(
    ("combination", "widths"),
    [
        ("O", {"O": (0, 10)}),
        ("A_L", {"A_L": (0, 50)}),
        ("X~", {"X~": (0, 1024)}),
        ("O+A_L", {"O": (0, 10), "A_L": (10, 60)}),
        ("O+X~", {"O": (0, 10), "X~": (10, 1034)}),
        ("A_L+X~", {"A_L": (0, 50), "X~": (50, 1074)}),
        ("O+A_L+X~", {"O": (0, 10), "A_L": (10, 60), "X~": (60, 1084)}),
    ],
)
def test_inputs_stand_in_the_order_of_the_combination(available, combination, widths):
    inputs = assemble_inputs(combination, available)
    assert inputs.shape == (7, max(stop for _, stop in widths.values()))
    assert inputs.dtype == torch.float32
    for part, (start, stop) in widths.items():
        assert torch.equal(inputs[:, start:stop], available[part].reshape(7, -1).float())


def test_the_combinations_are_those_of_table_4():
    assert list(COMBINATIONS) == ["O", "A_L", "X~", "O+A_L", "O+X~", "A_L+X~", "O+A_L+X~"]


def test_parts_that_are_not_needed_need_not_be_there(available):
    assert torch.equal(assemble_inputs("O", {"O": available["O"]}), available["O"])


def test_assembling_refuses_unknown_missing_and_unequal_parts(available):
    with pytest.raises(ValueError, match=r"`combination` must be one of O, A_L, .*; got 'X~\+O'"):
        assemble_inputs("X~+O", available)
    with pytest.raises(ValueError, match=r"the combination O\+A_L\+X~ needs A_L, X~, which `available` lacks"):
        assemble_inputs("O+A_L+X~", {"O": available["O"]})
    with pytest.raises(ValueError, match=r"the parts of O\+A_L differ in length: 7, 6"):
        assemble_inputs("O+A_L", available | {"A_L": available["A_L"][:6]})


def test_ssim_loss_is_one_minus_the_mean_score(auxiliary):
    images, others = auxiliary.images[:5], auxiliary.images[5:10]
    assert ssim_loss(images, images).item() == pytest.approx(0, abs=1e-6)
    expected = 1 - sum(ssim_per_image(others, images).tolist()) / 5
    assert ssim_loss(images, others).item() == pytest.approx(expected, abs=1e-6)
    assert expected > 0.1


def test_inverse_model_learns_from_labels_repeats_itself_and_uses_its_stream(auxiliary):
    auxiliary = auxiliary.first(34)  # batches of 32 and 2
    inputs = torch.nn.functional.one_hot(auxiliary.labels, 10).float()
    validation = (inputs[:3], auxiliary.images[:3])
    runs = []
    for stream, epochs in ((STREAM, 2), (STREAM, 2), ((1, "test inverse"), 1)):
        before = torch.get_rng_state()
        runs.append(fit_inverse_model(inputs, auxiliary.images, epochs=epochs, stream=stream, validation=validation))
        assert torch.equal(torch.get_rng_state(), before)
        torch.rand(1)  # the state of the global stream must not matter
    (model, history), (again, history_again), (_, history_other) = runs
    assert history == history_again
    assert history.training[0] != history_other.training[0]
    for value, expected in zip(model.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(value, expected)
    assert history.training[1] < history.training[0]
    assert history.validation[1] == pytest.approx(
        mean_batch_loss(predict(model, validation[0]), validation[1], loss=ssim_loss)
    )
    assert predict(model, inputs[:3]).shape == (3, 1, 32, 32)


def test_the_variant_is_passed_on(auxiliary):
    inputs = torch.rand(4, 12, generator=torch.Generator().manual_seed(12))
    model, _ = fit_inverse_model(inputs, auxiliary.images[:4], epochs=1, stream=STREAM, hidden="relu")
    assert any(isinstance(module, torch.nn.ReLU) for module in model.modules())
    with pytest.raises(ValueError, match="`hidden` must be one of tanh_dropout, relu, .*; got 'silu'"):
        fit_inverse_model(inputs, auxiliary.images[:4], epochs=1, stream=STREAM, hidden="silu")


def test_every_loss_is_least_for_the_images_themselves_and_the_named_one_is_used(auxiliary):
    images, others = auxiliary.images[:6], auxiliary.images[6:12]
    for loss in LOSSES.values():
        assert float(loss(images, images)) == pytest.approx(0, abs=1e-6) and float(loss(others, images)) > 0.05
    inputs = torch.rand(6, 12, generator=torch.Generator().manual_seed(12))
    named = {"epochs": 1, "stream": STREAM, "hidden": "relu", "width": 0.25}
    losses = {loss: fit_inverse_model(inputs, images, loss=loss, **named)[1].training[0] for loss in LOSSES}
    assert losses["ssim_and_mse"] == pytest.approx(losses["ssim"] + 10 * losses["mse"], rel=1e-5)
    with pytest.raises(ValueError, match="`loss` must be one of ssim, mse, ssim_and_mse; got 'l2'"):
        fit_inverse_model(inputs, images, loss="l2", **named)


def test_fitting_refuses_no_epochs_and_unequal_lengths(auxiliary):
    inputs = torch.zeros(4, 10)
    with pytest.raises(ValueError, match="got 0 epochs, 4 inputs, 4 targets"):
        fit_inverse_model(inputs, auxiliary.images[:4], epochs=0, stream=STREAM)
    with pytest.raises(ValueError, match="got 1 epochs, 4 inputs, 3 targets"):
        fit_inverse_model(inputs, auxiliary.images[:3], epochs=1, stream=STREAM)
