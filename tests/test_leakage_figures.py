"""Figures of re-identification and of uncertainty: where points stand, what is said of what cannot be known."""

import io
from collections.abc import Callable, Iterator

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Annotation

from mi_core.report.figures import detection_curve, difference_forest, leakage_scatter, variance_bars
from mi_core.report.figures.leakage import KIND_LOOKS, MARKED_RATES, spread_out
from mi_core.report.style import FULL_WIDTH, apply_style, row_label

ATTACKS = (
    *("M_I(O)", "M_I(A_L)", "M_I(X~)", "M_I(O+A_L)", "M_I(O+X~)", "M_I(A_L+X~)", "M_I(O+A_L+X~)"),
    *("M_I(A_L)/shadow-weights", "M_I(O+A_L+X~)/shadow-weights", "M_I(O)/rounded", "M_I(X~)/rounded"),
    *(f"M_I({inside})/k={k}" for inside in ("O", "X~", "O+X~") for k in (1, 5)),
    *("X~/random", "X~/class_instance", "X~/class_average"),
)
KINDS = {
    **dict.fromkeys(ATTACKS, "attack"),
    **dict.fromkeys(("baseline: class average", "baseline: SSIM-optimal class image"), "baseline"),
    **dict.fromkeys(("ceiling: nearest image of the attacker", "ceiling: M_I(O)/own-outputs"), "ceiling"),
}


@pytest.fixture(autouse=True)
def style() -> Iterator[None]:
    with mpl.rc_context():
        apply_style()
        yield


# --- frames --------------------------------------------------------------------------------------------------------


def points(replicates: int = 3, rows: tuple[str, ...] = tuple(KINDS)) -> pd.DataFrame:
    """Rows lie on a line, close to one another; replicates 0.01 apart."""
    lines = [
        (row, KINDS[row], replicate, 0.2 + 0.01 * place + 0.01 * replicate, 0.5 + 0.004 * place + 0.01 * replicate)
        for place, row in enumerate(rows)
        for replicate in range(replicates)
    ]
    return pd.DataFrame(lines, columns=["row", "kind", "replicate", "ssim", "auc"])


def differences() -> pd.DataFrame:
    """Two comparisons; the second has no interval, and no AUC."""
    lines = [
        ("M_I(O+X~)", "M_I(O)", "ssim", 0.05, 0.02, 0.08),
        ("M_I(O+X~)", "M_I(O)", "mse", -0.01, -0.02, 0.001),
        ("M_I(O+X~)", "M_I(O)", "auc", 0.2, 0.1, 0.3),
        ("rounded to one decimal", "baseline: SSIM-optimal class image", "ssim", 0.02, np.nan, np.nan),
        ("rounded to one decimal", "baseline: SSIM-optimal class image", "mse", 0.003, np.nan, np.nan),
    ]
    return pd.DataFrame(lines, columns=["label", "reference", "metric", "mean", "low", "high"])


def components() -> pd.DataFrame:
    """All known; one seed; one replicate; one of both."""
    lines = [
        ("M_I(O+X~)", 0.0001, 0.0004, 0.0036, 0.0059),
        ("X~/class_average", 0.0025, np.nan, 0.0075, np.nan),
        ("M_I(O)/k=5", np.nan, 0.0016, 0.0064, 0.002),
        ("baseline: SSIM-optimal class image", np.nan, np.nan, 0.01, np.nan),
    ]
    return pd.DataFrame(lines, columns=["row", "replicate", "inverse_seed", "image", "rest"])


def shares(replicates: int = 2) -> pd.DataFrame:
    """Of 200 images of the first row in replicate 0 two have no nearer impostor, and each other one in 200 more."""
    ladder = np.concatenate([[0.0, 0.0], np.arange(1, 199) / 200])
    parts = [
        pd.DataFrame({"row": row, "replicate": replicate, "false_positives": ladder ** (1 + place + 0.1 * replicate)})
        for place, row in enumerate(("M_I(O)", "M_I(O+X~)", "baseline: SSIM-optimal class image"))
        for replicate in range(replicates)
    ]
    return pd.concat(parts, ignore_index=True).sample(frac=1, random_state=0)


FIGURES: dict[str, Callable[[], Figure]] = {
    "leakage_scatter": lambda: leakage_scatter(points()),
    "leakage_scatter of few": lambda: leakage_scatter(points(1, ATTACKS[:3])),
    "difference_forest": lambda: difference_forest(differences().assign(agreeing=4, count=5)),
    "difference_forest of one": lambda: difference_forest(differences(), ("mse",)),
    "variance_bars": lambda: variance_bars(components()),
    "variance_bars of one": lambda: variance_bars(components().iloc[:1]),
    "detection_curve": lambda: detection_curve(shares(), rows=["M_I(O+X~)", "baseline: SSIM-optimal class image"]),
}


def texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def legend_texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


# --- all figures ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FIGURES)
def test_same_frame_same_svg(name: str) -> None:
    contents = []
    for _ in range(2):
        contents.append(io.BytesIO())
        FIGURES[name]().savefig(contents[-1], format="svg", metadata={"Date": None})
    assert contents[0].getvalue() == contents[1].getvalue()


@pytest.mark.parametrize("name", FIGURES)
def test_nothing_is_cut_off_and_nothing_stays_open(name: str) -> None:
    figure = FIGURES[name]()
    figure.draw_without_rendering()
    width, height = figure.get_size_inches()
    drawn = figure.get_tightbbox()
    assert drawn.x0 >= 0 and drawn.y0 >= 0 and drawn.x1 <= width <= FULL_WIDTH and drawn.y1 <= height
    assert pyplot.get_fignums() == []


@pytest.mark.parametrize("name", FIGURES)
def test_texts_do_not_overlap(name: str) -> None:
    figure = FIGURES[name]()
    figure.draw_without_rendering()
    shown = [text for axes in figure.axes for text in (*axes.texts, axes.title, axes.xaxis.label) if text.get_text()]
    # Of an annotation its text alone: the line to a marker may pass by other names.
    boxes = [mpl.text.Text.get_window_extent(text) for text in shown]
    for number, box in enumerate(boxes):
        assert not box.count_overlaps(boxes[number + 1 :]), shown[number].get_text()


@pytest.mark.parametrize(
    ("make", "draw"),
    [
        (points, leakage_scatter),
        (differences, difference_forest),
        (components, variance_bars),
        (shares, lambda frame: detection_curve(frame, rows=["M_I(O)"])),
    ],
)
def test_a_frame_is_not_changed_and_a_missing_column_or_line_is_named(make: Callable, draw: Callable) -> None:
    frame = make()
    draw(frame)
    pd.testing.assert_frame_equal(frame, make())
    with pytest.raises(ValueError, match=r"must have the columns .*; it lacks "):
        draw(frame.drop(columns=frame.columns[-1]))
    with pytest.raises(ValueError, match="must have at least one line"):
        draw(frame.iloc[:0])


# --- leakage_scatter -----------------------------------------------------------------------------------------------

FEW = ("M_I(O)", "baseline: class average", "ceiling: M_I(O)/own-outputs")


def test_markers_are_means_in_the_look_of_their_kind_and_dots_are_replicates() -> None:
    figure = leakage_scatter(points(3, FEW))
    *markers, dots = figure.axes[0].collections
    assert legend_texts(figure) == ["attack", "baseline", "reference", "one replicate"]
    for place, (marker, kind) in enumerate(zip(markers, KIND_LOOKS, strict=True)):
        assert marker.get_offsets().tolist() == [pytest.approx([0.21 + 0.01 * place, 0.51 + 0.004 * place])]
        assert to_hex(marker.get_facecolor()) == KIND_LOOKS[kind][0].lower()
    assert len({marker.get_paths()[0].vertices.tobytes() for marker in markers}) == 3
    assert dots.get_offsets().tolist() == points(3, FEW)[["ssim", "auc"]].to_numpy().tolist()
    assert dots.get_sizes()[0] < markers[0].get_sizes()[0] / 4


@pytest.mark.parametrize(("replicates", "dots"), [(1, 0), (2, 2), (10, 10), (11, 0)])
def test_replicates_are_dots_where_there_are_two_to_ten(replicates: int, dots: int) -> None:
    drawn = leakage_scatter(points(replicates, ATTACKS[:1])).axes[0].collections
    assert sum(len(collection.get_offsets()) for collection in drawn[1:]) == dots


def test_dots_are_drawn_of_those_rows_that_have_several_replicates() -> None:
    frame = points(2, FEW)
    frame = frame[(frame["replicate"] == 0) | (frame["row"] == FEW[0])]
    assert len(leakage_scatter(frame).axes[0].collections[-1].get_offsets()) == 2


