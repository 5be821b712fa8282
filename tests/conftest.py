"""Fixtures that several test files share: made from seeded generators, small, without MNIST."""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from torch import nn

from mi_core.cli import cli
from mi_core.data import CLASSES, SIDE, Split
from mi_core.models import Classifier
from mi_core.randomness import seeded
from mi_core.study.cost import BENCHMARK

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parents[1]


CASES_TRIED = pytest.StashKey[int]()
DIFFERENCES = pytest.StashKey[list[list[str]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    words = "Write the tables of faults and of differences that the book shows to this folder, if all tests pass."
    parser.addoption("--record", type=Path, metavar="FOLDER", help=words)


@pytest.fixture
def tried(request: pytest.FixtureRequest) -> Callable[[], None]:
    """Called for each case that a test tries by itself; a test that never calls it is one case."""

    def count() -> None:
        request.node.stash[CASES_TRIED] = request.node.stash.get(CASES_TRIED, 0) + 1

    return count


def pytest_sessionfinish(session: pytest.Session) -> None:
    """The table of faults: tests marked ``fault(title, gives)``, with the number of cases; and that of differences."""
    folder = session.config.getoption("record")
    if folder is None or session.testsfailed or session.config.option.collectonly:
        return
    if lines := session.stash.get(DIFFERENCES, None):
        header, *rows = lines
        pd.DataFrame(rows, columns=header).to_csv(folder / "differences.csv", index=False)
    cases: dict[tuple[str, str], int] = {}
    for item in session.items:
        if mark := item.get_closest_marker("fault"):
            cases[mark.args] = cases.get(mark.args, 0) + item.stash.get(CASES_TRIED, 1)
    if not cases:
        return
    rows = [(title[:1].upper() + title[1:], count, gives) for (title, gives), count in cases.items()]
    pd.DataFrame(rows, columns=["Fault or input", "Cases", "What it gives"]).to_csv(folder / "faults.csv", index=False)


@pytest.fixture(autouse=True)
def one_thread(request: pytest.FixtureRequest) -> Iterator[None]:
    """Small tensors: threads wait for each other longer than they compute. Runs of the whole study keep theirs."""
    threads = torch.get_num_threads()
    if not request.node.get_closest_marker("run"):
        torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    from browsing import CHROMIUM, FLAGS
    from playwright.sync_api import sync_playwright

    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: install it (Debian: apt-get install chromium) to test the pages")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


def blurred_blobs(labels: torch.Tensor, noise: torch.Generator) -> torch.Tensor:
    """Images (n, 1, 32, 32) in [0, 1]: one soft blob each, on a ring, at an angle that depends on the class."""
    angle = 2 * torch.pi * labels / CLASSES + 0.1 * torch.randn(len(labels), generator=noise)
    width = 3 + 2 * torch.rand(len(labels), 1, 1, generator=noise)
    centre_row, centre_column = 15.5 + 8 * angle.sin()[:, None, None], 15.5 + 8 * angle.cos()[:, None, None]
    place = torch.arange(SIDE).float()
    distance = (place[None, :, None] - centre_row).square() + (place[None, None, :] - centre_column).square()
    return torch.exp(-distance / (2 * width.square())).unsqueeze(1)


@pytest.fixture
def auxiliary() -> Split:
    """64 images of all ten classes (six or seven each), in random order."""
    source = torch.Generator().manual_seed(64)
    labels = (torch.arange(64) % CLASSES)[torch.randperm(64, generator=source)]
    return Split(blurred_blobs(labels, source), labels, torch.randperm(1000, generator=source)[:64])


@pytest.fixture
def classifier() -> Classifier:
    """An untrained classifier whose batch norms have statistics and weights unlike their defaults."""
    with seeded("test classifier"):
        model = Classifier()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, std=0.2)
                nn.init.normal_(module.running_mean, std=0.2)
                nn.init.uniform_(module.running_var, 0.01, 0.1)
    return model


@dataclass(frozen=True)
class CommandLine:
    """Runs ``python -m mi_core`` as a user would, on a store of its own."""

    environment: dict[str, str]

    def __call__(self, *words: str, code: int = 0) -> subprocess.CompletedProcess:
        done = subprocess.run(self.command(*words), env=self.environment, capture_output=True, text=True, cwd=ROOT)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def here(self, *words: str) -> str:
        """What a command that only reads prints, in this process: starting one costs more than reading does."""
        done = CliRunner().invoke(cli, words, env=self.environment, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "mi_core", *words]

    def on_store(self, folder: Path) -> "CommandLine":
        return CommandLine(self.environment | {"MI_CORE_STORE": str(folder)})


@pytest.fixture(scope="session")
def command_line(tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """The command line on an empty store that the whole session shares."""
    own = {"MI_CORE_STORE": str(tmp_path_factory.mktemp("store")), "MI_CORE_COMMIT": "under test"}
    return CommandLine(dict(os.environ) | own)


@pytest.fixture(scope="session")
def smoke(command_line: CommandLine, tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """The command line after an undisturbed run of the smoke profile (MNIST is fetched if it is not there).

    All processes of pytest-xdist share its store: the first computes, another one waits, and then finds it complete.
    """
    folder = tmp_path_factory.getbasetemp()
    folder = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "smoke"
    results = folder / "results"  # so that nothing comes from the published results
    results.mkdir(parents=True, exist_ok=True)
    own = CommandLine(command_line.environment | {"MI_CORE_RESULTS": str(results)}).on_store(folder / "store")
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        shutil.copy(ROOT / "results" / BENCHMARK, results)
        own("run", "--profile", "smoke")
    return own


def hidden_behind_an_empty_disk(folder: Path, command: list[str], *, size: str = "1m") -> list[str]:
    """The command in a mount namespace of its own, where ``folder`` is a small empty disk."""
    script = f'mount -t tmpfs -o size={size} none "$0" && exec "$@"'
    return ["unshare", "--map-root-user", "--mount", "sh", "-c", script, str(folder), *command]
