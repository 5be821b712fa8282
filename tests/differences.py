"""One small attack, computed under given circumstances; ``test_differences.py`` compares what it gives.

``python tests/differences.py FOLDER PRECISION SEEDS WORKERS`` computes it in a process of its own.
"""

import sys
from pathlib import Path

from mi_core.study.graph import Runner, Task
from mi_core.study.parameters import make_study
from mi_core.study.replicate import EXACT, Replicate
from mi_core.study.store import Store

# The profile smoke with these is large enough that the attack works.
SIZES = {
    "classifier_images": 480,
    "classifier_epochs": 2,
    "attack_training": 128,
    "attack_validation": 32,
    "attack_test": 64,
    "steps": 30,
    "inverse_epochs": 12,
}


def tasks(precision: str, seeds: int) -> dict[str, Task]:
    """Reconstructions of images of D_F: X~, and what M_I makes of it with the first and, of two, the second seed."""
    replicate = Replicate(make_study("smoke", SIZES | {"precision": precision, "inverse_seeds": seeds}), 0)
    names = ("M_I(X~)", "another seed")[:seeds]
    inverted = [replicate.inverse_reconstructions("X~", EXACT, seed, "shadow") for seed in replicate.inverse_seeds]
    outputs = replicate.outputs("target", "test")
    return {"X~": replicate.reconstructions(outputs, "test")} | dict(zip(names, inverted, strict=True))


def compute(folder: Path, precision: str, seeds: int, workers: int) -> None:
    runner = Runner(Store(folder), device="cpu", show_progress=False)
    wanted = tasks(precision, seeds).values()
    if workers:
        from mi_core.study import cluster

        with cluster.local_workers(workers, device="cpu") as client:
            cluster.compute(client, runner, wanted)
    else:
        runner.compute(wanted)


if __name__ == "__main__":
    folder, precision, *counts = sys.argv[1:]
    compute(Path(folder), precision, *map(int, counts))