def test_names_stand_in_the_order_of_height_and_each_is_led_to_its_marker() -> None:
    frame = points(1).sample(frac=1, random_state=2)
    axes = leakage_scatter(frame).axes[0]
    names = [text for text in axes.texts if text.get_text() not in ("", "chance")]
    assert [name.get_text() for name in names] == [row_label(row) for row in KINDS]  # from the lowest upwards
    heights = [name.get_position()[1] for name in names]
    assert heights == sorted(heights) and heights[0] >= 0 and heights[-1] <= 1
    leaders = [text for text in axes.texts if isinstance(text, Annotation) and not text.get_text()]
    assert [leader.xy for leader in leaders] == list(points(1)[["ssim", "auc"]].itertuples(index=False, name=None))
    assert [leader.xyann[1] for leader in leaders] == heights


def test_a_name_with_room_stands_at_the_height_of_its_marker() -> None:
    frame = points(1, ATTACKS[:3]).assign(auc=[0.5, 0.7, 0.9])
    figure = leakage_scatter(frame)
    figure.draw_without_rendering()
    axes = figure.axes[0]
    for name, height in zip(
        [text for text in axes.texts if text.get_text().startswith("$")], frame["auc"], strict=True
    ):
        assert axes.get_ylim()[0] + name.get_position()[1] * np.ptp(axes.get_ylim()) == pytest.approx(height)


def test_chance_is_a_dashed_line_that_is_seen_or_none() -> None:
    frame = points(1, ATTACKS[:3]).assign(auc=[0.8, 0.85, 0.9])
    axes = leakage_scatter(frame, chance=0.4).axes[0]
    (line,) = [line for line in axes.lines if line.get_linestyle() != "None"]
    assert line.get_ydata() == [0.4, 0.4] and line.get_linestyle() == "--"
    assert axes.get_ylim()[0] < 0.4 and "chance" in texts(axes)
    without = leakage_scatter(frame, chance=None).axes[0]
    assert "chance" not in texts(without) and without.get_ylim()[0] > 0.7


def test_other_measures_are_drawn_too() -> None:
    axes = leakage_scatter(points(1).assign(rank=3.0), x="rank", y="ssim", chance=None).axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("rank", "SSIM")


@pytest.mark.parametrize(
    ("wanted", "step", "places"),
    [
        ([0.1, 0.5, 0.9], 0.2, [0.1, 0.5, 0.9]),
        ([0.5, 0.5], 0.2, [0.4, 0.6]),
        ([0.5, 0.5, 0.5, 0.95], 0.1, [0.4, 0.5, 0.6, 0.95]),
        ([0.0, 0.01, 0.5], 0.1, [0.0, 0.1, 0.5]),
        ([1.0, 1.0, 1.0], 0.25, [0.5, 0.75, 1.0]),
        ([0.2, 0.2, 0.2], 0.9, [0.0, 0.5, 1.0]),
        ([0.3], 0.5, [0.3]),
    ],
)
def test_places_are_spread_no_further_than_needed(wanted: list[float], step: float, places: list[float]) -> None:
    assert spread_out(np.array(wanted), step).tolist() == pytest.approx(places)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "defence"}, "`kind` must be among attack, baseline, ceiling; got 'defence'"),
        (
            {"kind": ["attack", "attack", "ceiling", "ceiling"]},
            r"must give a row one kind; got several for 'M_I\(X~\)'",
        ),
        ({"auc": [0.5, np.nan, 0.5, 0.5]}, "`points` must have finite numbers in auc"),
        ({"replicate": [0, 0, 1, 1]}, r"must hold each row and replicate once; got M_I\(X~\), 1 again"),
    ],
)
def test_the_scatter_refuses(change: dict, message: str) -> None:
    frame = pd.concat([points(1, ATTACKS[:1]), points(3, ATTACKS[2:3])], ignore_index=True)
    with pytest.raises(ValueError, match=message):
        leakage_scatter(frame.assign(**change))


# --- difference_forest ---------------------------------------------------------------------------------------------


def test_a_forest_has_a_panel_a_metric_and_a_line_a_comparison() -> None:
    figure = difference_forest(differences())
    assert [axes.get_title() for axes in figure.axes] == [f"difference of {name}" for name in ("SSIM", "MSE", "AUC")]
    first, _, last = figure.axes
    intervals, means = first.collections
    assert means.get_offsets().tolist() == [[0.05, 0], [0.02, 1]]
    assert [segment.tolist() for segment in intervals.get_segments()] == [[[0.02, 0], [0.08, 0]]]  # the other: a point
    assert last.collections[1].get_offsets().tolist() == [[0.2, 0]]
    assert texts(first) == [
        *("$M_I(O, \\tilde{X})$", "against $M_I(O)$"),
        *("rounded to one decimal", "against baseline: SSIM-optimal class image"),
    ]
    assert texts(last) == []


