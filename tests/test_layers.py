"""Imports point down only: report above study above the ground floor, and torch stays where something is computed."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import mi_core

FORBIDDEN = {
    "ground": ("mi_core.study", "mi_core.report", "mi_core.cli"),
    "study": ("mi_core.report", "mi_core.cli"),
    "report": ("torch",),
    "top": (),
}
TORCH = ("torch", "torchvision", "pytorch_msssim", "safetensors.torch")  # importing one of these loads torch
MAY_LOAD_TORCH = ("mi_core.study.stages", "mi_core.study.benchmark")  # where something is computed


def read_package(folder: Path) -> dict[str, str]:
    """The source of every module, by its dotted name; that of a package ends in ``.__init__``."""
    paths = sorted(folder.rglob("*.py"))
    return {
        ".".join((folder.name, *path.relative_to(folder).with_suffix("").parts)): path.read_text() for path in paths
    }


def floor_of(module: str) -> str:
    part = module.split(".")[1]
    if part in ("study", "report"):
        return part
    return "top" if part in ("cli", "__main__") else "ground"


def is_below(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def imported_names(module: str, node: ast.stmt) -> Iterator[str]:
    """What a statement imports: modules, and what is taken from them, since that may be a module as well."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        parent = ".".join(module.split(".")[: -node.level]) if node.level else ""
        source = ".".join(filter(None, (parent, node.module)))
        yield source
        yield from (f"{source}.{alias.name}" for alias in node.names)


def imports(module: str, source: str) -> set[str]:
    """Everything a module imports, within functions too."""
    return {name for node in ast.walk(ast.parse(source)) for name in imported_names(module, node)}


def imports_on_loading(module: str, source: str) -> set[str]:
    """What is imported as soon as the module is: all but the imports within functions."""
    names: set[str] = set()
    waiting: list[ast.AST] = [ast.parse(source)]
    while waiting:
        node = waiting.pop()
        names.update(imported_names(module, node))
        waiting += [
            child
            for child in ast.iter_child_nodes(node)
            if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        ]
    return names


def loads_torch(module: str, sources: dict[str, str]) -> bool:
    """Whether importing a module imports torch, by itself or through other modules of the package."""
    seen: set[str] = set()
    waiting = loaded_with(module)
    while waiting:
        module = waiting.pop()
        if module in sources and module not in seen:
            seen.add(module)
            for name in imports_on_loading(module, sources[module]):
                if any(is_below(name, package) for package in TORCH):
                    return True
                waiting |= loaded_with(name)
    return False


def loaded_with(name: str) -> set[str]:
    """A module, and the packages around it, which Python loads first."""
    parts = name.split(".")
    return {name, *(".".join((*parts[:length], "__init__")) for length in range(1, len(parts) + 1))}


def violations(sources: dict[str, str]) -> list[str]:
    found = []
    for module, source in sources.items():
        floor = floor_of(module)
        wrong = {
            package for package in FORBIDDEN[floor] if any(is_below(name, package) for name in imports(module, source))
        }
        found += [f"{module} imports {package}" for package in sorted(wrong)]
        computes = any(is_below(module, each) for each in MAY_LOAD_TORCH)
        if floor in ("study", "report") and not computes and loads_torch(module, sources):
            found.append(f"{module} loads torch")
    return found


@pytest.fixture(scope="module")
def sources() -> dict[str, str]:
    return read_package(Path(mi_core.__file__).parent)


def test_the_whole_package_is_read(sources):
    expected = {"mi_core.__init__", "mi_core.data", "mi_core.attacks.gradient", "mi_core.study.stages.scoring"}
    assert expected <= set(sources)


def test_imports_point_down_and_torch_stays_in_the_stages(sources):
    assert violations(sources) == []


def test_the_stages_do_load_torch_through_the_ground_floor(sources):
    assert loads_torch("mi_core.study.stages.__init__", sources) and loads_torch("mi_core.attacks.inverse", sources)


SMALL = {
    "mi_core.__init__": "",
    "mi_core.data": "import torch",
    "mi_core.errors": "",
    "mi_core.cli": "import mi_core.report.figures",
    "mi_core.attacks.__init__": "",
    "mi_core.attacks.gradient": "from mi_core.data import Split",
    "mi_core.study.__init__": "",
    "mi_core.study.graph": "def run():\n    import torch\n    from mi_core.study import stages",
    "mi_core.study.stages": "from mi_core.attacks.gradient import x\nfrom mi_core.study.graph import y",
    "mi_core.report.__init__": "",
    "mi_core.report.figures": "from mi_core.study.graph import y\nfrom mi_core.errors import UserError",
}


def test_a_package_in_order_passes():
    assert violations(SMALL) == []


@pytest.mark.parametrize(
    ("module", "source", "message"),
    [
        ("mi_core.data", "import mi_core.study.graph", "mi_core.data imports mi_core.study"),
        ("mi_core.data", "from mi_core import report", "mi_core.data imports mi_core.report"),
        ("mi_core.data", "def f():\n    from .study import graph", "mi_core.data imports mi_core.study"),
        ("mi_core.errors", "import mi_core.cli", "mi_core.errors imports mi_core.cli"),
        ("mi_core.__init__", "from .cli import main", "mi_core.__init__ imports mi_core.cli"),
        ("mi_core.attacks.gradient", "from ..study.graph import y", "mi_core.attacks.gradient imports mi_core.study"),
        ("mi_core.attacks.__init__", "from .. import report", "mi_core.attacks.__init__ imports mi_core.report"),
        ("mi_core.study.graph", "from mi_core.report import figures", "mi_core.study.graph imports mi_core.report"),
        ("mi_core.study.graph", "import mi_core.cli as c", "mi_core.study.graph imports mi_core.cli"),
        ("mi_core.study.graph", "import torch.nn", "mi_core.study.graph loads torch"),
        ("mi_core.study.graph", "try:\n    import torch\nfinally:\n    pass", "mi_core.study.graph loads torch"),
        ("mi_core.study.graph", "from mi_core.attacks import gradient", "mi_core.study.graph loads torch"),
        ("mi_core.study.graph", "from . import stages", "mi_core.study.graph loads torch"),
        ("mi_core.study.graph", "from torchvision.datasets import MNIST", "mi_core.study.graph loads torch"),
        ("mi_core.study.__init__", "import torch", "mi_core.study.graph loads torch"),
        ("mi_core.report.figures", "def f():\n    import torch", "mi_core.report.figures imports torch"),
        ("mi_core.report.figures", "from torch.nn import Module", "mi_core.report.figures imports torch"),
        ("mi_core.report.figures", "from mi_core.study.stages import run", "mi_core.report.figures loads torch"),
    ],
)
def test_a_planted_violation_is_noticed(module, source, message):
    assert message in violations(SMALL | {module: source})


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("mi_core.data", "import mi_core.studying"),
        ("mi_core.report.figures", "import torchless"),
        ("mi_core.study.graph", "text = 'import torch'"),
        ("mi_core.study.graph", "class Lazy:\n    def run(self):\n        from mi_core.attacks import gradient"),
    ],
)
def test_what_only_looks_like_a_violation_passes(module, source):
    assert violations(SMALL | {module: source}) == []
