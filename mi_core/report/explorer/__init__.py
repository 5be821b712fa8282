"""The explorer: a reader picks an image and a defence and sees what each attack makes of it.

A fragment of HTML with its style, script, data and pictures in it: it needs no network and no other file. Every picture
is a tile of one PNG, in grey from 0 to 1; scores are of the exact pixels.
"""

import base64
import io
import json
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from mi_core.report.style import START_LABELS
from mi_core.study.experiments import COMBINATIONS, SHADOW_MARK, STARTS, TRUNCATIONS
from mi_core.study.overview import rows_on_test
from mi_core.study.replicate import DECIMALS, SHADES
from mi_core.study.results import Results

__all__ = ["EXPERIMENTS", "draw_images", "explorer", "explorer_data", "sprite"]

EXPERIMENTS = ("gallery", "table3", "table4", "table5", "table6", "outputs target test")  # what it is made from
PER_CLASS = 15
SIDE = 32
COLUMNS = 32  # tiles side by side in the PNG
LABEL_ONLY, CLASS_AVERAGE = "baseline: SSIM-optimal class image", "baseline: class average"
EXACT, ROUNDED = "10", "rounded"  # names of defences; the others are their k
GROUPS = {
    "gradient": "Gradient reconstruction <i>X̃</i>",
    "inverse": "Inverse model <i>M<sub>I</sub></i> on",
    "target": "The same, <i>A<sub>L</sub></i> from the target's weights: no gray-box attack",
}
SELECTED = "M_I(X~)"  # at first: the best of the thesis
PARTS = {"O": "<i>O</i>", "A_L": "<i>A<sub>L</sub></i>", "X~": "<i>X̃</i>"}
SPOKEN = {"O": "O", "A_L": "A L", "X~": "X tilde"}


