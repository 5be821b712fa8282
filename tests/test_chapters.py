"""Chapters: pairs in sync, parameters checked, execution at smoke scale and from published results."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jupytext
import nbformat
import pytest
from conftest import ROOT, CommandLine

from mi_core.errors import UserError
from mi_core.report.chapters import EXECUTED, chapter_names, execute_chapter, normalise

CHAPTERS = chapter_names()


def papermill(command_line: CommandLine, *words: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "papermill", *words, "--no-progress-bar"]
    return subprocess.run(command, env=command_line.environment, capture_output=True, text=True, cwd=ROOT)


@pytest.mark.parametrize("name", CHAPTERS)
def test_scripts_and_notebooks_are_in_sync(name: str) -> None:
    pair = [jupytext.read(ROOT / "notebooks" / f"{name}{suffix}") for suffix in (".py", ".ipynb")]
    script, notebook = ([(cell.cell_type, cell.source, cell.metadata) for cell in each.cells] for each in pair)
    assert script == notebook, "run `make sync`"


def test_every_script_has_its_notebook() -> None:
    assert sorted(path.stem for path in (ROOT / "notebooks").glob("*.py")) == CHAPTERS


@pytest.mark.parametrize("name", CHAPTERS)
def test_sources_hold_no_outputs_and_executed_copies_no_failure(name: str) -> None:
    source = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    code = [cell for cell in source.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
    assert "parameters" in code[0].metadata.tags
    executed = nbformat.read(EXECUTED / f"{name}.ipynb", as_version=4)
    assert [cell.source for cell in executed.cells] == [cell.source for cell in source.cells], "run `make book`"
    normalise(executed)


@pytest.mark.parametrize("name", CHAPTERS)
def test_cells_are_short(name: str) -> None:
    source = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    for cell in source.cells:
        if cell.cell_type == "code":
            assert len(cell.source.splitlines()) <= 12, cell.source
            assert not re.search(r"^\s*(import torch|from torch|while |class )", cell.source, re.MULTILINE)


@pytest.mark.slow
@pytest.mark.chapter
def test_every_chapter_executes_at_smoke_scale(smoke: CommandLine, tmp_path: Path) -> None:
    smoke("book", "-p", "profile", "smoke", "--output", str(tmp_path))
    for name in CHAPTERS:
        notebook = nbformat.read(tmp_path / f"{name}.ipynb", as_version=4)
        assert any(cell.get("outputs") for cell in notebook.cells), name


@pytest.mark.chapter
def test_one_chapter_executes_alone_with_a_parameter(smoke: CommandLine, tmp_path: Path) -> None:
    smoke("chapter", "rq2_rounding", "-p", "profile", "smoke", "--output", str(tmp_path / "out.ipynb"))
    assert 'profile = \\"smoke\\"' in (tmp_path / "out.ipynb").read_text()


@pytest.mark.chapter
def test_plain_papermill_computes_with_another_seed(smoke: CommandLine, tmp_path: Path) -> None:
    words = (
        "notebooks/data_and_splits.ipynb",
        str(tmp_path / "out.ipynb"),
        "-p",
        "profile",
        "smoke",
        "-p",
        "seed",
        "3",
    )
    done = papermill(smoke, *words)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "out.ipynb").read_text()
    assert "seed = 3" in text


@pytest.mark.chapter
def test_plain_papermill_refuses_a_mistyped_parameter(command_line: CommandLine, tmp_path: Path) -> None:
    words = ("-p", "profile", "smoke", "-p", "sede", "3")
    done = papermill(command_line, "notebooks/rq1_inputs.ipynb", str(tmp_path / "out.ipynb"), *words)
    assert done.returncode != 0
    assert "`sede` is not a parameter; did you mean `seed`?" in done.stderr


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"profile": "smoke", "seed": "abc"}, "`seed`: input should be a valid integer"),
        ({"profile": "smoke", "steps": 0}, "`steps`: input should be greater than or equal to 1"),
        ({"profile": "smok"}, "`profile` must be"),
        ({"seed": 3}, "`seed` cannot be changed in published results"),
    ],
)
def test_a_chapter_refuses_bad_parameters(changes: dict[str, object], sentence: str) -> None:
    """Its own first two cells, with papermill's between them, in this process."""
    source = nbformat.read(ROOT / "notebooks" / "rq1_inputs.ipynb", as_version=4)
    parameters, opening = [cell.source for cell in source.cells if cell.cell_type == "code"][:2]
    namespace: dict[str, object] = {}
    exec(parameters, namespace)
    namespace |= changes
    with pytest.raises(UserError, match=re.escape(sentence)):
        exec(opening, namespace)


@pytest.mark.chapter
def test_the_book_executes_without_torch_and_without_data_and_changes_nothing(tmp_path: Path) -> None:
    """From published results a chapter opens no data set and no weights, and executing it again changes no byte."""
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("raise ImportError('no torch here')\n")
    environment = {
        **os.environ,
        "PYTHONPATH": str(tmp_path),
        "MI_CORE_DATA": str(tmp_path / "absent"),
        "MI_CORE_STORE": str(tmp_path / "empty"),
    }
    command = [sys.executable, "-m", "mi_core", "book", "--output", str(tmp_path / "book")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    for name in CHAPTERS:
        executed, committed = (folder / f"{name}.ipynb" for folder in (tmp_path / "book", EXECUTED))
        assert executed.read_bytes() == committed.read_bytes(), f"{name}: run `make book` and commit"
    assert not (tmp_path / "empty").exists()


def test_a_chapter_never_replaces_its_source() -> None:
    with pytest.raises(UserError, match="would replace a chapter's source"):
        execute_chapter("workflow", {}, ROOT / "notebooks" / "workflow.ipynb")


def test_a_failed_execution_is_refused_and_transient_marks_go() -> None:
    cell = nbformat.v4.new_code_cell("1", metadata={"papermill": {"duration": 1.0}, "tags": ["injected-parameters"]})
    cell.outputs = [nbformat.v4.new_output("display_data", {"text/plain": "<Figure at 0x7f00aa11bb22>"})]
    notebook = nbformat.v4.new_notebook(cells=[cell], metadata={"papermill": {"duration": 2.0}})
    normalise(notebook)
    assert "papermill" not in json.dumps(notebook)
    assert cell["id"] == "injected-parameters-0"
    assert cell.outputs[0].data["text/plain"] == "<Figure>"
    cell.outputs = [nbformat.v4.new_output("error", ename="ValueError", evalue="no", traceback=[])]
    with pytest.raises(UserError, match="cell 0 failed: ValueError: no"):
        normalise(notebook)
