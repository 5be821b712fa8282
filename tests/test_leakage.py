"""Measures of leakage on score frames made by hand: what each is relative to, and that order changes nothing."""

import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mi_core.reidentification import area_under_curve, mean_reciprocal_rank, top_1
from mi_core.study.leakage import DISTANCES, LINE, MEASURES, measured, row_means

NAN = float("nan")
AVERAGE = "baseline: class average"
COUNTS = {"": "l2", "_ssim": "ssim", "_features": "features"}  # suffix of a measure: suffix of the counts
AMONG = 140  # images of each class
IDENTIFICATION = [name for name in MEASURES if name.startswith(("auc", "top1", "mrr", "true_positives"))]
SHARES = [*IDENTIFICATION, "accuracy", "shuffled_auc"]


def score_lines(row: str = "M_I(O)", count: int = 6, *, seed: int = 0, **columns: Any) -> pd.DataFrame:
    """Scores of ``count`` images in one line of a table, drawn at random where not given, typed as stored."""
    source = np.random.default_rng([seed, *row.encode()])
    frame: dict[str, Any] = {"replicate": 0, "row": row, "split": "test", "inverse_seed": 0}
    frame["image"] = np.arange(count, dtype=np.int32)
    measured_ones = ("ssim", "mse", "feature_distance", "to_class_average")
    for name in (*measured_ones, "shuffled_ssim", "shuffled_mse", "shuffled_auc"):
        frame[name] = source.random(count).astype(np.float32)
    for name in ("label", "predicted", "judged"):
        frame[name] = source.integers(10, size=count).astype(np.int8)
    frame["others"] = np.full(count, AMONG - 1, dtype=np.int16)
    for name in COUNTS.values():
        frame[f"closer_{name}"] = source.integers(AMONG - 5, size=count).astype(np.int16)
        frame[f"tied_{name}"] = source.integers(5, size=count).astype(np.int16)
        frame[f"false_positives_{name}"] = source.random(count).astype(np.float32)
    return pd.DataFrame(frame | columns)


def joined(*frames: pd.DataFrame) -> pd.DataFrame:
    return pd.concat(frames, ignore_index=True)


@pytest.fixture
def scores() -> pd.DataFrame:
    """Two replicates, two splits, three rows (one with two inverse seeds), of which one is the class average."""
    frames = []
    for replicate in (1, 0):
        for number, split in enumerate(("test", "shadow_validation")):
            common = {"replicate": replicate, "split": split, "seed": 2 * replicate + number, "count": 6 + number}
            frames += [score_lines("M_I(X~)", **common), score_lines("M_I(O)", **common)]
            frames += [score_lines("M_I(O)", **common | {"seed": 9 + number}, inverse_seed=1)]
            frames += [score_lines(AVERAGE, **common)]
    return joined(*frames)


def mean_by_row(scores: pd.DataFrame) -> pd.DataFrame:
    return measured(scores).groupby("row")[list(MEASURES)].mean()


# --- what a frame gets ---------------------------------------------------------------------------------------------


def test_every_measure_has_a_title_of_its_own_and_a_meaning() -> None:
    titles = [measure.title for measure in MEASURES.values()]
    assert len(set(titles)) == len(titles) == 10 + 7 * len(DISTANCES)
    assert all(text.strip() == text != "" for measure in MEASURES.values() for text in (measure.title, measure.meaning))
    assert len({measure.meaning for name, measure in MEASURES.items() if name not in IDENTIFICATION}) == 10
    for suffix, distance in DISTANCES.items():
        own = [name for name in IDENTIFICATION if name.endswith(suffix or ("auc", "_10", "_100", "_percent"))]
        assert len(own) == 7
        assert all(distance in MEASURES[name].title for name in own) or suffix == ""


def test_meanings_say_what_chance_gives() -> None:
    for name, chance in {
        "auc": "0.5",
        "top1_of_10": "0.1",
        "top1_of_100": "0.01",
        "mrr_of_10": "0.293",  # (1 + 1/2 + ... + 1/10) / 10
        "mrr_of_100": "0.0519",
        "true_positives_at_1_percent": "0.01",
        "true_positives_at_0.1_percent": "0.001",
    }.items():
        for suffix in DISTANCES:
            assert MEASURES[name + suffix].meaning.endswith(f"({chance} by chance)")
    assert MEASURES["shuffled_auc"].meaning.endswith("(0.5 by chance)")


