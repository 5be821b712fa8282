"""Rows of the study side by side, and differences between lines with the interval that their number allows."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mi_core.study.comparison import CHANGES
from mi_core.study.overview import (
    SCORE_TABLES,
    SIMPLE_ATTACK,
    Highest,
    best_baselines,
    change_pairs,
    differences,
    gray_box_rows,
    highest_mean,
    kind_of,
    rows_on_test,
    summarise_measures,
    variance_table,
)
from mi_core.study.results import open_results


def lines(values: dict[str, list[list[float]]]) -> pd.DataFrame:
    """SSIM by line, replicate and image; one training each."""
    rows = [
        {"line": line, "row": line, "replicate": replicate, "inverse_seed": 0, "image": image, "ssim": ssim}
        for line, replicates in values.items()
        for replicate, images in enumerate(replicates)
        for image, ssim in enumerate(images)
    ]
    return pd.DataFrame(rows)


def test_kinds_are_told_by_the_first_word() -> None:
    names = ("baseline: class average", "ceiling: M_I(O)/own-outputs", "M_I(O)/k=1", "X~/class_average", SIMPLE_ATTACK)
    assert [kind_of(name) for name in names] == ["baseline", "ceiling", "attack", "attack", "attack"]


def test_what_reads_whole_outputs_is_an_attack_and_no_guess_from_the_label() -> None:
    rows = rows_on_test(open_results("published", together=SCORE_TABLES))
    kinds = rows.drop_duplicates("row").set_index("row")["kind"]
    assert kinds[SIMPLE_ATTACK] == "attack"
    assert not any("nearest outputs" in row for row in kinds.index[kinds == "baseline"])
    assert {"baseline: SSIM-optimal class image", "baseline: M_I(label)"} <= {*kinds.index[kinds == "baseline"]}


def test_the_highest_mean_is_told_with_the_replicates_that_agree() -> None:
    values = {"a": [0.9, 0.4, 0.5], "b": [0.5, 0.5, 0.4], "c": [0.1, 0.9, 0.9]}
    points = pd.DataFrame(
        [(row, number, auc) for row, each in values.items() for number, auc in enumerate(each)],
        columns=["row", "replicate", "auc"],
    )
    assert highest_mean(points, ["a", "b"], "auc") == Highest("a", "b", agreeing=2, count=3)
    assert highest_mean(points, ["b", "a", "c"], "auc") == Highest("c", "a", agreeing=2, count=3)
    fewer = points[(points["row"] != "b") | (points["replicate"] == 1)]  # a mean of one replicate is compared in that
    assert highest_mean(fewer, ["a", "b"], "auc") == Highest("a", "b", agreeing=0, count=1)
    with pytest.raises(ValueError, match="`rows` must name at least two rows of the points; got a"):
        highest_mean(points, ["a", "z"], "auc")


def test_several_replicates_give_a_t_interval_of_their_paired_means() -> None:
    frame = lines({"a": [[0.3, 0.5], [0.6, 0.6], [0.4, 0.6]], "b": [[0.1, 0.3], [0.5, 0.7], [0.1, 0.3]]})
    found = differences(frame, [("a", "b")], metrics=("ssim",)).iloc[0]
    expected = stats.t.interval(0.95, 2, loc=np.mean([0.2, 0, 0.3]), scale=stats.sem([0.2, 0, 0.3]))
    assert (found["low"], found["high"]) == pytest.approx(expected)
    assert (found["mean"], found["count"], found["agreeing"]) == (pytest.approx(0.5 / 3), 3, 2)


def test_one_replicate_gives_a_bootstrap_over_its_paired_images() -> None:
    noise = np.random.default_rng(0).normal(size=400)
    frame = lines({"a": [list(noise + 0.1)], "b": [list(noise)]})  # pairing takes all of the noise away
    found = differences(frame, [("a", "b"), ("b", "a")], metrics=("ssim",))
    assert found["low"].tolist() == pytest.approx([0.1, -0.1])
    assert found["high"].tolist() == pytest.approx([0.1, -0.1])
    frame = lines({"a": [list(noise)], "b": [[0.0] * 400]})
    wide = differences(frame, [("a", "b")], metrics=("ssim",)).iloc[0]
    assert wide["high"] - wide["low"] == pytest.approx(2 * 1.96 * noise.std() / 20, rel=0.15)


def test_trainings_are_averaged_before_images_are_compared() -> None:
    frame = lines({"a": [[0.2, 0.4]], "b": [[0.1, 0.1]]})
    again = frame[frame["line"] == "a"].assign(inverse_seed=1, ssim=[0.4, 0.6])
    found = differences(pd.concat([frame, again]), [("a", "b")], metrics=("ssim",)).iloc[0]
    assert found["mean"] == pytest.approx(0.3)


def test_an_unknown_line_is_named() -> None:
    with pytest.raises(ValueError, match="`pairs` must name lines of the frame; got 'c'"):
        differences(lines({"a": [[0.1, 0.2]]}), [("a", "c")], metrics=("ssim",))


def test_every_changed_line_is_compared_with_its_reference() -> None:
    pairs = change_pairs()
    assert len(pairs) == sum(len(change.rows) for change in CHANGES if change.name)
    assert ("update=gradient_descent | M_I(X~)", " | M_I(X~)") in pairs
    searched = "regularisers=own_search, search_outputs=shadow | M_I(X~)"
    assert dict(pairs)[searched] == "regularisers=own_search | M_I(X~)"


def test_of_a_row_with_the_targets_weights_the_twin_without_is_a_gray_box_attack() -> None:
    rows = ["M_I(O)", "M_I(A_L)", "M_I(A_L)/shadow-weights", "baseline: class average"]
    frame = pd.DataFrame({"row": rows}).assign(kind=[kind_of(row) for row in rows])
    assert gray_box_rows(frame) == ["M_I(O)", "M_I(A_L)/shadow-weights"]
    assert gray_box_rows(frame[frame["row"] != "M_I(A_L)/shadow-weights"]) == ["M_I(O)", "M_I(A_L)"]


def test_each_measure_has_a_best_baseline_of_its_own() -> None:
    columns = {"row": ["baseline: a", "baseline: b", "M_I(O)"], "kind": ["baseline", "baseline", "attack"]}
    points = pd.DataFrame({**columns, "ssim": [0.4, 0.3, 0.9], "mse": [0.06, 0.05, 0.01], "auc": [0.5, 0.6, 0.9]})
    assert best_baselines(points) == {"ssim": "baseline: a", "mse": "baseline: b", "auc": "baseline: b"}


def test_a_summary_of_measures_has_the_spread_of_each_row() -> None:
    summary = summarise_measures(lines({"a": [[0.1, 0.3], [0.4, 0.4]], "b": [[0.5, 0.5]]}), ["ssim"]).set_index("row")
    assert summary.loc["a", "mean"] == pytest.approx(0.3)
    assert summary.loc["a", "std"] == pytest.approx(np.std([0.2, 0.4], ddof=1))
    assert (summary.loc["b", "n"], np.isnan(summary.loc["b", "half_width"])) == (1, True)


def test_variance_of_one_training_is_all_between_images() -> None:
    table = variance_table(lines({"a": [[0.1, 0.3]]}), ["a"]).iloc[0]
    assert table["image"] == pytest.approx(np.var([0.1, 0.3], ddof=1))
    assert table[["replicate", "inverse_seed", "rest"]].isna().all()
