import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mi_core.models import (
    ACTIVATIONS,
    HIDDEN,
    Classifier,
    Dropout,
    EvaluationModel,
    InverseModel,
    frozen_for_inference,
)
from mi_core.randomness import seeded
from mi_core.reference import plain_inverse_model


def count_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(3, 1, 32, 32, generator=torch.Generator().manual_seed(8))


def test_classifier_has_the_parameters_of_its_layers(classifier):
    convolutions = (1 * 128 + 128 * 256 + 256 * 512) * 9 + (128 + 256 + 512)
    norms = 2 * (128 + 256 + 512)
    linear = 512 * 4 * 4 * 50 + 50 + 50 * 10 + 10
    assert count_parameters(classifier) == convolutions + norms + linear == 1_888_560


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_classifier_equals_its_description_written_out(classifier, images, activation):
    model = Classifier(activation=activation)
    model.load_state_dict(classifier.state_dict())
    convolutions = [module for module in classifier.modules() if isinstance(module, nn.Conv2d)]
    norms = [module for module in classifier.modules() if isinstance(module, nn.BatchNorm2d)]
    maps = images
    for convolution, norm in zip(convolutions, norms, strict=True):
        maps = F.conv2d(maps, convolution.weight, convolution.bias, padding=1)
        maps = F.batch_norm(maps, norm.running_mean, norm.running_var, norm.weight, norm.bias)
        maps = F.relu(F.max_pool2d(maps, 2))
    hidden = F.linear(maps.flatten(1), classifier.hidden.weight, classifier.hidden.bias)
    function = {"None": lambda x: x, "ReLU": F.relu, "Sigmoid": torch.sigmoid, "GELU": F.gelu, "SiLU": F.silu}
    expected = F.linear(function[activation](hidden), classifier.last.weight, classifier.last.bias)
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(images), expected, rtol=1e-4, atol=1e-4)


def test_dropout_acts_in_training_and_only_where_asked_for(images):
    with seeded("dropout"):
        with_dropout, without = Classifier(dropout=True).train(), Classifier(dropout=False).train()
        assert not torch.equal(with_dropout(images), with_dropout(images))
        assert torch.equal(without(images), without(images))
    dropped = with_dropout.dropout(torch.ones(400, 50))
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert abs((dropped == 0).float().mean() - 0.5) < 0.03


def test_classifier_refuses_an_unknown_activation():
    with pytest.raises(ValueError, match=r"`activation` must be one of None, ReLU, .*; got 'Tanh'"):
        Classifier(activation="Tanh")


@pytest.mark.parametrize(("activation", "dropout"), [("None", True), ("GELU", False), ("Sigmoid", True)])
def test_frozen_copy_gives_the_logits_and_image_gradients_of_evaluation_mode(classifier, images, activation, dropout):
    model = Classifier(activation=activation, dropout=dropout)
    model.load_state_dict(classifier.state_dict())
    frozen = frozen_for_inference(model)
    model.eval()
    direction = torch.randn(3, 10, generator=torch.Generator().manual_seed(9))
    results = []
    for network in (model, frozen):
        given = images.clone().requires_grad_(True)
        logits = network(given)
        results.append((logits.detach(), torch.autograd.grad((logits * direction).sum(), given)[0]))
    (logits, gradient), (frozen_logits, frozen_gradient) = results
    assert logits.std(0).min() > 1e-3 and gradient.abs().max() > 1e-3  # the comparison has something to compare
    torch.testing.assert_close(frozen_logits, logits, rtol=0, atol=1e-4)
    torch.testing.assert_close(frozen_gradient, gradient, rtol=1e-3, atol=1e-4)


def test_frozen_copy_in_double_precision(classifier, images):
    frozen = frozen_for_inference(classifier, dtype=torch.float64)
    logits = frozen(images.double())
    assert logits.dtype == torch.float64
    torch.testing.assert_close(logits, classifier.double().eval()(images.double()).detach(), rtol=1e-5, atol=1e-5)


