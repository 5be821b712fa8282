"""Reference against product, in one run and alternating, beside what the machine itself can do."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from mi_core.attacks.gradient import reconstruct_images
from mi_core.attacks.inverse import fit_inverse_model, ssim_loss
from mi_core.data import Splits, draw_splits
from mi_core.metrics import mse_per_image, ssim_per_image
from mi_core.models import Classifier, InverseModel, frozen_for_inference
from mi_core.randomness import generator, seeded
from mi_core.reference import (
    ResizedImages,
    plain_inverse_model,
    reconstruct_plainly,
    score_plainly,
    split_plainly,
    train_classifier_plainly,
    train_inverse_plainly,
)
from mi_core.study.parameters import THESIS_REGULARISERS
from mi_core.study.provenance import describe_machine
from mi_core.study.stages import choose_precision
from mi_core.study.store import write_atomically
from mi_core.training import fit

__all__ = ["RACES", "measure", "write"]

Raw = tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]

BATCH = 32
RACES = 6
PEAK_SIDE = 3072  # of the square matrices whose product is the machine's peak


@dataclass(frozen=True)
class Race:
    """One kind of work, done in both ways.

    Attributes:
        name: what is done.
        unit: what is counted.
        reference, product: do some of it and return how many units that was.
        operations: floating-point operations a unit, 0 where that says nothing.
    """

    name: str
    unit: str
    reference: Callable[[], int]
    product: Callable[[], int]
    operations: float = 0.0


def measure(raw: Raw, *, rounds: int = 5, on_round: Callable[[], None] = lambda: None) -> pd.DataFrame:
    """Time every race, reference and product in turns, and the machine's matrix products in the same rounds.

    Args:
        raw: training and test images (n, 28, 28) uint8 with labels, as ``mi_core.study.source.load_raw`` gives them.
        rounds: how often each is timed; the first round warms up and does not count.
        on_round: called after each round of each race.
    Returns:
        A frame with a line for each race: work, unit, reference and product (units a second, medians), ratio (median
        of the rounds' ratios), ratio_low and ratio_high (their extremes), operations a unit, reference_share and
        product_share (of the matrix-product peak of the same run, in float32 and in the product's precision),
        peak_float32 and peak_product (operations a second).
    """
    precision = choose_precision("auto", torch.device("cpu"))
    peaks: dict[torch.dtype, list[float]] = {dtype: [] for dtype in (torch.float32, precision)}
    lines = []
    for race in _races(raw, precision):
        rates: list[tuple[float, float]] = []
        for round_number in range(rounds + 1):
            rate = (_rate(race.reference), _rate(race.product))
            found = {dtype: _peak(dtype) for dtype in peaks}
            if round_number > 0:
                rates.append(rate)
                for dtype, peak in found.items():
                    peaks[dtype].append(peak)
            on_round()
        slow, fast = np.array(rates).T
        lines.append(
            {
                "work": race.name,
                "unit": race.unit,
                "reference": np.median(slow),
                "product": np.median(fast),
                "ratio": np.median(fast / slow),
                "ratio_low": (fast / slow).min(),
                "ratio_high": (fast / slow).max(),
                "operations": race.operations,
            }
        )
    frame = pd.DataFrame(lines)
    peak, fast_peak = (float(np.median(values)) for values in (peaks[torch.float32], peaks[precision]))
    known = frame["operations"].where(frame["operations"] > 0)
    return frame.assign(
        reference_share=frame["reference"] * known / peak,
        product_share=frame["product"] * known / fast_peak,
        peak_float32=peak,
        peak_product=fast_peak,
    )


def write(frame: pd.DataFrame, path: Path) -> Path:
    """Keep a measurement with the machine that it was made on."""
    machine = describe_machine(torch.device("cpu"), choose_precision("auto", torch.device("cpu")))
    content = {"machine": machine, "races": frame.to_dict("records")}
    write_atomically(path, (json.dumps(content, indent=1) + "\n").encode())
    return path


def _rate(work: Callable[[], int]) -> float:
    started = time.perf_counter()
    units = work()
    return units / (time.perf_counter() - started)


def _peak(dtype: torch.dtype) -> float:
    """Operations a second of a large matrix product."""
    one, other = (torch.ones(PEAK_SIDE, PEAK_SIDE, dtype=dtype) for _ in range(2))
    started = time.perf_counter()
    one @ other
    return 2 * PEAK_SIDE**3 / (time.perf_counter() - started)


def _races(raw: Raw, precision: torch.dtype) -> Iterator[Race]:
    (images, labels), (test_images, test_labels) = raw
    with seeded("benchmark"):
        indices = torch.randperm(len(labels))[:640].numpy()
        data = ResizedImages(images, labels, indices)
        pairs = [data[place] for place in range(len(data))]
        pixels = torch.stack([image for image, _ in pairs])
        targets = torch.tensor([label for _, label in pairs])
        classifier = Classifier().eval()
        outputs = 10 * torch.randn(len(data), 10)
        x_inputs = pixels.flatten(1)

    def split_reference() -> int:
        count = 0
        for per_class, pictures, of in ((2000, images, labels), (400, test_images, test_labels)):
            drawn = split_plainly(of, per_class, generator=generator("benchmark"))
            part = ResizedImages(pictures, of, drawn)
            count += len([part[place] for place in range(len(part))])
        return count

    def split_product() -> int:
        drawn = draw_splits((images, labels), (test_images, test_labels), generator=generator("benchmark"))
        return sum(len(getattr(drawn, name)) for name in Splits.names())

    yield Race("building the splits", "image", split_reference, split_product)

    def train_reference() -> int:
        train_classifier_plainly(Classifier(), data, batches=4)
        return 4 * BATCH

    def train_product() -> int:
        count = 8 * BATCH
        fit(
            Classifier(),
            pixels[:count].contiguous(memory_format=torch.channels_last),
            targets[:count],
            loss=F.cross_entropy,
            epochs=1,
            stream=("benchmark",),
            precision=precision,
        )
        return count

    step = _operations(lambda: F.cross_entropy(Classifier()(pixels[:BATCH]), targets[:BATCH]).backward()) / BATCH
    yield Race("training a classifier", "image", train_reference, train_product, step)

    weights = dict(zip(("l2_weight", "tv_weight"), THESIS_REGULARISERS, strict=True))
    frozen = frozen_for_inference(classifier, dtype=precision)
    start = pixels[:BATCH]

    def gradient_reference() -> int:
        reconstruct_plainly(classifier, outputs[:BATCH], start, steps=4, **weights)
        return 4 * BATCH

    def gradient_product() -> int:
        reconstruct_images(frozen, outputs[:BATCH], start, steps=20, **weights)
        return 20 * BATCH

    once = _operations(lambda: reconstruct_images(frozen, outputs[:BATCH], start, steps=1, **weights)) / BATCH
    yield Race("gradient reconstruction", "image-step", gradient_reference, gradient_product, once)

    for name, inputs in (("O", outputs), ("X~", x_inputs)):

        def inverse_reference(inputs: Tensor = inputs) -> int:
            train_inverse_plainly(plain_inverse_model(inputs.shape[1]), inputs, data, batches=4)
            return 4 * BATCH

        def inverse_product(inputs: Tensor = inputs) -> int:
            count = 10 * BATCH
            fit_inverse_model(inputs[:count], pixels[:count], epochs=1, stream=("benchmark",), precision=precision)
            return count

        model = InverseModel(inputs.shape[1])
        step = _operations(lambda: ssim_loss(model(inputs[:BATCH]), pixels[:BATCH]).backward()) / BATCH  # noqa: B023
        yield Race(f"training M_I({name})", "image", inverse_reference, inverse_product, step)

    many = pixels.repeat(3, 1, 1, 1)[:1340]
    others = many.roll(1, 0)

    def score_reference() -> int:
        score_plainly(many[:134], others[:134])
        return 134

    def score_product() -> int:
        ssim_per_image(many, others)
        mse_per_image(many, others)
        return len(many)

    yield Race("SSIM and MSE of reconstructions", "image", score_reference, score_product)


def _operations(work: Callable[[], object]) -> float:
    """Floating-point operations of matrix products and convolutions, as PyTorch counts them."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()