def test_panels_share_their_lines_and_all_show_zero() -> None:
    for axes in difference_forest(differences()).axes:
        assert axes.get_ylim() == (1.5, -0.5)
        assert axes.lines[0].get_xdata() == [0, 0]
        low, high = axes.get_xlim()
        assert low < 0 < high


def test_a_forest_says_which_direction_helps_the_attacker() -> None:
    frame = pd.concat([differences(), differences().replace({"metric": {"ssim": "rank"}}).query("metric == 'rank'")])
    notes = [axes.get_xlabel() for axes in difference_forest(frame, ("mse", "auc", "ssim", "rank")).axes]
    assert notes == [*(f"{side} is better\nfor the attacker" for side in ("lower", "higher", "higher")), ""]


def test_agreement_is_printed_beside_its_line() -> None:
    frame = differences().assign(agreeing=[5, 4, 3, np.nan, 1])
    second = difference_forest(frame).axes[1]
    assert [(text.get_text(), text.get_position()[1]) for text in second.texts] == [("agree", -0.5), ("4", 0), ("1", 1)]
    assert texts(difference_forest(frame).axes[0])[:2] == ["agree", "5"]
    assert texts(difference_forest(frame.assign(count=5)).axes[2]) == ["agree", "3/5"]


def test_texts_with_formulas_of_their_own_are_printed_as_they_are() -> None:
    frame = differences().replace({"M_I(O+X~)": r"adding $A_L$", "M_I(O)": ""})
    assert texts(difference_forest(frame).axes[0])[:2] == [r"adding $A_L$", "rounded to one decimal"]


