"""What the study costs on this machine: speed against the plain protocol, and how time grows with its sizes."""

import json
from pathlib import Path

import pandas as pd
import torch

from mi_core.study.benchmark.growth import GROWTHS, measure_growth
from mi_core.study.benchmark.speed import UNITS, count_operations, measure_speed
from mi_core.study.cost import BENCHMARK
from mi_core.study.provenance import describe_machine
from mi_core.study.stages import choose_precision
from mi_core.study.store import write_atomically

__all__ = ["GROWTHS", "UNITS", "count_operations", "measure_growth", "measure_speed", "write"]


def write(speed: pd.DataFrame, growth: pd.DataFrame, folder: Path) -> Path:
    """Keep measurements, with the machine that they were made on, where ``mi_core.study.cost`` reads them."""
    cpu = torch.device("cpu")
    content = {
        "machine": describe_machine(cpu, choose_precision("auto", cpu)),
        "speed": json.loads(speed.to_json(orient="records")),  # NaN becomes null
        "growth": json.loads(growth.to_json(orient="records")),
    }
    write_atomically(folder / BENCHMARK, (json.dumps(content, indent=1) + "\n").encode())
    return folder / BENCHMARK
