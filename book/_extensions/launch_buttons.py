"""Sphinx extension: launch buttons appear once ``_config.yml`` names a public repository, and not before."""

from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config


def drop_without_repository(app: Sphinx, config: Config) -> None:
    """Take the buttons away where there is nothing that they could open."""
    if not config.html_theme_options.get("repository_url"):
        config.html_theme_options["launch_buttons"] = {}


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("config-inited", drop_without_repository, priority=100)  # before the theme reads its options
    return {"parallel_read_safe": True, "parallel_write_safe": True}
