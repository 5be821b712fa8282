"""The table of parameters: complete, with values that may be given, and costs that follow the keys."""

import pytest

from mi_core.study.catalogue import another_value, catalogue, minutes_again
from mi_core.study.parameters import PROFILES, Protocol, Study, make_study

NAMES = [*Study.model_fields, *Protocol.model_fields]


def test_every_parameter_is_listed_with_its_range_default_and_meaning() -> None:
    frame = catalogue().set_index("name")
    assert frame.index.tolist() == NAMES
    assert (frame["meaning"].str.len() > 5).all()
    assert frame.loc["steps", "kind"] == "integer from 1 to 100000"
    assert frame.loc["steps", "default"] == 400
    assert frame.loc["update", "kind"] == "adam | gradient_descent"
    assert frame.loc["learning_rate", "kind"] == "number above 0 to 10"
    assert frame.loc["round_training", "kind"] == "boolean"


@pytest.mark.parametrize("profile", ["quick", "paper"])
@pytest.mark.parametrize("name", NAMES)
def test_the_value_to_try_is_another_one_and_allowed(name: str, profile: str) -> None:
    value = another_value(name, profile)
    assert (value is None) == (name == "dataset")
    if value is not None:
        assert make_study(profile, {name: value}) != PROFILES[profile]


def test_a_cost_is_that_of_the_steps_which_a_change_moves() -> None:
    changes = {"seed": 1, "inverse_epochs": 40, "head_epochs": 4, "device": "cpu", "search_plan": "text"}
    minutes = minutes_again(changes, "quick")
    assert minutes["device"] == minutes["search_plan"] == 0
    assert 0 < minutes["head_epochs"] < minutes["inverse_epochs"] < minutes["seed"]
