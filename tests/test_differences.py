"""What is the same under other circumstances, to the last bit, and how far apart the numbers are where it is not."""

import csv
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

import differences
import numpy as np
import pytest
import torch
from conftest import DIFFERENCES, ROOT, CommandLine

from mi_core.study.graph import Task, all_tasks
from mi_core.study.stages.common import score_pairs
from mi_core.study.store import Store, Value

HEADER = ["Other circumstances", "Images", "Mean SSIM", "Mean MSE", "A pixel, at most"]
IMAGES = ("X~", "M_I(X~)")


@dataclass(frozen=True)
class Circumstances:
    """Under which ``differences.py`` computes its images in a process of its own."""

    precision: str = "bfloat16"
    seeds: int = 1
    workers: int = 0
    environment: dict[str, str] = field(default_factory=dict, hash=False)


USUAL, FLOAT32 = Circumstances(seeds=2), Circumstances("float32")
OLDER = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
THE_SAME = {"two worker processes": Circumstances(workers=2)}
DIFFERENT = {
    "two threads, not one": (USUAL, Circumstances(environment={"OMP_NUM_THREADS": "2"})),
    "float32, not bfloat16": (USUAL, FLOAT32),
    "float32, an older type of processor (imitated)": (FLOAT32, Circumstances("float32", environment=OLDER)),
}
VALUES, ANOTHER_SEED = "none: the values themselves", "for comparison: M_I trained with another seed"

Compute = Callable[[Circumstances], dict[str, np.ndarray]]


@pytest.fixture(scope="module")
def compute(command_line: CommandLine, tmp_path_factory: pytest.TempPathFactory) -> Compute:
    """Images by name, and the true ones as "truth"; each circumstances once, all from the split of the first."""
    found: dict[str, dict[str, np.ndarray]] = {}
    folder = tmp_path_factory.mktemp("circumstances")

    def compute(given: Circumstances) -> dict[str, np.ndarray]:
        if str(given) not in found:
            store = Store(folder / str(len(found)))
            for stage in ("splits", "auxiliary") if found else ():
                shutil.copytree(folder / "0" / stage, store.folder / stage)
            own = command_line.environment | {"OMP_NUM_THREADS": "1"} | given.environment
            words = [str(store.folder), given.precision, str(given.seeds), str(given.workers)]
            done = subprocess.run(
                [sys.executable, ROOT / "tests" / "differences.py", *words],
                env=own, cwd=ROOT, capture_output=True, text=True,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            found[str(given)] = _images(store, differences.tasks(given.precision, given.seeds))
        return found[str(given)]

    return compute


def _images(store: Store, tasks: dict[str, Task]) -> dict[str, np.ndarray]:
    def value(task: Task) -> Value:
        return store.load(store.find(task.stage, task.key))[0]

    images = {name: value(task)["images"] for name, task in tasks.items()}
    (splits,) = [task for task in all_tasks(tasks.values()) if task.stage == "splits"]
    return images | {"truth": value(splits)["test.images"][: len(images["X~"])].astype(np.float32) / 255}


def means(truth: np.ndarray, images: np.ndarray) -> dict[str, float]:
    scores = score_pairs(torch.from_numpy(truth), torch.from_numpy(images))
    return {name: float(numbers.astype(np.float64).mean()) for name, numbers in scores.items()}


def apart(truth: np.ndarray, first: np.ndarray, second: np.ndarray) -> tuple[float, float, float]:
    """How far two sets of reconstructions are apart: in mean SSIM, in mean MSE, and in a pixel at most."""
    one, other = means(truth, first), means(truth, second)
    return *(abs(one[name] - other[name]) for name in ("ssim", "mse")), float(np.abs(first - second).max())


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Called with a line of the table of differences."""

    def record(circumstances: str, images: str, *numbers: float) -> None:
        line = [circumstances, images, *(f"{number:.2g}" for number in numbers)]
        line += [""] * (len(HEADER) - len(line))
        request.session.stash.setdefault(DIFFERENCES, [HEADER]).append(line)

    return record


@pytest.mark.slow
@pytest.mark.run
def test_the_attack_works_at_this_scale(compute: Compute, record: Callable[..., None]) -> None:
    """What is compared below are images that look like something, and two trainings of M_I that are two."""
    found = compute(USUAL)
    random = np.random.default_rng(0).permutation(found["truth"])
    for name in IMAGES:
        scores = means(found["truth"], found[name])
        assert scores["ssim"] > means(random, found[name])["ssim"]
        record(VALUES, name, *scores.values())
    distance = apart(found["truth"], found["M_I(X~)"], found["another seed"])
    assert min(distance) > 0
    record(ANOTHER_SEED, "M_I(X~)", *distance)


@pytest.mark.slow
@pytest.mark.run
@pytest.mark.parametrize("title", THE_SAME)
def test_what_must_change_nothing_changes_no_bit(compute: Compute, record: Callable[..., None], title: str) -> None:
    found, expected = compute(THE_SAME[title]), compute(USUAL)
    for name in IMAGES:
        assert np.array_equal(found[name], expected[name])
        record(title, name, *apart(found["truth"], found[name], expected[name]))


@pytest.mark.slow
@pytest.mark.run
@pytest.mark.parametrize("title", DIFFERENT)
def test_what_rounds_differently_changes_little(compute: Compute, record: Callable[..., None], title: str) -> None:
    before, after = map(compute, DIFFERENT[title])
    for name in IMAGES:
        distance = apart(before["truth"], before[name], after[name])
        assert distance[0] < 0.05 and distance[1] < 0.02  # a few times what was found
        record(title, name, *distance)


def recorded() -> list[list[str]]:
    with (ROOT / "results" / "differences.csv").open() as file:
        return list(csv.reader(file))


def test_the_table_of_differences_names_what_is_compared() -> None:
    header, *lines = recorded()
    titles = [VALUES, *THE_SAME, *DIFFERENT]
    expected = [[title, name] for title in titles for name in IMAGES] + [[ANOTHER_SEED, "M_I(X~)"]]
    assert header == HEADER
    assert sorted(line[:2] for line in lines) == sorted(expected)


def test_the_page_reads_the_table_of_differences_as_it_is() -> None:
    """What changes nothing is 0; M_I's pixels move far, its means no further than with another seed."""
    numbers = {(title, name): [float(number or "nan") for number in rest] for title, name, *rest in recorded()[1:]}
    seed = numbers[ANOTHER_SEED, "M_I(X~)"]
    for title in THE_SAME:
        assert all(numbers[title, name] == [0, 0, 0] for name in IMAGES)
    for title in DIFFERENT:
        assert numbers[title, "M_I(X~)"][2] > 0.1
        assert all(moved <= other for moved, other in zip(numbers[title, "M_I(X~)"][:2], seed[:2], strict=True))
