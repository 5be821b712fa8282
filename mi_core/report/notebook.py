"""What the cells of a chapter call: open its results, show a table, share a number with the prose."""

from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np
import pandas as pd
from IPython.display import HTML, Markdown, display
from matplotlib_inline.backend_inline import set_matplotlib_formats
from myst_nb import glue

from mi_core.report.style import apply_style
from mi_core.report.tables import compare, csv_link, plain
from mi_core.study.results import Results, as_csv, results_of_notebook

__all__ = ["open_chapter", "scale_note", "share", "show_frame", "show_table"]


def open_chapter(namespace: Mapping[str, Any], *together: str) -> Results:
    """Results for the parameters of this notebook; figures become SVG that is equal from run to run.

    Args:
        namespace: ``globals()``, right after the parameters.
        together: the experiments that the chapter shows; published ones all come from one profile.
    Raises:
        UserError: a mistyped name, a wrong type, a value out of range.
    """
    results = results_of_notebook(namespace, *together)
    for reason in results.superseded(*together):
        title = '<p class="admonition-title">Superseded results</p>'
        display(HTML(f'<div class="admonition warning">{title}<p>{escape(reason)}</p></div>'))
    apply_style()
    set_matplotlib_formats("svg", metadata={"Date": None})
    return results


def show_table(results: Results, number: int) -> HTML:
    """Table ``number`` of the thesis, ours beside published, with a link to its CSV and a note on its scale."""
    summary = results.table(number)
    note = f'<p class="scale">Here: {results.note(f"table{number}")}. {_spread_note(summary)}</p>'
    return HTML(compare(summary).to_html() + note + csv_link(as_csv(summary), f"table{number}"))


def _spread_note(summary: pd.DataFrame) -> str:
    spreads = []
    if summary["std"].notna().any():
        spreads.append("± is the sample standard deviation over replicates")
    if summary["seed_std"].notna().any():
        spreads.append("(±) the population standard deviation over trainings on the first replicate's split")
    ours = "; ".join(spreads) or "One replicate and one training have no spread"
    printed = " The thesis's ± is over trainings on one split." if summary["published_std"].notna().any() else ""
    return f"{ours}.{printed}"


def show_frame(frame: pd.DataFrame, name: str) -> HTML:
    """Any other frame as a table, with a link to its CSV."""
    return HTML(plain(frame, name).to_html() + csv_link(frame.to_csv(index=False, float_format="%.6g"), name))


def scale_note(results: Results, *numbers: int) -> Markdown:
    """At which scale these tables are, those of one scale in one line."""
    lines: dict[str, list[str]] = {}
    for number in numbers:
        lines.setdefault(results.note(f"table{number}"), []).append(f"Table {number}")
    return Markdown("\n".join(f"- {', '.join(names)}: {note}." for note, names in lines.items()))


def share(**values: str | float | int) -> None:
    """Make values available to the prose, as ``{glue:text}`` with their names; floats get four decimals."""
    for name, value in values.items():
        glue(name, f"{value:.4f}" if isinstance(value, float | np.floating) else str(value), display=False)
