"""Where tensors are: no GPU is needed to find those that were left on the CPU."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, CommandLine

from mi_core.study.graph import stage_versions

# Of trained weights and losses: a GPU draws dropout in another way, and sums in another order.
TRAINED = {"inverse_model": 0.02, "pooled_inverse_model": 0.02, "ladder": 0.001}


@pytest.mark.run
def test_stages_and_library_give_the_same_on_a_device_that_refuses_what_a_gpu_refuses(
    smoke: CommandLine, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    shutil.copytree(smoke.environment["MI_CORE_STORE"], store, copy_function=os.link)
    program = [sys.executable, str(ROOT / "tests" / "pretended_device.py"), str(store)]
    done = subprocess.run(program, env=smoke.environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first, *lines = map(json.loads, done.stdout.splitlines())
    assert first == {"refused": ["a mixture", "a generator", "an array"]}
    assert {line["stage"] for line in lines if "stage" in line} == set(stage_versions())
    assert sum("call" in line for line in lines) == 10
    differing = [line for line in lines if line["difference"] > TRAINED.get(line.get("stage", line.get("call")), 1e-6)]
    assert not differing
