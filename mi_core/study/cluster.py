"""Tasks computed by the workers of a dask cluster, on this machine or on others.

The graph of missing tasks is what is submitted, one dask task each. A worker looks into its store first, computes what
is not there through the same ``Runner`` as one process does, saves it, and returns nothing: results are files. Where a
worker does not see the driver's store, the bytes of artefacts travel instead, and the driver writes them to its store.
Whoever reaches a scheduler can have its workers run any code, so an address beyond this machine needs TLS.
"""

import functools
import importlib
import ipaddress
import logging
import os
import shutil
import signal
import socket
import sys
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dask
from distributed import Client, KilledWorker, LocalCluster, as_completed, get_worker
from distributed.client import FutureCancelledError

from mi_core.errors import UserError
from mi_core.study.graph import Progress, Runner, Task
from mi_core.study.locations import open_store
from mi_core.study.provenance import commit
from mi_core.study.store import Store, temporary_prefix, write_atomically

__all__ = ["check_address", "compute", "local_workers", "workers_at"]

PATIENCE = 60  # seconds to wait for a scheduler, and for its first worker
SHARE = 0.005  # of a task's work, after which the driver is told; so some hundred small messages a task
CARRIED_SECONDS = 7 * 24 * 3600  # after which what a run has left on a worker is removed
Artefact = tuple[str, bytes]  # name of the file and its content

_one_at_a_time = threading.Lock()  # PyTorch's threads are shared by a process, and so is the Runner's memory


@dataclass(frozen=True)
class _Order:
    """What each worker is told besides its task.

    Attributes:
        run: a name of this run; another one's failures, progress, and what its workers have in memory, are not ours.
        store: the driver's working folder, or None where workers do not see it.
        device: as ``Runner`` takes it.
        threads: of PyTorch, for each task; None leaves what the worker was started with.
        commit: of the driver's code; other code could give other results under the same key.
    """

    run: str
    store: Path | None
    device: str
    threads: int | None
    commit: str


@contextmanager
def local_workers(count: int, *, device: str = "auto") -> Iterator[Client]:
    """Workers on this machine, each a process with its share of the cores, reachable from this machine only."""
    settings = {
        "distributed.scheduler.allowed-failures": 5,
        "distributed.worker.preload": [__name__],  # calls dask_setup
        "distributed.nanny.pre-spawn-environ.OMP_NUM_THREADS": _threads(count),
    }
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",  # any free port: none is looked at, and the usual one may be taken
            silence_logs=logging.CRITICAL,
            memory_limit=0,  # no worker is stopped for what a single process may use
            resources=_resources(device),
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


@contextmanager
def workers_at(address: str, *, device: str = "auto", insecure: bool = False) -> Iterator[Client]:
    """The workers of a scheduler that is running already; TLS files are those of dask's configuration.

    Raises:
        UserError: the address is refused or cannot be reached, or no worker that could compute is there.
    """
    check_address(address, insecure=insecure)
    if insecure and not _is_protected(address):
        sys.stderr.write(
            f"INSECURE: nothing on the way to {address} is encrypted, and its peers run code for each other.\n"
        )
    try:
        client = Client(address, timeout=PATIENCE)
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise UserError(f"no scheduler answers at {address} ({_first_line(error)}): start `dask scheduler`.") from None
    with client:
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError:
            raise UserError(f"{address} has no workers: start some with `dask worker {address}`.") from None
        offered = [worker["resources"] for worker in client.scheduler_info(n_workers=-1)["workers"].values()]
        if device == "cuda" and not any(resources.get("GPU") for resources in offered):
            raise UserError(f"no worker of {address} offers a GPU: start some with `--resources GPU=1`.")
        yield client


def check_address(address: str, *, insecure: bool = False) -> None:
    """Refuse a scheduler on another machine whose connection would not be encrypted.

    Raises:
        UserError: it is no address, or it is neither on this machine nor TLS and ``insecure`` was not asked for.
    """
    scheme, host, port = _split_address(address)
    if scheme not in ("", "tcp", "tls") or not host or not port.isdecimal() or int(port) > 65535:
        raise UserError(f"`{address}` is no address of a scheduler; one looks like tcp://127.0.0.1:8786.")
    if not insecure and not _is_protected(address):
        raise UserError(
            f"{address} is another machine without TLS, and who listens on the way could run code on both: "
            "use tls://, a tunnel through SSH, or say --insecure."
        )


def _is_protected(address: str) -> bool:
    """Whether it is encrypted, or never leaves this machine."""
    scheme, host, _ = _split_address(address)
    try:
        return scheme == "tls" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _split_address(address: str) -> tuple[str, str, str]:
    """Scheme, host and port, each "" where it is not there."""
    scheme, _, rest = address.rpartition("://")
    host, _, port = rest.rpartition(":")
    return scheme, host.strip("[]"), port