def test_a_frame_gets_one_column_for_each_measure(scores: pd.DataFrame) -> None:
    before = scores.copy()
    frame = measured(scores)
    assert frame.columns.tolist() == [*LINE, "image", "label", *MEASURES]
    assert (frame[list(MEASURES)].dtypes == np.float64).all()
    pd.testing.assert_frame_equal(frame[[*LINE, "image", "label"]], scores[[*LINE, "image", "label"]])
    pd.testing.assert_frame_equal(scores, before)
    with_change = measured(scores.assign(change="steps=2"))
    assert with_change.columns.tolist() == [*LINE, "change", "image", "label", *MEASURES]
    pd.testing.assert_frame_equal(with_change.drop(columns="change"), frame)


def test_scores_are_passed_on_as_they_are(scores: pd.DataFrame) -> None:
    names = ["ssim", "mse", "feature_distance", "to_class_average", "shuffled_ssim", "shuffled_mse", "shuffled_auc"]
    scores.loc[3, ["shuffled_ssim", "shuffled_mse", "shuffled_auc"]] = NAN
    pd.testing.assert_frame_equal(measured(scores)[names], scores[names].astype(np.float64))


def test_accuracy_is_the_share_whose_true_class_is_seen() -> None:
    frame = score_lines(count=4, label=[3, 3, 0, 9], judged=[3, 8, 0, 3], predicted=[8, 8, 1, 3])
    assert measured(frame)["accuracy"].tolist() == [1, 0, 1, 0]


# --- gain and R² ---------------------------------------------------------------------------------------------------


def test_gain_and_r2_by_hand() -> None:
    attack = score_lines(count=3, ssim=[0.5, 0.75, 0.25], mse=[0.125, 0.25, 0.75])
    average = score_lines(AVERAGE, count=3, ssim=[0.25, 0.25, 0.5], mse=[0.25, 0.5, 0.75])
    frame = measured(joined(attack, average))
    assert frame["gain"].tolist() == [0.25, 0.5, -0.25, 0, 0, 0]
    assert frame["r2"].tolist() == [0.75, 0.5, -0.5, 0.5, 0, -0.5]  # the class average's MSE is 0.5 in the mean


def test_r2_of_a_row_is_one_minus_a_ratio_of_means() -> None:
    attack, average = score_lines(count=1340), score_lines(AVERAGE, count=1340)
    found = mean_by_row(joined(attack, average))["r2"]
    means = [frame["mse"].astype(np.float64).mean() for frame in (attack, average)]
    assert found["M_I(O)"] == pytest.approx(1 - means[0] / means[1], abs=1e-12)


def test_the_class_average_gains_nothing_over_itself(scores: pd.DataFrame) -> None:
    average = measured(scores)[lambda frame: frame["row"] == AVERAGE]
    assert (average["gain"] == 0).all()
    assert average["r2"].std() > 0.1
    means = average.groupby(["replicate", "split"])["r2"].mean()
    assert len(means) == 4
    np.testing.assert_allclose(means, 0, atol=1e-12)


def test_gain_and_r2_are_relative_to_the_class_average_of_one_s_own_replicate_and_split(scores: pd.DataFrame) -> None:
    frame = measured(scores)
    assert np.isfinite(frame[["gain", "r2"]]).all(axis=None)
    for place, line in scores.iterrows():
        beside = scores[
            (scores["row"] == AVERAGE) & (scores["replicate"] == line["replicate"]) & (scores["split"] == line["split"])
        ].astype({"ssim": np.float64, "mse": np.float64})
        of_image = beside.loc[beside["image"] == line["image"], "ssim"].item()
        assert frame.loc[place, "gain"] == pytest.approx(line["ssim"] - of_image, abs=1e-15)
        assert frame.loc[place, "r2"] == pytest.approx(1 - line["mse"] / beside["mse"].mean(), abs=1e-6)


def test_a_class_average_that_stands_in_a_table_twice_counts_once(scores: pd.DataFrame) -> None:
    again = scores[(scores["row"] == AVERAGE) & (scores["image"] == 2)].assign(inverse_seed=1)
    pd.testing.assert_frame_equal(measured(joined(scores, again))[: len(scores)], measured(scores))


