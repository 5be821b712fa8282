"""Each stage, and calls of the library, on a device that is only pretended, against the same on the CPU.

The device refuses what a GPU refuses, so this finds tensors that were left on the CPU, without a GPU at hand; what a
GPU's own kernels do, it does not show.

``python tests/pretended_device.py STORE`` prints a line for each: its name, and by how much it differs at most.
STORE holds a run of the smoke profile, and what is missing of the tasks' inputs is added to it. PyTorch keeps such a
device for as long as the process lives, so this is a program and not a fixture.
"""

import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from mi_core.attacks import baselines
from mi_core.data import Split
from mi_core.ladder import measure_ladder
from mi_core.metrics import calibration_error, rank_within_class
from mi_core.study import stages
from mi_core.study.experiments import EXPERIMENTS, ON_REQUEST, Replicate
from mi_core.study.graph import Context, Runner, Task, all_tasks
from mi_core.study.parameters import make_study
from mi_core.study.stages import attacks
from mi_core.study.store import Pieces, Store, Value

NAME = "pretended"
_setup_privateuseone_for_python_backend(NAME)
DEVICE, CPU = torch.device(NAME, 0), torch.device("cpu")
INDEXING = (torch.ops.aten.index.Tensor, torch.ops.aten.index_put.default, torch.ops.aten.index_put_.default)


