"""What the cells of a chapter call: open its results, show a table, share a number with the prose."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from IPython.display import HTML, Markdown
from matplotlib_inline.backend_inline import set_matplotlib_formats
from myst_nb import glue

from mi_core.report.style import apply_style
from mi_core.report.tables import CSV_COLUMNS, compare, csv_link, plain
from mi_core.study.results import Results, results_of_notebook

__all__ = ["open_chapter", "scale_note", "share", "show_frame", "show_table"]


def open_chapter(namespace: Mapping[str, Any]) -> Results:
    """Results for the parameters of this notebook; figures become SVG that is equal from run to run.

    Args:
        namespace: ``globals()``, right after the parameters.
    Raises:
        UserError: a mistyped name, a wrong type, a value out of range.
    """
    results = results_of_notebook(namespace)
    apply_style()
    set_matplotlib_formats("svg", metadata={"Date": None})
    return results


def show_table(results: Results, number: int) -> HTML:
    """Table ``number`` of the thesis, ours beside published, with a link to its CSV and a note on its scale."""
    summary = results.table(number)
    rows = summary[summary["mean"].notna()][CSV_COLUMNS]
    note = f'<p class="scale">Here: {results.note(f"table{number}")}. {_spread_note(summary)}</p>'
    return HTML(compare(summary).to_html() + note + csv_link(rows, f"table{number}"))


def _spread_note(summary: pd.DataFrame) -> str:
    if summary["std"].notna().any():
        return "±: sample standard deviation over replicates."
    if summary["seed_std"].notna().any():
        return "±: population standard deviation over the trainings of M_I on one split, as in the thesis."
    return "One replicate and one training: no spread."


def show_frame(frame: pd.DataFrame, name: str) -> HTML:
    """Any other frame as a table, with a link to its CSV."""
    return HTML(plain(frame, name).to_html() + csv_link(frame, name))


def scale_note(results: Results, *experiments: str) -> Markdown:
    """At which scale the numbers of this chapter are."""
    lines = [f"- {name}: {results.note(name)}" for name in experiments]
    return Markdown("\n".join(lines))


def share(**values: str | float | int) -> None:
    """Make values available to the prose, as ``{glue:text}`` with their names; floats get four decimals."""
    for name, value in values.items():
        glue(name, f"{value:.4f}" if isinstance(value, float) else str(value), display=False)
