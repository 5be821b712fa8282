"""The ladder of threat models: what reaches each rung, what is chosen on held-out shadows, and its parameters."""

from collections.abc import Iterable, Iterator
from dataclasses import FrozenInstanceError, asdict, replace
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from mi_core.attacks.alignment import METHODS, align_outputs
from mi_core.data import Split, draw_splits
from mi_core.study import stages
from mi_core.study.answers import DEFENCES, LOGITS
from mi_core.study.defences import answer_rungs, defence_rungs
from mi_core.study.experiments import EXPERIMENTS, Replicate
from mi_core.study.graph import Context, Runner, Task, all_tasks
from mi_core.study.ladder import CANDIDATES, OWN_OUTPUTS, Access, Ladder, Rung, pool_sizes
from mi_core.study.parameters import PROFILES, Study, make_study
from mi_core.study.recipes import RECIPES, Recipe, best_recipe, recipe_of
from mi_core.study.results import as_csv, summarise
from mi_core.study.stages import ladder as ladder_stages
from mi_core.study.store import Pieces, Store

SMOKE = Replicate(PROFILES["smoke"], 0)
QUICK = Replicate(PROFILES["quick"], 0)


def every_rung(replicate: Replicate) -> list[Rung]:
    ladder = Ladder(replicate)
    return [*ladder.rungs(), *answer_rungs(replicate), *defence_rungs(replicate), *ladder.recipe_rungs()]


RUNGS = {rung.row: rung for rung in every_rung(QUICK)}


def taken_from_the_target(rung: Rung) -> Iterator[tuple[str, int]]:
    """What a rung's reconstructions are computed from: each use of the target as (kind, how many images)."""
    target = QUICK.classifier("target").key
    for task in all_tasks([rung.images]):
        for name, used in task.inputs.items():
            if used.key == target and task.stage == "outputs":
                yield f"answers for {task.parameters['split']}", task.parameters["images"]
            elif used.key == target:
                yield f"weights as {name} of {task.stage}", 0


@pytest.mark.parametrize("row", RUNGS)
def test_a_rung_takes_from_the_target_what_its_access_says_no_more_and_no_less(row: str) -> None:
    access = RUNGS[row].access
    expected = set() if row == OWN_OUTPUTS else {("answers for test", QUICK.study.ladder_test)}
    if access.queries:
        expected.add(("answers for shadow_train", access.queries))
    if access.weights:
        expected.add(("weights as shadow of reconstructions", 0))
    if "other outputs" in row:
        expected.add(("answers for target_validation", access.outputs))
    assert set(taken_from_the_target(RUNGS[row])) == expected


def access_of(rung: Rung, replicate: Replicate) -> Access:
    """The access that a rung's tasks show, whatever it declares."""
    target, everything = replicate.classifier("target").key, all_tasks([rung.images])
    shadows = {task.key for task in everything if task.stage == "classifier"} - {target}
    attacking = {task.key for task in without_choices(rung.images)} & shadows
    uses = [task for task in everything if any(used.key == target for used in task.inputs.values())]
    queries = [task.parameters["images"] for task in uses if task.parameters["split"] == "shadow_train"]
    own = [{}, *map(own_images, everything)]
    return Access(
        sees=what_is_seen(rung.images, target),
        outputs=max((aligned_with(task, target) for task in everything), default=0),
        queries=max(queries, default=0),
        weights=any(task.stage != "outputs" for task in uses),
        shadows=len(attacking),
        held_out=len(shadows - attacking),
        images=max(counts.get("shadow_train", 0) for counts in own),
        validation_images=max(counts.get("shadow_validation", 0) for counts in own),
    )


def without_choices(task: Task) -> Iterator[Task]:
    """A task and what it is computed from, but for what only chooses."""
    yield task
    for name, used in task.inputs.items():
        if name != "choice":
            yield from without_choices(used)


def what_is_seen(images: Task, target: str) -> str:
    """Of the attacked image."""
    if images.stage == "baseline":
        assert images.parameters["baseline"] in ("class average", "SSIM-optimal class image")
        return "predicted label"
    inverted = images.inputs["O" if "O" in images.inputs else "outputs"]
    return "output vector" if answering(inverted).inputs["classifier"].key == target else "shadow's output vector"


