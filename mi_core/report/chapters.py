"""Chapters: executed by papermill, refused when they failed, and stripped of all that changes from run to run."""

import io
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import nbformat
from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode

from mi_core.errors import UserError
from mi_core.report.figures import select_images, strip
from mi_core.report.style import apply_style, row_label
from mi_core.study.provenance import ROOT
from mi_core.study.results import PUBLISHED, open_results
from mi_core.study.store import write_atomically

__all__ = ["chapter_names", "draw_overview", "execute_chapter", "execute_chapters", "normalise"]

NOTEBOOKS = ROOT / "notebooks"
EXECUTED = ROOT / "book" / "chapters"
AT_ONCE = 4  # chapters; each takes a process of its own and a kernel
OVERVIEW = ROOT / "book" / "assets" / "overview.png"


def chapter_names() -> list[str]:
    """Names of all chapters."""
    return sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))


def execute_chapter(name: str, parameters: Mapping[str, Any], output: Path) -> Path:
    """Execute a chapter and write its normalised copy.

    Args:
        name: one of ``chapter_names()``.
        parameters: what papermill sets, already validated.
        output: where the executed copy goes; it replaces what is there only if the execution succeeds.
    Raises:
        UserError: no such chapter, or a cell failed.
    """
    import papermill

    if name not in chapter_names():
        raise UserError(f"`{name}` is no chapter; there are {', '.join(chapter_names())}.")
    if output.resolve().parent == NOTEBOOKS:
        raise UserError(f"{output} would replace a chapter's source: choose another --output.")
    folder = next(parent for parent in output.resolve().parents if parent.exists())
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise UserError(f"cannot write {output}: {folder} is no folder that can be written; choose another --output.")
    with tempfile.TemporaryDirectory() as elsewhere:
        copy = Path(elsewhere) / "executed.ipynb"
        try:
            papermill.execute_notebook(
                NOTEBOOKS / f"{name}.ipynb",
                copy,
                parameters=dict(parameters),
                kernel_name="python3",
                cwd=str(ROOT),
                progress_bar=False,
                log_output=False,
                extra_arguments=["--IPKernelApp.log_level=CRITICAL"],  # it warns of shared machines, and of its own end
            )
        except papermill.PapermillExecutionError as error:
            raise UserError(f"chapter {name} failed: {_last_words(error)}") from None
        except DeadKernelError:
            raise UserError(f"chapter {name} failed: its process was killed; was there enough memory?") from None
        notebook = nbformat.read(copy, as_version=4)
    normalise(notebook)
    write_atomically(output, (nbformat.writes(notebook).rstrip("\n") + "\n").encode())
    return output


def execute_chapters(parameters: Mapping[str, Any], folder: Path | None = None) -> Iterator[Path]:
    """Execute every chapter into the book or another folder; the paths as they are done.

    Args:
        parameters: as in ``execute_chapter``. Without any, several chapters are executed at a time; with some, what
            they compute takes the whole machine, so it is one after another.
        folder: where the executed copies go; the book's by default.
    Raises:
        UserError: a chapter failed.
    """
    names = chapter_names()
    paths = [(folder or EXECUTED) / f"{name}.ipynb" for name in names]
    at_once = 1 if parameters else min(os.cpu_count() or 1, AT_ONCE)
    with ProcessPoolExecutor(at_once, mp_context=get_context("spawn")) as pool:
        yield from pool.map(execute_chapter, names, repeat(dict(parameters)), paths)


def draw_overview() -> Path:
    """The picture of the README: a random image of each class, and what the attacks make of it."""
    results = open_results(PUBLISHED, together=("table4", "gallery"))
    scores, gallery = (results.frame(name).query("replicate == 0") for name in ("table4", "gallery"))
    apply_style()
    rows = {row: row_label(row) for row in ("target", "X~/class_average", "M_I(O)", "M_I(X~)", "M_I(X~)/k=1")}
    rows["baseline: SSIM-optimal class image"] = "label alone"  # what a reader has to compare the others with
    figure = strip(gallery, rows, select_images(scores, "M_I(X~)", how="random"))
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=200, metadata={"Software": None})
    write_atomically(OVERVIEW, content.getvalue())
    return OVERVIEW


def _last_words(error: Any) -> str:
    if error.ename == "UserError":
        return str(error.evalue)
    return f"{error.ename}: {error.evalue} (cell {error.exec_count})"


def normalise(notebook: NotebookNode) -> None:
    """Remove what differs between two executions with the same results, and refuse a failed one.

    Raises:
        UserError: the notebook holds a failed execution.
    """
    if notebook.metadata.pop("papermill", {}).get("exception"):
        raise UserError("this execution failed; a failed chapter is not published.")
    notebook.metadata.get("language_info", {}).pop("version", None)
    for number, cell in enumerate(notebook.cells):
        for transient in ("papermill", "execution"):
            cell.metadata.pop(transient, None)
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell["id"] = f"injected-parameters-{number}"
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                raise UserError(f"cell {number} failed: {output.ename}: {output.evalue}")
            for kind, text in output.get("data", {}).items():
                if isinstance(text, str) and kind.startswith("text/"):
                    output["data"][kind] = re.sub(r" at 0x[0-9a-f]{6,}", "", text)
