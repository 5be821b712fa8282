"""Figures from frames made by hand: what they show, what they refuse, and that the same frame is the same SVG."""

import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from mi_core.report.figures import (
    class_heatmap,
    class_histograms,
    confusion_matrices,
    head_comparison,
    score_comparison,
    score_distributions,
    search_scatter,
    select_images,
    start_grid,
    strip,
    training_curves,
)
from mi_core.report.style import FULL_WIDTH, PUBLISHED, apply_style, row_label

ROWS = ("M_I(O)", "M_I(O+A_L+X~)/shadow-weights")
SPLITS = ("target_train", "shadow_train", "test")


@pytest.fixture(autouse=True)
def style() -> Iterator[None]:
    with mpl.rc_context():
        apply_style()
        yield


def svg(figure: Figure) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="svg", metadata={"Date": None})
    return content.getvalue()


# --- frames --------------------------------------------------------------------------------------------------------


def counts(replicates: int = 1) -> pd.DataFrame:
    lines = [
        (replicate, split, label, 90 + label + 10 * replicate)
        for replicate in range(replicates)
        for split in SPLITS
        for label in range(10)
    ]
    return pd.DataFrame(lines, columns=["replicate", "split", "label", "images"])


def confusion() -> pd.DataFrame:
    """M_T is right but for three zeros called ones; M_S is right."""
    lines = []
    for row, wrong in (("M_T", 3), ("M_S", 0)):
        for true in range(10):
            for predicted in range(10):
                images = (100 - wrong * (true == 0)) * (true == predicted) + wrong * ((true, predicted) == (0, 1))
                lines.append((row, true, predicted, images))
    return pd.DataFrame(lines, columns=["row", "true", "predicted", "images"])


def curves(replicates: int = 1) -> pd.DataFrame:
    lines = [
        (replicate, row, kind, epoch, 1 / epoch + 0.1 * replicate)
        for replicate in range(replicates)
        for row in ("M_T", "M_S", "M_I(O)")
        for kind in ("training", "validation")
        for epoch in (1, 2, 3)
    ]
    return pd.DataFrame(lines, columns=["replicate", "row", "kind", "epoch", "loss"])


def trials() -> pd.DataFrame:
    lines = [("coarse", 1e-4, 1e-3, 0.1), ("coarse", 1e-2, 1e-5, 0.3), ("fine", 2e-2, 1e-5, 0.2)]
    return pd.DataFrame(lines, columns=["phase", "lambda_l2", "lambda_tv", "ssim"])


def pictures(rows: tuple[str, ...], images: int = 4) -> pd.DataFrame:
    """Picture n of a row is grey at n * 10, but for one pixel."""
    lines = []
    for row in rows:
        for image in range(images):
            pixels = np.full(1024, 10 * image, dtype=np.uint8)
            pixels[33] = 200
            lines.append((row, image, image, pixels.tobytes()))
    return pd.DataFrame(lines, columns=["row", "image", "label", "pixels"])


def scores(replicates: int = 2) -> pd.DataFrame:
    """The mean SSIM of the first row is 0.2 in replicate 0 and 0.3 in replicate 1; the second row is 0.1 above."""
    lines = [
        (replicate, row, "test", 0, image, image % 3, 0.2 + 0.1 * (replicate + place) + off, 0.05 + off)
        for replicate in range(replicates)
        for place, row in enumerate(ROWS)
        for image, off in enumerate((-0.02, -0.01, 0.0, 0.01, 0.02))
    ]
    return pd.DataFrame(lines, columns=["replicate", "row", "split", "inverse_seed", "image", "label", "ssim", "mse"])


def published() -> pd.DataFrame:
    return pd.DataFrame(
        [(ROWS[0], "ssim", 0.23, 0.004), (ROWS[0], "mse", 0.09, np.nan)], columns=["row", "metric", "mean", "std"]
    )


def heads() -> tuple[pd.DataFrame, pd.DataFrame]:
    lines = [
        (replicate, row, "target_validation", metric, value)
        for replicate in (0, 1)
        for row in ("None/dropout", "ReLU/no-dropout")
        for metric, value in (("f1", 0.9 + replicate / 20), ("cross_entropy", 0.01 + replicate))
    ]
    ours = pd.DataFrame(lines, columns=["replicate", "row", "split", "metric", "value"])
    theirs = pd.DataFrame(
        [("None/dropout", "target_validation", metric, 0.02, 0.05) for metric in ("f1", "cross_entropy")],
        columns=["row", "split", "metric", "mean", "std"],
    )
    return ours, theirs