@pytest.mark.parametrize(
    ("frame", "metrics", "message"),
    [
        (differences(), ("psnr",), "`metrics` must be among ssim, mse, auc; got 'psnr'"),
        (differences(), (), "`metrics` must have at least one element"),
        (pd.concat([differences(), differences()]), ("mse",), r"must hold each .* once; got M_I\(O\+X~\), .*, mse"),
        (differences().assign(mean=np.nan), ("mse",), "`differences` must have finite numbers in mean"),
    ],
)
def test_the_forest_refuses(frame: pd.DataFrame, metrics: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        difference_forest(frame, metrics)


# --- variance_bars -------------------------------------------------------------------------------------------------


def bars() -> np.ndarray:
    """(component, row)"""
    return np.array([list(container) for container in variance_bars(components()).axes[0].containers])


def test_bars_are_shares_that_follow_one_another_up_to_one() -> None:
    widths = np.vectorize(lambda bar: bar.get_width())(bars())
    assert widths[:, 0].tolist() == pytest.approx([0.01, 0.04, 0.36, 0.59])
    assert widths[:, 1].tolist() == pytest.approx([0.25, 0, 0.75, 0])
    lefts = np.vectorize(lambda bar: bar.get_x())(bars())
    assert lefts[0].tolist() == [0] * 4
    assert (lefts + widths)[:-1] == pytest.approx(lefts[1:]) and (lefts + widths)[-1] == pytest.approx(np.ones(4))


def test_what_cannot_be_told_apart_and_what_holds_it_are_hatched() -> None:
    hatched = np.vectorize(lambda bar: bar.get_hatch() is not None)(bars())
    assert hatched.T.tolist() == [
        [False, False, False, False],
        [True, True, True, True],  # one seed: replicates hold the trainings, images the rest
        [True, False, False, False],  # one replicate, which nothing holds
        [True, True, True, True],
    ]


def test_names_say_why_and_numbers_are_standard_deviations() -> None:
    axes = variance_bars(components()).axes[0]
    notes = {text.get_text(): text.xy[1] for text in axes.texts if isinstance(text, Annotation) and text.xy[0] == 0}
    assert notes == {
        **{"$M_I(O, \\tilde{X})$": 0, "$\\tilde{X}$ from class average": 1, "$M_I(O)$, $k=5$": 2},
        **{"baseline: SSIM-optimal class image": 3, "one seed": 1, "one replicate": 2, "one replicate, one seed": 3},
    }
    numbers = {line: [text.get_text() for text in axes.texts if text.get_position() == (1, line)] for line in range(4)}
    assert numbers[0] == ["0.0100", "0.0200", "0.0600", "0.0768"]
    assert numbers[1] == ["0.0500", "–", "0.0866", "–"]
    assert "standard deviation" in texts(axes)


def test_the_legend_speaks_of_hatches_where_there_are_some() -> None:
    words = ["between replicates", "between trainings of $M_I$", "between images", "rest"]
    assert legend_texts(variance_bars(components())) == [*words, "not separable"]
    assert legend_texts(variance_bars(components().iloc[:1])) == words


def test_a_row_without_variance_has_an_empty_bar() -> None:
    frame = components().iloc[:1].assign(replicate=0.0, inverse_seed=0.0, image=0.0, rest=0.0)
    axes = variance_bars(frame).axes[0]
    assert [bar.get_width() for bar in axes.patches] == [0] * 4 and texts(axes).count("0.0000") == 4


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (components().assign(image=-0.1), "must have variances, or NaN; got a negative or infinite one"),
        (components().assign(image=np.inf), "must have variances, or NaN; got a negative or infinite one"),
        (components().assign(image=np.nan), "must have a variance for each row; got none for 'baseline: SSIM-optimal"),
        (pd.concat([components()] * 2), r"must hold each row once; got M_I\(O\+X~\) again"),
    ],
)
def test_variance_bars_refuse(frame: pd.DataFrame, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        variance_bars(frame)


# --- detection_curve -----------------------------------------------------------------------------------------------


def test_a_curve_is_the_distribution_function_and_exact_at_the_marks() -> None:
    frame = shares(1)
    line = next(line for line in detection_curve(frame, rows=["M_I(O)"]).axes[0].lines if "O" in line.get_label())
    rates, recognised = line.get_xdata(), line.get_ydata()
    expected = {0.0005: 0.01, 0.001: 0.01, 0.01: 0.02, 1.0: 1.0}  # two images at 0, one each at 0.005 and 0.01
    for rate, share in expected.items():
        assert recognised[np.isclose(rates, rate, rtol=1e-9)].tolist() == [share]
    of_row = frame.loc[frame["row"] == "M_I(O)", "false_positives"].to_numpy()
    assert recognised.tolist() == [(of_row <= rate).mean() for rate in rates]
    assert set(MARKED_RATES) <= set(rates) and len(rates) < 200


def test_both_axes_are_logarithmic_and_chance_and_two_rates_are_marked() -> None:
    figure = detection_curve(shares(1), rows=["M_I(O)"])
    axes = figure.axes[0]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert axes.get_xlim() == axes.get_ylim() == (0.0005, 1)
    upright = [line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == ":"]
    assert upright == [0.001, 0.01] and texts(axes) == ["at 0.1 %", "at 1 %"]
    chance = next(line for line in axes.lines if line.get_label() == "chance")
    assert chance.get_xydata().tolist() == [[0.0005, 0.0005], [1, 1]] and chance.get_linestyle() == "--"
    figure.draw_without_rendering()
    assert {"0.1 %", "1 %", "10 %", "100 %"} <= {text.get_text() for text in axes.get_xticklabels()}


def test_of_several_replicates_the_first_is_bold_and_named() -> None:
    figure = detection_curve(shares(3), rows=["M_I(O+X~)", "M_I(O)"])
    curves = [line for line in figure.axes[0].lines if len(line.get_xdata()) > 2]
    widths = [line.get_linewidth() for line in curves]
    assert widths[0] == widths[3] > 3 * max(widths[1], widths[2], *widths[4:])
    assert legend_texts(figure) == ["$M_I(O, \\tilde{X})$", "$M_I(O)$", "chance"]
    assert len({line.get_color() for line in curves[:3]}) == 1 and curves[0].get_color() != curves[3].get_color()
    alone = detection_curve(shares(1).drop(columns="replicate"), rows=["M_I(O)"]).axes[0]
    assert max(line.get_linewidth() for line in alone.lines) < widths[0]


def test_no_two_of_many_rows_look_the_same() -> None:
    rows = [f"M_I(O)/k={k}" for k in range(1, 11)]
    frame = pd.concat([shares(1).query("row == 'M_I(O)'").assign(row=row) for row in rows])
    curves = [line for line in detection_curve(frame, rows=rows).axes[0].lines if len(line.get_xdata()) > 2]
    assert len({(line.get_color(), line.get_linestyle()) for line in curves}) == 10


@pytest.mark.parametrize(
    ("change", "rows", "message"),
    [
        ({}, ["M_I(X~)"], r"`rows` must be among .*; got 'M_I\(X~\)'"),
        ({}, [], "`rows` must have at least one element"),
        ({"false_positives": 1.5}, ["M_I(O)"], "must have false_positives between 0 and 1"),
        ({"false_positives": np.nan}, ["M_I(O)"], "must have false_positives between 0 and 1"),
    ],
)
def test_the_curve_refuses(change: dict, rows: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        detection_curve(shares().assign(**change), rows=rows)