def answering(outputs: Task) -> Task:
    """The stage ``outputs`` below outputs that are aligned, defended or written."""
    return outputs if outputs.stage == "outputs" else answering(outputs.inputs["outputs"])


def aligned_with(task: Task, target: str) -> int:
    """How many outputs of the target an alignment looks at together; two methods take each by itself."""
    if task.stage != "aligned" or task.parameters.get("method") in ("none", "standardised"):
        return 0
    seen = answering(task.inputs.get("seen", task.inputs["outputs"]))
    count = task.parameters.get("seen_outputs") or seen.parameters["images"]
    return count if seen.inputs["classifier"].key == target else 0


def own_images(task: Task) -> dict[str, int]:
    """How many of the attacker's images a task loads, by split."""
    sizes = task.parameters
    if "auxiliary" not in task.inputs:
        return {}
    if task.stage == "classifier":
        return {"shadow_train": sizes["images"], "shadow_validation": sizes["validation_images"]}
    if task.stage == "outputs":
        return {sizes["split"]: sizes["images"]}
    if task.stage in ("pooled_inverse_model", "auxiliary_scores"):
        return {}  # those for which it has outputs
    assert task.stage in ("baseline", "optimal_images", "reconstructions")  # these load all of D_S^T
    return {"shadow_train": 5 * signature(draw_splits).parameters["training_per_class"].default}


@pytest.mark.parametrize("profile", PROFILES)
def test_every_rung_declares_the_access_that_its_tasks_show(profile: str) -> None:
    replicate = Replicate(PROFILES[profile], 0)
    for rung in every_rung(replicate):
        assert rung.access == access_of(rung, replicate), rung.row


@pytest.mark.parametrize("row", RUNGS)
def test_no_rung_sees_images_or_labels_of_the_target(row: str) -> None:
    """Only the classifier's own training and its answers see images that are not the attacker's."""
    for task in all_tasks([RUNGS[row].images]):
        if "splits" in task.inputs:
            assert task.stage in ("classifier", "outputs", "auxiliary")
        if task.stage == "classifier" and "splits" in task.inputs:
            assert task.parameters["training"] == "target_train"
    without = {task.stage for task in all_tasks([RUNGS[row].images])}
    assert not without & {"scores", "features", "evaluation_model"}


def test_what_is_chosen_and_predicted_takes_nothing_from_the_target_at_all() -> None:
    for name in ("ladder_choice", "ladder_predictions", "ladder_models_choice"):
        tasks = all_tasks([EXPERIMENTS[name](SMOKE)])
        assert SMOKE.classifier("target").key not in {task.key for task in tasks}
        assert {task.stage for task in tasks if "splits" in task.inputs} == {"auxiliary"}


class Refusing(Exception):
    """Raised by a target that is asked for more than a rung is entitled to."""


