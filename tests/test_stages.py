"""Stages on a synthetic data set: resuming, protocol choices, scores."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from mi_core.attacks import gradient, inverse
from mi_core.data import CLASSES, Split, Splits
from mi_core.models import ACTIVATIONS, Classifier
from mi_core.study import experiments, stages
from mi_core.study.experiments import EXACT, Replicate
from mi_core.study.graph import Context
from mi_core.study.parameters import make_study
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
    monkeypatch.setattr(stages, "SAVE_SECONDS", 0.0)
    calls = 0

    def killed_in_the_second_batch(fraction: float) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise Interrupted

    with pytest.raises(Interrupted):
        stages.reconstructions(parameters, inputs, context(tmp_path, killed_in_the_second_batch))
    assert Pieces(tmp_path / "pieces").names() == ["from-000000"]
    monkeypatch.setitem(stages.IMAGES_AT_ONCE, "cpu", batch_after)
    steps: list[float] = []
    resumed = stages.reconstructions(parameters, inputs, context(tmp_path, steps.append))
    assert np.array_equal(resumed["images"], expected["images"])
    assert len(steps) == 1 + 2  # one for the piece that was kept, two steps for the second half


def test_a_killed_training_goes_on_and_ends_bit_for_bit_the_same(
    inputs: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = Replicate(make_study("smoke", {"inverse_epochs": 3}), 0).inverse_model("O", EXACT, 0)
    own = {"splits": inputs["splits"], "O": inputs["outputs"], "validation O": inputs["outputs"]}
    expected = stages.inverse_model(task.parameters, own, context(tmp_path / "undisturbed"))
    monkeypatch.setattr(stages, "SAVE_SECONDS", 0.0)
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


def test_scores_compare_with_the_true_images_of_the_split(inputs: dict[str, Any], tmp_path: Path) -> None:
    truth = inputs["splits"]["test.images"][:40].astype(np.float32) / 255
    own = {
        "splits": inputs["splits"],
        "images": {"images": truth},
        "outputs": {"outputs": inputs["outputs"]["outputs"][:40]},
    }
    value = stages.scores({"split": "test"}, own, context(tmp_path))
    assert np.allclose(value["ssim"], 1)
    assert np.allclose(value["mse"], 0)
    assert np.array_equal(value["labels"], inputs["splits"]["test.labels"][:40])


def test_auto_precision_is_one_that_the_hardware_has() -> None:
    assert stages.choose_precision("auto", torch.device("cpu")) in (torch.float32, torch.bfloat16)
    assert stages.choose_precision("float32", torch.device("cpu")) == torch.float32
