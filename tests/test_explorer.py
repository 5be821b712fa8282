"""The explorer: what it is made from, and how it works by mouse and by keyboard, opened as a file."""

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from browsing import Visit
from PIL import Image
from playwright.sync_api import Browser, Page

from mi_core.defenses import round_outputs, truncate_outputs
from mi_core.report.explorer import COLUMNS, EXPERIMENTS, SIDE, draw_images, explorer, explorer_data, sprite
from mi_core.study.results import Results, open_results

HALF_A_SHADE = 255 / 31 / 2 + 0.5
LABELS = pd.Series(np.arange(400) % 10, index=np.arange(400)).drop(range(9, 400, 20))  # few nines


@pytest.fixture(scope="module")
def results() -> Results:
    return open_results("published", together=EXPERIMENTS)


@pytest.fixture(scope="module")
def data(results: Results) -> dict[str, Any]:
    return explorer_data(results)


def test_fifteen_images_a_class_are_drawn_by_the_seed_alone() -> None:
    drawn = draw_images(LABELS)
    assert draw_images(LABELS.sample(frac=1, random_state=0)) == drawn
    assert draw_images(LABELS, seed=1) != drawn
    assert LABELS[drawn].value_counts().tolist() == [15] * 10
    assert LABELS[drawn].is_monotonic_increasing
    assert len(set(drawn)) == len(drawn)


def test_a_class_with_fewer_images_is_shown_whole() -> None:
    few = LABELS[LABELS != 4].drop(LABELS.index[LABELS == 2][3:])
    drawn = draw_images(few)
    assert few[drawn].value_counts()[2] == 3
    assert 4 not in set(few[drawn])


def cut(sheet: np.ndarray, place: int) -> np.ndarray:
    line, column = divmod(place, COLUMNS)
    return sheet[line * SIDE : (line + 1) * SIDE, column * SIDE : (column + 1) * SIDE].astype(float)


def test_a_sprite_holds_every_tile_at_its_place_to_half_a_shade() -> None:
    tiles = [tile.tobytes() for tile in np.random.default_rng(0).integers(0, 256, (70, SIDE * SIDE), dtype=np.uint8)]
    content = sprite(tiles)
    assert sprite(tiles) == content
    sheet = np.asarray(Image.open(io.BytesIO(content)).convert("L"))
    assert sheet.shape == (3 * SIDE, COLUMNS * SIDE)
    for place, tile in enumerate(tiles):
        exact = np.frombuffer(tile, np.uint8).reshape(SIDE, SIDE)
        assert abs(cut(sheet, place) - exact).max() <= HALF_A_SHADE


def test_pictures_scores_and_outputs_are_those_of_the_results(results: Results, data: dict[str, Any]) -> None:
    content = base64.b64decode(data["sprite"].removeprefix("data:image/png;base64,"))
    sheet = np.asarray(Image.open(io.BytesIO(content)).convert("L"))
    gallery = results.frame("gallery").query("replicate == 0").set_index(["row", "image"])["pixels"]
    numbers = [image["number"] for image in data["images"]]
    for row in ("target", "M_I(X~)", "M_I(O)/k=3", "X~/random", "baseline: class average"):
        for number, place in zip(numbers, data["rows"][row]["tiles"], strict=True):
            published = np.frombuffer(gallery[row, number], np.uint8).reshape(SIDE, SIDE)
            assert (cut(sheet, place) == published).all()
    for table, row in (("table4", "M_I(X~)"), ("table5", "M_I(O)/rounded"), ("table6", "M_I(X~)/k=1")):
        frame = results.frame(table).query("row == @row and replicate == 0 and inverse_seed == 0").set_index("image")
        for metric in ("ssim", "mse"):
            assert data["rows"][row][metric] == pytest.approx(frame.loc[numbers, metric].tolist(), abs=6e-5)
            assert data["rows"][row]["mean"][metric] == pytest.approx(frame[metric].mean(), abs=6e-5)
        assert [image["predicted"] for image in data["images"]] == frame.loc[numbers, "predicted"].tolist()
        assert [image["label"] for image in data["images"]] == frame.loc[numbers, "label"].tolist()


def test_attacks_take_the_gray_box_row_and_name_the_other_one_apart(data: dict[str, Any]) -> None:
    rows = {attack["name"]: attack["rows"] for attack in data["attacks"]}
    assert rows["M_I(A_L)"] == {"10": "M_I(A_L)/shadow-weights"}
    assert rows["M_I(A_L)/target-weights"] == {"10": "M_I(A_L)"}
    assert set(rows["M_I(X~)"]) == {"10", "5", "3", "1", "rounded"}
    assert len([attack for attack in data["attacks"] if attack["group"] == "inverse"]) == 7


def test_the_fragment_is_the_same_each_time_and_small_at_the_largest_scale(results: Results) -> None:
    fragment = explorer(results)
    assert fragment == explorer(results)
    images = len(explorer_data(results)["images"])
    assert len(fragment.encode()) * 150 / images < 1_900_000
    assert fragment.count("</script>") == 2


