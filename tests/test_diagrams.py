"""Diagrams: their labels are the frame's, texts stay inside their boxes, and sides do not mix."""

import io
from collections.abc import Callable, Iterator
from itertools import pairwise

import matplotlib as mpl
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from mi_core.report.diagrams import layer_blocks, layer_table, workflow
from mi_core.report.diagrams.workflows import WORKFLOWS, Edge, Node
from mi_core.report.style import FULL_WIDTH, apply_style


@pytest.fixture(autouse=True)
def style() -> Iterator[None]:
    with mpl.rc_context():
        apply_style()
        yield


def architecture() -> pd.DataFrame:
    """Layers as PyTorch prints them, with sizes that no network of the study has."""
    lines = [
        ("classifier", "Conv2d", "3, 24, kernel_size=(5, 5), stride=(1, 1), padding=(2, 2)", "24x12x12", 1824),
        ("classifier", "BatchNorm2d", "24, eps=1e-05, momentum=0.1, affine=True", "24x12x12", 48),
        ("classifier", "MaxPool2d", "kernel_size=2, stride=2, padding=0, dilation=1", "24x6x6", 0),
        ("classifier", "ReLU", "", "24x6x6", 0),
        ("classifier", "Linear", "in_features=864, out_features=7, bias=True", "7", 6055),
        ("classifier", "Dropout", "p=0.25, inplace=False", "7", 0),
        ("inverse model", "ConvTranspose2d", "9, 40, kernel_size=(4, 4), stride=(1, 1)", "40x4x4", 5800),
        ("inverse model", "ConvTranspose2d", "40, 1, kernel_size=(4, 4), stride=(2, 2), padding=(1, 1)", "1x8x8", 641),
        ("inverse model", "Sigmoid", "", "1x8x8", 0),
    ]
    return pd.DataFrame(lines, columns=["model", "layer", "detail", "shape", "parameters"])


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


DIAGRAMS: dict[str, Callable[[], Figure]] = {
    "blocks of the classifier": lambda: layer_blocks(architecture(), "classifier"),
    "blocks of the inverse model": lambda: layer_blocks(architecture(), "inverse model"),
    "layers of the classifier": lambda: layer_table(architecture(), "classifier"),
    "layers of the inverse model": lambda: layer_table(architecture(), "inverse model"),
    "training": lambda: workflow("training"),
    "testing": lambda: workflow("testing"),
}


@pytest.mark.parametrize("name", DIAGRAMS)
def test_same_frame_same_svg(name: str) -> None:
    contents = []
    for _ in range(2):
        contents.append(io.BytesIO())
        DIAGRAMS[name]().savefig(contents[-1], format="svg", metadata={"Date": None})
    assert contents[0].getvalue() == contents[1].getvalue()


@pytest.mark.parametrize("name", DIAGRAMS)
def test_texts_do_not_overlap_and_stay_on_the_canvas(name: str) -> None:
    figure = DIAGRAMS[name]()
    figure.draw_without_rendering()
    assert figure.get_size_inches()[0] == FULL_WIDTH
    boxes = {text.get_text(): text.get_window_extent() for text in figure.axes[0].texts}
    assert all(figure.bbox.containsx(x) for box in boxes.values() for x in (box.x0, box.x1))
    assert all(figure.bbox.containsy(y) for box in boxes.values() for y in (box.y0, box.y1))
    extents = [text.get_window_extent() for text in figure.axes[0].texts]
    for number, box in enumerate(extents):
        assert not box.count_overlaps(extents[number + 1 :])


# --- networks ------------------------------------------------------------------------------------------------------


def test_blocks_carry_the_shapes_of_the_frame() -> None:
    drawn = texts(layer_blocks(architecture(), "classifier"))
    assert drawn[0::2] == ["3×12×12", "24×6×6", "864", "7"]
    assert drawn[1::2] == ["input", "Conv 5×5\nBatchNorm\nMaxPool 2×2\nReLU", "flatten", "Linear\nDropout 0.25"]


def test_the_first_shape_of_a_transposed_network_follows_from_its_first_layer() -> None:
    drawn = texts(layer_blocks(architecture(), "inverse model"))
    assert drawn[0::2] == ["9×1×1", "40×4×4", "1×8×8"]
    assert drawn[3::2] == ["ConvT 4×4, stride 1", "ConvT 4×4, stride 2\nSigmoid"]


def test_the_table_has_a_box_a_layer_and_the_total() -> None:
    figure = layer_table(architecture(), "classifier")
    drawn = texts(figure)
    assert sum(isinstance(patch, FancyBboxPatch) for patch in figure.axes[0].patches) == 6
    assert drawn[4:8] == ["Conv", "3 → 24 channels, 5×5, stride 1, padding 2", "24×12×12", "1,824"]
    assert {"24 channels", "2×2, stride 2", "p = 0.25", "864 → 7, after flattening 24×6×6"} <= set(drawn)
    assert drawn[-2:] == ["total", "7,927"]