FIGURES: dict[str, Callable[[], Figure]] = {
    "class_histograms": lambda: class_histograms(counts(3)),
    "confusion_matrices": lambda: confusion_matrices(confusion()),
    "training_curves": lambda: training_curves(curves(2)),
    "search_scatter": lambda: search_scatter(trials(), published=(4.4323e-5, 9.48785e-3)),
    "start_grid": lambda: start_grid(pictures(("random", "class_instance", "class_average"), 10)),
    "strip": lambda: strip(pictures(("target", ROWS[1]), 10), ("target", ROWS[1]), range(10)),
    "score_comparison": lambda: score_comparison(scores(), published(), "ssim"),
    "score_distributions": lambda: score_distributions(scores(), "mse"),
    "class_heatmap": lambda: class_heatmap(scores(), "ssim"),
    "head_comparison": lambda: head_comparison(*heads(), "cross_entropy", "target_validation"),
}


# --- all figures ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FIGURES)
def test_same_frame_same_svg(name: str) -> None:
    assert svg(FIGURES[name]()) == svg(FIGURES[name]())


def test_svg_does_not_depend_on_the_process() -> None:
    names = ("strip", "score_comparison")
    code = (
        "import sys, test_figures as t; t.apply_style(); "
        "sys.stdout.buffer.writelines(t.svg(t.FIGURES[name]()) for name in sys.argv[1:])"
    )
    folder = Path(__file__).parent
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": str(folder.parent)}
    there = subprocess.run(
        [sys.executable, "-c", code, *names], cwd=folder, env=environment, capture_output=True, check=True
    )
    assert there.stdout == b"".join(svg(FIGURES[name]()) for name in names)


@pytest.mark.parametrize("name", FIGURES)
def test_nothing_is_cut_off_and_nothing_stays_open(name: str) -> None:
    figure = FIGURES[name]()
    figure.draw_without_rendering()
    width, height = figure.get_size_inches()
    drawn = figure.get_tightbbox()
    assert drawn.x0 >= 0 and drawn.y0 >= 0 and drawn.x1 <= width <= FULL_WIDTH and drawn.y1 <= height
    assert to_hex(figure.get_facecolor()) == "#ffffff"
    assert pyplot.get_fignums() == []


@pytest.mark.parametrize("name", FIGURES)
def test_a_frame_is_not_changed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[pd.DataFrame, pd.DataFrame]] = []
    make = pd.DataFrame.copy
    for maker in ("counts", "confusion", "curves", "trials", "scores", "published", "pictures"):
        original = globals()[maker]

        def remember(*arguments: object, original: Callable = original) -> pd.DataFrame:
            frame = original(*arguments)
            made.append((frame, make(frame)))
            return frame

        monkeypatch.setitem(globals(), maker, remember)
    FIGURES[name]()
    for frame, before in made:
        pd.testing.assert_frame_equal(frame, before)


# --- data and classifiers ------------------------------------------------------------------------------------------


def test_a_histogram_has_one_panel_a_split_and_one_bar_a_class() -> None:
    figure = class_histograms(counts(), ("test", "target_train"))
    assert [axes.get_title() for axes in figure.axes] == ["test $D_F$", "target training $D_T^T$"]
    assert [bar.get_height() for bar in figure.axes[0].patches] == list(range(90, 100))
    assert [text.get_text() for text in figure.axes[0].texts] == [str(count) for count in range(90, 100)]


def test_bars_are_means_over_replicates_and_dots_the_replicates() -> None:
    axes = class_histograms(counts(3), ("test",)).axes[0]
    assert axes.patches[0].get_height() == 100
    assert sorted(axes.lines[0].get_ydata())[:3] == [90, 91, 92]


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`splits` must be among target_train, .*; got 'validation'"):
        class_histograms(counts(), ("validation",))


def test_confusion_annotates_counts_and_colours_shares() -> None:
    figure = confusion_matrices(confusion())
    left, right = figure.axes[:2]
    assert (left.get_title(), right.get_title()) == ("$M_T$", "$M_S$")
    texts = [text.get_text() for text in left.texts]
    assert texts[:3] == ["97", "3", ""] and texts[11] == "100"
    cells = left.collections[0]
    assert cells.get_array().ravel()[:2].tolist() == [0.97, 0.03]
    assert cells.norm(0.03) > 0.25  # three errors of a hundred are visible beside the diagonal


