"""Faults with real processes, signals and disks: the same tables as undisturbed, or one sentence and nothing lost."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from conftest import ROOT, CommandLine, hidden_behind_an_empty_disk
from test_bad_input import outcome

from mi_core.study.locations import data_folder
from mi_core.study.source import CHECKSUMS

pytestmark = pytest.mark.run

WORDS = ("--profile", "smoke", "-p", "steps", "30", "-p", "attack_test", "64")
RUN3, RUN4 = (("run", *WORDS, "--only", number) for number in ("3", "4"))
FROM_RECONSTRUCTIONS = ("reconstructions", "inverse_model", "inverse_reconstructions", "scores", "score_table")


fault = pytest.mark.fault  # (title, what it gives): a row of the table of faults, see ``conftest``
SAME = "the same tables, digit for digit"
SENTENCE = "one sentence that names the file and the next step"


@pytest.fixture(scope="module")
def undisturbed(command_line: CommandLine, tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """The command line after an undisturbed run of Tables 2 to 4 in one process with one thread."""
    folder = tmp_path_factory.mktemp("undisturbed")
    own = {"OMP_NUM_THREADS": "1", "MI_CORE_RESULTS": str(folder / "none"), "MI_CORE_SAVE_SECONDS": "0"}
    line = CommandLine(command_line.environment | own).on_store(folder / "store")
    line("run", *WORDS, "--only", "2", "--only", "3", "--only", "4")
    return line


def table(line: CommandLine, number: int = 3) -> str:
    return line("table", str(number), *WORDS, "--csv").stdout


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


def listening(run: subprocess.Popen) -> set[str]:
    """Addresses at which the driver and its workers can be reached."""
    processes = [psutil.Process(run.pid), *workers_of(run)]
    sockets = [socket for process in processes for socket in process.net_connections()]
    return {socket.laddr.ip for socket in sockets if socket.status == psutil.CONN_LISTEN}


def is_within_a_reconstruction(line: CommandLine) -> bool:
    return any(store_of(line).glob("unfinished/reconstructions-*/*.safetensors"))


def remains(line: CommandLine) -> list[Path]:
    return [*store_of(line).glob("**/.writing-*"), *store_of(line).glob("unfinished/*/*")]


@pytest.mark.slow
@fault("a worker is killed in the middle of a reconstruction", SAME)
def test_killed_workers_are_replaced_and_go_on(undisturbed: CommandLine, half_done: CommandLine) -> None:
    run = started(half_done, *RUN4, "--workers", "2")
    wait_until(lambda: is_within_a_reconstruction(half_done), run)
    killed = workers_of(run)
    assert len(killed) == 2
    assert listening(run) == {"127.0.0.1"}
    for worker in killed:  # whichever of the two it was
        worker.kill()
    _, errors = run.communicate()
    assert run.returncode == 0, errors
    assert table(half_done, 4) == table(undisturbed, 4)
    assert remains(half_done) == []


@pytest.mark.slow
@fault("the driver of two workers is killed", SAME)
def test_a_killed_driver_takes_its_workers_along_and_the_next_run_goes_on(
    undisturbed: CommandLine, half_done: CommandLine
) -> None:
    run = started(half_done, *RUN3, "--workers", "2")
    wait_until(lambda: is_within_a_reconstruction(half_done), run)
    workers = workers_of(run)
    run.kill()
    run.communicate()
    assert psutil.wait_procs(workers, timeout=30)[1] == []
    half_done(*RUN3)
    assert table(half_done) == table(undisturbed)
    assert remains(half_done) == []


@pytest.mark.slow
@fault("Ctrl-C with two workers", "one sentence, exit code 130, nothing lost")
def test_interrupted_with_workers_it_says_so_and_goes_on(undisturbed: CommandLine, half_done: CommandLine) -> None:
    run = started(half_done, *RUN3, "--workers", "2")
    wait_until(lambda: is_within_a_reconstruction(half_done), run)
    workers = workers_of(run)
    os.killpg(run.pid, signal.SIGINT)  # a terminal sends it to the whole group
    _, errors = run.communicate()
    assert run.returncode == 130, errors
    assert "The same command goes on from here" in errors
    assert "Traceback" not in errors
    assert psutil.wait_procs(workers, timeout=30)[1] == []
    half_done(*RUN3, "--workers", "2")
    assert table(half_done) == table(undisturbed)
    assert remains(half_done) == []


@pytest.mark.slow
@fault("two runs at once on one store", SAME)
def test_two_runs_on_one_store_give_the_same(undisturbed: CommandLine, half_done: CommandLine) -> None:
    for run in [started(half_done, *RUN3) for _ in range(2)]:
        _, errors = run.communicate()
        assert run.returncode == 0, errors
    assert table(half_done) == table(undisturbed)
    assert remains(half_done) == []


@pytest.mark.slow
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
    first, second, *lines = done.stdout.splitlines(keepends=True)
    assert (first, second) == ("2\n", "0\n"), done.stderr
    assert f"Error: cannot write {tmp_path}" in done.stderr
    assert "No space left on device; free some space." in done.stderr
    assert "Traceback" not in done.stderr
    assert "".join(lines) == table(undisturbed, 2)


@pytest.mark.slow
@fault("the store is on a read-only disk", SENTENCE)
def test_a_read_only_store_is_one_sentence(undisturbed: CommandLine, tmp_path: Path) -> None:
    line = undisturbed.on_store(tmp_path)
    command = hidden_behind_an_empty_disk(tmp_path, line.command("run", *WORDS, "--only", "architecture"), size="1m,ro")
    done = subprocess.run(command, env=line.environment, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    sentence = done.stderr.splitlines()[-1]
    assert sentence.startswith(f"Error: cannot write {tmp_path}")
    assert sentence.endswith("Read-only file system; choose a folder that can be written.")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def replace(path: Path) -> None:
    """By an intact file of another store."""
    path.write_bytes(next(iter(path.parent.parent.glob("splits/*"))).read_bytes())


@pytest.mark.slow
@fault("an artefact is cut off, one bit of it flipped, or it is another one", SENTENCE)
@pytest.mark.parametrize("stage", ["score_table", "classifier"])
def test_a_damaged_artefact_is_named_and_without_it_the_table_is_the_same(
    undisturbed: CommandLine, tmp_path: Path, tried: Callable[[], None], stage: str
) -> None:
    """A table that is read, and a classifier from which a missing table is computed."""
    above = ("outputs", *FROM_RECONSTRUCTIONS) if stage == "classifier" else ()
    line = copied(undisturbed, tmp_path / "store", without=above)
    words = RUN3 if stage == "classifier" else ("table", "3", *WORDS, "--csv")
    whole = {path: path.read_bytes() for path in (tmp_path / "store" / stage).iterdir()}
    for damage in (cut, flip, replace):
        for path, content in whole.items():
            path.unlink()  # the other store's file has the same inode
            path.write_bytes(content)
            damage(path)
        (sentence,) = [text for text in line(*words, code=2).stderr.splitlines() if text.startswith("Error")]
        assert any(f"{path} is damaged: delete it" in sentence for path in whole)
        tried()
    for path in whole:
        path.unlink()
    line(*RUN3)
    assert table(line) == table(undisturbed)


COUNTS = ("run", "--profile", "smoke", "--only", "class_counts")


@pytest.fixture
def data(command_line: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of data of its own, of which the environment speaks as it does of an empty store."""
    command_line(*COUNTS)  # fetches what is not there
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in CHECKSUMS:
        shutil.copy(data_folder() / "MNIST" / "raw" / name, raw)
    own = {"DATA": tmp_path, "STORE": tmp_path / "store", "RESULTS": tmp_path / "results"}
    for name, folder in own.items():
        monkeypatch.setenv(f"MI_CORE_{name}", str(folder))
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm"))  # an empty one
    return raw