def test_a_setting_without_a_rule_is_printed_as_it_came() -> None:
    frame = architecture().replace({"layer": {"ReLU": "LeakyReLU"}})
    frame.loc[frame["layer"] == "LeakyReLU", "detail"] = "negative_slope=0.01"
    assert {"LeakyReLU", "negative_slope=0.01"} <= set(texts(layer_table(frame, "classifier")))


def test_replicates_of_one_network_are_drawn_once() -> None:
    twice = pd.concat([architecture().assign(replicate=number) for number in (0, 1)])
    for draw in (layer_blocks, layer_table):
        assert texts(draw(twice, "classifier")) == texts(draw(architecture(), "classifier"))


@pytest.mark.parametrize("draw", [layer_blocks, layer_table])
def test_networks_refuse(draw: Callable[[pd.DataFrame, str], Figure]) -> None:
    with pytest.raises(ValueError, match="`model` must be one of classifier, inverse model; got 'M_T'"):
        draw(architecture(), "M_T")
    with pytest.raises(ValueError, match="`architecture` must have the columns .*; it lacks shape"):
        draw(architecture().drop(columns="shape"), "classifier")


# --- workflows -----------------------------------------------------------------------------------------------------


def arrows(kind: str) -> set[tuple[str, str]]:
    """From box to box; the fork is a point on the line that leaves O."""
    names = [(edge.start.split(".")[0], edge.end.split(".")[0]) for edge in WORKFLOWS[kind][3]]
    return {("O" if start == "fork" else start, end) for start, end in names}


def side_of(kind: str, node: Node) -> str:
    return next(
        zone.text.split(":")[0]
        for zone in WORKFLOWS[kind][1]
        if zone.left < node.x - node.width / 2
        and node.x + node.width / 2 < zone.right
        and zone.bottom < node.y - node.height / 2
        and node.y + node.height / 2 < zone.top
    )


def reachable(kind: str, start: str) -> set[str]:
    found, waiting = set(), {start}
    while waiting:
        found |= waiting
        waiting = {end for begin, end in arrows(kind) if begin in waiting} - found
    return found


@pytest.mark.parametrize("kind", WORKFLOWS)
def test_every_box_is_drawn_on_one_side_with_its_text_inside(kind: str) -> None:
    figure = workflow(kind)
    figure.draw_without_rendering()
    to_inches = figure.dpi_scale_trans.inverted()
    for node in WORKFLOWS[kind][2]:
        assert side_of(kind, node)
        if node.text:
            text = next(text for text in figure.axes[0].texts if text.get_text() == node.text)
            drawn = text.get_window_extent().transformed(to_inches)
            assert drawn.width < node.width and drawn.height < node.height


@pytest.mark.parametrize("kind", WORKFLOWS)
def test_no_text_beside_an_arrow_lies_on_a_box(kind: str) -> None:
    figure = workflow(kind)
    figure.draw_without_rendering()
    labels = [edge.text for edge in WORKFLOWS[kind][3] if edge.text]
    boxes = [patch.get_window_extent() for patch in figure.axes[0].patches if isinstance(patch, FancyBboxPatch)]
    for text in figure.axes[0].texts:
        assert text.get_text() not in labels or not text.get_window_extent().count_overlaps(boxes)


@pytest.mark.parametrize("kind", WORKFLOWS)
def test_straight_arrows_are_straight(kind: str) -> None:
    for patch in workflow(kind).axes[0].patches:
        if hasattr(patch, "get_arrowstyle"):
            points = patch._path_original.vertices
            assert all(
                start[0] == pytest.approx(end[0]) or start[1] == pytest.approx(end[1])
                for start, end in pairwise(points)
            )


def test_training_needs_nothing_of_the_target() -> None:
    sides = {node.name: side_of("training", node) for node in WORKFLOWS["training"][2]}
    assert {name for name, side in sides.items() if side == "target's side"} == {"D_T^T", "M_T"}
    assert all(sides[start] == sides[end] for start, end in arrows("training"))
    assert {("D_S^T", "M_S"), ("M_S", "O"), ("x^", "loss"), ("D_S^T", "loss"), ("loss", "M_I")} <= arrows("training")


def test_in_testing_only_outputs_reach_the_attacker_and_scores_alone_see_the_images() -> None:
    sides = {node.name: side_of("testing", node) for node in WORKFLOWS["testing"][2]}
    crossings = {(start, end) for start, end in arrows("testing") if sides[start] != sides[end]}
    assert crossings == {("defence", "O"), ("D_F", "scores"), ("x^", "scores")}
    assert reachable("testing", "O") >= {"gradient", "recovery", "X~", "A_L", "choice", "M_I", "x^", "scores"}


def test_an_unknown_workflow_is_refused() -> None:
    with pytest.raises(ValueError, match="`kind` must be one of training, testing; got 'attack'"):
        workflow("attack")


def test_boxes_and_arrows_are_frozen() -> None:
    for made in (Node("a", "a", 0, 0, "value"), Edge("a.top", "b.top")):
        with pytest.raises(AttributeError):
            made.text = "b"