def test_without_the_class_average_there_is_no_gain_and_no_r2(scores: pd.DataFrame) -> None:
    alone = measured(scores[scores["row"] != AVERAGE])
    assert alone[["gain", "r2"]].isna().all(axis=None)
    others = [name for name in MEASURES if name not in ("gain", "r2")]
    pd.testing.assert_frame_equal(alone[others], measured(scores).loc[alone.index, others])
    lacking = (scores["row"] == AVERAGE) & (scores["split"] == "test") & (scores["replicate"] == 1)
    partly = measured(scores[~lacking])
    missing = (partly["split"] == "test") & (partly["replicate"] == 1)
    assert missing.sum() == 18
    for name in ("gain", "r2"):
        assert partly.loc[missing, name].isna().all() and partly.loc[~missing, name].notna().all()


# --- re-identification ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("suffix", "counts"), COUNTS.items())
def test_each_distance_has_the_measures_of_its_own_ranks(scores: pd.DataFrame, suffix: str, counts: str) -> None:
    frame = measured(scores)
    ranks = [scores[name].to_numpy() for name in (f"closer_{counts}", f"tied_{counts}", "others")]
    np.testing.assert_allclose(frame[f"auc{suffix}"], area_under_curve(*ranks), rtol=1e-14)
    for count in (10, 100):
        np.testing.assert_allclose(frame[f"top1_of_{count}{suffix}"], top_1(*ranks, candidates=count), rtol=1e-14)
        expected = mean_reciprocal_rank(*ranks, candidates=count)
        np.testing.assert_allclose(frame[f"mrr_of_{count}{suffix}"], expected, rtol=1e-14)
    changed = scores.assign(**{f"closer_{counts}": 0, f"false_positives_{counts}": 0.0})
    differing = (measured(changed) != frame)[list(MEASURES)].any()
    assert differing[differing].index.tolist() == [name for name in measures_of(suffix) if differing[name]]
    assert differing[f"auc{suffix}"] and differing[f"true_positives_at_1_percent{suffix}"]


def measures_of(suffix: str) -> list[str]:
    names = ["auc", "top1_of_10", "mrr_of_10", "top1_of_100", "mrr_of_100"]
    return [f"{name}{suffix}" for name in (*names, "true_positives_at_1_percent", "true_positives_at_0.1_percent")]


def test_measures_stand_in_the_order_of_their_titles() -> None:
    expected = ["ssim", "mse", "gain", "r2", *(name for suffix in COUNTS for name in measures_of(suffix))]
    expected += ["accuracy", "feature_distance", "to_class_average", "shuffled_ssim", "shuffled_mse", "shuffled_auc"]
    assert list(MEASURES) == expected


def test_images_with_too_few_others_have_no_rank_among_a_hundred() -> None:
    ranks = {f"closer_{name}": [1, 0, 0] for name in COUNTS.values()}
    ranks |= {f"tied_{name}": [0, 0, 4] for name in COUNTS.values()}
    found = measured(score_lines(count=3, others=[120, 60, 4], **ranks))
    np.testing.assert_allclose(found["auc"], [1 - 1 / 120, 1, 0.5])
    for name in ("top1_of_100", "mrr_of_100"):
        assert found[name].isna().tolist() == [False, True, True]
    for name in ("top1_of_10", "mrr_of_10"):
        assert found[name].isna().tolist() == [False, False, True]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("counts", COUNTS.values())
def test_true_positives_are_accepted_up_to_the_threshold(counts: str, dtype: type) -> None:
    shares = np.array([0, 0.0005, 0.001, 0.0011, 0.0099, 0.01, 0.0101, 1, NAN], dtype=dtype)
    frame = measured(score_lines(count=9, **{f"false_positives_{counts}": shares}))
    suffix = {value: key for key, value in COUNTS.items()}[counts]
    found = frame[f"true_positives_at_1_percent{suffix}"]
    np.testing.assert_array_equal(found, [1, 1, 1, 1, 1, 1, 0, 0, NAN])
    np.testing.assert_array_equal(frame[f"true_positives_at_0.1_percent{suffix}"], [1, 1, 1, 0, 0, 0, 0, 0, NAN])