@fault("a data file is cut off, or one bit of it flipped", SENTENCE)
def test_a_damaged_data_file_is_named(data: Path, tried: Callable[[], None]) -> None:
    for path in sorted(data.iterdir()):
        content = path.read_bytes()
        for damage in (cut, flip):
            damage(path)
            code, messages = outcome([*COUNTS])
            sentence = messages.splitlines()[-1]
            assert code == 2, messages
            assert f"{path} is not the MNIST file" in sentence
            assert "delete it, and it is fetched again" in sentence
            path.write_bytes(content)
            tried()


@fault("the data are missing and there is no network", SENTENCE)
@pytest.mark.parametrize("missing", [list(CHECKSUMS)[:1], list(CHECKSUMS)], ids=["one", "all"])
def test_missing_data_without_a_network_is_one_sentence(
    data: Path, command_line: CommandLine, missing: list[str]
) -> None:
    for name in missing:
        (data / name).unlink()
    done = subprocess.run(
        ["unshare", "--map-root-user", "--net", *command_line.command(*COUNTS)],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    sentence = done.stderr.splitlines()[-1]
    assert sentence.startswith("Error: MNIST could be fetched neither by")
    assert f"put its four files into {data}" in sentence
    assert "Traceback" not in done.stderr
    assert not list(data.parents[1].glob(".fetching-*"))
