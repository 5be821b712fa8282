"""Parameters: what is refused, with which sentence, and which parameter moves which stages' keys."""

from typing import Any

import pytest

from mi_core.errors import UserError
from mi_core.study.comparison import CHANGES, comparison_rows
from mi_core.study.experiments import EXPERIMENTS, ON_REQUEST, Replicate
from mi_core.study.graph import all_tasks
from mi_core.study.manifest import publishable
from mi_core.study.parameters import CODE, PROFILES, PROTOCOLS, TEXT, Protocol, Study, make_study


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"sede": 3}, "`sede` is not a parameter; did you mean `seed`?"),
        ({"seed": "abc"}, "`seed`: input should be a valid integer"),
        ({"seed": True}, "`seed`: input should be a valid integer"),
        ({"seed": -1}, "`seed`: input should be greater than or equal to 0"),
        ({"steps": 0}, "`steps`: input should be greater than or equal to 1"),
        ({"attack_test": 2000}, "`attack_test`: input should be less than or equal to 1340"),
        ({"dataset": "imagenet"}, "`dataset`: input should be 'mnist'"),
        ({"update": "newton"}, "`update`: input should be 'adam' or 'gradient_descent'"),
        ({"learning_rate": float("nan")}, "`learning_rate`"),
        ({"protocol": "txt"}, "`protocol` must be 'code' or 'text'"),
    ],
)
def test_bad_parameters_give_one_sentence(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match="^`") as caught:
        make_study("smoke", changes)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_profile_suggests_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'quick'"):
        make_study("quik")


def test_protocol_is_changed_one_choice_at_a_time() -> None:
    study = make_study("smoke", {"protocol": "text", "data_term": "output_mse"})
    assert study.protocol == PROTOCOLS["text"].model_copy(update={"data_term": "output_mse"})


def keys(study: Study) -> dict[str, set[str]]:
    """Keys of every task of replicate 0, by stage, but for those on request, which have a protocol of their own."""
    found: dict[str, set[str]] = {}
    wanted = publishable(Replicate(study, 0))
    for task in all_tasks(task for name, task in wanted.items() if name not in ON_REQUEST):
        found.setdefault(task.stage, set()).add(task.key)
    return found


# Stages that see nothing of the classifiers or the attack.
DATA = {"splits", "auxiliary", "class_counts", "starts", "evaluation_model", "features", "optimal_images"}
SCORES = {"scores", "score_table", "gallery"}
JUDGED = {"evaluation_model", "features", "scores", "score_table"}
INVERSE = {"inverse_model", "inverse_reconstructions", "curves"} | SCORES
GRADIENT = {"reconstructions"} | INVERSE
SEARCH = {"search_trial", "search"}
ACTIVATIONS = {"activations"} | INVERSE
CLASSIFIERS = {"classifier", "classifier_scores", "confusion_counts", "curves", "outputs", "defended", "agreement"}
ATTACK = GRADIENT | ACTIVATIONS | {"defended", "baseline"}
EVERYTHING = DATA | CLASSIFIERS | SEARCH | ATTACK

MOVED = {
    "seed": (1, EVERYTHING),
    "replicates": (2, set()),
    "inverse_seeds": (2, {"inverse_model", "inverse_reconstructions", "scores", "score_table"}),
    "further_inverse_seeds": (1, set()),
    "classifier_images": (224, EVERYTHING - DATA),
    "classifier_epochs": (2, EVERYTHING - DATA),
    "head_images": (96, {"classifier", "classifier_scores"}),
    "head_epochs": (2, {"classifier", "classifier_scores"}),
    "validation_images": (64, EVERYTHING - DATA),
    "attack_training": (96, {"outputs", "defended"} | ATTACK),
    "attack_validation": (64, {"outputs"} | ATTACK),
    "attack_test": (64, {"outputs", "defended", "agreement"} | ATTACK - {"inverse_model", "curves"}),
    "steps": (4, GRADIENT | SEARCH),
    "inverse_epochs": (2, INVERSE),
    "evaluation_images": (64, JUDGED),
    "evaluation_epochs": (2, JUDGED),
    "search_coarse": (3, SEARCH),
    "search_fine": (2, SEARCH),
    "search_images": (64, {"outputs"} | SEARCH),
    "ladder_images": (96, set()),  # the ladder is on request; see test_ladder.py
    "ladder_test": (64, set()),
    "ladder_epochs": (2, set()),
    "ladder_shadows": (3, set()),
    "precision": ("float32", EVERYTHING - DATA),
    "device": ("cpu", set()),
    "data_term": ("cross_entropy", GRADIENT | SEARCH),
    "update": ("gradient_descent", GRADIENT | SEARCH),
    "learning_rate": (0.1, GRADIENT | SEARCH),
    "clip_norm": (0.0, GRADIENT | SEARCH),
    "regulariser_scope": ("image", GRADIENT | SEARCH),
    "regularisers": ("own_search", GRADIENT),
    "search_outputs": ("shadow", {"outputs"} | SEARCH),
    "search_plan": ("text", set()),  # the caps of the smoke profile are below both plans
    "activation_weights": ("shadow", {"inverse_reconstructions", "activations", "scores", "score_table", "gallery"}),
    "activation_update": ("gradient_descent", ACTIVATIONS),
    "inverse_hidden": ("relu", INVERSE | {"architecture"}),
    "round_training": (True, {"defended", *GRADIENT} - {"curves"}),
    "truncation_fill": ("lowest_remaining", {"defended", *GRADIENT} - {"curves"}),
    "outputs": ("probabilities", {"outputs", "defended", "agreement"} | SEARCH | ATTACK),
}


