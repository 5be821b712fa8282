"""How time grows with the number of images, steps and replicates, and with the side of the images."""

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
import torch

from mi_core.attacks.gradient import reconstruct_images
from mi_core.models import Classifier, frozen_for_inference
from mi_core.randomness import seeded
from mi_core.study.experiments import EXPERIMENTS, replicates
from mi_core.study.graph import Runner
from mi_core.study.parameters import make_study
from mi_core.study.stages import choose_precision, keep_freed_memory
from mi_core.study.store import Store

__all__ = ["GROWTHS", "measure_growth"]

GROWTHS = {  # what grows, in three sizes
    "images": (64, 256, 1024),
    "steps": (10, 40, 160),
    "image side": (16, 32, 64),
    "replicates": (1, 2, 4),
}


def measure_growth(
    *, rounds: int = 3, growths: dict[str, tuple[int, ...]] = GROWTHS, on_size: Callable[[], None] = lambda: None
) -> pd.DataFrame:
    """Seconds for each size of each growth.

    Images and steps are those of X~. The side is that of the images that go through a classifier's three blocks and
    back, 32 at a time, since the layers above are made for one side only. Replicates are repetitions of Table 3 at the
    profile smoke, from an empty store.

    Args:
        rounds: how often each is timed, after once more to warm up; the replicates twice.
        growths: sizes of each of ``GROWTHS``.
        on_size: called after each size.
    Returns:
        Columns what, size, seconds (the least, which other work on the machine disturbs least).
    """
    keep_freed_memory()
    lines = []
    for what, sizes in growths.items():
        for size in sizes:
            work = partial(_works()[what], size)
            repeats = 2 if what == "replicates" else rounds + 1
            lines.append({"what": what, "size": size, "seconds": min(_seconds(work) for _ in range(repeats))})
            on_size()
    return pd.DataFrame(lines)


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _works() -> dict[str, Callable[[int], object]]:
    precision = choose_precision("auto", torch.device("cpu"))
    with seeded("growth"):
        shadow = frozen_for_inference(Classifier(), dtype=precision)
        outputs, start = torch.randn(max(GROWTHS["images"]), 10), torch.rand(max(GROWTHS["images"]), 1, 32, 32)

    def reconstruct(images: int, steps: int) -> None:
        for first in range(0, images, 32):
            batch = slice(first, first + 32)
            reconstruct_images(shadow, outputs[batch], start[batch], l2_weight=1e-5, tv_weight=1e-3, steps=steps)

    def there_and_back(side: int) -> None:
        images = torch.rand(32, 1, side, side, dtype=precision).requires_grad_(True)
        for _ in range(10):
            answers = shadow.features(images)
            torch.autograd.grad(answers, images, torch.ones_like(answers))

    return {
        "images": partial(reconstruct, steps=10),
        "steps": partial(reconstruct, 64),
        "image side": there_and_back,
        "replicates": _run_replicates,
    }


def _run_replicates(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        runner = Runner(Store(Path(folder)), device="cpu", show_progress=False)
        runner.compute(EXPERIMENTS["table3"](each) for each in replicates(make_study("smoke", {"replicates": count})))
