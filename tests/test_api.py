"""The reference of the library: every public name of the ground floor, with its documentation."""

import ast
import re

import pytest
from bs4 import BeautifulSoup
from conftest import ROOT

from mi_core.report.api import MODULES, api_reference, public_names

SOURCES = {name: ast.parse((ROOT / "mi_core" / f"{name}.py").read_text()) for name in MODULES}


def test_every_module_of_the_ground_floor_is_there() -> None:
    ground = {path.stem for path in (ROOT / "mi_core").glob("*.py")} - {
        "__init__",
        "__main__",
        "checks",
        "cli",
        "errors",
        "reference",
    }
    attacks = {f"attacks/{path.stem}" for path in (ROOT / "mi_core" / "attacks").glob("*.py")} - {"attacks/__init__"}
    assert set(MODULES) == ground | attacks


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_says_what_it_does(module: str) -> None:
    for node in public_names(SOURCES[module]):
        sentence = (ast.get_docstring(node) or "").split("\n")[0]
        assert len(sentence) > 15 and re.search(r"[.:;,\w)]$", sentence), f"{module}: {node.name}"


def test_a_function_unfolds_to_its_signature_and_a_class_to_its_methods() -> None:
    soup = BeautifulSoup(api_reference(), "html.parser")
    rounding = soup.find(id="mi_core.defenses.round_outputs").get_text()
    assert "round_outputs(outputs: Tensor, decimals: int=1) -> Tensor" in rounding
    assert "Raises:" in rounding
    split = soup.find(id="mi_core.data.Split").get_text()
    assert "class Split" in split and "first(self, count: int) -> 'Split'" in split
    expected = {f"mi_core.{module.replace('/', '.')}" for module in MODULES}
    assert {heading["id"] for heading in soup.select("h3")} == expected
