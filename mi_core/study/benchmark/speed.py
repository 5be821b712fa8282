"""Reference against product, each in a process of its own and in turns, beside what the machine itself can do."""

import multiprocessing
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from mi_core import reference
from mi_core.attacks.gradient import reconstruct_images
from mi_core.attacks.inverse import fit_inverse_model
from mi_core.data import CLASSES, SIDE, draw_splits
from mi_core.metrics import mse_per_image, ssim_per_image
from mi_core.models import Classifier, InverseModel, frozen_for_inference
from mi_core.randomness import generator, seeded
from mi_core.study.parameters import THESIS_REGULARISERS
from mi_core.study.source import load_raw
from mi_core.study.stages import choose_precision, keep_freed_memory
from mi_core.training import fit

__all__ = ["UNITS", "count_operations", "measure_speed"]

BATCH = 32
IMAGES = 1340  # of D_F
WEIGHTS = dict(zip(("l2_weight", "tv_weight"), THESIS_REGULARISERS, strict=True))
PEAK_SIDE = 3072  # of the square matrices whose product is the machine's peak
PAUSE = 0.3  # seconds, in which the threads of the other process go to sleep

UNITS = {  # what is timed, and what is counted
    "building the splits": "data set",
    "training a classifier": "image",
    "gradient reconstruction": "image-step",
    "its convolutions alone": "image-step",
    "training M_I(O)": "image",
    "training M_I(X~)": "image",
    "SSIM and MSE of reconstructions": "image",
}

Work = Callable[[], int]  # does some of it and returns how many units that was


def measure_speed(
    data: Path, *, rounds: int = 5, units: Mapping[str, str] = UNITS, on_round: Callable[[], None] = lambda: None
) -> pd.DataFrame:
    """Time all kinds of work, reference and product in turns, and the machine's matrix products in the same rounds.

    Args:
        data: folder of the raw data, as ``mi_core.study.source.load_raw`` takes it.
        rounds: how often each is timed, after one round more that warms up.
        units: some of ``UNITS``.
        on_round: called after each round.
    Returns:
        A frame with a line for each of ``units``: work, unit, reference and product (units a second, medians), ratio
        (median of the rounds' ratios), ratio_low and ratio_high (their extremes), operations (floating-point
        operations a unit, NaN where that says nothing), reference_share and product_share (of the matrix-product peak
        in float32, and in the product's precision), peak_float32 and peak_product (operations a second, medians).
    """
    load_raw(data)  # fetched, if need be, before two processes ask for it
    rates: dict[str, list[tuple[float, ...]]] = {name: [] for name in units}
    with _worker("reference", data) as plain, _worker("product", data) as fast:
        operations = fast("operations")
        for number in range(rounds + 1):
            for name in units:
                rate = (plain(name), fast(name), plain("peak"), fast("peak"))
                if number > 0:
                    rates[name].append(rate)
            on_round()
    peaks = np.median([rate[2:] for of in rates.values() for rate in of], axis=0)
    lines = []
    for name, unit in units.items():
        slow, quick = np.array(rates[name]).T[:2]
        middle, count = (np.median(slow), np.median(quick)), operations.get(name, np.nan)
        lines.append(
            {
                "work": name,
                "unit": unit,
                "reference": middle[0],
                "product": middle[1],
                "ratio": np.median(quick / slow),
                "ratio_low": (quick / slow).min(),
                "ratio_high": (quick / slow).max(),
                "operations": count,
                "reference_share": middle[0] * count / peaks[0],
                "product_share": middle[1] * count / peaks[1],
                "peak_float32": peaks[0],
                "peak_product": peaks[1],
            }
        )
    return pd.DataFrame(lines)


