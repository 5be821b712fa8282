"""Frames and the figure of the ladder, by hand."""

from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from mi_core.report.figures import transfer_scatter
from mi_core.study import rungs
from mi_core.study.answers import Answer
from mi_core.study.parameters import PROFILES
from mi_core.study.recipes import RECIPES, best_recipe
from mi_core.study.rungs import (
    access_frame,
    answer_frame,
    choice_frame,
    chosen,
    interval_sentence,
    moved_answers,
    pool_rows,
    recipe_frame,
    transfer_frame,
    utility_frame,
)

HELD_OUT = pd.DataFrame(
    [
        {"row": "one shadow", "method": "none", "prior": 10.0, "held_out": 1, "ssim": 0.2, "mse": 0.06},
        {"row": "one shadow", "method": "none", "prior": 10.0, "held_out": 2, "ssim": 0.4, "mse": 0.08},
        {"row": "one shadow, aligned", "method": "covariance", "prior": 3.0, "held_out": 1, "ssim": 0.5, "mse": 0.04},
    ]
)


@pytest.fixture
def results(monkeypatch: pytest.MonkeyPatch) -> Any:
    scores = pd.DataFrame({"row": ["one shadow", "one shadow", "one shadow, aligned"], "ssim": [0.1, 0.3, 0.45]})
    monkeypatch.setattr(rungs, "rows_of", lambda results: scores)
    return SimpleNamespace(frame=lambda name: HELD_OUT)


def test_the_choice_lists_means_over_held_out_shadows_best_first(results: Any) -> None:
    found = choice_frame(results)
    assert found["alignment"].tolist() == ["covariance", "none"]
    assert found["held-out SSIM"].tolist() == pytest.approx([0.5, 0.3])
    assert found["held-out MSE"].tolist() == pytest.approx([0.04, 0.07])


def test_each_replicate_chooses_by_itself_and_never_to_standardise() -> None:
    """The mean over the replicates would choose "none" in both, and standardising if it were asked."""
    scores = [(0, "none", 0.5), (0, "covariance", 0.4), (0, "standardised", 0.9)]
    scores += [(1, "none", 0.3), (1, "covariance", 0.35), (1, "standardised", 0.9)]
    alignments = pd.DataFrame(scores, columns=["replicate", "method", "ssim"]).assign(prior=10.0)
    models = pd.DataFrame({"replicate": [0, 0, 1, 1], "row": ["MSE", "Tanh"] * 2, "ssim": [0.1, 0.2, 0.1, 0.3]})
    results = SimpleNamespace(frame={"ladder_choice": alignments, "ladder_models_choice": models}.get)
    assert chosen(results) == ("none, prior 10 (1 of 2 replicates); covariance, prior 10 (1 of 2 replicates)", "Tanh")


def test_what_held_out_shadows_say_stands_beside_what_the_target_gave(results: Any) -> None:
    found = transfer_frame(results).set_index("row")
    expected = {"predicted": 0.3, "lowest": 0.2, "highest": 0.4, "transferred": 0.2}
    assert found.loc["one shadow"].to_dict() == pytest.approx(expected)


def test_an_inverse_model_s_held_out_scores_stand_beside_those_on_the_target(monkeypatch: pytest.MonkeyPatch) -> None:
    held_out = [
        {"row": name, **asdict(RECIPES[name]), "held_out": number, "ssim": ssim + number / 10, "mse": 0.05}
        for name, ssim in (("as in the ladder", 0.2), ("MSE", 0.1), ("half as wide", 0.4))
        for number in (1, 2)
    ]
    scores = pd.DataFrame({"row": ["as in the ladder", "as in the ladder", "MSE", "half as wide", "label alone"]})
    scores = scores.assign(ssim=[0.1, 0.3, 0.4, 0.5, 0.9], mse=0.03, top1_of_100=[0.0, 1.0, 0.2, 0.3, 0.4])
    assert best_recipe(pd.DataFrame(held_out)) == "half as wide"
    results = SimpleNamespace(frame={"ladder_models_choice": pd.DataFrame(held_out), "ladder_models": scores}.get)
    monkeypatch.setattr(rungs, "rows_of", lambda results, name: results.frame(name))
    found = recipe_frame(results).set_index("inverse model")
    assert found.index.tolist() == ["as in the ladder", "MSE", "half as wide"]
    expected = {"held-out SSIM": 0.35, "held-out MSE": 0.05, "SSIM": 0.2, "MSE": 0.03, "top-1 of 100": 0.5}
    assert found.loc["as in the ladder"].to_dict() == pytest.approx(expected)


