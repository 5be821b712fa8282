"""Tasks, keys and the runner, on stages that count their calls."""

import json
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mi_core.errors import UserError
from mi_core.study import graph, provenance, stages
from mi_core.study.graph import Runner, Task, all_tasks
from mi_core.study.stages import common
from mi_core.study.store import Store


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two cheap stages in place of the real ones: "outputs" gives a number, "scores" adds its inputs."""
    made: list[str] = []

    def outputs(parameters, inputs, context):
        made.append("outputs")
        return {"value": np.array(parameters["value"])}

    def scores(parameters, inputs, context):
        made.append("scores")
        return {"value": np.array(sum(int(inputs[name]["value"]) for name in inputs))}

    monkeypatch.setattr(stages, "outputs", outputs)
    monkeypatch.setattr(stages, "scores", scores)
    return made


def total(*values: int) -> Task:
    return Task("scores", {}, {str(value): Task("outputs", {"value": value}) for value in values})


def test_what_is_stored_is_not_computed_again_and_its_inputs_are_not_opened(tmp_path: Path, calls: list[str]) -> None:
    runner = Runner(Store(tmp_path), show_progress=False)
    assert runner.compute([total(1, 2)]) == 3
    assert sorted(calls) == ["outputs", "outputs", "scores"]
    for path in (tmp_path / "outputs").iterdir():
        path.write_bytes(b"damaged")
    again = Runner(Store(tmp_path), show_progress=False)
    assert again.compute([total(1, 2)]) == 0
    assert int(again.value(total(1, 2))["value"]) == 3
    assert len(calls) == 3


def test_only_what_is_missing_is_computed(tmp_path: Path, calls: list[str]) -> None:
    runner = Runner(Store(tmp_path), show_progress=False)
    runner.compute([total(1, 2)])
    calls.clear()
    runner.compute([total(2, 5)])
    assert calls == ["outputs", "scores"]


def test_the_key_follows_stage_version_parameters_and_inputs_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    key = total(1, 2).key
    assert total(1, 2).key == key
    assert total(2, 1).key == key  # inputs are known by name
    assert total(1, 3).key != key
    assert Task("scores", {}, total(1, 2).inputs, work=99).key == key
    assert Task("gallery", {}, total(1, 2).inputs).key != key
    monkeypatch.setitem(graph.VERSIONS, "outputs", 2)
    assert total(1, 2).key != key


def test_all_tasks_puts_inputs_first_and_each_task_once() -> None:
    shared = Task("outputs", {"value": 1})
    top = [Task("scores", {}, {"a": shared}), Task("scores", {"b": 1}, {"a": shared})]
    ordered = all_tasks(top)
    assert [task.stage for task in ordered] == ["outputs", "scores", "scores"]


def test_a_failing_stage_is_one_sentence_and_stores_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def outputs(parameters, inputs, context):
        raise ValueError("`count` must be between 1 and 3")

    monkeypatch.setattr(stages, "outputs", outputs)
    with pytest.raises(UserError, match="the stage outputs failed: `count` must be between 1 and 3"):
        Runner(Store(tmp_path), show_progress=False).compute([Task("outputs", {"value": 1})])
    assert not list(tmp_path.glob("**/*.safetensors"))


def test_a_stage_is_recorded_for_every_function_and_the_other_way_round() -> None:
    names = {name for name in stages.__all__ if not name.startswith("choose_")} - {"keep_freed_memory"}
    assert names == set(graph.stage_versions())


def test_every_recorded_version_is_a_whole_number() -> None:
    recorded = json.loads((Path(graph.__file__).parent / "stages.json").read_text())
    assert all(isinstance(entry["version"], int) and entry["version"] >= 1 for entry in recorded.values())


def test_provenance_names_commit_versions_and_hardware(tmp_path: Path, calls: list[str]) -> None:
    store = Store(tmp_path)
    Runner(store, show_progress=False).compute([Task("outputs", {"value": 1})])
    _, provenance = store.load(next((tmp_path / "outputs").iterdir()))
    assert {"commit", "versions", "hardware", "device", "threads", "precision", "seconds"} <= set(provenance)
    assert provenance["versions"]["torch"]


@pytest.mark.parametrize("requested", ["float32", "bfloat16"])
def test_a_task_is_computed_in_the_precision_that_is_in_its_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, requested: str
) -> None:
    """Two precisions stand in one graph where they are compared."""
    seen = {}

    def outputs(parameters, inputs, context):
        seen[context.precision] = parameters["precision"]
        return {"value": np.zeros(1)}

    monkeypatch.setattr(stages, "outputs", outputs)
    store = Store(tmp_path)
    Runner(store, show_progress=False).compute([Task("outputs", {"precision": requested})])
    assert seen == {getattr(torch, requested): requested}
    assert store.load(next((tmp_path / "outputs").iterdir()))[1]["precision"] == requested


def test_what_has_no_precision_in_its_key_is_computed_in_float32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(stages, "outputs", lambda *given: {"value": seen.append(given[2].precision) or np.zeros(1)})
    Runner(Store(tmp_path), show_progress=False).compute([Task("outputs", {"value": 1})])
    assert seen == [torch.float32]


def test_cuda_without_a_gpu_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(common.torch, "cuda", SimpleNamespace(is_available=lambda: False))
    with pytest.raises(UserError, match="`device` is 'cuda', but this machine has no GPU"):
        stages.choose_device("cuda")
    assert stages.choose_device("auto").type == "cpu"


def test_a_stage_that_was_killed_and_goes_on_tells_of_both_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, threads = Task("outputs", {"value": 1}), torch.get_num_threads()

    def outputs(parameters, inputs, context):
        if context.pieces.load("half") is None:
            time.sleep(0.2)
            context.pieces.save("half", {"value": np.ones(1)})
            raise KeyboardInterrupt
        return {"value": np.ones(2)}

    monkeypatch.setattr(stages, "outputs", outputs)
    store = Store(tmp_path)
    monkeypatch.setattr(graph, "describe_machine", lambda *_: {"commit": "first+changes", "threads": threads})
    with pytest.raises(KeyboardInterrupt):
        Runner(store, show_progress=False).compute([task])
    monkeypatch.setattr(graph, "describe_machine", lambda *_: {"commit": "second", "threads": threads + 1})
    Runner(store, show_progress=False).compute([task])
    last = store.load(store.find("outputs", task.key))[1]
    [earlier] = last["earlier"]
    assert (last["commit"], earlier["commit"]) == ("second", "first+changes")
    assert earlier["seconds"] >= 0.2 > last["seconds"] and earlier["threads"] == threads
    assert not store.pieces("outputs", task.key).names()


def test_a_stage_without_memory_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def outputs(*_):
        raise MemoryError

    monkeypatch.setattr(stages, "outputs", outputs)
    with pytest.raises(UserError, match="the stage outputs ran out of memory: close other programs"):
        Runner(Store(tmp_path), show_progress=False).compute([Task("outputs", {"value": 1})])


def test_convolutions_on_a_gpu_are_in_float32_where_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(common.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(common.torch.backends.cudnn, "allow_tf32", True)
    assert stages.choose_device("cpu").type == "cpu" and torch.backends.cudnn.allow_tf32
    assert stages.choose_device("auto").type == "cuda" and not torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize("fast", [True, False])
def test_a_gpu_that_emulates_bfloat16_does_not_count_as_fast(monkeypatch: pytest.MonkeyPatch, fast: bool) -> None:
    monkeypatch.setattr(
        common.torch.cuda, "is_bf16_supported", lambda including_emulation=True: fast or including_emulation
    )
    chosen = stages.choose_precision("auto", torch.device("cuda"))
    assert chosen == (torch.bfloat16 if fast else torch.float32)


def test_inside_another_project_the_commit_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MI_CORE_COMMIT", raising=False)
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    author = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", *author, "commit", "-q", "--allow-empty", "-m", "x"], cwd=tmp_path, check=True)
    (tmp_path / "installed").mkdir()
    provenance.commit.cache_clear()
    for root, known in ((tmp_path / "installed", False), (tmp_path, True)):
        monkeypatch.setattr(provenance, "ROOT", root.resolve())
        assert (provenance.commit() != "unknown") is known
        provenance.commit.cache_clear()
