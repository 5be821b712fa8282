"""Fingerprints of the stages: a few means of what each computes at smoke scale in float32.

``python tests/fingerprints.py`` records them in ``mi_core/study/stages.json``, beside the versions that they belong to.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from mi_core.study import graph
from mi_core.study.experiments import EXPERIMENTS, ON_REQUEST, Replicate
from mi_core.study.graph import Runner, Task, all_tasks
from mi_core.study.parameters import make_study
from mi_core.study.store import Store, Value

TOLERANCE = 0.02  # processors round differently, and a training carries that on
# What hangs on which of two nearly equal numbers is larger jumps where they swap places.
JUMPING = ("predict", "judged", "closer", "tied", "false_positives", "shuffled_auc")
JUMPING_TOLERANCE = 0.15
RECORD = Path(graph.__file__).parent / "stages.json"


def compute_fingerprints(folder: Path) -> dict[str, dict[str, float]]:
    """Means of each stage's numbers over its tasks in replicate 0, plain and weighted with their places."""
    torch.set_num_threads(1)  # so that the number of cores does not matter
    runner = Runner(Store(folder), device="cpu", show_progress=False)
    study = make_study("smoke", {"precision": "float32"})
    tasks = all_tasks(make(Replicate(study, 0)) for name, make in EXPERIMENTS.items() if name not in ON_REQUEST)
    tasks += _of_further_stages(Replicate(study, 0), {task.stage for task in tasks})
    runner.compute(tasks)
    by_stage: dict[str, list[Task]] = {}
    for task in tasks:
        by_stage.setdefault(task.stage, []).append(task)
    return {stage: _means([runner.value(task) for task in tasks]) for stage, tasks in sorted(by_stage.items())}


def _of_further_stages(replicate: Replicate, known: set[str]) -> list[Task]:
    """One task of each stage that only what is computed on request has."""
    found: dict[str, Task] = {}
    for task in all_tasks(EXPERIMENTS[name](replicate) for name in ON_REQUEST):
        if task.stage not in known:
            found.setdefault(task.stage, task)
    return list(found.values())


def tolerance(name: str) -> float:
    return JUMPING_TOLERANCE if name.startswith(JUMPING) else TOLERANCE


def _means(values: list[Value]) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for value in values:
        columns = value.select_dtypes("number").to_dict("series") if isinstance(value, pd.DataFrame) else value
        for name, numbers in columns.items():
            sizes = np.abs(np.asarray(numbers, dtype=np.float64)).ravel()
            if len(sizes) and not name.startswith("model."):
                places = np.linspace(0, 1, len(sizes))  # so that numbers that change places are noticed
                found.setdefault(name, []).append(float(sizes.mean()))
                found.setdefault(f"{name}, by place", []).append(float((sizes * places).mean()))
    return {name: float(f"{np.mean(means):.6g}") for name, means in sorted(found.items())}


if __name__ == "__main__":
    record = json.loads(RECORD.read_text())
    with tempfile.TemporaryDirectory() as name:
        fingerprints = compute_fingerprints(Path(name))
    for stage, fingerprint in fingerprints.items():
        record[stage]["fingerprint"] = fingerprint
    RECORD.write_text(json.dumps(record, indent=1) + "\n")
    sys.stdout.write(f"Recorded {len(fingerprints)} fingerprints in {RECORD.name}.\n")