class Elsewhere(Tensor):
    """A tensor that says it is on the pretended device; its numbers lie in a tensor on the CPU."""

    @staticmethod
    def __new__(cls, numbers: Tensor) -> "Elsewhere":
        layout = {"strides": numbers.stride(), "storage_offset": numbers.storage_offset(), "dtype": numbers.dtype}
        return Tensor._make_wrapper_subclass(cls, numbers.size(), device=DEVICE, **layout)

    def __init__(self, numbers: Tensor) -> None:
        self.numbers = numbers

    def numpy(self, *, force: bool = False) -> np.ndarray:
        if not force:
            raise TypeError("what is on another device becomes no array unless that is forced")
        return self.numbers.detach().numpy()

    def tolist(self) -> list:
        return self.numbers.tolist()

    @classmethod
    def __torch_dispatch__(cls, operation: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        return _carry_out(operation, arguments, options or {})


class PretendedDevice(TorchDispatchMode):
    """Inside, tensors can be made on the pretended device and moved there."""

    def __torch_dispatch__(self, operation: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        return _carry_out(operation, arguments, options or {})


def _carry_out(operation: Any, arguments: Any, options: dict[str, Any]) -> Any:
    """Compute on the CPU what a GPU would compute, and refuse what it would refuse."""
    everything, _ = tree_flatten((arguments, options))
    tensors = [each for each in everything if isinstance(each, Tensor)]
    device = options.get("device")
    if operation is torch.ops.aten._to_copy.default:
        moved = operation(_numbers(arguments[0]), **{name: each for name, each in options.items() if name != "device"})
        return Elsewhere(moved) if (device or arguments[0].device).type == NAME else moved
    if operation is torch.ops.aten.copy_.default:
        operation(*map(_numbers, arguments[:2]))
        return arguments[0]
    if operation is torch.ops.aten._local_scalar_dense.default:
        return operation(_numbers(arguments[0]))
    there = any(isinstance(each, Elsewhere) for each in tensors) or (device is not None and device.type == NAME)
    if there:
        _refuse_a_mixture(operation, tensors, everything)
    given, kept = tree_map(_numbers, (arguments, options))
    answers = operation(*given, **(kept | {"device": torch.device("cpu")} if there and "device" in kept else kept))
    wrapped = {id(each.numbers): each for each in tensors if isinstance(each, Elsewhere)}  # what was changed in place

    def elsewhere(value: Any) -> Any:
        return wrapped.get(id(value), Elsewhere(value)) if isinstance(value, Tensor) else value

    return tree_map(elsewhere, answers) if there else answers


def _refuse_a_mixture(operation: Any, tensors: list[Tensor], everything: list[Any]) -> None:
    bound = tensors[:1] if operation in INDEXING else tensors  # a GPU takes places to look at from the CPU too
    if any(each.dim() > 0 and not isinstance(each, Elsewhere) for each in bound):
        raise RuntimeError(f"{operation}: tensors of two devices")
    if any(isinstance(each, torch.Generator) for each in everything):
        raise RuntimeError(f"{operation}: a generator of the CPU for a tensor on another device")


def _numbers(value: Any) -> Any:
    return value.numbers if isinstance(value, Elsewhere) else value


def tasks_to_try() -> Iterator[Task]:
    """The first and the last task of each stage that the smoke profile has, and the first of each other one."""
    replicate = Replicate(make_study("smoke"), 0)
    by_stage: dict[str, list[Task]] = {}
    for task in all_tasks(make(replicate) for name, make in EXPERIMENTS.items() if name not in ON_REQUEST):
        by_stage.setdefault(task.stage, []).append(task)
    for tasks in by_stage.values():
        yield from {tasks[place].key: tasks[place] for place in (0, -1)}.values()
    for task in all_tasks(EXPERIMENTS[name](replicate) for name in ON_REQUEST):
        if task.stage not in by_stage:
            by_stage[task.stage] = [task]
            yield task


def compute(task: Task, inputs: dict[str, Value], device: torch.device) -> Value:
    with tempfile.TemporaryDirectory() as folder:
        context = Context(device, torch.float32, Pieces(Path(folder)), lambda share: None)
        return getattr(stages, task.stage)(task.parameters, inputs, context)


def library_calls() -> dict[str, Callable[[torch.device], Tensor]]:
    """What a user of the library may call with tensors of a device, the first numbers of each answer."""
    source = torch.Generator().manual_seed(7)
    labels = torch.arange(40) % 10
    images, outputs = torch.rand(40, 1, 32, 32, generator=source), torch.randn(40, 10, generator=source)

    def split(device: torch.device) -> Split:
        return Split(images.to(device), labels.to(device))

    def ladder(device: torch.device) -> Tensor:
        torch.manual_seed(7)
        shadow = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(1024, 10)).to(device)
        frame = measure_ladder(
            lambda number: shadow, outputs.to(device), split(device), split(device), shadows=1, epochs=1
        )
        return torch.tensor(frame[["ssim", "mse"]].to_numpy())

    def draws() -> torch.Generator:
        return torch.Generator().manual_seed(8)

    calls = {
        name: lambda device, make=make: make(outputs.to(device), split(device))
        for name, make in {
            "black": baselines.black_images,
            "global average": baselines.global_average_images,
            "class average": baselines.class_average_images,
            "class average of images elsewhere": lambda given, _: baselines.class_average_images(given, split(CPU)),
            "random class image": lambda given, own: baselines.random_class_images(given, own, generator=draws()),
            "nearest outputs": lambda given, own: baselines.nearest_output_averages(given, own, given + 1, k=3),
        }.items()
    }
    return calls | {
        "ranks": lambda device: rank_within_class(images.to(device), images.to(device) + 0.1, labels.to(device)).closer,
        "shuffled": lambda device: baselines.shuffled_within_class(labels.to(device), generator=draws()),
        "calibration": lambda device: torch.tensor(calibration_error(outputs.softmax(1).to(device), labels.to(device))),
        "ladder": ladder,
    }


def largest_difference(value: Value, other: Value) -> float:
    """Of two values' numbers; infinite where they differ in form."""
    columns = [each.select_dtypes("number") if isinstance(each, pd.DataFrame) else each for each in (value, other)]
    pairs = [(np.asarray(columns[0][name], float), np.asarray(columns[1][name], float)) for name in columns[0]]
    if any(one.shape != another.shape or (np.isnan(one) != np.isnan(another)).any() for one, another in pairs):
        return float("inf")
    return max([float(np.nan_to_num(np.abs(one - another)).max()) for one, another in pairs if one.size], default=0.0)


def mistakes_refused() -> list[str]:
    """Of three mistakes that a GPU refuses, those that the pretended device refuses too."""
    there = torch.zeros(3, device=DEVICE)
    mistakes = {
        "a mixture": lambda: there + torch.zeros(3),
        "a generator": lambda: torch.rand(3, device=DEVICE, generator=torch.Generator()),
        "an array": there.numpy,
    }
    refused = []
    for name, mistake in mistakes.items():
        try:
            mistake()
        except (RuntimeError, TypeError):
            refused.append(name)
    return refused


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    torch.__future__.set_overwrite_module_params_on_conversion(True)  # weights are moved as other tensors are
    attacks.IMAGES_AT_ONCE[NAME] = attacks.IMAGES_AT_ONCE["cuda"]
    with PretendedDevice():
        _tell({"refused": mistakes_refused()})
    runner = Runner(Store(folder), device="cpu", show_progress=False)
    for name, call in library_calls().items():
        expected = call(CPU)
        with PretendedDevice():
            found = torch.from_numpy(call(DEVICE).numpy(force=True))
        _tell({"call": name, "difference": float((found - expected).abs().max())})
    for task in tasks_to_try():
        inputs = {name: runner.value(each, published=False) for name, each in task.inputs.items()}
        expected = compute(task, inputs, CPU)
        with PretendedDevice():
            found = compute(task, inputs, DEVICE)
        _tell({"stage": task.stage, "difference": largest_difference(found, expected)})


def _tell(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
