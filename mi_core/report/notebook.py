"""What the cells of a chapter call: open its results, show a table, share a number with the prose."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
import pandas as pd
from IPython.display import HTML, Markdown, display
from matplotlib_inline.backend_inline import set_matplotlib_formats
from myst_nb import glue

from mi_core.report.style import apply_style
from mi_core.report.tables import compare, csv_link, measure_table, plain
from mi_core.study.leakage import MEASURES
from mi_core.study.overview import rows_on_test, summarise_measures
from mi_core.study.results import Results, as_csv, results_of_notebook

__all__ = [
    "open_chapter",
    "scale_note",
    "share",
    "show_claims",
    "show_frame",
    "show_measures",
    "show_numbers",
    "show_table",
]


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


def show_measures(results: Results, measures: Sequence[str], name: str, rows: Sequence[str] | None = None) -> HTML:
    """Several measures of every distinct row on D_F, with what each measure means and a link to the CSV.

    Args:
        results: of which Tables 3 to 6 can be asked.
        measures: keys of ``mi_core.study.leakage.MEASURES``.
        name: unique identifier of the table on its page.
        rows: which rows, in this order; all by default.
    """
    frame = rows_on_test(results)
    if rows is not None:
        frame = frame[frame["row"].isin(rows)]
        frame = frame.sort_values("row", key=lambda names: names.map(list(rows).index), kind="stable")
    summary = summarise_measures(frame, measures)
    meanings = "".join(
        f"<li><b>{escape(MEASURES[key].title)}</b>: {escape(MEASURES[key].meaning)}</li>" for key in measures
    )
    note = f'<p class="scale">Here: {results.note("table4")}. {_spread_note(summary)}</p>'
    text = summary[["row", "metric", "mean", "half_width", "n"]].to_csv(index=False, float_format="%.6g")
    table = measure_table(summary, measures, name).to_html()
    return HTML(f'{table}{note}<ul class="meanings">{meanings}</ul>{csv_link(text, name)}')


def _spread_note(summary: pd.DataFrame) -> str:
    spreads = []
    if summary["half_width"].notna().any():
        spreads.append(
            "[ ] is Student's 95 % interval over replicates, which are fresh draws from the same 70,000 images"
        )
    if summary["seed_std"].notna().any():
        spreads.append("(±) the population standard deviation over trainings on the first replicate's split")
    ours = "; ".join(spreads) or "One replicate and one training have no spread"
    has_printed = "published_std" in summary and summary["published_std"].notna().any()
    printed = " The thesis's ± is over trainings on one split." if has_printed else ""
    return f"{ours}.{printed}"


def show_frame(frame: pd.DataFrame, name: str) -> HTML:
    """Any other frame as a table, with a link to its CSV."""
    return HTML(plain(frame, name).to_html() + csv_link(frame.to_csv(index=False, float_format="%.6g"), name))


def show_claims(verdicts: pd.DataFrame) -> HTML:
    """The lines of claims, one a line: the least favourable comparison, the verdict, its cause, the chapter."""
    lines = verdicts[verdicts["statement"] != ""]
    frame = pd.DataFrame(
        {
            "claim": lines["item"],
            "statement": lines["statement"],
            "measure": lines["metric"].map(_words) + lines["split"].map(lambda split: f", {SPLITS.get(split, split)}"),
            **_published_and_ours(lines),
            "supported?": lines["claim_supported"],
            "cause": lines["cause"],
            "evidence": lines["chapter"].map(_link),
        }
    )
    return HTML(plain(frame, "claims").to_html() + csv_link(lines.to_csv(index=False, float_format="%.6g"), "claims"))


def show_numbers(verdicts: pd.DataFrame) -> HTML:
    """The lines of published numbers, one a line: published, ours with the interval of the rule, verdict and cause."""
    lines = verdicts[verdicts["statement"] == ""]
    frame = pd.DataFrame(
        {
            "number": lines["item"],
            "measure": lines["metric"].map(_words) + lines["split"].map(lambda split: f", {SPLITS.get(split, split)}"),
            **_published_and_ours(lines),
            "matches?": lines["number_matches"],
            "cause": lines["cause"],
            "evidence": lines["chapter"].map(_link),
        }
    )
    text = lines.drop(columns=["statement", "claim_supported"]).to_csv(index=False, float_format="%.6g")
    return HTML(plain(frame, "numbers").to_html() + csv_link(text, "numbers"))


SPLITS = {
    "target_train": "D_T^T",
    "target_validation": "D_T^V",
    "shadow_train": "D_S^T",
    "shadow_validation": "D_S^V",
    "test": "D_F",
}
WORDS = {"f1": "F1", "cross_entropy": "cross-entropy", "ratio of ssim, minus one": "ratio of SSIM, minus one"}


def _words(metric: str) -> str:
    return WORDS.get(metric) or (MEASURES[metric].title if metric in MEASURES else metric)


def _published_and_ours(lines: pd.DataFrame) -> dict[str, list[str]]:
    def text(mean: float, low: float = np.nan, high: float = np.nan) -> str:
        interval = "" if np.isnan(low) else f" [{low:.4f}, {high:.4f}]"
        return "—" if np.isnan(mean) else f"{mean:.4f}{interval}"

    ours = lines[["ours", "low", "high"]].to_numpy(float)
    return {"thesis": [text(mean) for mean in lines["published"]], "here": [text(*line) for line in ours]}


def _link(chapter: str) -> str:
    return f'<a href="{chapter}.html">{chapter.replace("_", " ")}</a>'


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
