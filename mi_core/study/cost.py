"""What each table costs: seconds, memory and floating-point operations; and the published benchmark."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mi_core.errors import UserError
from mi_core.study.experiments import EXPERIMENTS, Replicate, replicates
from mi_core.study.graph import Task, all_tasks
from mi_core.study.manifest import Entry
from mi_core.study.parameters import PROFILES

__all__ = ["BENCHMARK", "count_operations", "exponents", "profile_operations", "read_benchmark", "table_costs"]

BENCHMARK = "benchmark.json"  # in the folder of published results
INPUT_SIZES = {"O": 10, "A_L": 50, "X~": 1024}


def read_benchmark(folder: Path) -> tuple[dict[str, Any], pd.DataFrame, pd.DataFrame]:
    """The machine, the speeds and the growth that ``python -m mi_core bench --publish`` has measured.

    Raises:
        UserError: the file is missing or damaged.
    """
    path = folder / BENCHMARK
    try:
        content = json.loads(path.read_text())
        speed, growth = (pd.DataFrame(content[name]) for name in ("speed", "growth"))
        counted = ["operations", "reference_share", "product_share"]  # null where there is nothing to count
        return content["machine"], speed.astype(dict.fromkeys(counted, float)), growth
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(
            f"{path} is missing or damaged: `python -m mi_core bench --publish` measures it again."
        ) from None


def exponents(growth: pd.DataFrame) -> dict[str, float]:
    """Slope of log seconds over log size, by least squares, for each thing that grows.

    Args:
        growth: columns what, size and seconds.
    """
    return {
        what: float(np.polyfit(np.log(sizes["size"]), np.log(sizes["seconds"]), 1)[0])
        for what, sizes in growth.groupby("what", sort=False)
    }


def table_costs(entries: list[Entry], operations: Mapping[str, float]) -> pd.DataFrame:
    """What each published table took from nothing, with all that it shares with others.

    Seconds are the least of any replicate: whatever else a machine has to do can only add to them.

    Args:
        entries: of the manifest.
        operations: floating-point operations a unit of each kind of work, as the benchmark counts them.
    Returns:
        Columns profile, table, replicates, seconds, peak_memory_mib (the most of any replicate), operations (of a
        replicate; trainings and reconstructions, scores left out), hardware.
    """
    lines = []
    for entry in entries:
        if entry.experiment.startswith("table") or entry.experiment == "comparison":
            replicate = Replicate(PROFILES[entry.profile], entry.replicate)
            tasks = all_tasks([EXPERIMENTS[entry.experiment](replicate)])
            lines.append(
                {
                    "profile": entry.profile,
                    "table": entry.experiment,
                    "seconds": entry.seconds,
                    "peak_memory_mib": entry.provenance["peak_memory_mib"],
                    "operations": sum(count_operations(task, operations) for task in tasks),
                    "hardware": ", ".join(entry.provenance["hardware"]),
                }
            )
    columns = ["profile", "table", "replicates", "seconds", "peak_memory_mib", "operations", "hardware"]
    if not lines:
        return pd.DataFrame(columns=columns)
    summary = pd.DataFrame(lines).groupby(["profile", "table"], sort=False)
    joined = summary.agg(
        replicates=("seconds", "size"),
        seconds=("seconds", "min"),
        peak_memory_mib=("peak_memory_mib", "max"),
        operations=("operations", "mean"),
        hardware=("hardware", "first"),
    )
    return joined.reset_index()[columns]


def profile_operations(profile: str, operations: Mapping[str, float]) -> float:
    """Floating-point operations of Tables 1 to 6 of a profile, all replicates, each shared step once."""
    tables = [EXPERIMENTS[f"table{number}"] for number in range(1, 7)]
    tasks = all_tasks(make(each) for each in replicates(PROFILES[profile]) for make in tables)
    return sum(count_operations(task, operations) for task in tasks)


def count_operations(task: Task, operations: Mapping[str, float]) -> float:
    """Floating-point operations of one step of the study; 0 for those that train and reconstruct nothing.

    Where X~ depends on the label alone (the text's loss), fewer are needed than are counted.
    """
    sizes = task.parameters
    if task.stage == "classifier":
        return sizes["images"] * sizes["epochs"] * operations["training a classifier"]
    if task.stage == "search_trial":
        return sizes["images"] * sizes["steps"] * operations["gradient reconstruction"]
    if task.stage == "reconstructions":
        return _images(task.inputs["outputs"]) * sizes["steps"] * operations["gradient reconstruction"]
    if task.stage == "inverse_model":
        parts = sizes["combination"].split("+")
        return _images(task.inputs[parts[0]]) * sizes["epochs"] * _inverse_operations(parts, operations)
    return 0.0


def _inverse_operations(parts: list[str], operations: Mapping[str, float]) -> float:
    """They grow linearly with the length of the inputs, of which the benchmark knows two."""
    short, long = operations["training M_I(O)"], operations["training M_I(X~)"]
    slope = (long - short) / (INPUT_SIZES["X~"] - INPUT_SIZES["O"])
    return short + slope * (sum(INPUT_SIZES[part] for part in parts) - INPUT_SIZES["O"])


def _images(task: Task) -> int:
    """How many images a task of attack inputs is about: its own number, or that of the outputs that it is made of."""
    return task.parameters["images"] if task.stage == "outputs" else _images(task.inputs["outputs"])
