"""Workers: the same tables from other processes, with or without a shared disk, and addresses that are refused."""

import contextlib
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from conftest import ROOT, CommandLine, hidden_behind_an_empty_disk

from mi_core.errors import UserError
from mi_core.study import cluster
from mi_core.study.experiments import EXPERIMENTS, Replicate
from mi_core.study.graph import Progress, Runner
from mi_core.study.parameters import make_study
from mi_core.study.store import Store

DASK = [sys.executable, "-m", "dask"]
ONE_TASK = ("run", "--profile", "smoke", "--only", "architecture")


@pytest.fixture(scope="module")
def alone(command_line: CommandLine, tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """The command line without published results."""
    return CommandLine(command_line.environment | {"MI_CORE_RESULTS": str(tmp_path_factory.mktemp("results"))})


@pytest.mark.run
def test_without_workers_nothing_of_dask_is_imported(alone: CommandLine, tmp_path: Path) -> None:
    script = (
        "import sys; from mi_core.cli import cli\n"
        f"cli({[*ONE_TASK, '--store', str(tmp_path)]!r}, standalone_mode=False)\n"
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'dask', 'distributed', 'tornado', 'torch'}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=alone.environment, cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == "['torch']", done.stderr


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:8786", "localhost:8786", "tcp://[::1]:8786", "tls://far.away:1"])
def test_this_machine_and_tls_are_allowed(
    address: str, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.check_address(address)
    _connect_in_vain(address, monkeypatch)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("address", ["tcp://192.168.1.7:8786", "far.away:8786", "tcp://0.0.0.0:8786"])
def test_another_machine_without_tls_is_refused_or_said_aloud(
    address: str, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="is another machine without TLS.*--insecure"):
        cluster.check_address(address)
    _connect_in_vain(address, monkeypatch)
    assert "INSECURE" in capsys.readouterr().err


def _connect_in_vain(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("nobody there")

    monkeypatch.setattr(cluster, "Client", refuse)
    with pytest.raises(UserError, match="no scheduler answers"), cluster.workers_at(address, insecure=True):
        pass


@pytest.mark.parametrize(("fixed", "threads"), [("3", 3), ("²", 1), ("", 1)])
def test_threads_are_what_is_fixed_if_it_is_a_number(monkeypatch: pytest.MonkeyPatch, fixed: str, threads: int) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", fixed)
    monkeypatch.setattr(cluster.os, "cpu_count", lambda: 2)
    assert cluster._threads(2) == threads


@pytest.mark.parametrize(
    "address", ["", "nonsense", "http://127.0.0.1:80", "tcp://127.0.0.1", "127.0.0.1:port", ":1", "tcp://127.0.0.1:²"]
)
def test_what_is_no_address_is_one_sentence(address: str) -> None:
    with pytest.raises(UserError, match="is no address of a scheduler"):
        cluster.check_address(address)


def test_a_scheduler_that_does_not_answer_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "PATIENCE", 0.2)
    silent = "tcp://127.0.0.1:9"
    with pytest.raises(UserError, match=f"no scheduler answers at {silent}"), cluster.workers_at(silent):
        pass


@pytest.mark.run
def test_a_failing_stage_is_the_same_sentence_as_without_workers(alone: CommandLine, tmp_path: Path) -> None:
    own = CommandLine(alone.environment | {"MI_CORE_DATA": str(tmp_path / "file")}).on_store(tmp_path / "store")
    (tmp_path / "file").write_text("in the way")
    words = ("run", "--profile", "smoke", "--only", "class_counts")
    sentences = [own(*words, *more, code=2).stderr.splitlines()[-1] for more in ((), ("--workers", "1"))]
    assert sentences[0] == sentences[1]
    assert "cannot read or write the data in" in sentences[0]


@pytest.mark.run
def test_workers_start_beside_another_dask_cluster() -> None:
    with socket.socket() as taken:
        with contextlib.suppress(OSError):  # by a cluster indeed
            taken.bind(("127.0.0.1", 8787))
            taken.listen()
        with cluster.local_workers(1) as client:  # warnings are errors here
            assert client.submit(sum, [1, 2]).result() == 3


@pytest.mark.run
def test_the_bar_moves_within_a_step_of_a_worker(
    alone: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, float, float]] = []

    class Told(Progress):
        def report(self, key: str, share: float) -> None:
            super().report(key, share)
            told.append((key, share, self.bar.n / self.bar.total))

    monkeypatch.setattr(cluster, "Progress", Told)
    for name, value in (alone.environment | {"OMP_NUM_THREADS": "1"}).items():
        monkeypatch.setenv(name, value)
    replicate = Replicate(make_study("smoke", {"steps": 20}), 0)
    task = replicate.reconstructions(replicate.outputs("target", "test"), "test")
    with cluster.local_workers(1) as client:
        done = cluster.compute(client, Runner(Store(tmp_path), device="cpu"), [task])
    assert len({key for key, share, _ in told if share == 1}) == done
    within = [(share, place) for key, share, place in told if key == task.key and 0 < share < 1]
    assert len(within) > 10
    assert all(share < later and place < further for (share, place), (later, further) in pairwise(within))
    assert told[-1][2] == pytest.approx(1)


# --- a cluster that the user has: TLS, and a worker that does not see the driver's disk ---


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment that makes dask's peers show and ask for one certificate."""
    folder = tmp_path_factory.mktemp("tls")
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(folder / "key"), "-out", str(folder / "certificate")]
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subprocess.run(["openssl", "req", *kind, *subject, *files], check=True, capture_output=True)
    own = {"CA_FILE": "certificate"}
    for role in ("SCHEDULER", "WORKER", "CLIENT"):
        own |= {f"{role}__KEY": "key", f"{role}__CERT": "certificate"}
    return {f"DASK_DISTRIBUTED__COMM__TLS__{name}": str(folder / file) for name, file in own.items()}


