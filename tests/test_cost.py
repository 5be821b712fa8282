"""The benchmark, what it counts, and the costs of tables."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from mi_core.errors import UserError
from mi_core.models import Classifier, InverseModel
from mi_core.report.figures import growth_lines
from mi_core.study import benchmark, cost
from mi_core.study.experiments import EXPERIMENTS, Replicate
from mi_core.study.graph import all_tasks
from mi_core.study.locations import data_folder
from mi_core.study.manifest import Entry
from mi_core.study.parameters import PROFILES, make_study

OPERATIONS = {
    "training a classifier": 1e9,
    "gradient reconstruction": 6e8,
    "training M_I(O)": 4e8,
    "training M_I(X~)": 4e8 + 1014,
}
GROWTH = pd.DataFrame({"what": ["steps"] * 3 + ["side"] * 3, "size": [1, 2, 4] * 2, "seconds": [3, 6, 12, 1, 4, 16]})


@pytest.mark.run
def test_a_benchmark_times_both_sides_and_is_read_as_it_was_kept(tmp_path: Path):
    units = {name: benchmark.UNITS[name] for name in ("training M_I(O)", "SSIM and MSE of reconstructions")}
    speed = benchmark.measure_speed(data_folder(), rounds=1, units=units)
    growth = benchmark.measure_growth(rounds=1, growths={"steps": (1, 2, 4)})
    assert list(speed["work"]) == list(units)
    assert (speed[["reference", "product", "ratio", "peak_float32", "peak_product"]] > 0).all(axis=None)
    expected = speed["product"] * speed["operations"] / speed["peak_product"]
    pd.testing.assert_series_equal(speed["product_share"], expected, check_names=False)
    assert list(growth["size"]) == [1, 2, 4]
    benchmark.write(speed, growth, tmp_path)
    machine, read_speed, read_growth = cost.read_benchmark(tmp_path)
    assert machine["threads"] == torch.get_num_threads()
    pd.testing.assert_frame_equal(read_speed, speed, rtol=1e-6)
    pd.testing.assert_frame_equal(read_growth, growth, rtol=1e-6)


def test_operations_are_those_of_the_layers():
    """Counted by hand: multiplications and additions of convolutions and linear layers."""
    operations = benchmark.count_operations(torch.rand(32, 1, 32, 32))
    convolutions = 2 * 9 * (128 * 1024 + 128 * 256 * 256 + 256 * 512 * 64)
    forward = convolutions + 2 * (8192 * 50 + 50 * 10)
    assert operations["gradient reconstruction"] == 2 * forward
    assert operations["its convolutions alone"] == 2 * convolutions
    assert operations["training a classifier"] == 3 * forward - 2 * 9 * 128 * 1024
    for name, width in (("training M_I(O)", 10), ("training M_I(X~)", 1024)):
        first = 2 * width * 512 * 16
        rest = 2 * 16 * (512 * 256 * 16 + 256 * 128 * 64 + 128 * 256)
        assert operations[name] == 2 * first + 3 * rest


def test_the_models_have_the_sizes_that_are_counted_with():
    assert InverseModel(cost.INPUT_SIZES["A_L"]).layers[0].in_channels == Classifier().last.in_features


def test_steps_of_the_study_are_counted_by_their_sizes():
    replicate = Replicate(make_study("smoke"), 0)
    count = {task.stage: [] for task in all_tasks([EXPERIMENTS["table4"](replicate)])}
    for task in all_tasks([EXPERIMENTS["table4"](replicate)]):
        count[task.stage].append(cost.count_operations(task, OPERATIONS))
    study = replicate.study
    assert count["classifier"] == [study.classifier_images * study.classifier_epochs * 1e9] * 2
    images = {study.attack_training, study.attack_validation, study.attack_test}
    assert {each / study.steps / 6e8 for each in count["reconstructions"]} == images
    widths = [10, 50, 1024, 60, 1034, 1074, 1084]
    expected = [study.attack_training * study.inverse_epochs * (4e8 + width - 10) for width in widths]
    assert set(expected) <= set(count["inverse_model"])
    assert set(count["scores"]) == {0.0}


def test_a_profile_counts_shared_steps_once():
    alone = sum(
        cost.count_operations(task, OPERATIONS)
        for number in range(1, 7)
        for task in all_tasks([EXPERIMENTS[f"table{number}"](Replicate(PROFILES["smoke"], 0))])
    )
    assert 0 < cost.profile_operations("smoke", OPERATIONS) < alone


def test_costs_of_tables_are_those_of_the_least_disturbed_replicate():
    def entry(experiment: str, replicate: int, seconds: float, memory: int) -> Entry:
        provenance = {"peak_memory_mib": memory, "hardware": ["a machine"]}
        identity = ("paper", experiment, replicate, "score_table", 2, "key", "file")
        return Entry(*identity, seconds, provenance)

    entries = [entry("table4", 0, 10, 700), entry("table4", 1, 20, 900), entry("gallery", 0, 1, 1)]
    found = cost.table_costs(entries, OPERATIONS)
    assert found[["table", "replicates", "seconds", "peak_memory_mib"]].to_numpy().tolist() == [["table4", 2, 10, 900]]
    assert found["operations"][0] > 1e15
    assert cost.table_costs([], OPERATIONS).empty


def test_exponents_are_slopes_of_power_laws():
    assert cost.exponents(GROWTH) == pytest.approx({"steps": 1, "side": 2})


def test_growth_is_drawn_with_its_law():
    figure = growth_lines(GROWTH, cost.exponents(GROWTH))
    assert [axes.get_title() for axes in figure.axes] == ["exponent 1.00", "exponent 2.00"]
    law, points = figure.axes[1].lines
    np.testing.assert_allclose(law.get_ydata(), points.get_ydata())
    with pytest.raises(ValueError, match="`growth` must be among side; got 'steps'"):
        growth_lines(GROWTH, {"side": 2})


@pytest.mark.parametrize("content", ["", "{}", '{"machine": {}, "speed": [], "growth": 3}', "[]"])
def test_a_damaged_benchmark_is_one_sentence(tmp_path: Path, content: str):
    (tmp_path / cost.BENCHMARK).write_text(content)
    with pytest.raises(UserError, match=r"benchmark\.json is missing or damaged: .*bench --publish"):
        cost.read_benchmark(tmp_path)


def test_the_published_benchmark_is_of_this_code():
    content = json.loads((Path(__file__).parents[1] / "results" / cost.BENCHMARK).read_text())
    assert [line["work"] for line in content["speed"]] == list(benchmark.UNITS)
    assert [line["what"] for line in content["growth"][::3]] == list(benchmark.GROWTHS)
    assert not content["machine"]["commit"].endswith("+changes")