def test_frozen_copy_has_no_batch_norm_and_no_weight_gradients(classifier, images):
    frozen = frozen_for_inference(classifier)
    assert not any(isinstance(module, nn.BatchNorm2d | nn.Dropout) for module in frozen.modules())
    assert not any(parameter.requires_grad for parameter in frozen.parameters())
    assert not frozen.training
    assert not frozen(images).requires_grad


def test_freezing_does_not_change_the_classifier(classifier, images):
    classifier.train()
    weights = {name: value.clone() for name, value in classifier.state_dict().items()}
    frozen = frozen_for_inference(classifier)
    for name, value in classifier.state_dict().items():
        assert torch.equal(value, weights[name])
    assert all(parameter.requires_grad for parameter in classifier.parameters())
    before = frozen(images)
    with torch.no_grad():
        classifier.last.bias.add_(1)
    assert torch.equal(frozen(images), before)


@pytest.mark.parametrize("mode", [True, False])
def test_freezing_leaves_the_mode_of_every_layer_alone(classifier, mode):
    classifier.train(mode)
    frozen_for_inference(classifier)
    assert [name for name, module in classifier.named_modules() if module.training is not mode] == []


def test_freezing_leaves_the_global_random_stream_alone(classifier):
    before = torch.get_rng_state()
    frozen_for_inference(classifier)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("hidden", ["tanh_dropout", "relu"])
@pytest.mark.parametrize("inputs", [10, 50, 1024])
def test_inverse_model_gives_images_from_vectors_of_every_length(inputs, hidden):
    with seeded("inverse model"):
        model = InverseModel(inputs, hidden=hidden)
        reconstructions = model(torch.randn(3, inputs))
    assert reconstructions.shape == (3, 1, 32, 32)
    assert 0 < reconstructions.min() < reconstructions.max() < 1
    convolutions = (inputs * 512 + 512 * 256 + 256 * 128 + 128 * 1) * 16 + (512 + 256 + 128 + 1)
    norms = 2 * (512 + 256 + 128)
    assert count_parameters(model) == convolutions + norms


def test_inverse_model_variants_differ_in_activation_and_dropout():
    figure, text = InverseModel(10), InverseModel(10, hidden="relu")
    assert [module.p for module in figure.modules() if isinstance(module, nn.Dropout)] == [0.3, 0.5, 0.5]
    assert sum(isinstance(module, nn.Tanh) for module in figure.modules()) == 3
    assert sum(isinstance(module, nn.ReLU) for module in text.modules()) == 3
    assert not any(isinstance(module, nn.Tanh | nn.Dropout) for module in text.modules())


def test_inverse_model_refuses_an_unknown_variant():
    with pytest.raises(ValueError, match="`hidden` must be one of tanh_dropout, relu, .*; got 'gelu'"):
        InverseModel(10, hidden="gelu")
    with pytest.raises(ValueError, match=r"`width` at least 1/128; got 10 inputs and width 0\.001"):
        InverseModel(10, width=0.001)


