"""Sphinx extension: load each script once, none of thebe's, and leave out source maps.

jupyter-book 1.x adds scripts to every page twice; the second copies fail in the browser's console. Thebe runs code on
a server of somebody else's; this book does not use it. Source maps serve the theme's own developers, and weigh more
than all pages together.
"""

from pathlib import Path
from typing import Any

from sphinx.application import Sphinx


def keep_single_scripts(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Keep the first of equal scripts, files and inline ones alike."""
    kept: dict[tuple[str, str], Any] = {}
    for script in context.get("script_files", []):
        identity = (str(script.filename or ""), script.attributes.get("body", ""))
        if not any("thebe" in part.lower() for part in identity):
            kept.setdefault(identity, script)
    context["script_files"] = list(kept.values())


def remove_source_maps(app: Sphinx, exception: Exception | None) -> None:
    for path in (Path(app.outdir) / "_static").rglob("*.map"):
        path.unlink()


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("html-page-context", keep_single_scripts, priority=990)  # after those that add scripts
    app.connect("build-finished", remove_source_maps, priority=990)  # after they have been copied
    return {"parallel_read_safe": True, "parallel_write_safe": True}