def test_shares_are_between_zero_and_one() -> None:
    count = 400
    frame = score_lines(count=count)
    source = np.random.default_rng(2)
    frame["others"] = source.integers(120, 150, size=count)
    for name in COUNTS.values():
        frame[f"closer_{name}"] = np.where(np.arange(count) % 3 == 0, 0, source.integers(120, size=count))
        frame[f"tied_{name}"] = np.where(np.arange(count) % 4 == 0, frame["others"] - frame[f"closer_{name}"], 0)
    found = measured(frame)[SHARES]
    assert found.notna().all(axis=None)
    assert (found.min() >= 0).all() and (found.max() <= 1 + 1e-14).all()


def test_perfect_reconstructions_reach_the_best_of_every_measure() -> None:
    nothing = {f"{kind}_{name}": 0 for name in COUNTS.values() for kind in ("closer", "tied", "false_positives")}
    attack = score_lines(ssim=1.0, mse=0.0, label=4, judged=4, feature_distance=0.0, **nothing)
    found = mean_by_row(joined(attack, score_lines(AVERAGE))).loc["M_I(O)"]
    np.testing.assert_allclose(found[[*IDENTIFICATION, "accuracy", "ssim", "r2"]].astype(float), 1, rtol=1e-13)
    assert found["gain"] > 0 and found["mse"] == found["feature_distance"] == 0


# --- order ---------------------------------------------------------------------------------------------------------


def test_measures_do_not_depend_on_the_order_of_lines(scores: pd.DataFrame) -> None:
    expected = measured(scores)
    mixed = scores.sample(frac=1, random_state=8)
    found = measured(mixed)
    assert found.index.tolist() == mixed.index.tolist() != scores.index.tolist()
    pd.testing.assert_frame_equal(found.sort_index(), expected, rtol=0, atol=1e-12)
    renumbered = measured(mixed.reset_index(drop=True))
    pd.testing.assert_frame_equal(renumbered, found.reset_index(drop=True))


def test_row_means_are_means_over_images_in_the_order_of_the_frame(scores: pd.DataFrame) -> None:
    means = row_means(scores)
    assert means.columns.tolist() == [*LINE, "metric", "value"]
    lines = [
        (replicate, row, split, seed)
        for replicate in (1, 0)
        for split in ("test", "shadow_validation")
        for row, seed in (("M_I(X~)", 0), ("M_I(O)", 0), ("M_I(O)", 1), (AVERAGE, 0))
    ]
    keys = [tuple(line) for line in means[[*LINE, "metric"]].itertuples(index=False)]
    assert keys == [(*line, metric) for line in lines for metric in MEASURES]
    frame = measured(scores)
    of_line = {line: frame[(frame[LINE] == pd.Series(line, LINE)).all(axis=1)] for line in lines}
    for (*line, metric), value in zip(keys, means["value"], strict=True):
        assert len(of_line[tuple(line)]) in (6, 7)
        assert value == pytest.approx(of_line[tuple(line)][metric].mean(), abs=1e-12)


def test_row_means_keep_changes_apart(scores: pd.DataFrame) -> None:
    lines = scores[scores["row"] != AVERAGE]
    changes = ("steps=2", "", "learning_rate=1.0")
    frames = [lines.assign(change=change, ssim=0.25 * place) for place, change in enumerate(changes)]
    means = row_means(joined(*frames))
    assert means.columns.tolist() == [*LINE, "change", "metric", "value"]
    assert means["change"].unique().tolist() == list(changes)
    assert len(means) == 3 * 12 * len(MEASURES)
    of_ssim = means[means["metric"] == "ssim"].groupby("change")["value"].agg(["min", "max"])
    assert of_ssim.loc[list(changes)].to_numpy().tolist() == [[0, 0], [0.25, 0.25], [0.5, 0.5]]


def test_row_means_leave_out_images_without_a_value_and_keep_lines_without_any() -> None:
    frame = score_lines(count=3, shuffled_ssim=[0.25, NAN, 0.75], shuffled_auc=NAN)
    means = row_means(frame).set_index("metric")["value"]
    assert means.index.tolist() == list(MEASURES)
    assert means["shuffled_ssim"] == 0.5
    assert means[["shuffled_auc", "gain", "r2"]].isna().all()
    assert means.drop(["shuffled_auc", "gain", "r2"]).notna().all()


def test_measures_do_not_import_torch() -> None:
    code = "import sys; import mi_core.study.leakage; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