def test_every_parameter_is_in_the_list_of_those_that_move_keys() -> None:
    single = {"dataset", "protocol"}  # the one has a single value, the other is the group of choices
    assert set(MOVED) | single == {*Study.model_fields, *Protocol.model_fields}


@pytest.mark.parametrize("name", MOVED)
def test_each_parameter_moves_exactly_the_stages_that_read_it(name: str) -> None:
    value, expected = MOVED[name]
    before, after = keys(PROFILES["smoke"]), keys(make_study("smoke", {name: value}))
    assert {stage for stage in before if before[stage] != after[stage]} == expected


def test_the_comparison_starts_from_the_code_whatever_the_protocol_is() -> None:
    code, text = (make_study("smoke", {"protocol": protocol}) for protocol in PROTOCOLS)
    assert EXPERIMENTS["comparison"](Replicate(code, 0)).key == EXPERIMENTS["comparison"](Replicate(text, 0)).key


def test_every_choice_on_which_text_and_code_differ_is_compared() -> None:
    compared = {name for change in CHANGES for name in change.choices}
    differing = {name for name in Protocol.model_fields if getattr(CODE, name) != getattr(TEXT, name)}
    assert differing - compared == {"search_plan"}  # matters at the thesis's sizes only, and to the search alone
    assert {"learning_rate", "regularisers", "truncation_fill", "outputs"} <= compared


def test_changed_lines_share_everything_that_their_choice_does_not_touch() -> None:
    rows = {(change, row): task for change, row, task in comparison_rows(Replicate(PROFILES["smoke"], 0))}
    before, after = rows["", "M_I(A_L)"], rows["activation_weights=shadow", "M_I(A_L)"]
    assert before.inputs["inverse_model"].key == after.inputs["inverse_model"].key
    assert before.inputs["A_L"].key != after.inputs["A_L"].key
    named = [(change.name, row) for change in CHANGES for row in change.rows]
    assert list(rows) == named
    assert all((change.reference, row) in rows for change in CHANGES if change.name for row in change.rows)
    assert all(rows[change.name, row].key != rows[change.reference, row].key or change.protocol == "text"
               for change in CHANGES if change.name for row in change.rows)  # fmt: skip


def test_profile_caps_hide_no_search_plan_at_full_scale() -> None:
    code, text = (make_study("paper", {"search_plan": plan}) for plan in ("code", "text"))
    assert EXPERIMENTS["search"](Replicate(code, 0)).key != EXPERIMENTS["search"](Replicate(text, 0)).key


def test_replicates_share_nothing() -> None:
    study = PROFILES["paper"]
    first, second = (
        {task.key for task in all_tasks(publishable(Replicate(study, number)).values())} for number in (0, 1)
    )
    architecture = EXPERIMENTS["architecture"](Replicate(study, 0)).key
    assert first & second == {architecture}


def test_rows_that_are_one_experiment_are_one_task() -> None:
    replicate = Replicate(PROFILES["paper"], 0)
    four, five, six = (
        dict(rows(0)) for rows in (replicate.combination_rows, replicate.rounding_rows, replicate.truncation_rows)
    )
    for part in ("O", "X~"):
        assert four[f"M_I({part})"].key == five[f"M_I({part})/exact"].key == six[f"M_I({part})/k=10"].key
        exact, rounded = (five[f"M_I({part})/{name}"].inputs["inverse_model"].key for name in ("exact", "rounded"))
        assert exact == rounded  # under CODE the rounded row evaluates the very same trained model


def test_no_stage_of_an_attack_is_given_the_target_s_images() -> None:
    """Ground truth joins where a classifier answers, where scores and pictures are made, and for the one ceiling."""
    may_see = {
        "class_counts",
        "classifier",
        "outputs",
        "evaluation_model",
        "features",
        "scores",
        "gallery",
        "auxiliary",
        "utility",
    }
    for protocol in PROTOCOLS:
        study = make_study("smoke", {"protocol": protocol, "regularisers": "own_search"})
        for task in all_tasks(publishable(Replicate(study, 0)).values()):
            if "splits" in task.inputs and task.stage not in may_see:
                assert task.parameters.get("baseline") == "nearest auxiliary image", task.stage
            if task.stage == "classifier" and "splits" in task.inputs:
                assert task.parameters["training"] == "target_train"


def test_a_replicate_trains_14_inverse_models_and_12_classifiers() -> None:
    wanted = publishable(Replicate(PROFILES["quick"], 0))
    tasks = all_tasks(task for name, task in wanted.items() if name not in ON_REQUEST)
    trained = [task.stage for task in tasks]
    assert trained.count("inverse_model") == 14  # 7 combinations, 6 truncations, and the label alone
    assert trained.count("classifier") == 12