def test_curves_of_both_kinds_of_loss_have_a_panel_each() -> None:
    classifiers, inverse = training_curves(curves()).axes
    assert (classifiers.get_yscale(), inverse.get_yscale()) == ("log", "linear")
    assert [line.get_linestyle() for line in classifiers.lines] == ["-", "--", "-", "--"]
    assert [text.get_text() for text in inverse.get_legend().get_texts()] == ["$M_I(O)$"]


def test_curves_are_means_over_replicates_with_a_band() -> None:
    axes = training_curves(curves(2), ["M_S"]).axes[0]
    assert axes.lines[0].get_ydata().tolist() == pytest.approx([1.05, 0.55, 1 / 3 + 0.05])
    assert len(axes.collections) == 2


def test_curves_without_validation_are_drawn() -> None:
    frame = curves()
    axes = training_curves(frame[frame["kind"] == "training"], ["M_T"]).axes[0]
    assert [len(line.get_xdata()) for line in axes.lines] == [3, 0]


def test_an_unknown_row_of_curves_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`rows` must be among M_T, M_S, M_I\(O\); got 'M_X'"):
        training_curves(curves(), ["M_X"])


def test_the_search_rings_the_best_draw_and_marks_the_published_pair() -> None:
    axes = search_scatter(trials(), published=(1e-3, 2e-3)).axes[0]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    coarse, fine, best, thesis = (collection.get_offsets().tolist() for collection in axes.collections)
    assert (len(coarse), len(fine)) == (2, 1)
    assert best == [[1e-2, 1e-5]]
    assert thesis == [[1e-3, 2e-3]] and to_hex(axes.collections[3].get_edgecolor()) == PUBLISHED.lower()
    assert len(search_scatter(trials()).axes[0].collections) == 3


def test_the_search_rings_the_best_draw_of_each_replicate() -> None:
    frame = pd.concat([trials().assign(replicate=0), trials().assign(replicate=1, ssim=[0.5, 0.1, 0.1])])
    best = search_scatter(frame).axes[0].collections[2].get_offsets().tolist()
    assert sorted(best) == [[1e-4, 1e-3], [1e-2, 1e-5]]


def test_the_search_needs_positive_weights() -> None:
    with pytest.raises(ValueError, match="positive lambda_l2 and lambda_tv"):
        search_scatter(trials().assign(lambda_tv=0.0))


# --- images --------------------------------------------------------------------------------------------------------


def choices() -> pd.DataFrame:
    """Class 0: image 4 is best and 0 worst. Class 7: images 1 and 3 tie for best, 2 and 5 for worst."""
    lines = [(5, 7, 0.1), (4, 0, 0.9), (3, 7, 0.6), (2, 7, 0.1), (1, 7, 0.6), (0, 0, -0.2)]
    frame = pd.DataFrame(lines, columns=["image", "label", "ssim"]).assign(row="A", split="test", inverse_seed=0)
    others = [
        frame.assign(ssim=-frame["ssim"], **change) for change in ({"row": "B"}, {"inverse_seed": 1}, {"split": "x"})
    ]
    return pd.concat([*others, frame], ignore_index=True)


@pytest.mark.parametrize(
    ("row", "how", "images"), [("A", "best", [4, 1]), ("A", "worst", [0, 2]), ("B", "best", [0, 2])]
)
def test_selection_takes_the_extreme_of_each_class_and_of_ties_the_first(row: str, how: str, images: list[int]) -> None:
    chosen = select_images(choices(), row, how)
    assert chosen == images and all(type(image) is int for image in chosen)