def compute(client: Client, runner: Runner, tasks: Iterable[Task]) -> int:
    """Compute what is missing on a cluster and return how many tasks that were, as ``Runner.compute`` does.

    Raises:
        UserError: a stage failed, a task has lost too many workers, or the scheduler is gone.
    """
    missing = runner.missing(tasks)
    if not missing:
        return 0
    runner.store.sweep()
    order = _order(client, runner)
    futures = _submit(client, runner, missing, order)
    with Progress(missing, shown=runner.show_progress) as progress:
        client.subscribe_topic(order.run, lambda event: progress.report(*event[1]))
        for future in as_completed(futures):
            task = futures.pop(future)
            artefact = _result(future, task)
            if artefact is not None:
                runner.store.receive(task.stage, task.key, *artefact)
            progress.report(task.key, 1.0)
    return len(missing)


def _order(client: Client, runner: Runner) -> _Order:
    local = client.cluster is not None
    threads = _threads(len(client.cluster.workers)) if local else None
    folder = runner.store.folder.resolve()
    store = folder if local or _all_see(client, folder) else None
    return _Order(uuid.uuid4().hex[:8], store, runner.device, threads, commit())


def _all_see(client: Client, folder: Path) -> bool:
    """Whether every worker sees a file that is written to the driver's store."""
    mark = folder / f"{temporary_prefix()}{uuid.uuid4().hex}"
    write_atomically(mark, b"")
    try:
        return all(client.run(os.path.exists, str(mark)).values())
    finally:
        mark.unlink()


def _submit(client: Client, runner: Runner, missing: list[Task], order: _Order) -> dict:
    """A future for each missing task, after those of its inputs; the tasks by future."""
    carried = order.store is None
    resources = _resources(runner.device)
    futures: dict = {}
    sent: dict = {}

    def of_input(task: Task):
        if task.key not in futures and task.key not in sent and carried:
            path = runner.store.find(task.stage, task.key, published=False)
            sent[task.key] = client.submit(
                _as_it_is, (path.name, path.read_bytes()), key=f"sent-{task.key}-{order.run}"
            )
        return futures.get(task.key) or sent.get(task.key)

    with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1GB"}):
        for task in missing:
            inputs = {each.key: of_input(each) for each in task.inputs.values()}
            key = f"{task.stage}-{task.key}-{order.run}"
            futures[task.key] = client.submit(_work, task, inputs, order, key=key, resources=resources)
    return {futures[task.key]: task for task in missing}


def _result(future, task: Task) -> Artefact | None:
    try:
        return future.result()
    except KilledWorker:
        raise UserError(f"the stage {task.stage} has lost several workers: have they enough memory?") from None
    except (FutureCancelledError, OSError):
        raise UserError("the scheduler is gone; nothing finished is lost, the same command goes on.") from None


def _resources(device: str) -> dict[str, int]:
    return {"GPU": 1} if device == "cuda" else {}


def _threads(workers: int) -> int:
    """Of each worker: what the user has fixed, as for one process, or its share of the cores."""
    fixed = os.environ.get("OMP_NUM_THREADS", "")
    return int(fixed) if fixed.isdecimal() else max(1, _cores() // workers)


def _cores() -> int:
    """That this process may use, where the system tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


# --- on a worker ---------------------------------------------------------------------------------------------------


def _work(task: Task, inputs: dict[str, Artefact | None], order: _Order) -> Artefact | None:
    """Have a task's artefact in the store; its file as well where the driver does not see this store."""
    if commit() != order.commit:
        raise UserError(
            f"{socket.gethostname()} has commit {commit()}, the driver {order.commit}: check out the same on both."
        )
    with _one_at_a_time:
        runner = _runner(order)
        if order.store is None:
            for before in task.inputs.values():
                runner.store.receive(before.stage, before.key, *inputs[before.key])
        runner.value(task, published=False)
        if order.store is not None:
            return None
        path = runner.store.find(task.stage, task.key, published=False)
        return path.name, path.read_bytes()


def dask_setup(worker: object) -> None:
    """Leave Ctrl-C, which a terminal sends to every process of a run, to the driver; it ends the local workers.

    What stages need takes seconds to load: that begins while the driver still looks for what is missing.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=importlib.import_module, args=("mi_core.study.stages",), daemon=True).start()


@functools.lru_cache(maxsize=1)
def _runner(order: _Order) -> Runner:
    """One for each process, since it keeps in memory what it has read last."""
    if order.threads:
        import torch

        torch.set_num_threads(order.threads)
    store = Store(order.store or _carried(order.run))
    shares: dict[str, float] = {}  # as they were last told to the driver

    def report(key: str, share: float) -> None:
        if share - shares.get(key, 0.0) >= SHARE:
            shares[key] = share
            get_worker().log_event(order.run, (key, share))

    return Runner(store, device=order.device, show_progress=False, report=report)


def _carried(run: str) -> Path:
    """A folder for what travels in one run; another driver may have computed other inputs under the same keys."""
    folder = open_store().folder / "carried"
    for other in folder.glob("*"):
        if time.time() - other.stat().st_mtime > CARRIED_SECONDS:
            shutil.rmtree(other, ignore_errors=True)
    return folder / run


def _as_it_is(artefact: Artefact) -> Artefact:
    return artefact