@pytest.fixture(scope="module")
def scheduler(
    certificate: dict[str, str], alone: CommandLine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path, Path]]:
    """A scheduler's address, and the store of the driver and of the worker, which does not see the driver's."""
    folder = tmp_path_factory.mktemp("machines")
    driver, worker = folder / "driver", folder / "worker"
    driver.mkdir()
    environment = alone.environment | certificate | {"MI_CORE_STORE": str(worker), "OMP_NUM_THREADS": "1"}
    place = ["--host", "127.0.0.1", "--no-dashboard"]
    with (folder / "log").open("w+") as log:
        first = subprocess.Popen(
            [*DASK, "scheduler", *place, "--protocol", "tls", "--port", "0"], env=environment, stderr=log, cwd=ROOT
        )
        try:
            address = _wait_for(r"Scheduler at:\s+(tls://\S+)", folder / "log", first)
            words = [*DASK, "worker", address, *place, "--nthreads", "2", "--local-directory", str(folder)]
            second = subprocess.Popen(hidden_behind_an_empty_disk(driver, words), env=environment, stderr=log, cwd=ROOT)
            try:
                yield address, driver, worker
            finally:
                second.terminate()
                second.wait()
        finally:
            first.terminate()
            first.wait()


def _wait_for(pattern: str, log: Path, process: subprocess.Popen, *, seconds: float = 120) -> str:
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        if found := re.search(pattern, log.read_text()):
            return found.group(1)
        time.sleep(0.05)
    ended = "still runs" if process.poll() is None else f"has ended with {process.returncode}"
    raise AssertionError(f"no {pattern!r} in the log of a scheduler that {ended}:\n{log.read_text()}")


def contents(store: Path) -> dict[str, bytes]:
    return {str(path.relative_to(store)): path.read_bytes() for path in store.glob("[a-z]*/*.*")}


@pytest.mark.slow
@pytest.mark.run
def test_artefacts_come_back_from_a_machine_without_a_shared_disk(
    scheduler: tuple[str, Path, Path], certificate: dict[str, str], alone: CommandLine
) -> None:
    address, driver, worker = scheduler
    own = CommandLine(alone.environment | certificate).on_store(driver)
    words = ("run", "--profile", "smoke", "--only", "starts", "--scheduler", address)
    own(*words)
    [carried] = (worker / "carried").glob("*")
    assert contents(driver) == contents(carried)
    task = EXPERIMENTS["starts"](Replicate(make_study("smoke"), 0))
    assert Runner(Store(driver)).missing([task]) == []
    keys = {name.split(".")[0] for name in contents(driver)}
    for path in driver.glob("starts/*"):
        path.unlink()
    own(*words)  # the inputs travel to the worker this time
    assert {name.split(".")[0] for name in contents(driver)} == keys
    [of_second_run] = [folder for folder in (worker / "carried").glob("*") if folder != carried]
    assert {name.split("/")[0] for name in contents(of_second_run)} == {"auxiliary", "starts"}


@pytest.mark.run
def test_a_gpu_that_no_worker_offers_is_one_sentence(
    scheduler: tuple[str, Path, Path], certificate: dict[str, str], alone: CommandLine, tmp_path: Path
) -> None:
    own = CommandLine(alone.environment | certificate).on_store(tmp_path)
    assert "offers a GPU" in own(*ONE_TASK, "--scheduler", scheduler[0], "--device", "cuda", code=2).stderr


@pytest.mark.run
def test_other_code_on_a_worker_is_one_sentence(
    scheduler: tuple[str, Path, Path], certificate: dict[str, str], alone: CommandLine, tmp_path: Path
) -> None:
    other = {"MI_CORE_COMMIT": "another", "MI_CORE_STORE": str(tmp_path)}
    own = CommandLine(alone.environment | certificate | other)
    assert "has commit under test, the driver another" in own(*ONE_TASK, "--scheduler", scheduler[0], code=2).stderr


@pytest.mark.run
def test_without_the_certificate_the_scheduler_is_not_reached(
    scheduler: tuple[str, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "PATIENCE", 2)
    with pytest.raises(UserError, match="no scheduler answers"), cluster.workers_at(scheduler[0]):
        pass
