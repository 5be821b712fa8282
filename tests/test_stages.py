"""Stages on a synthetic data set: resuming, protocol choices, scores."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from mi_core.attacks import gradient, inverse
from mi_core.data import CLASSES, Split, Splits, resize_images
from mi_core.metrics import mse_per_image, ssim_per_image
from mi_core.models import ACTIVATIONS, Classifier, EvaluationModel, InverseModel
from mi_core.randomness import seeded
from mi_core.reidentification import area_under_curve
from mi_core.study import experiments, stages
from mi_core.study.experiments import EXACT, Replicate
from mi_core.study.graph import Context
from mi_core.study.leakage import measured, row_means
from mi_core.study.parameters import make_study
from mi_core.study.stages import attacks, classifiers, common
from mi_core.study.store import Pieces
from mi_core.training import predict

STUDY = make_study("smoke", {"steps": 2, "precision": "float32"})


class Interrupted(Exception):
    """Stands for a kill in the middle of a stage."""


@pytest.fixture
def inputs(auxiliary: Split, classifier: Classifier) -> dict[str, Any]:
    """What the stages of an attack take: all five splits are the same 64 synthetic images."""
    splits = {}
    for name in Splits.names():
        splits[f"{name}.images"] = (auxiliary.images * 255).round().to(torch.uint8).numpy()
        splits[f"{name}.labels"] = auxiliary.labels.numpy()
        splits[f"{name}.indices"] = auxiliary.indices.numpy()
    outputs = predict(classifier, auxiliary.images) * 3
    state = {f"model.{name}": value.numpy() for name, value in classifier.state_dict().items()}
    return {"splits": splits, "shadow": state, "classifier": state, "outputs": {"outputs": outputs.numpy()}}


def test_names_that_stand_on_two_floors_are_equal() -> None:
    """The study floor imports no torch while nothing is computed, so it names these itself."""
    assert tuple(inverse.COMBINATIONS) == experiments.COMBINATIONS
    assert gradient.STARTS == experiments.STARTS
    assert list(dict.fromkeys(activation for activation, _ in experiments.HEADS)) == list(ACTIVATIONS)


def context(folder: Path, advance: Any = lambda fraction: None) -> Context:
    return Context(torch.device("cpu"), torch.float32, Pieces(folder / "pieces"), advance)


def reconstruction_parameters(**changes: Any) -> dict[str, Any]:
    replicate = Replicate(make_study("smoke", {"steps": 2, "precision": "float32", **changes}), 0)
    return dict(replicate.reconstructions(replicate.outputs("target", "test"), "test").parameters)


@pytest.mark.parametrize("batch_after", [32, 64])
def test_killed_reconstructions_go_on_and_end_bit_for_bit_the_same(
    inputs: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_after: int
) -> None:
    parameters = reconstruction_parameters()
    expected = stages.reconstructions(parameters, inputs, context(tmp_path / "undisturbed"))
    monkeypatch.setattr(attacks, "SAVE_SECONDS", 0.0)
    calls = 0

    def killed_in_the_second_batch(fraction: float) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise Interrupted

    with pytest.raises(Interrupted):
        stages.reconstructions(parameters, inputs, context(tmp_path, killed_in_the_second_batch))
    assert Pieces(tmp_path / "pieces").names() == ["from-000000"]
    monkeypatch.setitem(attacks.IMAGES_AT_ONCE, "cpu", batch_after)
    steps: list[float] = []
    resumed = stages.reconstructions(parameters, inputs, context(tmp_path, steps.append))
    assert np.array_equal(resumed["images"], expected["images"])
    assert len(steps) == 1 + 2  # one for the piece that was kept, two steps for the second half


def test_reconstructions_do_not_depend_on_how_many_are_computed_at_once(
    inputs: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = []
    for at_once in (32, 64):
        monkeypatch.setitem(attacks.IMAGES_AT_ONCE, "cpu", at_once)
        images.append(stages.reconstructions(reconstruction_parameters(), inputs, context(tmp_path))["images"])
    assert len(images[0]) > 32
    assert np.array_equal(*images)


def test_a_killed_training_goes_on_and_ends_bit_for_bit_the_same(
    inputs: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = Replicate(make_study("smoke", {"inverse_epochs": 3}), 0).inverse_model("O", EXACT, 0)
    own = {"splits": inputs["splits"], "O": inputs["outputs"], "validation O": inputs["outputs"]}
    expected = stages.inverse_model(task.parameters, own, context(tmp_path / "undisturbed"))
    monkeypatch.setattr(common, "SAVE_SECONDS", 0.0)
    epochs = 0

    def killed_after_two_epochs(fraction: float) -> None:
        nonlocal epochs
        epochs += 1
        if epochs == 2:
            raise Interrupted

    with pytest.raises(Interrupted):
        stages.inverse_model(task.parameters, own, context(tmp_path, killed_after_two_epochs))
    resumed = stages.inverse_model(task.parameters, own, context(tmp_path))
    assert set(resumed) == set(expected)
    assert all(np.array_equal(resumed[name], expected[name]) for name in expected)


def test_where_the_label_decides_alone_there_are_ten_images(inputs: dict[str, Any], tmp_path: Path) -> None:
    parameters = reconstruction_parameters(protocol="text")
    images = stages.reconstructions(parameters, inputs, context(tmp_path))["images"]
    predicted = inputs["outputs"]["outputs"].argmax(1)
    assert len(images) == len(predicted)
    assert len(np.unique(images.reshape(len(images), -1), axis=0)) == len(np.unique(predicted))
    one_by_one = dict(inputs, outputs={"outputs": np.eye(CLASSES, dtype=np.float32)[predicted[:3]]})
    assert np.array_equal(stages.reconstructions(parameters, one_by_one, context(tmp_path / "b"))["images"], images[:3])


def test_own_search_uses_the_best_draw(inputs: dict[str, Any], tmp_path: Path) -> None:
    parameters = reconstruction_parameters(regularisers="own_search")
    assert "regularisers" not in parameters
    trials = pd.DataFrame({"lambda_l2": [1e-2, 1e-5], "lambda_tv": [1e-2, 1e-3], "ssim": [0.1, 0.3]})
    found = stages.reconstructions(parameters, {**inputs, "search": trials}, context(tmp_path))
    named = {**parameters, "regularisers": [1e-5, 1e-3]}
    assert np.array_equal(found["images"], stages.reconstructions(named, inputs, context(tmp_path / "b"))["images"])


def test_probabilities_are_a_softmax_and_defences_act_on_what_is_given(inputs: dict[str, Any], tmp_path: Path) -> None:
    parameters = {"split": "test", "images": 32, "form": "probabilities"}
    answers = stages.outputs(parameters, inputs, context(tmp_path))["outputs"]
    assert answers.shape == (32, CLASSES)
    assert np.allclose(answers.sum(1), 1, atol=1e-6)
    given = {"outputs": {"outputs": answers}}
    rounded = stages.defended({"defence": "round", "decimals": 1}, given, context(tmp_path))["outputs"]
    assert np.allclose(rounded * 10, np.round(rounded * 10), atol=1e-5)
    kept = stages.defended({"defence": "truncate", "k": 3, "fill": "zero"}, given, context(tmp_path))["outputs"]
    assert ((kept > 0).sum(1) == 3).all()


def test_auto_precision_is_one_that_the_hardware_has() -> None:
    assert stages.choose_precision("auto", torch.device("cpu")) in (torch.float32, torch.bfloat16)
    assert stages.choose_precision("float32", torch.device("cpu")) == torch.float32


# --- the evaluation model ------------------------------------------------------------------------------------------


@pytest.fixture
def raw(monkeypatch: pytest.MonkeyPatch) -> tuple[np.ndarray, np.ndarray]:
    """Stands for the training file: 130 random images and labels; the test file must not be looked at."""
    source = np.random.default_rng(15)
    images = source.integers(256, size=(130, 28, 28), dtype=np.uint8)
    labels = source.integers(CLASSES, size=130, dtype=np.uint8)
    monkeypatch.setattr(classifiers, "load_raw", lambda folder: ((images, labels), (None, None)))
    return images, labels


@pytest.fixture
def taken() -> dict[str, Any]:
    """Positions of the splits: 45 and 44 of the training file are taken, and all of the test file."""
    order = np.random.default_rng(16).permutation(130)
    indices = {name: np.arange(130) for name in Splits.names()}
    indices |= {"target_train": order[:45], "shadow_train": order[45:89]}
    return {"splits": {f"{name}.indices": places for name, places in indices.items()}}


def judge_parameters(**changes: Any) -> dict[str, Any]:
    return {"stream": [0, "replicate", 0], "images": 35, "epochs": 1, **changes}


@pytest.mark.parametrize(("images", "used"), [(35, 35), (41, 41), (1000, 41)])
def test_the_evaluation_model_sees_only_images_that_neither_party_has(
    raw: tuple[np.ndarray, np.ndarray],
    taken: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    images: int,
    used: int,
) -> None:
    given: list[torch.Tensor] = []
    fit = classifiers.fit

    def watched(model: Any, *data: torch.Tensor, **named: Any) -> Any:
        given.extend(data)
        assert named["epochs"] == 1 and named.get("precision", torch.float32) == torch.float32
        return fit(model, *(part[:4] for part in data), **named)  # enough to go on

    monkeypatch.setattr(classifiers, "fit", watched)
    own = Context(torch.device("cpu"), torch.bfloat16, Pieces(tmp_path / "pieces"), lambda fraction: None)
    value = stages.evaluation_model(judge_parameters(images=images), taken, own)
    places = value["indices"].tolist()
    assert len(set(places)) == len(places) == used
    parties = {*taken["splits"]["target_train.indices"], *taken["splits"]["shadow_train.indices"]}
    assert set(places) <= set(range(130)) - parties
    pictures, labels = given
    assert pictures.dtype == torch.float32 and labels.dtype == torch.int64
    assert np.array_equal(labels.numpy(), raw[1][places])
    expected = resize_images(raw[0][places]).astype(np.float32)[:, None] / 255
    assert np.allclose(pictures.numpy(), expected, rtol=0, atol=1e-7)


@pytest.mark.usefixtures("raw")
def test_the_evaluation_model_follows_its_stream_and_judges(
    inputs: dict[str, Any], taken: dict[str, Any], tmp_path: Path
) -> None:
    def trained(number: int) -> dict[str, np.ndarray]:
        parameters = judge_parameters(stream=[0, "replicate", number])
        return stages.evaluation_model(parameters, taken, context(tmp_path))

    first, again, other = trained(0), trained(0), trained(1)
    assert first["training_loss"].shape == (1,)
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not np.array_equal(first["indices"], other["indices"])
    assert not np.array_equal(first["model.last.weight"], other["model.last.weight"])
    seen = stages.features({"split": "test"}, inputs | {"evaluation model": first}, context(tmp_path))["features"]
    assert seen.shape == (64, 96) and np.isfinite(seen).all()


# --- scores --------------------------------------------------------------------------------------------------------

COUNTS = ("l2", "ssim", "features")


@pytest.fixture
def judge() -> EvaluationModel:
    with seeded("judge"):
        return EvaluationModel()


@pytest.fixture
def judged(inputs: dict[str, Any], judge: EvaluationModel) -> dict[str, Any]:
    """The splits, of which the test set now holds 58 of the images in another order, and an untrained judge."""
    splits = dict(inputs["splits"])
    for part in ("images", "labels", "indices"):
        splits[f"test.{part}"] = splits[f"test.{part}"][:5:-1].copy()
    return {"splits": splits, "evaluation model": common.state_arrays(judge)}


def truth_of(judged: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = (torch.from_numpy(judged["splits"][f"test.{part}"]) for part in ("images", "labels"))
    return images.float() / 255, labels


def one_hot(labels: torch.Tensor) -> np.ndarray:
    return torch.nn.functional.one_hot(labels, CLASSES).float().numpy() * 5 - 1


def scored(
    judged: dict[str, Any], folder: Path, images: torch.Tensor, predicted: torch.Tensor, stream: str = "a"
) -> dict[str, np.ndarray]:
    seen = stages.features({"split": "test"}, judged, context(folder))
    own = {"features": seen, "images": {"images": images.numpy()}, "outputs": {"outputs": one_hot(predicted)}}
    return stages.scores({"split": "test", "stream": [0, stream]}, judged | own, context(folder))


def test_features_are_those_of_the_named_split_to_five_decimals(
    judged: dict[str, Any], judge: EvaluationModel, tmp_path: Path
) -> None:
    images, _ = truth_of(judged)
    with torch.no_grad():
        expected = judge.features(images)
    found = stages.features({"split": "test"}, judged, context(tmp_path))["features"]
    assert found.shape == (58, 96) and found.dtype == np.float32
    assert np.allclose(found, expected, rtol=0, atol=6e-6)
    assert np.allclose(found * 1e5, np.round(found.astype(np.float64) * 1e5), rtol=0, atol=1e-2)


@pytest.mark.parametrize("count", [58, 37])
def test_perfect_reconstructions_have_perfect_scores(
    judged: dict[str, Any], judge: EvaluationModel, tmp_path: Path, count: int
) -> None:
    images, labels = truth_of(judged)
    predicted = (labels[:count] + torch.arange(count) % 2) % CLASSES
    value = scored(judged, tmp_path, images[:count].clone(), predicted)
    assert all(numbers.shape == (count,) for numbers in value.values())
    assert np.allclose(value["ssim"], 1)
    assert not value["mse"].any()
    assert np.allclose(value["feature_distance"], 0, rtol=0, atol=1e-9 if count == 58 else 1e-4)
    assert np.array_equal(value["label"], labels[:count])
    assert np.array_equal(value["predicted"], predicted)
    with torch.no_grad():
        assert np.array_equal(value["judged"], judge(images[:count]).argmax(1))
    assert np.array_equal(value["others"], (labels[:count, None] == labels).sum(1) - 1)
    for name in COUNTS:
        for kind in ("closer", "tied", "false_positives"):
            assert not value[f"{kind}_{name}"].any()
    averages = gradient.class_averages(common.load_split(judged, "shadow_train"))[predicted]
    assert np.allclose(value["to_class_average"], ssim_per_image(averages, images[:count]), rtol=0, atol=1e-5)


def test_scores_are_of_each_image_with_its_own_reconstruction(
    judged: dict[str, Any], judge: EvaluationModel, tmp_path: Path
) -> None:
    images, labels = truth_of(judged)
    noise = torch.rand(images.shape, generator=torch.Generator().manual_seed(17))
    reconstructed = (0.6 * images + 0.4 * noise)[:41]
    value = scored(judged, tmp_path, reconstructed, labels[:41])
    assert np.allclose(value["ssim"], ssim_per_image(images[:41], reconstructed), rtol=0, atol=1e-5)
    assert np.allclose(value["mse"], mse_per_image(images[:41], reconstructed), rtol=0, atol=1e-6)
    with torch.no_grad():
        seen, true = judge.features(reconstructed), judge.features(images)
    assert np.allclose(value["feature_distance"], (seen - true[:41]).norm(dim=1), rtol=0, atol=2e-4)
    pairs = {"l2": torch.cdist(reconstructed.flatten(1), images.flatten(1)), "features": torch.cdist(seen, true)}
    pairs["ssim"] = 1 - torch.stack([ssim_per_image(images, one.expand_as(images)) for one in reconstructed])
    other = (labels[:41, None] == labels) & (torch.arange(41)[:, None] != torch.arange(58))
    for name, distances in pairs.items():
        closer = ((distances < distances.diagonal()[:, None]) & other).sum(1).numpy()
        assert np.array_equal(value[f"closer_{name}"], closer) and not value[f"tied_{name}"].any()
        shares = (distances[other] < distances.diagonal()[:, None]).double().mean(1)
        assert np.allclose(value[f"false_positives_{name}"], shares, rtol=0, atol=1e-6)
    assert len({tuple(value[f"closer_{name}"]) for name in COUNTS}) == 3


def test_the_average_of_a_class_is_identified_by_chance_exactly(judged: dict[str, Any], tmp_path: Path) -> None:
    images, labels = truth_of(judged)
    averages = torch.stack([images[labels == label].mean(0) for label in range(CLASSES)])
    value = scored(judged, tmp_path, averages[labels], labels)
    for name in COUNTS:
        areas = area_under_curve(value[f"closer_{name}"], value[f"tied_{name}"], value["others"])
        assert len(np.unique(areas)) > 5
        assert areas.mean() == pytest.approx(0.5, rel=1e-13)
    moved = ~np.isnan(value["shuffled_ssim"])
    assert np.array_equal(value["shuffled_mse"][moved], value["mse"][moved])  # whoever gives, the image is the same


def test_where_a_class_was_predicted_once_there_is_no_control(judged: dict[str, Any], tmp_path: Path) -> None:
    images, _ = truth_of(judged)
    predicted = torch.arange(40) % 4
    predicted[17] = 8
    value = scored(judged, tmp_path, images[:40], predicted)
    for name in ("shuffled_ssim", "shuffled_mse", "shuffled_auc"):
        assert np.flatnonzero(np.isnan(value[name])).tolist() == [17]
    assert (value["shuffled_mse"][np.arange(40) != 17] > 0).all()


def test_outputs_of_others_identify_by_chance(judged: dict[str, Any], tmp_path: Path) -> None:
    """Perfect reconstructions of random images that change hands: who gave to whom shows in the errors."""
    count, source = 230, torch.Generator().manual_seed(18)
    pixels = torch.randint(256, (count, 1, 32, 32), dtype=torch.uint8, generator=source)
    labels = (torch.arange(count) % CLASSES)[torch.randperm(count, generator=source)]
    for part, values in (("images", pixels), ("labels", labels), ("indices", torch.arange(count))):
        judged["splits"][f"test.{part}"] = values.numpy()
    images, predicted = pixels.float() / 255, (labels + (torch.arange(count) % 7 == 0)) % CLASSES
    value = scored(judged, tmp_path, images, predicted)

    errors = (images.flatten(1)[:, None] - images.flatten(1)).square().mean(2).numpy()
    donors = np.abs(errors - value["shuffled_mse"][:, None]).argmin(1)
    places = np.arange(count)
    assert np.allclose(errors[places, donors], value["shuffled_mse"], rtol=0, atol=1e-7)
    assert sorted(donors.tolist()) == places.tolist() and (donors != places).all()
    assert np.array_equal(predicted[donors], predicted)
    assert np.allclose(value["shuffled_ssim"], ssim_per_image(images, images[donors]), rtol=0, atol=1e-5)

    areas = []  # the donor's own image, at distance 0, is not compared with
    for place, donor in enumerate(donors):
        compared = (labels == labels[place]).numpy() & (places != place) & (places != donor)
        areas.append((errors[donor][compared] > errors[donor, place]).mean())
    assert np.allclose(value["shuffled_auc"], areas, rtol=0, atol=1e-12)
    # Each place among 21 or 22 others is equally likely: a standard deviation of at most 0.303 an image.
    assert abs(value["shuffled_auc"].mean() - 0.5) < 4 * 0.303 / count**0.5
    assert np.allclose(area_under_curve(value["closer_l2"], value["tied_l2"], value["others"]), 1)

    again, other = (scored(judged, tmp_path, images, predicted, stream) for stream in "ab")
    assert all(np.array_equal(again[name], numbers) for name, numbers in value.items())
    differing = {name for name, numbers in value.items() if not np.array_equal(other[name], numbers)}
    assert differing == {"shuffled_ssim", "shuffled_mse", "shuffled_auc"}


def test_a_score_table_holds_a_line_for_each_image_in_few_bytes(judged: dict[str, Any], tmp_path: Path) -> None:
    images, labels = truth_of(judged)
    averages = gradient.class_averages(common.load_split(judged, "shadow_train"))[labels]
    found = {
        "one": scored(judged, tmp_path, images, labels),
        "two": scored(judged, tmp_path, averages[:40], labels[:40]),
    }
    rows = {
        "one": {"row": "M_I(O)", "split": "test", "inverse_seed": 1},
        "two": {"row": "baseline: class average", "split": "test", "inverse_seed": 0},
    }
    table = stages.score_table({"rows": rows}, found, context(tmp_path))
    assert table.columns.tolist() == ["row", "split", "inverse_seed", "image", *found["one"]]
    assert table["row"].tolist() == ["M_I(O)"] * 58 + ["baseline: class average"] * 40
    assert table["inverse_seed"].tolist() == [1] * 58 + [0] * 40
    assert table["image"].tolist() == [*range(58), *range(40)]
    types = {"label": np.int8, "predicted": np.int8, "judged": np.int8, "others": np.int16}
    types |= {f"{kind}_{name}": np.int16 for kind in ("closer", "tied") for name in COUNTS}
    for name in found["one"]:
        assert table[name].dtype == types.get(name, np.float32)
        numbers = np.concatenate([value[name] for value in found.values()])
        assert np.allclose(table[name], numbers, rtol=0, atol=1e-6, equal_nan=True)

    first = table[table["image"] < 40].assign(replicate=0)
    means = row_means(first).pivot(index="row", columns="metric", values="value")
    assert means.loc["M_I(O)", ["auc", "auc_ssim", "auc_features", "ssim", "r2"]].tolist() == pytest.approx([1] * 5)
    assert means.loc["baseline: class average", ["gain", "r2"]].tolist() == pytest.approx([0, 0], abs=1e-6)
    assert means.loc["baseline: class average", "to_class_average"] == pytest.approx(1)
    accuracy = measured(first)["accuracy"].tolist()
    assert accuracy == (first["judged"] == first["label"]).astype(float).tolist()


# --- agreement -----------------------------------------------------------------------------------------------------


def agreement_of(target: np.ndarray, shadow: np.ndarray, folder: Path) -> dict[str, float]:
    given = {"target": {"outputs": target}, "shadow": {"outputs": shadow}}
    frame = stages.agreement({}, given, context(folder))
    assert frame.columns.tolist() == ["row", "split", "metric", "value"]
    assert frame[["row", "split"]].drop_duplicates().to_numpy().tolist() == [["M_S", "test"]]
    return frame.set_index("metric")["value"].to_dict()


def test_agreement_by_hand(tmp_path: Path) -> None:
    target = np.zeros((4, CLASSES), dtype=np.float32)
    target[:, 0], target[:, 1:] = [4, 1, 0, 3], np.array([1, 2, 3, 4])[:, None]  # classes 0, 1, 1, 1
    shadow = target.copy()
    shadow[:, 1:4] = 9 - 2 * target[:, 1:4]  # three of ten correlations turn to -1; classes are now 1, 1, 9, 4
    shadow[:, 9] = [2, 1, 4, 3]  # one is 0.6: products of deviations 0.75 + 0.75 + 0.75 + 0.75 of 5
    found = agreement_of(target, shadow, tmp_path)
    assert found == pytest.approx({"share of equal classes": 1 / 4, "correlation of outputs": (6 - 3 + 0.6) / 10})


def test_models_that_answer_alike_agree_fully_whatever_the_scale_of_a_class(tmp_path: Path) -> None:
    target = np.random.default_rng(19).normal(size=(12, CLASSES)).astype(np.float32)
    full = {"share of equal classes": 1, "correlation of outputs": 1}
    assert agreement_of(target, target.copy(), tmp_path) == pytest.approx(full)
    assert agreement_of(target, 3 * target - 1, tmp_path) == pytest.approx(full)
    of_each = agreement_of(target, target * np.arange(1, 11, dtype=np.float32), tmp_path)
    assert of_each["correlation of outputs"] == pytest.approx(1) and of_each["share of equal classes"] < 1


def test_the_list_of_layers_leaves_none_out() -> None:
    frame = classifiers.architecture({"inverse_inputs": 10, "hidden": "tanh_dropout"}, {}, None)
    for name, model in (("classifier", Classifier()), ("inverse model", InverseModel(10))):
        listed = frame[frame["model"] == name]
        assert listed["parameters"].sum() == sum(parameter.numel() for parameter in model.parameters())
    assert (frame["layer"] == "ConvTranspose2d").sum() == 4
