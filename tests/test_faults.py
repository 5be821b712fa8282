"""Faults with real processes, signals and disks: the same tables as undisturbed, or one sentence and nothing lost."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from conftest import ROOT, CommandLine, hidden_behind_an_empty_disk

from mi_core.study.locations import data_folder
from mi_core.study.source import CHECKSUMS

pytestmark = pytest.mark.run

WORDS = ("--profile", "smoke", "-p", "steps", "30")
RUN = ("run", *WORDS, "--only", "2", "--only", "4")
FROM_RECONSTRUCTIONS = ("reconstructions", "inverse_model", "inverse_reconstructions", "scores", "score_table")


fault = pytest.mark.fault  # (title, what it gives): a row of the table of faults, see ``conftest``
SAME = "the same tables, digit for digit"
SENTENCE = "one sentence that names the file and the next step"


@pytest.fixture(scope="module")
def undisturbed(command_line: CommandLine, tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """The command line after an undisturbed run of Tables 2 and 4 in one process with one thread."""
    folder = tmp_path_factory.mktemp("undisturbed")
    own = {"OMP_NUM_THREADS": "1", "MI_CORE_RESULTS": str(folder / "none"), "MI_CORE_SAVE_SECONDS": "0"}
    line = CommandLine(command_line.environment | own).on_store(folder / "store")
    line(*RUN)
    return line


def tables(line: CommandLine) -> list[str]:
    return [line("table", number, *WORDS, "--csv").stdout for number in ("2", "4")]


@pytest.fixture
def half_done(undisturbed: CommandLine, tmp_path: Path) -> CommandLine:
    """The command line on a copy of that store, as it was before the first reconstruction."""
    return copied(undisturbed, tmp_path / "store", without=FROM_RECONSTRUCTIONS)


def copied(line: CommandLine, folder: Path, *, without: tuple[str, ...] = ()) -> CommandLine:
    shutil.copytree(store_of(line), folder, copy_function=os.link, ignore=shutil.ignore_patterns(*without))
    return line.on_store(folder)


def store_of(line: CommandLine) -> Path:
    return Path(line.environment["MI_CORE_STORE"])


def started(line: CommandLine, *words: str) -> subprocess.Popen:
    """A run in a process group of its own, as a shell starts one; a background job's would ignore SIGINT."""
    return subprocess.Popen(
        line.command(*words), env=line.environment, cwd=ROOT, stderr=subprocess.PIPE, text=True,
        start_new_session=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


def wait_until(condition: Callable[[], object], run: subprocess.Popen) -> None:
    while not condition():
        assert run.poll() is None, f"the run ended before it could be disturbed:\n{run.stderr.read()}"
        time.sleep(0.002)


def workers_of(run: subprocess.Popen) -> list[psutil.Process]:
    below = psutil.Process(run.pid).children(recursive=True)
    return [process for process in below if "spawn_main" in " ".join(process.cmdline())]


def is_within_a_reconstruction(line: CommandLine) -> bool:
    return any(store_of(line).glob("unfinished/reconstructions-*/*.safetensors"))


def remains(line: CommandLine) -> list[Path]:
    return [*store_of(line).glob("**/.writing-*"), *store_of(line).glob("unfinished/*/*")]


@fault("a worker is killed in the middle of a reconstruction", SAME)
def test_killed_workers_are_replaced_and_go_on(undisturbed: CommandLine, half_done: CommandLine) -> None:
    run = started(half_done, *RUN, "--workers", "2")
    wait_until(lambda: is_within_a_reconstruction(half_done), run)
    killed = workers_of(run)
    assert len(killed) == 2
    for worker in killed:  # whichever of the two it was
        worker.kill()
    _, errors = run.communicate()
    assert run.returncode == 0, errors
    assert tables(half_done) == tables(undisturbed)
    assert remains(half_done) == []


@fault("the driver of two workers is killed", SAME)
def test_a_killed_driver_takes_its_workers_along_and_the_next_run_goes_on(
    undisturbed: CommandLine, half_done: CommandLine
) -> None:
    run = started(half_done, *RUN, "--workers", "2")
    wait_until(lambda: is_within_a_reconstruction(half_done), run)
    workers = workers_of(run)
    run.kill()
    run.communicate()
    assert psutil.wait_procs(workers, timeout=30)[1] == []
    half_done(*RUN)
    assert tables(half_done) == tables(undisturbed)
    assert remains(half_done) == []


@fault("Ctrl-C with two workers", "one sentence, exit code 130, nothing lost")
def test_interrupted_with_workers_it_says_so_and_goes_on(undisturbed: CommandLine, half_done: CommandLine) -> None:
    run = started(half_done, *RUN, "--workers", "2")
    wait_until(lambda: is_within_a_reconstruction(half_done), run)
    workers = workers_of(run)
    os.killpg(run.pid, signal.SIGINT)  # a terminal sends it to the whole group
    _, errors = run.communicate()
    assert run.returncode == 130, errors
    assert "The same command goes on from here" in errors
    assert "Traceback" not in errors
    assert psutil.wait_procs(workers, timeout=30)[1] == []
    half_done(*RUN, "--workers", "2")
    assert tables(half_done) == tables(undisturbed)
    assert remains(half_done) == []


def two_runs_at_once(line: CommandLine) -> None:
    runs = [started(line, *RUN) for _ in range(2)]
    for run in runs:
        _, errors = run.communicate()
        assert run.returncode == 0, errors


@fault("two runs at once on one store", SAME)
def test_two_runs_on_one_store_give_the_same(undisturbed: CommandLine, tmp_path: Path) -> None:
    line = copied(undisturbed, tmp_path / "store", without=("inverse_reconstructions", "scores", "score_table"))
    two_runs_at_once(line)
    assert tables(line) == tables(undisturbed)
    assert remains(line) == []


@fault("the disk is full", "one sentence that names the file; once there is space, the same tables")
def test_a_full_disk_is_one_sentence_and_with_space_it_goes_on(undisturbed: CommandLine, tmp_path: Path) -> None:
    script = (
        'store="$0"; "$@" >&2; echo "$?"; find "$store" -name ".writing-*"\n'
        'mount -o remount,size=100m none "$store"; "$@" >&2; echo "$?"\n'
        f'"$1" -m mi_core table 2 {" ".join(WORDS)} --csv'
    )
    small = undisturbed.on_store(tmp_path)
    command = ["sh", "-c", script, str(tmp_path)]
    command += small.command("run", *WORDS, "--only", "2")
    done = subprocess.run(
        hidden_behind_an_empty_disk(tmp_path, command, size="28m"),  # the images fit, the classifiers do not
        env=small.environment, cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    first, second, *table = done.stdout.splitlines(keepends=True)
    assert (first, second) == ("2\n", "0\n"), done.stderr
    assert f"Error: cannot write {tmp_path}" in done.stderr
    assert "No space left on device; free some space." in done.stderr
    assert "Traceback" not in done.stderr
    assert "".join(table) == tables(undisturbed)[0]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def replace(path: Path) -> None:
    """By an intact file of another store."""
    path.write_bytes(next(iter(path.parent.parent.glob("splits/*"))).read_bytes())


@fault("an artefact is cut off, one bit of it flipped, or it is another one", SENTENCE)
@pytest.mark.parametrize("stage", ["score_table", "classifier"])
@pytest.mark.parametrize("damage", [cut, flip, replace])
def test_a_damaged_artefact_is_named_and_without_it_the_tables_are_the_same(
    undisturbed: CommandLine, tmp_path: Path, damage: Callable[[Path], None], stage: str
) -> None:
    """A table that is read, and a classifier from which a missing table is computed."""
    above = ("classifier_scores", "outputs") if stage == "classifier" else ()
    line = copied(undisturbed, tmp_path / "store", without=above)
    words = (*RUN[:-2],) if stage == "classifier" else ("table", "4", *WORDS, "--csv")
    damaged = sorted((tmp_path / "store" / stage).iterdir())
    for path in damaged:
        content = path.read_bytes()
        path.unlink()  # the other store's file has the same inode
        path.write_bytes(content)
        damage(path)
    (sentence,) = [text for text in line(*words, code=2).stderr.splitlines() if text.startswith("Error")]
    assert any(f"{path} is damaged: delete it" in sentence for path in damaged)
    for path in damaged:
        path.unlink()
    line(*RUN)
    assert tables(line) == tables(undisturbed)


@pytest.fixture
def data(command_line: CommandLine, tmp_path: Path) -> Iterator[tuple[CommandLine, Path]]:
    """The command line on an empty store with a folder of data of its own, and that folder."""
    command_line("run", "--profile", "smoke", "--only", "class_counts")  # fetches what is not there
    shutil.copytree(data_folder() / "MNIST" / "raw", tmp_path / "MNIST" / "raw")
    own = {"MI_CORE_DATA": str(tmp_path), "npm_config_fetch_retries": "0"}
    yield CommandLine(command_line.environment | own).on_store(tmp_path / "store"), tmp_path / "MNIST" / "raw"


COUNTS = ("run", "--profile", "smoke", "--only", "class_counts")


@fault("a data file is cut off, or one bit of it flipped", SENTENCE)
@pytest.mark.parametrize("damage", [cut, flip])
@pytest.mark.parametrize("name", list(CHECKSUMS))
def test_a_damaged_data_file_is_named(
    data: tuple[CommandLine, Path], name: str, damage: Callable[[Path], None]
) -> None:
    line, raw = data
    damage(raw / name)
    sentence = line(*COUNTS, code=2).stderr.splitlines()[-1]
    assert f"{raw / name} is not the MNIST file" in sentence
    assert "delete it, and it is fetched again" in sentence


@fault("the data are missing and there is no network", SENTENCE)
@pytest.mark.parametrize("missing", [list(CHECKSUMS)[:1], list(CHECKSUMS)], ids=["one", "all"])
def test_missing_data_without_a_network_is_one_sentence(data: tuple[CommandLine, Path], missing: list[str]) -> None:
    line, raw = data
    for name in missing:
        (raw / name).unlink()
    done = subprocess.run(
        ["unshare", "--map-root-user", "--net", *line.command(*COUNTS)],
        env=line.environment, cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    sentence = done.stderr.splitlines()[-1]
    assert sentence.startswith("Error: MNIST could be fetched neither by")
    assert f"put its four files into {raw}" in sentence
    assert "Traceback" not in done.stderr
    assert not list(raw.parents[1].glob(".fetching-*"))