def test_answers_stand_in_columns_and_attackers_in_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = ["baseline: class average", "label alone", "logits: one shadow", "probabilities: one shadow"]
    rows += ["logits: queries 10", "probabilities, float16: queries 10", "logits: one shadow"]
    frame = pd.DataFrame({"row": rows, "ssim": [0.9, 0.9, 0.1, 0.2, 0.3, 0.4, 0.3]})
    monkeypatch.setattr(rungs, "rows_of", lambda results, name: frame)
    found = answer_frame(None, "ssim").set_index("attacker")
    assert found.index.tolist() == ["one shadow", "queries 10"]
    assert found.columns.tolist() == ["logits", "probabilities", "probabilities, half precision"]
    assert found.loc["one shadow", "logits"] == pytest.approx(0.2)
    assert found.loc["queries 10", "probabilities, half precision"] == pytest.approx(0.4)
    assert pd.isna(found.loc["queries 10", "probabilities"])


def test_the_access_of_every_row_is_in_words() -> None:
    frame = access_frame(PROFILES["quick"]).set_index("row")
    label = frame.loc["label alone"]
    assert (label["of the attacked image"], label["weights"], label["queries"]) == ("predicted label", "none", 0)
    assert frame.index[frame["weights"] == "the target's"].tolist() == ["white box, X~"]
    assert frame.loc[["queries 100", "queries 2000, no shadow"], "queries"].tolist() == [100, 2000]
    assert frame.loc["2 shadows, aligned", ["shadows in the attack", "shadows held out to choose"]].tolist() == [2, 3]
    assert set(pool_rows(PROFILES["quick"])) <= set(frame.index)
    assert pool_rows(PROFILES["paper"])[-1] == "16 shadows, aligned"


def test_what_moves_the_accuracy_most_is_counted_in_images_with_its_direction() -> None:
    utility = pd.DataFrame({"accuracy": [0.9, 0.91, 0.88]}, index=["logits", "logits, 1 decimal", "logits, k=1"])
    assert moved_answers(utility, 100) == ("logits, k=1", 2, "fewer")
    assert moved_answers(utility.drop("logits, k=1"), 300) == ("logits, 1 decimal", 3, "more")


def test_intervals_of_one_replicate_are_said_to_be_over_its_images() -> None:
    rows = pd.DataFrame({"row": ["a", "b"] * 3, "replicate": 0, "image": [4, 4, 5, 5, 6, 6]})
    assert interval_sentence(rows).startswith("One replicate: no interval over replicates.")
    assert "over its 3 images" in interval_sentence(rows)
    several = interval_sentence(pd.concat([rows, rows.assign(replicate=1)]))
    assert several == "2 replicates: where there is an interval, it is over them."


def test_rows_of_defences_carry_their_names_for_readers() -> None:
    assert [Answer(decimals=count).label for count in (4, 1)] == ["logits, 4 decimals", "logits, 1 decimal"]
    assert Answer("probabilities", "float16").label == "probabilities, half precision"
    metrics = [{"row": row, "metric": "accuracy", "value": 0.5} for row in ("logits", "logits, 1 decimals")]
    results = SimpleNamespace(frame=lambda name: pd.DataFrame(metrics))
    assert utility_frame(results).index.tolist() == ["logits", "logits, 1 decimal"]


def points() -> pd.DataFrame:
    numbers = {"predicted": [0.3, 0.5], "lowest": [0.2, 0.5], "highest": [0.4, 0.5], "transferred": [0.35, 0.45]}
    return pd.DataFrame({"row": ["one shadow", "one shadow, aligned"], **numbers})


def test_each_attack_stands_at_its_two_scores_with_the_diagonal() -> None:
    figure = transfer_scatter(points())
    assert isinstance(figure, Figure)
    axes = figure.axes[0]
    places = [tuple(drawn.get_offsets()[0]) for drawn in axes.collections if len(drawn.get_offsets()) == 1]
    assert (0.3, 0.35) in places and (0.5, 0.45) in places
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names[:2] == ["one shadow", "one shadow, aligned"]
    (line,) = axes.get_lines()
    assert line.get_slope() == 1


def test_more_attacks_than_colours_still_look_unlike_each_other() -> None:
    many = pd.concat([points().iloc[:1].assign(row=f"{count} shadows, aligned") for count in range(2, 12)])
    dots = [drawn for drawn in transfer_scatter(many).axes[0].collections if isinstance(drawn, PathCollection)]
    looks = {(str(dot.get_facecolor()), str(dot.get_paths()[0].vertices)) for dot in dots}
    assert len(dots) == len(looks) == 10


def test_the_figure_refuses_what_it_cannot_draw() -> None:
    with pytest.raises(ValueError, match="it lacks transferred"):
        transfer_scatter(points().drop(columns="transferred"))
    with pytest.raises(ValueError, match="finite numbers in predicted"):
        transfer_scatter(points().assign(predicted=float("nan")))
    with pytest.raises(ValueError, match="each row once"):
        transfer_scatter(pd.concat([points(), points()]))