@contextmanager
def _worker(side: str, data: Path) -> Iterator[Callable[[str], Any]]:
    """A process that does what it is told by name: the memory that one side keeps is of no use to the other."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(side, data, there), daemon=True)
    process.start()

    def ask(name: str) -> Any:
        time.sleep(PAUSE)
        here.send(name)
        return here.recv()

    try:
        yield ask
    finally:
        process.terminate()
        process.join()


def _serve(side: str, data: Path, connection: Connection) -> None:
    materials = Materials.of(data)
    precision = choose_precision("auto", torch.device("cpu"))
    if side == "product":
        keep_freed_memory()
        works: dict[str, Work] = _product(materials, precision)
    else:
        precision, works = torch.float32, _reference(materials)
    while True:
        name = connection.recv()
        if name == "operations":
            connection.send(count_operations(materials.pixels[:BATCH]))
        elif name == "peak":
            connection.send(max(_peak(precision) for _ in range(3)))
        else:
            started = time.perf_counter()
            units = works[name]()
            connection.send(units / (time.perf_counter() - started))


def _peak(dtype: torch.dtype) -> float:
    """Operations a second of a large matrix product."""
    one, other = (torch.ones(PEAK_SIDE, PEAK_SIDE, dtype=dtype) for _ in range(2))
    started = time.perf_counter()
    one @ other
    return 2 * PEAK_SIDE**3 / (time.perf_counter() - started)


@dataclass(frozen=True)
class Materials:
    """What both sides work on.

    Attributes:
        raw: training and test images with labels.
        data: images of the training file that are resized as they are read.
        pixels, labels: the same images, resized (IMAGES, 1, 32, 32), and their classes.
        outputs: (IMAGES, 10), of no model.
        classifier: not trained, in evaluation mode.
    """

    raw: Any
    data: reference.ResizedImages
    pixels: Tensor
    labels: Tensor
    outputs: Tensor
    classifier: Classifier

    @classmethod
    def of(cls, folder: Path) -> "Materials":
        raw = load_raw(folder)
        with seeded("benchmark"):
            indices = torch.randperm(len(raw[0][1]))[:IMAGES].numpy()
            data = reference.ResizedImages(*raw[0], indices)
            images, labels = zip(*data, strict=True)
            outputs, classifier = 10 * torch.randn(len(data), 10), Classifier().eval()
        return cls(raw, data, torch.stack(images), torch.tensor(labels), outputs, classifier)

    def attack_inputs(self) -> dict[str, Tensor]:
        return {"training M_I(O)": self.outputs, "training M_I(X~)": self.pixels.flatten(1)}

    def convolutions(self, model: torch.nn.Module, dtype: torch.dtype) -> list[tuple[torch.nn.Module, Tensor]]:
        """The three convolutions of a classifier, each with inputs as it gets them."""
        found, maps = [], self.pixels[:BATCH].to(dtype)
        for layer in model.features:
            if isinstance(layer, torch.nn.Conv2d):
                inputs = maps.detach().to(memory_format=torch.channels_last)
                found.append((layer, inputs.requires_grad_(True)))
            maps = layer(maps)
        return found


def _reference(materials: Materials) -> dict[str, Work]:
    data = materials.data

    def splits() -> int:
        for per_class, (images, labels) in zip((2000, 400), materials.raw, strict=True):
            everything = reference.ResizedImages(images, labels, np.arange(len(labels)))
            places = reference.split_plainly(everything, per_class, generator=generator("benchmark"))
            torch.stack([everything[place][0] for place in places])
        return 1

    def classifier() -> int:
        reference.train_classifier_plainly(Classifier(), data, batches=8)
        return 8 * BATCH

    def gradient() -> int:
        batch = materials.outputs[:BATCH], materials.pixels[:BATCH]
        reference.reconstruct_plainly(materials.classifier, *batch, steps=6, **WEIGHTS)
        return 6 * BATCH

    def inverse(inputs: Tensor) -> int:
        reference.train_inverse_plainly(reference.plain_inverse_model(inputs.shape[1]), inputs, data, batches=10)
        return 10 * BATCH

    def score() -> int:
        reference.score_plainly(data, materials.pixels.roll(1, 0))
        return IMAGES

    return {
        "building the splits": splits,
        "training a classifier": classifier,
        "gradient reconstruction": gradient,
        "its convolutions alone": _convolve(materials.convolutions(materials.classifier, torch.float32)),
        **{name: partial(inverse, inputs) for name, inputs in materials.attack_inputs().items()},
        "SSIM and MSE of reconstructions": score,
    }


def _product(materials: Materials, precision: torch.dtype) -> dict[str, Work]:
    pixels, shadow = materials.pixels, frozen_for_inference(materials.classifier, dtype=precision)

    def splits() -> int:
        draw_splits(*materials.raw, generator=generator("benchmark"))
        return 1

    def classifier() -> int:
        count = 20 * BATCH
        images, labels = pixels[:count], materials.labels[:count]
        fit(Classifier(), images, labels, loss=F.cross_entropy, epochs=1, stream=("benchmark",), precision=precision)
        return count

    def gradient() -> int:
        reconstruct_images(shadow, materials.outputs[:BATCH], pixels[:BATCH], steps=40, **WEIGHTS)
        return 40 * BATCH

    def inverse(inputs: Tensor) -> int:
        count = 40 * BATCH
        fit_inverse_model(inputs[:count], pixels[:count], epochs=1, stream=("benchmark",), precision=precision)
        return count

    def score() -> int:
        others = pixels.roll(1, 0)
        ssim_per_image(pixels, others)
        mse_per_image(pixels, others)
        return IMAGES

    return {
        "building the splits": splits,
        "training a classifier": classifier,
        "gradient reconstruction": gradient,
        "its convolutions alone": _convolve(materials.convolutions(shadow, precision)),
        **{name: partial(inverse, inputs) for name, inputs in materials.attack_inputs().items()},
        "SSIM and MSE of reconstructions": score,
    }


def _convolve(layers: list[tuple[torch.nn.Module, Tensor]], times: int = 20) -> Work:
    """Forward and back to the inputs through convolutions, one by one, as a step of the reconstruction does."""

    def work() -> int:
        for _ in range(times):
            for layer, inputs in layers:
                answers = layer(inputs)
                torch.autograd.grad(answers, inputs, torch.ones_like(answers))
        return times * BATCH

    return work


def count_operations(images: Tensor) -> dict[str, float]:
    """Floating-point operations a unit of what is made of matrix products, counted on a batch (BATCH, 1, 32, 32)."""
    classifier = Classifier().eval()
    forward = _count(partial(classifier, images))
    counts = {
        "training a classifier": 3 * forward - _count(partial(classifier.features[0], images)),
        "gradient reconstruction": 2 * forward,
        "its convolutions alone": 2 * _count(partial(classifier.features, images)),
    }
    for name, width in (("training M_I(O)", CLASSES), ("training M_I(X~)", SIDE**2)):
        model, inputs = InverseModel(width), images.flatten(1)[:, :width]
        first = _count(partial(model.layers[0], inputs[:, :, None, None]))
        counts[name] = 3 * _count(partial(model, inputs)) - first
    return counts


def _count(forward: Callable[[], object]) -> float:
    """Floating-point operations for one image of what takes a batch, as PyTorch counts them.

    Going back through a layer costs as much again for its inputs, and as much again for its weights; a model that is
    trained needs no gradient of its own inputs.
    """
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        forward()
    return counter.get_total_flops() / BATCH