def test_a_rung_is_computed_with_a_target_that_refuses_everything_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The target here is a stand-in that counts: it answers for D_F, and for nothing and nobody else."""
    asked: list[int] = []
    exact, train = stages.outputs, stages.classifier
    study = make_study("smoke", {"precision": "float32", "ladder_images": 32})
    target = Replicate(study, 0).classifier("target")

    def classifier(parameters: Any, inputs: Any, context: Context) -> Any:
        if parameters["training"] == "target_train":
            return {"model.secret": np.zeros(1)}
        return train(parameters, inputs, context)

    def outputs(parameters: Any, inputs: Any, context: Context) -> Any:
        if "model.secret" not in inputs["classifier"]:
            return exact(parameters, inputs, context)
        if parameters["split"] != "test":
            raise Refusing(parameters["split"])
        asked.append(parameters["images"])
        source = torch.Generator().manual_seed(4)
        return {"outputs": torch.randn(parameters["images"], 10, generator=source).numpy() * 4}

    monkeypatch.setattr(stages, "classifier", classifier)
    monkeypatch.setattr(stages, "outputs", outputs)
    runner = Runner(Store(tmp_path), device="cpu", show_progress=False)
    rungs = {rung.row: rung for rung in Ladder(Replicate(study, 0)).rungs()}
    images = runner.value(rungs["2 shadows, aligned"].images)["images"]
    assert images.shape == (study.ladder_test, 1, 32, 32)
    assert asked == [study.ladder_test]  # once, for what is attacked
    assert runner.value(target)["model.secret"] == 0
    with pytest.raises(Refusing, match="shadow_train"):
        runner.value(rungs["queries 10"].images)


def test_shadows_of_the_pool_are_the_attacker_s_and_differ_in_their_initial_weights_only() -> None:
    shadows = [SMOKE.classifier(role) for role in ("shadow", "shadow 1", "shadow 2")]
    assert len({shadow.key for shadow in shadows}) == 3
    for shadow in shadows:
        assert set(shadow.inputs) == {"auxiliary"}
        assert shadow.parameters["training"] == "shadow_train"
    rest = [{k: v for k, v in shadow.parameters.items() if k != "name"} for shadow in shadows]
    assert rest[0] == rest[1] == rest[2]


def test_a_held_out_shadow_is_in_no_pool_that_it_judges() -> None:
    task = EXPERIMENTS["ladder_predictions"](Replicate(PROFILES["quick"], 0))
    for name, label in task.parameters["rows"].items():
        judged = Replicate(PROFILES["quick"], 0).classifier(f"shadow {label['held_out']}").key
        reconstructed = task.inputs[name].inputs["images"]
        trained = reconstructed.inputs["inverse_model"]
        parts = [part for key, part in trained.inputs.items() if key.startswith("part ")]
        answered = {each.inputs["classifier"].key for each in outputs_below(parts)}
        assert judged not in answered, name
        assert judged in {each.inputs["classifier"].key for each in outputs_below([reconstructed.inputs["O"]])}


def outputs_below(parts: Iterable[Task]) -> list[Task]:
    """The answers that aligned or plain outputs are made of."""
    return [part.inputs["outputs"] if part.stage == "aligned" else part for part in parts]


@pytest.mark.parametrize(
    ("largest", "sizes"), [(1, [1]), (2, [1, 2]), (4, [1, 2, 4]), (6, [1, 2, 4, 6]), (16, [1, 2, 4, 8, 16])]
)
def test_pools_double_up_to_the_largest(largest: int, sizes: list[int]) -> None:
    assert pool_sizes(largest) == sizes


def test_access_is_a_frozen_record_that_grows_along_the_ladder() -> None:
    access = [RUNGS[row].access for row in ("label alone", "one shadow", "one shadow, aligned", "4 shadows, aligned")]
    access += [RUNGS[row].access for row in ("queries 10", "queries 1000", "queries 2000, no shadow", "white box, X~")]
    assert [each.sees for each in access] == ["predicted label"] + ["output vector"] * 7
    assert [each.shadows for each in access] == [0, 1, 1, 4, 4, 4, 0, 0]
    assert [each.held_out for each in access] == [0, 0, 4, 1, 1, 1, 0, 0]
    assert [each.queries for each in access] == [0, 0, 0, 0, 10, 1000, 2000, 0]
    assert [each.weights for each in access] == [False] * 7 + [True]
    with pytest.raises(FrozenInstanceError):
        access[0].queries = 3  # type: ignore[misc]
    assert replace(access[0], queries=1) != access[0] and Access() == Access()


CHOSEN = {"aligned", "pooled_inverse_model", "inverse_reconstructions", "auxiliary_scores", "held_out_table"}
SCORES = {"scores", "score_table"}


@pytest.mark.parametrize(
    ("name", "value", "moved"),
    [
        ("ladder_images", 96, {"outputs"} | CHOSEN | SCORES),
        ("ladder_test", 64, {"outputs", "reconstructions", "baseline"} | CHOSEN | SCORES),
        ("ladder_epochs", 2, CHOSEN | SCORES),
        ("ladder_shadows", 3, {"classifier", "outputs"} | CHOSEN | SCORES),
        ("steps", 5, {"reconstructions"} | SCORES),
        ("inverse_hidden", "tanh_dropout", set()),
    ],
)
def test_each_parameter_moves_exactly_the_stages_that_read_it(name: str, value: Any, moved: set[str]) -> None:
    before, after = (keys(make_study("smoke", changes)) for changes in ({}, {name: value}))
    assert {stage for stage in before if before[stage] != after[stage]} == moved


def keys(study: Study) -> dict[str, set[str]]:
    """Keys of every task of the ladder, by stage."""
    found: dict[str, set[str]] = {}
    for task in all_tasks([EXPERIMENTS["ladder"](Replicate(study, 0))]):
        found.setdefault(task.stage, set()).add(task.key)
    return found


@pytest.mark.parametrize("changes", [{"protocol": "text"}, {"steps": 9}, {"attack_test": 64}, {"inverse_epochs": 9}])
def test_the_rungs_without_gradients_do_not_depend_on_the_other_tables(changes: dict[str, Any]) -> None:
    pair = [Ladder(Replicate(make_study("smoke", each), 0)) for each in ({}, changes)]
    first, second = ({rung.row: rung.images.key for rung in ladder.rungs()} for ladder in pair)
    assert {row for row in first if first[row] != second[row]} <= {"white box, X~"}


# --- stages --------------------------------------------------------------------------------------------------------


def context(folder: Path) -> Context:
    return Context(torch.device("cpu"), torch.float32, Pieces(folder / "pieces"), lambda fraction: None)


@pytest.fixture
def outputs() -> dict[str, dict[str, np.ndarray]]:
    source = np.random.default_rng(2)
    return {name: {"outputs": source.normal(size=(40, 10)) * 5} for name in ("outputs", "reference", "seen")}


def test_the_best_mean_over_held_out_shadows_is_used_and_standardising_is_not_for_pools(
    outputs: dict[str, Any], tmp_path: Path
) -> None:
    scores = [("none", 10.0, 0.3), ("none", 10.0, 0.3), ("diagonal", 10.0, 0.5), ("diagonal", 10.0, 0.2)]
    scores += [("covariance", 3.0, 0.35), ("covariance", 3.0, 0.45), ("standardised", 10.0, 0.9)]
    choice = pd.DataFrame(scores, columns=["method", "prior", "ssim"])
    inputs = {**outputs, "choice": choice}
    del inputs["seen"]
    found = ladder_stages.aligned({}, inputs, context(tmp_path))["outputs"]
    given, reference = (torch.from_numpy(outputs[name]["outputs"]) for name in ("outputs", "reference"))
    assert np.array_equal(found, align_outputs(given, reference, method="covariance", prior=3.0).numpy())


def test_the_first_of_the_seen_outputs_fit_the_map(outputs: dict[str, Any], tmp_path: Path) -> None:
    parameters = {"method": "covariance", "prior": 10.0, "seen_outputs": 7}
    found = ladder_stages.aligned(parameters, outputs, context(tmp_path))["outputs"]
    changed = {"outputs": np.concatenate([outputs["seen"]["outputs"][:7], outputs["seen"]["outputs"][7:] * 9])}
    again = ladder_stages.aligned(parameters, {**outputs, "seen": changed}, context(tmp_path))["outputs"]
    assert np.array_equal(found, again)
    everything = ladder_stages.aligned({**parameters, "seen_outputs": None}, outputs, context(tmp_path))["outputs"]
    assert not np.allclose(found, everything)


def test_a_pool_trains_on_every_answer_with_its_own_image(
    auxiliary: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {}

    def fit_inverse_model(inputs: torch.Tensor, images: torch.Tensor, **named: Any) -> Any:
        given.update(inputs=inputs, images=images, **named)
        return torch.nn.Linear(1, 1), type("History", (), {"training": [0.5]})

    monkeypatch.setattr(ladder_stages, "fit_inverse_model", fit_inverse_model)
    stored = {
        "shadow_train.images": (auxiliary.images * 255).round().to(torch.uint8).numpy(),
        "shadow_train.labels": auxiliary.labels.numpy(),
        "shadow_train.indices": auxiliary.indices.numpy(),
    }
    parts = {f"part {n}": {"outputs": np.full((count, 10), n, dtype=np.float32)} for n, count in enumerate((64, 64, 5))}
    parameters = {"stream": [0], "epochs": 3, "hidden": "relu", "precision": "float32"}
    ladder_stages.pooled_inverse_model(parameters, {"auxiliary": stored, **parts}, context(tmp_path))
    assert given["inputs"][:, 0].tolist() == [0] * 64 + [1] * 64 + [2] * 5
    expected = torch.cat([auxiliary.images, auxiliary.images, auxiliary.images[:5]])
    assert torch.allclose(given["images"], expected, atol=1 / 255)
    assert given["epochs"] == 3 and given["hidden"] == "relu"


def test_every_alignment_but_the_learned_one_is_a_candidate_and_all_are_compared() -> None:
    assert {method for method, _ in CANDIDATES} == set(METHODS) - {"learned"}
    compared = {row.removeprefix("alignment: ") for row in RUNGS} | {"none", "standardised"}
    assert compared >= set(METHODS)


def test_the_recipe_with_the_best_mean_over_held_out_shadows_is_taken() -> None:
    lines = [("as in the ladder", 0.5), ("as in the ladder", 0.5), ("MSE", 0.9), ("MSE", 0.0), ("half as wide", 0.51)]
    frame = pd.DataFrame(lines, columns=["row", "ssim"])
    assert best_recipe(frame) == "half as wide"
    assert recipe_of({"hidden": "tanh"}, frame) == Recipe(width=0.5)
    assert recipe_of({"epochs": 3, **Recipe(width=0.5, schedule="cosine").parameters}, None) == Recipe(
        width=0.5, schedule="cosine"
    )


def test_each_recipe_changes_one_choice_but_the_thesis_s_own_and_the_last() -> None:
    own = asdict(Recipe())
    changes = {
        name: sum(value != own[choice] for choice, value in asdict(recipe).items()) for name, recipe in RECIPES.items()
    }
    assert list(changes.values())[:-1] == [0] + [1] * (len(changes) - 2)
    assert list(changes.values())[-1] == 3


def test_an_inverse_model_that_is_chosen_is_built_and_read_as_it_was_chosen(auxiliary: Split, tmp_path: Path) -> None:
    choice = pd.DataFrame({"row": ["as in the ladder", "twice as wide"], "ssim": [0.1, 0.2]})
    stored = {
        "shadow_train.images": (auxiliary.images * 255).round().to(torch.uint8).numpy(),
        "shadow_train.labels": auxiliary.labels.numpy(),
        "shadow_train.indices": auxiliary.indices.numpy(),
    }
    given = {"outputs": np.random.default_rng(1).normal(size=(8, 10)).astype(np.float32)}
    inputs = {"auxiliary": stored, "part 0": given, "choice": choice}
    state = ladder_stages.pooled_inverse_model({"stream": [0], "epochs": 1}, inputs, context(tmp_path))
    assert state["model.layers.0.weight"].shape == (10, 1024, 4, 4)
    reading = {"inverse_model": state, "O": given, "choice": choice}
    images = stages.inverse_reconstructions({"combination": "O"}, reading, context(tmp_path))["images"]
    assert images.shape == (8, 1, 32, 32)


def test_the_ladder_is_printed_in_the_columns_of_the_other_tables() -> None:
    counts = {"others": 4, "label": 1, "judged": 1, "feature_distance": 1.0, "to_class_average": 0.5}
    for distance in ("l2", "ssim", "features"):
        counts |= {f"closer_{distance}": 1, f"tied_{distance}": 0, f"false_positives_{distance}": 0.5}
    counts |= {"shuffled_ssim": 0.1, "shuffled_mse": 0.1, "shuffled_auc": 0.5, "split": "test", "inverse_seed": 0}
    rows = [("baseline: class average", 0.3), ("one shadow", 0.25), ("one shadow, aligned", 0.5)]
    lines = [{"row": row, "ssim": ssim, "mse": 0.04, "image": 0, "replicate": 0, **counts} for row, ssim in rows]
    text = as_csv(summarise("ladder", pd.DataFrame(lines))).splitlines()
    assert text[0] == "table,row,split,metric,mean,std,n,published_mean,published_std"
    assert 'ladder,"one shadow, aligned",test,ssim,0.5,,1,,' in text
    assert "ladder,one shadow,test,gain,-0.05,,1,," in text
    assert "ladder,one shadow,test,auc,0.75,,1,," in text


# --- forms of answers ----------------------------------------------------------------------------------------------


def test_every_form_of_answer_reaches_target_and_shadows_alike() -> None:
    for answer in DEFENCES:
        ladder = Ladder(SMOKE, answer, largest=2)
        pair = [ladder.outputs("target", "test"), ladder.outputs("shadow 1", "shadow_train")]
        while pair[0].stage != "outputs":
            assert pair[0].stage == pair[1].stage and pair[0].parameters == pair[1].parameters
            pair = [task.inputs["outputs"] for task in pair]
        assert {task.parameters["form"] for task in pair} == {answer.form}
    rows = [answer.row for answer in DEFENCES]
    assert len(set(rows)) == len(rows)
    assert {"logits", "logits, 1 decimals", "logits, k=3", "probabilities, float16"} <= set(rows)


def test_the_first_form_of_answer_is_that_of_the_ladder() -> None:
    assert Ladder(SMOKE, LOGITS).attacked().key == Ladder(SMOKE).attacked().key


def log_probabilities(folder: Path, probabilities: np.ndarray, **parameters: Any) -> np.ndarray:
    named = {"number": "float32", "decimals": None, **parameters}
    return ladder_stages.log_probabilities(named, {"outputs": {"outputs": probabilities}}, context(folder))["outputs"]


def test_logarithms_undo_the_softmax_up_to_a_constant_and_zeros_are_half_of_what_could_be_written(
    tmp_path: Path,
) -> None:
    logits = torch.tensor([[4.0, -3.0, 1.0], [0.0, -20.0, 2.0]])
    exact = logits.softmax(1).numpy()
    assert np.allclose(log_probabilities(tmp_path, exact), logits - logits.mean(1, keepdim=True), atol=1e-4)
    half = log_probabilities(tmp_path, exact, number="float16")
    assert np.allclose(half[0], (logits - logits.mean(1, keepdim=True))[0], atol=1e-2)
    assert half[1, 2] - half[1, 1] == pytest.approx(float(np.log(exact[1, 2] / 2**-25)), abs=1e-2)  # 2e-9 became 0
    printed = log_probabilities(tmp_path, exact.round(1), decimals=1)
    assert printed[1, 2] - printed[1, 1] == pytest.approx(float(np.log(exact[1, 2].round(1) / 0.05)), abs=1e-5)


def test_utility_is_that_of_what_is_shown(tmp_path: Path, auxiliary: Split) -> None:
    labels = auxiliary.labels[:4]
    right = torch.nn.functional.one_hot(labels, 10).float()
    wrong = torch.nn.functional.one_hot((labels + 1) % 10, 10).float()
    stored = {
        "test.images": (auxiliary.images * 255).round().to(torch.uint8).numpy(),
        "test.labels": auxiliary.labels.numpy(),
        "test.indices": auxiliary.indices.numpy(),
    }
    shown = {"p": torch.cat([right[:3], wrong[3:]]).numpy(), "z": torch.zeros(4, 10).numpy()}
    forms = {"p": ["probabilities", "float32"], "z": ["logits", "float32"]}
    inputs = {"splits": stored, **{name: {"outputs": outputs} for name, outputs in shown.items()}}
    frame = ladder_stages.utility({"forms": forms, "split": "test"}, inputs, context(tmp_path))
    found = frame.set_index(["row", "metric"])["value"]
    assert found["p", "accuracy"] == 0.75
    assert found["p", "calibration error"] == pytest.approx(0.25)  # always sure, right three times of four
    assert found["p", "distinct answers"] == len(set(shown["p"].argmax(1).tolist())) / 4
    assert found["z", "distinct answers"] == 0.25
    share = float((labels == 0).double().mean())
    assert found["z", "calibration error"] == pytest.approx(abs(0.1 - share))
