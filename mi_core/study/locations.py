"""Where things are: the working store, the published results, the raw data."""

import os
from pathlib import Path

from mi_core.study.provenance import ROOT
from mi_core.study.store import Store

__all__ = ["data_folder", "open_store", "published_folder"]


def _home() -> Path:
    """The checkout if the package runs from one, else the current folder."""
    return ROOT if (ROOT / "pyproject.toml").exists() else Path.cwd()


def data_folder() -> Path:
    """Where the raw data are: ``MI_CORE_DATA``, or ``data`` in the checkout."""
    return Path(os.environ.get("MI_CORE_DATA") or _home() / "data")


def published_folder() -> Path:
    """Where the committed results are: ``MI_CORE_RESULTS``, or ``results`` in the checkout."""
    return Path(os.environ.get("MI_CORE_RESULTS") or _home() / "results")


def open_store(folder: str | Path | None = None) -> Store:
    """The working store (``folder``, ``MI_CORE_STORE`` or ``.store`` in the checkout), with the published results
    behind it."""
    working = Path(folder or os.environ.get("MI_CORE_STORE") or _home() / ".store")
    return Store(working, published=(published_folder() / "artefacts",))
