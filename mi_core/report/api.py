"""The reference of the ground floor, from the docstrings of its public names: sources are read, not imported."""

import ast
from collections.abc import Iterator
from html import escape
from pathlib import Path
from textwrap import indent

from mi_core.study.provenance import ROOT

__all__ = ["MODULES", "api_reference", "public_names"]

MODULES = (
    "data",
    "models",
    "training",
    "defenses",
    "attacks/gradient",
    "attacks/activations",
    "attacks/inverse",
    "attacks/alignment",
    "attacks/baselines",
    "ladder",
    "metrics",
    "reidentification",
    "randomness",
)
Definition = ast.FunctionDef | ast.ClassDef


def api_reference() -> str:
    """HTML: of each module its first sentence, and its public functions and classes to unfold."""
    return "\n".join(_module(ROOT / "mi_core" / f"{name}.py", "mi_core." + name.replace("/", ".")) for name in MODULES)


def public_names(tree: ast.Module) -> Iterator[Definition]:
    """Functions and classes that a module's ``__all__`` names, in the order of the source."""
    listed = {
        name
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        for name in ast.literal_eval(node.value)
    }
    yield from (node for node in tree.body if isinstance(node, Definition) and node.name in listed)


def _module(path: Path, name: str) -> str:
    tree = ast.parse(path.read_text("utf-8"))
    first = (ast.get_docstring(tree) or "").split("\n\n")[0]
    entries = "\n".join(_entry(name, node) for node in public_names(tree))
    return f'<h3 id="{name}"><code>{name}</code></h3>\n<p>{_prose(first)}</p>\n{entries}'


def _entry(module: str, node: Definition) -> str:
    sentence, _, rest = (ast.get_docstring(node) or "").partition("\n")
    methods = [
        f"{_signature(child)}\n{indent(ast.get_docstring(child), '    ')}"
        for child in (node.body if isinstance(node, ast.ClassDef) else ())
        if isinstance(child, ast.FunctionDef) and not child.name.startswith("_") and ast.get_docstring(child)
    ]
    text = "\n\n".join(part for part in (_signature(node), rest.strip("\n"), *methods) if part)
    summary = f"<summary><code>{node.name}</code> {_prose(sentence)}</summary>"
    return f'<details class="api" id="{module}.{node.name}">{summary}<pre>{escape(text)}</pre></details>'


def _signature(node: Definition) -> str:
    """As in the source, without the body."""
    if isinstance(node, ast.ClassDef):
        bases = ", ".join(map(ast.unparse, node.bases))
        return f"class {node.name}({bases})" if bases else f"class {node.name}"
    returned = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"{node.name}({ast.unparse(node.args)}){returned}"


def _prose(text: str) -> str:
    """A sentence of a docstring: what stands between double back-ticks is code."""
    parts = escape(" ".join(text.split())).split("``")
    return "".join(f"<code>{part}</code>" if place % 2 else part for place, part in enumerate(parts))