def test_a_random_selection_depends_on_the_seed_alone() -> None:
    shuffled = choices().sample(frac=1, random_state=3)
    draws = [select_images(choices(), "A", "random", seed=seed) for seed in range(20)]
    assert draws == [select_images(shuffled, "A", "random", seed=seed) for seed in range(20)]
    assert {first for first, _ in draws} == {0, 4} and {second for _, second in draws} == {1, 2, 3, 5}


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        ({}, ("C", "best"), r"`row` must be among B, A; got 'C'"),
        ({}, ("A", "median"), r"`how` must be one of best, worst, random; got 'median'"),
        ({"replicate": [0] * 12 + [1] * 12}, ("A", "best"), r"`scores` must hold one replicate.*got 2"),
        ({"split": "shadow_validation"}, ("A", "best"), r"`row` must be among .*; got 'A'"),
    ],
)
def test_selection_refuses(change: dict, arguments: tuple[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        select_images(choices().assign(**change), *arguments)


def test_a_missing_column_is_named() -> None:
    with pytest.raises(ValueError, match=r"`scores` must have the columns row, .*; it lacks inverse_seed"):
        select_images(choices().drop(columns="inverse_seed"), "A", "best")


def test_an_empty_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="`frame` must have at least one line"):
        training_curves(curves().iloc[:0])


def test_a_strip_shows_the_stored_grey_without_autoscaling() -> None:
    axes = strip(pictures(("target", "M_I(O)")), ["M_I(O)", "target"], [3, 0, 1]).axes[0]
    assert len(axes.images) == 6
    assert {(image.norm.vmin, image.norm.vmax, image.get_cmap().name) for image in axes.images} == {(0, 1, "gray")}
    corners = [round(float(image.get_array()[0, 0]) * 255) for image in axes.images]
    assert corners == [30, 0, 10] * 2
    assert axes.images[0].get_array()[1, 1] == 200 / 255
    assert [text.get_text() for text in axes.get_yticklabels()] == ["$M_I(O)$", "target"]
    assert axes.get_xticklabels() == []


def test_a_strip_takes_captions_and_labels_of_its_own() -> None:
    gallery = pictures(("target", "M_I(O)"))
    axes = strip(gallery, {"M_I(O)": "$k=10$"}, [2, 1], captions=["two", "one"]).axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["$k=10$"]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["two", "one"]


def test_rows_with_one_label_are_both_drawn() -> None:
    axes = strip(pictures(("target", "M_I(O)")), {"target": "", "M_I(O)": ""}, [0, 1]).axes[0]
    assert len(axes.images) == 4


@pytest.mark.parametrize(
    ("rows", "images", "captions", "message"),
    [
        (["M_I(X~)"], [0], None, r"`rows` must be among target; got 'M_I\(X~\)'"),
        (["target"], [0, 9], None, r"`images` must be among 0, 1, 2, 3; got 9"),
        (["target"], [0, 1], ["one"], r"`captions` must be one for each of the 2 images; got 1"),
        ([], [0], None, r"`rows` must have at least one"),
        (["target"], [], None, r"`images` must have at least one"),
    ],
)
def test_a_strip_refuses(rows: list[str], images: list[int], captions: list[str] | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        strip(pictures(("target",)), rows, images, captions)


def test_pictures_of_several_replicates_are_refused() -> None:
    twice = pd.concat([pictures(("target",)).assign(replicate=number) for number in (0, 1)])
    with pytest.raises(ValueError, match="`gallery` must hold one replicate"):
        strip(twice, ["target"], [0])
    with pytest.raises(ValueError, match="`starts` must hold one replicate"):
        start_grid(twice)


def test_pixels_must_be_a_square() -> None:
    with pytest.raises(ValueError, match="`pixels` must be the bytes of a square picture; got 5 bytes"):
        strip(pictures(("target",)).assign(pixels=b"12345"), ["target"], [0])


def test_the_start_grid_has_a_line_a_start_and_a_column_a_class() -> None:
    axes = start_grid(pictures(("random", "class_average"), 10)).axes[0]
    assert len(axes.images) == 20
    assert [text.get_text() for text in axes.get_xticklabels()] == [str(label) for label in range(10)]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["random pixels", "class average"]


# --- scores --------------------------------------------------------------------------------------------------------


def test_a_comparison_shows_replicates_images_and_the_published_mean() -> None:
    axes = score_comparison(scores(), published(), "ssim", ROWS[:1]).axes[0]
    spread, dots = axes.collections[:2]
    assert dots.get_offsets()[:, 0].tolist() == pytest.approx([0.2, 0.3])
    pooled = [0.18, 0.19, 0.2, 0.21, 0.22, 0.28, 0.29, 0.3, 0.31, 0.32]
    assert spread.get_segments()[0][:, 0].tolist() == pytest.approx(np.quantile(pooled, [0.25, 0.75]).tolist())
    diamond, _, bars = axes.containers[0]
    assert diamond.get_xdata().tolist() == [0.23]
    assert bars[0].get_segments()[0][:, 0].tolist() == pytest.approx([0.226, 0.234])
    assert [text.get_text() for text in axes.get_yticklabels()] == ["$M_I(O)$"]


def test_a_comparison_keeps_the_order_of_rows_and_their_places() -> None:
    axes = score_comparison(scores(), published(), "ssim", ROWS[::-1]).axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == [row_label(row) for row in ROWS[::-1]]
    assert axes.containers[0][0].get_ydata().tolist() == pytest.approx([1.16])  # only the second line has one
    assert axes.get_ylim()[0] > axes.get_ylim()[1]


def test_a_comparison_without_published_numbers_has_no_diamond() -> None:
    assert not score_comparison(scores(1), published().iloc[:0], "ssim").axes[0].containers


def test_a_published_mean_without_deviation_is_a_diamond_alone() -> None:
    assert score_comparison(scores(), published(), "mse").axes[0].containers[0][0].get_xdata().tolist() == [0.09]


def test_scores_of_two_splits_are_refused() -> None:
    both = pd.concat([scores(1), scores(1).assign(split="shadow_validation")])
    for draw in (lambda: score_comparison(both, published(), "ssim"), lambda: score_distributions(both, "ssim")):
        with pytest.raises(ValueError, match="`scores` must hold one split; got test, shadow_validation"):
            draw()


def test_a_published_row_that_stands_twice_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`published` must hold each row once for 'ssim'; got 'M_I\(O\)'"):
        score_comparison(scores(), pd.concat([published(), published()]), "ssim")


def test_a_metric_that_scores_lack_is_refused() -> None:
    with pytest.raises(ValueError, match="it lacks psnr"):
        score_comparison(scores(), published(), "psnr")


def test_distributions_have_one_shape_a_row() -> None:
    axes = score_distributions(scores(), "ssim", ROWS[::-1]).axes[0]
    assert len(axes.collections) == 2
    assert [text.get_text() for text in axes.get_yticklabels()] == [row_label(row) for row in ROWS[::-1]]


def test_distributions_take_equal_scores() -> None:
    figure = score_distributions(scores(1).assign(ssim=0.5), "ssim")
    figure.draw_without_rendering()


def test_heads_stand_beside_the_published_ones() -> None:
    ours, theirs = heads()
    axes = head_comparison(ours, theirs, "f1", "target_validation").axes[0]
    assert axes.collections[0].get_offsets()[:, 0].tolist() == pytest.approx([0.9, 0.95, 0.9, 0.95])
    assert [text.get_text() for text in axes.get_yticklabels()] == ["no activation, dropout", "ReLU, no dropout"]
    assert len(axes.containers) == 1


def test_heads_refuse_what_a_frame_does_not_hold() -> None:
    ours, theirs = heads()
    with pytest.raises(ValueError, match="`scores` must hold the metric 'f1' on the split 'test'"):
        head_comparison(ours, theirs, "f1", "test")
    with pytest.raises(ValueError, match="`published` must hold the metric 'f1' on the split 'target_validation'"):
        head_comparison(ours, theirs.assign(split="target_val"), "f1", "target_validation")


# --- names ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "label"),
    [
        ("target", "target"),
        ("M_T", "$M_T$"),
        ("X~", r"$\tilde{X}$"),
        ("X~/class_average", r"$\tilde{X}$ from class average"),
        ("class_instance", "class instance"),
        ("M_I(O)", "$M_I(O)$"),
        ("M_I(O+X~)/k=5", r"$M_I(O, \tilde{X})$, $k=5$"),
        ("M_I(X~)/rounded", r"$M_I(\tilde{X})$, rounded"),
        ("M_I(O+A_L+X~)/shadow-weights", r"$M_I(O, A_L, \tilde{X})$, shadow's weights"),
        ("None/no-dropout", "no activation, no dropout"),
        ("GELU/dropout", "GELU, dropout"),
        ("black_image", "black image"),
        ("5 $", r"5 \$"),
        ("baseline: M_I(label)", r"baseline: $M_I(\mathrm{label})$"),
        ("ceiling: M_I(O)/own-outputs", "reference: $M_I(O)$, shadow's own outputs"),
    ],
)
def test_row_labels(row: str, label: str) -> None:
    assert row_label(row) == label


def test_a_heat_map_prints_the_mean_of_each_class() -> None:
    axes = class_heatmap(scores(), "ssim", [ROWS[1]]).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == [row_label(ROWS[1])]
    expected = scores().query("row == @ROWS[1]").groupby("label")["ssim"].mean()
    assert [text.get_text() for text in axes.texts] == [f"{mean:.2f}" for mean in expected]


def test_a_heat_map_needs_classes() -> None:
    with pytest.raises(ValueError, match="it lacks label"):
        class_heatmap(scores().drop(columns="label"), "ssim")
