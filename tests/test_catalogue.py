"""The table of parameters: complete, with values that may be given, and costs that follow the keys."""

import ast

import pytest
from bs4 import BeautifulSoup
from conftest import ROOT

from mi_core.report.chapter_parameters import CHAPTER_PARAMETERS, parameter_box
from mi_core.study.catalogue import another_value, catalogue, minutes_again, minutes_from_nothing
from mi_core.study.experiments import replicates
from mi_core.study.graph import Task, all_tasks
from mi_core.study.manifest import publishable
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


def of_profile(profile: str, changes: dict[str, object], *experiments: str) -> list[Task]:
    """Every step of all replicates, the long way."""
    wanted = [publishable(each) for each in replicates(make_study(profile, changes))]
    return all_tasks(each[name] for each in wanted for name in experiments)


@pytest.mark.parametrize("experiments", [("table4", "outputs target test"), ("comparison",), ("class_counts",), ()])
def test_the_cost_of_experiments_is_that_of_all_their_steps(experiments: tuple[str, ...]) -> None:
    minutes = minutes_from_nothing(experiments)
    assert minutes.index.tolist() == [*PROFILES]
    for profile in ("quick", "standard", "paper"):
        code, text = (of_profile(profile, {"protocol": name}, *experiments) for name in ("code", "text"))
        known = {task.key for task in code}
        assert minutes.loc[profile, "all"] == pytest.approx(sum(task.work for task in code) / 60)
        new = sum(task.work for task in text if task.key not in known) / 60
        assert minutes.loc[profile, "text"] == pytest.approx(new)


def test_another_seed_asks_for_every_long_step_and_another_device_for_none() -> None:
    experiments = [*publishable(replicates(PROFILES["smoke"])[0])]
    steps = of_profile("smoke", {}, *experiments)
    known = {task.key for task in steps}
    shared = {task.key for task in of_profile("smoke", {"seed": 1}, *experiments)} & known
    assert sum(task.work for task in steps if task.key in shared) <= 0.1, "the list of layers, of no seed"
    assert {task.key for task in of_profile("smoke", {"device": "cpu"}, *experiments)} == known


def test_the_box_of_a_chapter_names_the_parameters_of_its_first_cell() -> None:
    box = BeautifulSoup(parameter_box(("table4",)), "html.parser")
    lines = {line.th.get_text(): [cell.get_text() for cell in line("td")] for line in box.select("tbody tr")}
    assert [cell.get_text() for cell in box.select("thead th")][3:] == [*PROFILES]
    assert lines["seed"][0] == catalogue().set_index("name").loc["seed", "kind"]
    assert lines["device"][2:] == ["nothing"] * 4
    assert lines["profile"][2].endswith(" s")
    assert lines["profile"][-1].endswith(" h")
    for script in sorted((ROOT / "notebooks").glob("*.py")):
        cell = script.read_text().split('# %% tags=["parameters"')[1].split("\n", 1)[1].split("# %%")[0]
        given = {node.targets[0].id: ast.literal_eval(node.value) for node in ast.parse(cell).body}
        assert {name: str(value) for name, value in given.items()} == {name: lines[name][1] for name in lines}, script
        assert tuple(given) == CHAPTER_PARAMETERS
