"""What the cells of a chapter call: open its results, show a table, share a number with the prose."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
import pandas as pd
from IPython.display import HTML, Markdown, display
from matplotlib_inline.backend_inline import set_matplotlib_formats
from myst_nb import glue

from mi_core.report.api import api_reference
from mi_core.report.chapter_parameters import parameter_box
from mi_core.report.explorer import explorer
from mi_core.report.style import apply_style
from mi_core.report.tables import METRIC_NAMES, OURS_ONLY, SPLIT_TEXT, compare, csv_link, measure_table, plain
from mi_core.study.catalogue import another_value, catalogue, minutes_again
from mi_core.study.leakage import MEASURES
from mi_core.study.overview import summarise_measures
from mi_core.study.results import Results, as_csv, results_of_notebook

__all__ = [
    "commands",
    "open_chapter",
    "scale_note",
    "share",
    "show_api",
    "show_claims",
    "show_explorer",
    "show_frame",
    "show_measures",
    "show_numbers",
    "show_parameters",
    "show_table",
]

OWN_ROWS = {  # what begins a row of ours: what it is
    "baseline": "baseline: needs no attack",
    "baseline: M_I(label)": "M_I(label): the inverse model fed the predicted label alone",
    "ceiling": "reference: needs the true images",
    "ceiling: M_I(O)/own-outputs": "M_I(O)/own-outputs: the inverse model when its own shadow answers",
}
_ONE_PAIR = " The thesis's ± is over trainings of the inverse model on one split."
_UNSAID = " What the thesis's ± is over is not said."
PRINTED_SPREADS = {1: _UNSAID, 3: _UNSAID, 4: _ONE_PAIR, 5: _ONE_PAIR, 6: _ONE_PAIR}  # by table; Table 2 prints none
BOOTSTRAP_NOTE = (
    "Bars in figures of differences are bootstraps over its images, the networks given; another training or split may "
    "move a row by more."
)


def open_chapter(namespace: Mapping[str, Any], *together: str) -> Results:
    """Results for the parameters of this notebook, and a box that says what these take and cost.

    Figures become SVG that is equal from run to run.

    Args:
        namespace: ``globals()``, right after the parameters.
        together: the experiments that the chapter shows; published ones all come from one profile.
    Raises:
        UserError: a mistyped name, a wrong type, a value out of range.
    """
    results = results_of_notebook(namespace, *together)
    display(HTML(parameter_box(together)))
    for reason in results.superseded(*together):
        display(HTML(superseded_warning(reason)))
    apply_style()
    set_matplotlib_formats("svg", metadata={"Date": None})
    return results


def superseded_warning(reason: str) -> str:
    """HTML that says why results are no longer what the code would compute."""
    title = '<p class="admonition-title">Superseded results</p>'
    return f'<div class="admonition warning">{title}<p>{escape(reason)}</p></div>'


def show_table(results: Results, number: int, *, name: str = "") -> HTML:
    """Table ``number`` of the thesis, ours beside published, with a note on its scale, what is ours, and its CSV.

    Args:
        results: what it comes from.
        number: 1 to 6.
        name: unique identifier of the table on its page; by default "table" and its number.
    """
    name = name or f"table{number}"
    summary = results.table(number)
    spreads = _spread_note(summary) + PRINTED_SPREADS.get(number, "")
    note = f'<p class="scale">Here: {results.note(f"table{number}")}. {spreads}</p>'
    return HTML(compare(summary, name=name) + note + _meanings(summary) + csv_link(as_csv(summary), name))


def _meanings(summary: pd.DataFrame) -> str:
    """What the columns and rows are that the thesis does not have; empty where there are none."""
    said = [f"{METRIC_NAMES[key]}: {MEASURES[key].meaning}" for key in OURS_ONLY if (summary["metric"] == key).any()]
    said += [text for start, text in OWN_ROWS.items() if summary["row"].str.startswith(start).any()]
    link = '<a href="../pages/notation.html">Notation and scores</a>'
    return f'<p class="scale">{escape("; ".join(said))}. {link}</p>' if said else ""


def show_measures(
    results: Results, rows: pd.DataFrame, measures: Sequence[str], name: str, experiment: str = "table4"
) -> HTML:
    """Several measures of every distinct row on D_F, with what each measure means and a link to the CSV.

    Args:
        results: what the rows come from, for the note on their scale.
        rows: what ``mi_core.study.overview.rows_on_test`` gives.
        measures: keys of ``mi_core.study.leakage.MEASURES``.
        name: unique identifier of the table on its page.
        experiment: where the rows come from, for the note on their scale.
    """
    summary = summarise_measures(rows, measures)
    meanings = "".join(
        f"<li><b>{escape(MEASURES[key].title)}</b>: {escape(MEASURES[key].meaning)}</li>" for key in measures
    )
    bars = f" {BOOTSTRAP_NOTE}" if summary["n"].max() == 1 else ""
    note = f'<p class="scale">Here: {results.note(experiment)}. {_spread_note(summary)}{bars}</p>'
    text = summary[["row", "metric", "mean", "half_width", "n"]].to_csv(index=False, float_format="%.6g")
    table = measure_table(summary, measures, name)
    return HTML(f'{table}{note}<ul class="meanings">{meanings}</ul>{csv_link(text, name)}')


def _spread_note(summary: pd.DataFrame) -> str:
    spreads, count = [], summary["n"].max()
    if summary["half_width"].notna().any():
        spreads.append(
            "[\u00a0] is Student's 95 % interval over replicates, which are fresh draws from the same 70,000 images"
        )
    elif count == 2:
        spreads.append("Two replicates: an interval wants at least three")
    elif count == 1:
        spreads.append("One replicate: no interval over replicates")
    if summary["seed_std"].notna().any():
        spreads.append("(±) is the population standard deviation over trainings on the first replicate's split")
    ours = "; ".join(spreads) or "Nothing was computed"
    return f"{ours}."


def show_frame(frame: pd.DataFrame, name: str, data: pd.DataFrame | None = None) -> HTML:
    """Any other frame as a table, with a link to its CSV, or to that of ``data``, of which it shows a part."""
    data = frame if data is None else data
    return HTML(plain(frame, name) + csv_link(data.to_csv(index=False, float_format="%.6g"), name))


def show_explorer(results: Results) -> HTML:
    """Pictures, outputs and scores of some images, to choose from; see ``mi_core.report.explorer``."""
    return HTML(explorer(results))


def show_api() -> HTML:
    """The public names of the ground floor, to unfold."""
    return HTML(api_reference())


def show_claims(verdicts: pd.DataFrame) -> HTML:
    """The lines of claims, one a line: the least favourable comparison and its rows, verdict, cause and chapter."""
    lines = verdicts[verdicts["statement"] != ""]
    named = {"claim": lines["item"], "statement": lines["statement"], "compared": lines["compared"].replace("", "—")}
    supported = {"supported?": lines["claim_supported"]}
    table = _show_verdicts(lines, named, supported, lines, "claims", "here [95 % interval]")
    return HTML(f'{table.data}<p class="scale">Of a ratio, brackets hold where the thesis\'s would match.</p>')


def show_numbers(verdicts: pd.DataFrame) -> HTML:
    """The lines of published numbers, one a line: published, ours with the range of the rule, verdict and cause."""
    lines = verdicts[verdicts["statement"] == ""]
    data = lines.drop(columns=["statement", "compared", "claim_supported"])
    named, verdict = {"number": lines["item"]}, {"matches?": lines["number_matches"]}
    return _show_verdicts(lines, named, verdict, data, "numbers", "here [where the thesis's would match]")


def _show_verdicts(
    lines: pd.DataFrame,
    named: dict[str, pd.Series],
    verdict: dict[str, pd.Series],
    data: pd.DataFrame,
    name: str,
    here: str,
) -> HTML:
    """``here`` heads the column of ours and says what its brackets are: in each table of verdicts something else."""
    measure = lines["metric"].map(_words) + lines["split"].map(lambda split: f", {SPLIT_TEXT.get(split, split)}")
    rest = {"cause": lines["cause"], "evidence": lines["chapter"].map(_link)}
    frame = pd.DataFrame({**named, "measure": measure, **_published_and_ours(lines, here), **verdict, **rest})
    return HTML(plain(frame, name, links="evidence") + csv_link(data.to_csv(index=False, float_format="%.6g"), name))


def _words(metric: str) -> str:
    if metric in MEASURES:
        return MEASURES[metric].title
    return METRIC_NAMES.get(metric) or metric.replace("ssim", "SSIM")


def _published_and_ours(lines: pd.DataFrame, here: str) -> dict[str, list[str]]:
    def text(mean: float, low: float = np.nan, high: float = np.nan) -> str:
        interval = "" if np.isnan(low) else f" [{low:z.4f}, {high:z.4f}]"  # z: no -0.0000
        return "—" if np.isnan(mean) else f"{mean:z.4f}{interval}"

    ours = lines[["ours", "low", "high"]].to_numpy(float)
    return {"thesis": [text(mean) for mean in lines["published"]], here: [text(*line) for line in ours]}


def _link(chapter: str) -> str:
    return f'<a href="{chapter}.html">{chapter.replace("_", " ")}</a>'


def show_parameters(model: str, profile: str) -> HTML:
    """The parameters of "Study" or "Protocol", with a value to try and what it computes again in a profile."""
    frame = catalogue().query("model == @model").drop(columns="model").astype(str)
    tried = {name: another_value(name, profile) for name in frame["name"]}
    cost = minutes_again({name: value for name, value in tried.items() if value is not None}, profile)
    names = frame["name"]
    frame["try"] = names.map(lambda name: f"-p {name} {tried[name]}" if name in cost else "—")
    frame["minutes"] = names.map(lambda name: f"{cost[name]:.1f}" if name in cost else "—")
    return show_frame(frame, f"{model.lower()}_parameters")


def commands(names: Sequence[str], profile: str) -> Markdown:
    """How to re-execute each chapter, one block to copy each."""
    blocks = [
        f"**{name.replace('_', ' ')}**\n\n```bash\npapermill notebooks/{name}.ipynb out.ipynb -p profile {profile}\n```"
        for name in names
    ]
    return Markdown("\n\n".join(blocks))


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
