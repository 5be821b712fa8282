"""Tasks and their keys; what is missing; computing it.

A task is one step of the study: a stage, the parameters that it reads and the tasks whose values it takes. Its key is a
checksum of just that, so looking one up opens nothing. Nothing is computed, and torch is not imported, while every
value asked for is in the store.
"""

import hashlib
import importlib
import json
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, Self

from tqdm import tqdm

from mi_core.errors import UserError
from mi_core.study.provenance import describe_machine
from mi_core.study.store import Pieces, Store, Value

__all__ = ["Context", "Progress", "Runner", "Task", "all_tasks", "stage_versions"]

Report = Callable[[str, float], None]
KEPT_IN_MEMORY = 8  # most recently used values, at most about 60 MB each


def stage_versions() -> dict[str, int]:
    """Version of each stage. A stage whose results change gets a new one, by hand."""
    return {stage: entry["version"] for stage, entry in _recorded_stages().items()}


def _recorded_stages() -> dict[str, Any]:
    return json.loads((files("mi_core.study") / "stages.json").read_text())


VERSIONS = stage_versions()


@dataclass(frozen=True, eq=False)
class Task:
    """One step of the study.

    Attributes:
        stage: name of a function in ``mi_core.study.stages``.
        parameters: what it reads, as JSON values.
        inputs: the tasks whose values it takes, by name.
        work: what it costs, in seconds of two CPU cores with bfloat16; only for estimates, in no key.
    """

    stage: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, "Task"] = field(default_factory=dict)
    work: float = 0.1

    @cached_property
    def key(self) -> str:
        content = {
            "stage": self.stage,
            "version": VERSIONS[self.stage],
            "parameters": dict(self.parameters),
            "inputs": {name: task.key for name, task in self.inputs.items()},
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


def all_tasks(tasks: Iterable[Task], *, stop: Callable[[Task], bool] = lambda task: False) -> list[Task]:
    """Tasks and, recursively, their inputs, each once, inputs first; nothing at or below a task that ``stop``s."""
    ordered: dict[str, Task] = {}
    seen: set[str] = set()

    def visit(task: Task) -> None:
        if task.key in seen:
            return
        seen.add(task.key)
        if not stop(task):
            for before in task.inputs.values():
                visit(before)
            ordered[task.key] = task

    for task in tasks:
        visit(task)
    return list(ordered.values())


@dataclass(frozen=True)
class Context:
    """What a stage may use besides its parameters and inputs.

    Attributes:
        device: a ``torch.device``.
        precision: a ``torch.dtype``, what the task's parameter became on this machine; float32 if it has none.
        pieces: where a long stage keeps what it has so far.
        advance: called with a fraction of the stage's work that was done.
    """

    device: Any
    precision: Any
    pieces: Pieces
    advance: Callable[[float], None]


class _Inputs(Mapping[str, Value]):
    """Values of a task's inputs, each loaded when it is asked for."""

    def __init__(self, runner: "Runner", tasks: Mapping[str, Task]) -> None:
        self._runner, self._tasks = runner, tasks

    def __getitem__(self, name: str) -> Value:
        return self._runner.value(self._tasks[name], published=False)

    def __iter__(self) -> Iterator[str]:
        return iter(self._tasks)

    def __len__(self) -> int:
        return len(self._tasks)


class Progress:
    """A bar over the work of tasks, with an estimate of the time to go; several threads may report to it."""

    def __init__(self, tasks: Iterable[Task], *, shown: bool) -> None:
        self._tasks = {task.key: task for task in tasks}
        self._shares = dict.fromkeys(self._tasks, 0.0)
        self._one_at_a_time = threading.Lock()
        often = 0.5 if sys.stderr.isatty() else 30  # seconds; a log file wants fewer lines
        form = "{percentage:3.0f}%|{bar:30}| {elapsed} gone, {remaining} to go: {desc}"
        total = sum(task.work for task in self._tasks.values())
        self.bar = tqdm(total=total, bar_format=form, disable=not shown, smoothing=0.05, mininterval=often)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def report(self, key: str, share: float) -> None:
        """Say what share of a task's work is done so far, in [0, 1]; less than was said before changes nothing."""
        with self._one_at_a_time:
            if key in self._tasks:  # else it was there at first, and somebody has removed it
                task, before = self._tasks[key], self._shares[key]
                self._shares[key] = max(before, share)
                self.bar.set_description_str(task.stage.replace("_", " "), refresh=False)
                self.bar.update(min((self._shares[key] - before) * task.work, self.bar.total - self.bar.n))


class Runner:
    """Finds values in the store and computes what is missing.

    Args:
        store: where artefacts are.
        device: "auto", "cpu" or "cuda".
        show_progress: whether a progress bar with an estimate is shown while computing.
        report: called with a task's key and the share of its work that is done so far, until ``compute`` has a bar.
    """

    def __init__(
        self,
        store: Store,
        *,
        device: str = "auto",
        show_progress: bool = True,
        report: Report = lambda key, share: None,
    ) -> None:
        self.store, self.device, self.show_progress = store, device, show_progress
        self._memory: OrderedDict[str, Value] = OrderedDict()
        self._report = report

    def missing(self, tasks: Iterable[Task]) -> list[Task]:
        """What has to be computed for these tasks, inputs first.

        The tasks themselves may come from the published results, what they are computed from may not: on another
        machine a shadow trained anew is not bit for bit the one that gave the published outputs.
        """
        tasks = [task for task in tasks if self.store.find(task.stage, task.key) is None]
        return all_tasks(tasks, stop=lambda task: self._find_own(task) is not None)

    def _find_own(self, task: Task) -> Path | None:
        return self.store.find(task.stage, task.key, published=False)

    def compute(self, tasks: Iterable[Task]) -> int:
        """Compute what is missing and return how many tasks that were. Can be killed at any moment and called again."""
        missing = self.missing(tasks)
        if not missing:
            return 0
        self.store.sweep()
        with Progress(missing, shown=self.show_progress) as progress:
            self._report = progress.report
            for task in missing:
                self.value(task, published=False)
        return len(missing)

    def value(self, task: Task, *, published: bool = True) -> Value:
        """The task's value, from memory, from the store, or computed; see ``missing`` for ``published``."""
        if task.key in self._memory:
            self._memory.move_to_end(task.key)
            return self._memory[task.key]
        own = self._find_own(task)
        path = own or (self.store.find(task.stage, task.key) if published else None)
        value = self.store.load(path)[0] if path else self._compute(task)
        if own or not path:  # a published value is no input of anything computed here
            self._memory[task.key] = value
            while len(self._memory) > KEPT_IN_MEMORY:
                self._memory.popitem(last=False)
        return value

    def _compute(self, task: Task) -> Value:
        stages = importlib.import_module("mi_core.study.stages")
        stages.keep_freed_memory()
        device = stages.choose_device(self.device)
        precision = stages.choose_precision(task.parameters.get("precision", "float32"), device)
        pieces = self.store.pieces(task.stage, task.key)
        done = 0.0

        def advance(fraction: float) -> None:
            nonlocal done
            done = min(done + fraction, 1.0)
            self._report(task.key, done)

        advance(0.0)
        started = time.perf_counter()
        earlier = pieces.processes()

        def process() -> dict[str, Any]:
            return describe_machine(device, precision) | {"seconds": round(time.perf_counter() - started, 3)}

        pieces.record = lambda: [*earlier, process()]
        try:
            value = getattr(stages, task.stage)(
                task.parameters, _Inputs(self, task.inputs), Context(device, precision, pieces, advance)
            )
        except (FloatingPointError, ValueError, RuntimeError, OSError) as error:
            raise UserError(f"the stage {task.stage} failed: {error}") from error
        except MemoryError:
            raise UserError(
                f"the stage {task.stage} ran out of memory: close other programs and run it again."
            ) from None
        provenance = process() | {"version": VERSIONS[task.stage], "parameters": dict(task.parameters)}
        if earlier:  # killed and resumed
            provenance["earlier"] = earlier
        path = self.store.save(task.stage, task.key, value, provenance)
        pieces.clear()
        advance(1.0)
        return self.store.load(path)[0]  # what another run has saved meanwhile counts here too