def explorer(results: Results) -> str:
    """The explorer of replicate 0 as HTML, equal from run to run.

    Raises:
        UserError: what it shows is neither published nor to be computed.
    """
    folder = files("mi_core.report.explorer")
    page, style, script = (folder.joinpath(f"explorer.{kind}").read_text("utf-8") for kind in ("html", "css", "js"))
    data = json.dumps(explorer_data(results), ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/")
    return page.replace("{style}", style).replace("{script}", script).replace("{data}", data)


def explorer_data(results: Results) -> dict[str, Any]:
    """What the script reads: images with their outputs, attacks by defence, a row of tiles and scores each.

    Returns:
        images: number in D_F, label, predicted class and ten outputs of each.
        attacks: name, group, title (HTML), spoken name, and the row that it has under each defence.
        rows: by name the tile of each image and, of reconstructions, ssim and mse of each and their means over all
            images of D_F that were attacked.
        sprite: the PNG with all tiles, as an address.
    """
    gallery = results.frame("gallery").query("replicate == 0")
    scores = rows_on_test(results).query("replicate == 0 and inverse_seed == 0")
    outputs = results.outputs("target", "test")[0]
    truth = gallery[gallery["row"] == "target"].set_index("image")
    images = draw_images(truth["label"])
    attacks = _attacks(set(gallery["row"]))
    names = ["target", LABEL_ONLY, CLASS_AVERAGE]
    names += dict.fromkeys(row for attack in attacks for row in attack["rows"].values())
    tiles, places = _unique_tiles(gallery, names, images)
    protocol = results.sizes("gallery").protocol
    return {
        "images": [_image(number, truth["label"], outputs[number]) for number in images],
        "attacks": attacks,
        "rows": {name: {"tiles": places[name], **_scores(scores, name, images)} for name in names},
        "groups": GROUPS,
        "selected": SELECTED,
        "labelOnly": LABEL_ONLY,
        "classAverage": CLASS_AVERAGE,
        "truncations": list(TRUNCATIONS),
        "decimals": DECIMALS,
        "fill": protocol.truncation_fill,
        "form": protocol.outputs,
        "attacked": len(truth),
        "columns": COLUMNS,
        "sprite": f"data:image/png;base64,{base64.b64encode(sprite(tiles)).decode()}",
    }


def draw_images(labels: pd.Series, *, per_class: int = PER_CLASS, seed: int = 0) -> list[int]:
    """Some images of each class, drawn at random.

    Args:
        labels: class by image number.
        per_class: so many a class; all of a class that has fewer.
        seed: equal seeds draw equal images.
    Returns:
        Image numbers, ordered by class, then by number.
    """
    draws = np.random.default_rng(seed)
    drawn = []
    for _, members in labels.sort_index().groupby(labels):
        count = min(per_class, len(members))
        drawn += sorted(int(image) for image in draws.choice(members.index, count, replace=False))
    return drawn


def sprite(tiles: Sequence[bytes]) -> bytes:
    """Pictures of 32 x 32 bytes as one PNG, ``COLUMNS`` in a line, each in ``SHADES`` shades from black to white."""
    lines = -(-len(tiles) // COLUMNS)
    sheet = np.zeros((lines * COLUMNS, SIDE, SIDE), np.uint8)
    sheet[: len(tiles)] = np.frombuffer(b"".join(tiles), np.uint8).reshape(-1, SIDE, SIDE)
    shades = (sheet / 255 * (SHADES - 1)).round().astype(np.uint8)
    picture = Image.fromarray(
        shades.reshape(lines, COLUMNS, SIDE, SIDE).swapaxes(1, 2).reshape(lines * SIDE, COLUMNS * SIDE)
    )
    picture.putpalette([round(shade * 255 / (SHADES - 1)) for shade in range(SHADES) for _ in "rgb"])
    content = io.BytesIO()
    picture.save(content, "png", optimize=True)
    return content.getvalue()


def _attacks(known: set[str]) -> list[dict[str, Any]]:
    """The attacks of which there are pictures, each with its row under every defence that it was computed for."""
    found = [
        _attack(f"X~/{start}", "gradient", f"from {START_LABELS[start]}", {EXACT: f"X~/{start}"})
        for start in reversed(STARTS)
    ]
    for combination in COMBINATIONS:
        name, parts = f"M_I({combination})", combination.split("+")
        title, spoken = (", ".join(words[part] for part in parts) for words in (PARTS, SPOKEN))
        twin = f"{name}{SHADOW_MARK}"
        rows = {EXACT: twin if twin in known else name, ROUNDED: f"{name}/rounded"}
        rows |= {str(k): f"{name}/k={k}" for k in TRUNCATIONS if str(k) != EXACT}
        found.append(_attack(name, "inverse", title, rows, spoken=f"inverse model on {spoken}"))
        if twin in known:
            spoken = f"inverse model on {spoken}, by the target's weights"
            found.append(_attack(f"{name}/target-weights", "target", title, {EXACT: name}, spoken=spoken))
    for attack in found:
        attack["rows"] = {defence: row for defence, row in attack["rows"].items() if row in known}
    by_group = sorted(found, key=lambda attack: list(GROUPS).index(attack["group"]))
    return [attack for attack in by_group if attack["rows"]]


def _attack(name: str, group: str, title: str, rows: dict[str, str], *, spoken: str = "") -> dict[str, Any]:
    spoken = spoken or f"gradient reconstruction {title}"
    return {"name": name, "group": group, "title": title, "spoken": spoken, "rows": rows}


def _image(number: int, labels: pd.Series, outputs: np.ndarray) -> dict[str, Any]:
    values = [float(str(value)) for value in outputs]  # as short as 32 bits allow
    return {
        "number": number,
        "label": int(labels[number]),
        "predicted": int(np.argmax(outputs)),
        "outputs": values,
    }


def _scores(scores: pd.DataFrame, row: str, images: Sequence[int]) -> dict[str, Any]:
    of_row = scores[scores["row"] == row].set_index("image")
    if of_row.empty:  # the true images
        return {}
    each = {metric: of_row.loc[images, metric].astype(float).round(4).tolist() for metric in ("ssim", "mse")}
    means = {metric: round(float(of_row[metric].astype(float).mean()), 4) for metric in ("ssim", "mse")}
    return {**each, "mean": means}


def _unique_tiles(
    gallery: pd.DataFrame, names: Sequence[str], images: Sequence[int]
) -> tuple[list[bytes], dict[str, list[int]]]:
    """Every picture once, in order of appearance, and by row the place of each image's."""
    place: dict[bytes, int] = {}
    by_row = gallery.set_index(["row", "image"])["pixels"]
    places = {name: [place.setdefault(bytes(by_row[name, image]), len(place)) for image in images] for name in names}
    return list(place), places
