"""No number in prose that no cell computed: decimals and percentages are refused in Markdown."""

import csv
import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from conftest import ROOT

from mi_core.study.parameters import CODE, TEXT, Protocol

PAGES = sorted((ROOT / "book" / "pages").glob("*.md"))
CHAPTERS = sorted((ROOT / "notebooks").glob("*.ipynb"))

# What may hold a number: code, formulas, roles (glue among them), link targets, versions of licences.
ALLOWED = [
    r"(?ms)^(```|~~~|:::).*?^\1",
    r"`[^`]*`",
    r"(?s)\$\$.*?\$\$",
    r"\$[^$\n]*(?:\n[^$\n]+)?\$",
    r"\{[a-z:]+\}`[^`]*`",
    r"\]\([^)]*\)",
    r"<https?:[^>]*>",
    r"CC BY(-SA)? \d\.\d",
    r"Attribution(-ShareAlike| Share Alike|-Share Alike)? \d\.\d",
]  # fmt: skip
NUMBER = re.compile(r"\d+[.,]?\d*\s*%|\bper ?cent\b|(?<![\d.])\d+\.\d+(?![\d.])", re.IGNORECASE)


def typed_numbers(markdown: str) -> list[str]:
    for pattern in ALLOWED:
        markdown = re.sub(pattern, " ", markdown)
    return [match.group() for match in NUMBER.finditer(markdown)]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_pages_type_no_result(page: Path) -> None:
    assert typed_numbers(page.read_text()) == []


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_chapters_type_no_result(chapter: Path) -> None:
    cells = nbformat.read(chapter, as_version=4).cells
    shown = [cell.source for cell in cells if cell.cell_type == "markdown"]
    for options in (cell.metadata.get("mystnb", {}) for cell in cells):
        shown += [options.get("figure", {}).get("caption", ""), options.get("image", {}).get("alt", "")]
    assert [number for text in shown for number in typed_numbers(text)] == []


def test_the_register_of_deviations_lists_the_protocols_as_they_are() -> None:
    page = (ROOT / "book" / "pages" / "deviations.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| `([^`]*)`[^|]*\| `([^`]*)`", page, re.MULTILINE)
    expected = [(name, str(getattr(CODE, name)), str(getattr(TEXT, name))) for name in Protocol.model_fields]
    assert rows == expected


def test_the_table_of_faults_names_what_the_tests_try() -> None:
    """By title and outcome; ``make faults`` counts the cases anew."""
    with (ROOT / "results" / "faults.csv").open() as file:
        recorded = {(row["Fault or input"], row["What it gives"]) for row in csv.DictReader(file)}
    tried = set()
    for path in (ROOT / "tests").glob("test_*.py"):
        if path.name != Path(__file__).name and "pytest.mark.fault" in path.read_text():
            for test in vars(importlib.import_module(path.stem)).values():
                marks = (mark for mark in getattr(test, "pytestmark", []) if mark.name == "fault")
                tried |= {(mark.args[0][:1].upper() + mark.args[0][1:], mark.args[1]) for mark in marks}
    assert recorded == tried


def test_make_faults_is_a_command_that_pytest_understands() -> None:
    """It finds ``--record`` in a conftest that it looks for by the words after its options."""
    recipe = re.search(r"^faults:.*\n\t\$\(BIN\)/python (.*)", (ROOT / "Makefile").read_text(), re.MULTILINE).group(1)
    words = [*shlex.split(recipe), "--collect-only", "-o", "testpaths=tests", "--ignore-glob=*/*.py"]
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED, done.stderr


def test_the_checker_notices_what_is_typed_and_allows_what_is_computed() -> None:
    assert typed_numbers("SSIM is 0.37, a gain of 54 % and 12.5%.") == ["0.37", "54 %", "12.5%"]
    allowed = (
        "SSIM is {glue:text}`ssim`, `0.37`, $0.5 x$, in Table 4 of 10,000 images [here](page-1.2).\n```\n0.1\n```\n"
    )
    assert typed_numbers(allowed) == []


@pytest.mark.parametrize("path", [*PAGES, ROOT / "README.md"], ids=lambda path: path.stem)
def test_nothing_names_a_path_of_a_machine(path: Path) -> None:
    assert not re.search(r"(?<![\w.`])/(home|root|tmp|work|Users)/", path.read_text())


def test_the_example_of_the_readme_runs() -> None:
    block = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL).group(1)
    exec(compile(block, "README.md", "exec"), {"__name__": "readme"})