# --- in a browser ---


@pytest.fixture(scope="module")
def address(results: Results, tmp_path_factory: pytest.TempPathFactory) -> str:
    path: Path = tmp_path_factory.mktemp("explorer") / "explorer.html"
    path.write_text(f'<!doctype html><html lang="en"><meta charset="utf-8"><title>x</title>{explorer(results)}')
    return path.as_uri()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    with Visit(browser, address) as visit:
        yield visit.page
        assert visit.errors == []
        assert visit.outside == []


def answer(page: Page) -> list[float]:
    return json.loads(page.locator(".bars").get_attribute("data-answer"))


def shown_ssim(page: Page) -> float:
    """SSIM below the attack's picture, without the mean beside it."""
    return float(page.locator(".view:nth-child(2) dd").first.evaluate("dd => dd.firstChild.textContent"))


def place(page: Page, card: int) -> int:
    tile = f".view:nth-child({card}) .tile"
    style = "tile => ['--line', '--column'].map(name => Number(tile.style.getPropertyValue(name)))"
    line, column = page.locator(tile).evaluate(style)
    return line * COLUMNS + column


def test_by_mouse_a_reader_picks_digit_image_and_attack(page: Page, data: dict[str, Any]) -> None:
    page.locator(".digits").get_by_label("digit 7").check(force=True)
    sevens = [index for index, image in enumerate(data["images"]) if image["label"] == 7]
    assert page.locator(".images input").count() == len(sevens)
    page.locator(".images input").nth(2).check(force=True)
    page.locator(".attacks").get_by_label("inverse model on O:").check(force=True)
    assert place(page, 1) == data["rows"]["target"]["tiles"][sevens[2]]
    assert place(page, 2) == data["rows"]["M_I(O)"]["tiles"][sevens[2]]
    assert shown_ssim(page) == data["rows"]["M_I(O)"]["ssim"][sevens[2]]


def test_another_image_comes_at_random(page: Page) -> None:
    before = place(page, 1)
    page.get_by_role("button", name="Another one at random").click()
    assert place(page, 1) != before
    assert page.locator(".images input:checked").count() == 1


def test_by_keyboard_the_slider_hides_outputs_as_the_defence_does(page: Page, data: dict[str, Any]) -> None:
    exact = torch.tensor([data["images"][0]["outputs"]])
    page.locator(".truncation").focus()
    for k in (5, 3, 1):
        page.keyboard.press("ArrowRight")
        assert page.locator(".truncation").get_attribute("aria-valuetext") == f"{k} of 10"
        assert answer(page) == pytest.approx(truncate_outputs(exact, k)[0].tolist())
        assert shown_ssim(page) == data["rows"][f"M_I(X~)/k={k}"]["ssim"][0]
        assert page.locator(".bars .hidden").count() == 10 - k
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert page.locator(".truncation").get_attribute("aria-valuetext") == "10 of 10"
    assert answer(page) == pytest.approx(round_outputs(exact)[0].tolist())
    assert shown_ssim(page) == data["rows"]["M_I(X~)/rounded"]["ssim"][0]


def test_by_keyboard_arrows_move_over_images_and_attacks(page: Page, data: dict[str, Any]) -> None:
    page.locator(".images input:checked").focus()
    page.keyboard.press("ArrowRight")
    assert place(page, 1) == data["rows"]["target"]["tiles"][1]
    page.locator(".attacks input:checked").focus()
    names = [attack["name"] for attack in data["attacks"]]
    for name in names[names.index("M_I(X~)") + 1 :]:
        page.keyboard.press("ArrowRight")
        row = next(attack["rows"]["10"] for attack in data["attacks"] if attack["name"] == name)
        assert shown_ssim(page) == data["rows"][row]["ssim"][1]


def test_an_attack_without_a_row_under_a_defence_says_so(page: Page) -> None:
    page.locator(".attacks").get_by_label("inverse model on A L:").check(force=True)
    page.locator(".rounding").check()
    assert "not computed" in page.locator(".reading").inner_text()
    assert page.locator(".view .absent").count() == 1
    page.locator(".rounding").uncheck()
    assert "what the label alone gives" in page.locator(".reading").inner_text()


def test_every_image_is_rounded_and_truncated_as_in_the_study(page: Page, data: dict[str, Any]) -> None:
    for index, image in enumerate(data["images"][:: len(data["images"]) // 12]):
        page.locator(".digits").get_by_label(f"digit {image['label']}").check(force=True)
        page.locator(".images").get_by_label(f"image {image['number']},").check(force=True)
        exact = torch.tensor([image["outputs"]])
        page.locator(".truncation").fill(str(1 + index % 3))
        assert answer(page) == pytest.approx(truncate_outputs(exact, (5, 3, 1)[index % 3])[0].tolist())
        page.locator(".rounding").check()
        assert answer(page) == pytest.approx(round_outputs(exact)[0].tolist())
        page.locator(".rounding").uncheck()