@pytest.mark.parametrize("hidden", HIDDEN)
def test_the_variants_of_the_inverse_model_differ_in_activation_dropout_and_width(hidden):
    model = InverseModel(10, hidden=hidden, width=0.5)
    kinds = [type(layer) for layer in model.layers]
    assert kinds.count(nn.Tanh if "tanh" in hidden else nn.ReLU) == 3
    assert sum(issubclass(kind, nn.Dropout) for kind in kinds) == 3 * ("dropout" in hidden)
    assert [layer.out_channels for layer in model.layers if isinstance(layer, nn.ConvTranspose2d)] == [256, 128, 64, 1]
    assert model(torch.rand(2, 10)).shape == (2, 1, 32, 32)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_inverse_model_equals_its_layers_one_after_another(layout):
    """The first layer is computed as a matrix product: the same values and the same gradients as its convolution."""
    with seeded("inverse model"):
        model = InverseModel(6).double().eval().to(memory_format=layout)
        inputs = torch.randn(5, 6, dtype=torch.float64, requires_grad=True)
    plain = plain_inverse_model(6).double().eval()
    plain.load_state_dict({f"{int(name.split('.')[1]) + 1}.{name.split('.')[2]}": value
                           for name, value in model.state_dict().items()})  # fmt: skip
    expected, found = plain(inputs), model(inputs)
    torch.testing.assert_close(found, expected)
    direction = torch.randn_like(found)
    gradients = [
        torch.autograd.grad(answers, (inputs, *each.parameters()), direction)
        for each, answers in ((model, found), (plain, expected))
    ]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("probability", [0.3, 0.5])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_dropout_keeps_its_share_of_every_quarter_and_scales_it(probability, layout):
    """Four draws come from each random number: each must keep the same share, and neighbours must not agree."""
    layer = Dropout(probability).train()
    ones = torch.ones(50, 8, 32, 32).to(memory_format=layout)
    with seeded("dropout share"):
        dropped = layer(ones)
    assert dropped.stride() == ones.stride()
    flat = dropped.permute(0, 2, 3, 1).flatten() if layout == torch.channels_last else dropped.flatten()
    torch.testing.assert_close(flat.unique(), torch.tensor([0, 1 / (1 - probability)]))
    kept = (flat != 0).double()
    for place in range(4):  # 102,400 draws each: five standard errors are 0.008
        assert abs(kept[place::4].mean() - (1 - probability)) < 0.008
        following = kept[place::4][:-1] * kept[(place + 1) :: 4][: len(kept) // 4 - 1]
        assert abs(following.mean() - (1 - probability) ** 2) < 0.008


def test_dropout_follows_the_seed_and_rests_in_evaluation_mode():
    layer, ones = Dropout(0.5), torch.ones(7, 3)
    with seeded("a"):
        first = layer(ones)
    with seeded("a"):
        assert torch.equal(layer(ones), first)
    assert torch.equal(layer.eval()(ones), ones)
    assert not torch.equal(layer.train()(ones.to(torch.float64)), ones.to(torch.float64))


@pytest.fixture
def judge() -> EvaluationModel:
    """An untrained evaluation model whose norms have weights unlike their defaults."""
    with seeded("test judge"):
        model = EvaluationModel()
        for module in model.modules():
            if isinstance(module, nn.GroupNorm):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, std=0.2)
    return model


@pytest.mark.parametrize("dropout", [True, False])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_evaluation_model_has_no_parameter_shape_in_common_with_a_classifier(judge, activation, dropout):
    classifier = Classifier(activation=activation, dropout=dropout)
    shapes = [{tuple(value.shape) for value in model.state_dict().values()} for model in (judge, classifier)]
    assert len(shapes[0]) == 7 and not shapes[0] & shapes[1]


def test_evaluation_model_has_the_parameters_of_its_layers(judge):
    convolutions = (1 * 24 + 24 * 48 + 48 * 96) * 25 + (24 + 48 + 96)
    assert count_parameters(judge) == convolutions + 2 * (24 + 48 + 96) + 96 * 10 == 146_064
    assert count_parameters(judge.last) == 96 * 10


def test_evaluation_model_equals_its_description_written_out(judge, images):
    convolutions = [module for module in judge.modules() if isinstance(module, nn.Conv2d)]
    norms = [module for module in judge.modules() if isinstance(module, nn.GroupNorm)]
    maps = images
    for convolution, norm in zip(convolutions, norms, strict=True):
        maps = F.conv2d(maps, convolution.weight, convolution.bias, stride=2, padding=2)
        maps = F.silu(F.group_norm(maps, 8, norm.weight, norm.bias))
    assert maps.shape == (3, 96, 4, 4)
    with torch.no_grad():
        features, logits = judge.eval().features(images), judge(images)
    assert features.shape == (3, 96) and logits.shape == (3, 10)
    torch.testing.assert_close(features, maps.mean((2, 3)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(logits, maps.mean((2, 3)) @ judge.last.weight.T, rtol=1e-4, atol=1e-5)
    assert torch.equal(logits, judge.last(features))
    assert features.std(0).min() > 0 and logits.std(0).min() > 1e-4


def test_evaluation_model_judges_each_image_by_itself_in_either_mode(judge, images):
    with torch.no_grad():
        together = judge.eval()(images)
        alone = torch.cat([judge.train()(image[None]) for image in images])
    torch.testing.assert_close(alone, together)
