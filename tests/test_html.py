"""Every fragment of HTML that the report makes itself: parsed strictly, and held to a few rules of content."""

from collections import Counter
from pathlib import Path

import html5lib
import nbformat
import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from conftest import ROOT
from html5lib.html5parser import ParseError

from mi_core.report.api import api_reference
from mi_core.report.chapter_parameters import parameter_box
from mi_core.report.notebook import superseded_warning
from mi_core.report.tables import csv_link, plain

CHAPTERS = sorted((ROOT / "book" / "chapters").glob("*.ipynb"))
OBSOLETE_TAGS = {"acronym", "big", "center", "font", "marquee", "nobr", "strike", "tt"}
OBSOLETE = {"align", "bgcolor", "border", "cellpadding", "cellspacing", "clear", "frame", "nowrap", "rules", "valign"}


def faults(html: str) -> list[str]:
    """What is wrong with a fragment of HTML."""
    try:
        html5lib.HTMLParser(strict=True).parseFragment(html)
    except ParseError as error:
        return [f"does not parse: {error}"]
    soup = BeautifulSoup(html, "html.parser")
    found = [
        f"id {name} twice" for name, count in Counter(tag["id"] for tag in soup.select("[id]")).items() if count > 1
    ]
    for tag in soup.find_all(True):
        found += [f"obsolete <{tag.name}>"] if tag.name in OBSOLETE_TAGS else []
        found += [f"obsolete {name} of <{tag.name}>" for name in sorted(OBSOLETE & tag.attrs.keys())]
    found += [f"no scope: {tag}" for tag in soup.select("th:not([scope])")]
    found += [f"no head: {str(tag)[:80]}" for tag in soup.select("table:not(:has(> thead > tr > th))")]
    found += [f"no alt: {tag}" for tag in soup.select("img:not([alt]), img[alt='']")]
    found += [f"submits: {tag}" for tag in soup.select("button:not([type])")]
    found += [f"nothing to follow: {tag}" for tag in soup.select("a:not([href]), a[href='']")]
    styles = [tag for tag in soup.select("style") if not soup.select_one(".explorer")]  # which works as a single file
    return found + [f"a style among the text: {str(tag)[:80]}" for tag in styles]


@pytest.mark.parametrize(
    ("html", "fault"),
    [
        ("<p>one<div>two</div></p>", "does not parse"),
        ("<b>one", "does not parse"),
        ('<p id="a"></p><p id="a"></p>', "id a twice"),
        ("<center>one</center>", "obsolete <center>"),
        ('<p align="left">one</p>', "obsolete align of <p>"),
        ("<table><thead><tr><th>one</th></tr></thead></table>", "no scope"),
        ("<table><tbody><tr><td>one</td></tr></tbody></table>", "no head"),
        ('<img src="one.png">', "no alt"),
        ("<button>one</button>", "submits"),
        ("<a>one</a>", "nothing to follow"),
        ("<style>p { color: red }</style>", "a style among the text"),
    ],
)
def test_what_is_wrong_is_found(html: str, fault: str) -> None:
    assert faults(html)[0].startswith(fault)


def test_tables_escape_what_they_show_and_head_their_lines_and_columns() -> None:
    awkward = 'a < b & "c"'
    frame = pd.DataFrame({awkward: [awkward, "two"], "link": ['<a href="a.html">a</a>', "—"], "x": [0.5, 1e-5]})
    html = plain(frame, "awkward", links="link") + csv_link(frame.to_csv(), "awkward")
    assert faults(html) == []
    table = BeautifulSoup(html, "html.parser").table
    assert [cell.get_text() for cell in table.select("th")] == [awkward, "link", "x", awkward, "two"]
    assert [cell.get_text() for cell in table.select("td")] == ["a", "0.5000", "—", "1e-05"]
    assert table.select_one("td a")["href"] == "a.html"


def test_the_words_of_a_frame_are_set_as_words_and_its_numbers_are_not() -> None:
    frame = pd.DataFrame({"row": ["a"], "words": ["b"], "whole": [3], "number": np.float32([0.25])})
    cells = BeautifulSoup(plain(frame, "some"), "html.parser").select("td")
    assert [(cell.get_text(), cell.get("class")) for cell in cells] == [("b", ["words"]), ("3", None), ("0.2500", None)]


@pytest.mark.parametrize(
    "html", [api_reference(), parameter_box(("table4",)), parameter_box(()), superseded_warning("a < b & c")]
)
def test_fragments_are_valid(html: str) -> None:
    assert faults(html) == []


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_what_the_cells_of_a_chapter_show_is_valid(path: Path) -> None:
    cells = nbformat.read(path, as_version=4).cells
    shown = [output.get("data", {}).get("text/html", "") for cell in cells for output in cell.get("outputs", [])]
    assert faults("".join(shown)) == []
    assert any('<details class="parameters">' in html for html in shown), "each chapter says what its parameters take"
