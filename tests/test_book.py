"""The rendered book: built with warnings as errors, links and pictures checked, opened in a real browser."""

import functools
import http.server
import io
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest
import yaml
from browsing import Visit, fetch_axe
from bs4 import BeautifulSoup
from conftest import ROOT
from PIL import Image
from playwright.sync_api import Browser

import mi_core

pytestmark = pytest.mark.book

TOC = yaml.safe_load((ROOT / "_toc.yml").read_text())
PAGES = [TOC["root"], *(chapter["file"] for part in TOC["parts"] for chapter in part["chapters"])]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The book, built from the committed chapters as a reader would build it."""
    output = tmp_path_factory.mktemp("book")
    build(output, "-W", "-n")
    return output / "_build" / "html"


def build(output: Path, *options: str) -> None:
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", "book", "--path-output", str(output)]
    done = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


@pytest.fixture(scope="session")
def soups(site: Path) -> dict[str, BeautifulSoup]:
    return {page: BeautifulSoup((site / f"{page}.html").read_text(), "html.parser") for page in PAGES}


def test_the_links_from_book_to_its_settings_resolve() -> None:
    for name in ("_config.yml", "_toc.yml"):
        assert (ROOT / "book" / name).resolve() == ROOT / name


def test_the_first_page_is_the_introduction(site: Path) -> None:
    assert "chapters/introduction.html" in (site / "index.html").read_text()


def test_every_figure_of_the_thesis_is_named(soups: dict[str, BeautifulSoup]) -> None:
    captions = " ".join(caption.get_text(" ") for soup in soups.values() for caption in soup.select("figcaption"))
    for number in range(1, 33):
        named = [f"Fig {number})", f"Fig {number}:", f"Fig {number} ", f"Figs {number} ", f"and {number})"]
        named += [f"Figs {first} to {last}" for first in range(1, number + 1) for last in range(number, 33)]
        named += [f"{a}, {b}, {c})" for a, b, c in [(10, 11, 12)] if number in (a, b, c)]
        assert any(name in captions for name in named), f"Fig {number}"


def test_every_table_of_the_thesis_stands_beside_ours_and_can_be_downloaded(soups: dict[str, BeautifulSoup]) -> None:
    links = {link["download"] for soup in soups.values() for link in soup.select("a[download]")}
    assert {f"table{number}.csv" for number in range(1, 7)} <= links
    headers = [soup.select("table#T_table4 th") for soup in soups.values()]
    assert any("thesis" in cell.get_text() for row in headers for cell in row)


def test_pictures_exist_and_say_what_they_show(site: Path, soups: dict[str, BeautifulSoup]) -> None:
    count = 0
    for page, soup in soups.items():
        for picture in soup.select("article img"):
            count += 1
            assert len(picture.get("alt", "")) > 20, f"{page}: {picture}"
            assert ((site / page).parent / unquote(picture["src"])).resolve().exists(), f"{page}: {picture['src']}"
    assert count >= 30


def test_internal_links_and_anchors_resolve(site: Path, soups: dict[str, BeautifulSoup]) -> None:
    anchors = {
        (site / f"{page}.html").resolve(): {tag["id"] for tag in soup.select("[id]")} for page, soup in soups.items()
    }
    for page, soup in soups.items():
        for link in soup.select("article a[href]"):
            address = urlparse(link["href"])
            if address.scheme:
                continue
            here = (site / f"{page}.html").resolve()
            target = (here.parent / unquote(address.path)).resolve() if address.path else here
            assert target.exists(), f"{page}: {link['href']}"
            if address.fragment and target in anchors:
                assert unquote(address.fragment) in anchors[target], f"{page}: {link['href']}"


def test_pages_name_no_other_host_to_load_from(soups: dict[str, BeautifulSoup]) -> None:
    for page, soup in soups.items():
        for tag in soup.select("script[src], link[rel=stylesheet], img[src], iframe[src]"):
            source = tag.get("src") or tag.get("href")
            assert not urlparse(source).netloc, f"{page}: {source}"


def test_every_chapter_offers_its_notebook(site: Path, soups: dict[str, BeautifulSoup]) -> None:
    for page, soup in soups.items():
        if page.startswith("chapters/"):
            sources = [link["href"] for link in soup.select(".dropdown-download-buttons a[href$='.ipynb']")]
            assert sources, page
            assert (site / page).parent.joinpath(sources[0]).resolve().exists(), page


def test_launch_buttons_wait_for_a_public_repository(soups: dict[str, BeautifulSoup]) -> None:
    named = yaml.safe_load((ROOT / "_config.yml").read_text())["repository"]["url"]
    shown = {page for page, soup in soups.items() if soup.select(".dropdown-launch-buttons a")}
    assert shown == ({page for page in PAGES if page.startswith("chapters/")} if named else set())


def test_the_citation_names_the_version_of_the_code() -> None:
    version = f"version = {{{mi_core.__version__}}}"
    assert version in (ROOT / "book" / "pages" / "references.md").read_text()
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == mi_core.__version__


def test_the_site_is_small(site: Path) -> None:
    assert sum(path.stat().st_size for path in site.rglob("*") if path.is_file()) < 25_000_000


def test_no_glue_is_left_unfilled(soups: dict[str, BeautifulSoup]) -> None:
    for page, soup in soups.items():
        text = soup.select_one("article").get_text()
        assert "{glue" not in text, page
        assert "nan" not in text.split(), page


# --- in a browser ---


@pytest.fixture(scope="session")
def address(site: Path) -> Iterator[str]:
    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

    handler = functools.partial(Handler, directory=site)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module", params=PAGES)
def visit(request: pytest.FixtureRequest, browser: Browser, address: str) -> Iterator[Visit]:
    """Each page, opened once: pytest runs all tests of one page, in their order here, before it opens the next."""
    with Visit(browser, f"{address}/{request.param}.html") as visit:
        yield visit


def test_pages_open_without_errors_and_without_leaving_the_machine(visit: Visit) -> None:
    assert visit.outside == []
    assert visit.errors == []
    broken = "Array.from(document.images).filter(i => !i.complete || i.naturalWidth == 0).map(i => i.src)"
    assert visit.page.evaluate(broken) == []
    if visit.page.locator("article .math").count():
        visit.page.wait_for_selector("mjx-container", state="attached")
        assert visit.page.locator("mjx-merror").count() == 0


def test_pages_fit_a_phone(visit: Visit) -> None:
    before = visit.page.viewport_size
    visit.page.set_viewport_size({"width": 390, "height": 844})
    try:
        assert visit.page.evaluate("document.documentElement.clientWidth") <= 390
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= 400
    finally:
        visit.page.set_viewport_size(before)


@pytest.fixture(scope="session")
def axe(request: pytest.FixtureRequest) -> str:
    try:
        return fetch_axe(request.config.cache.mkdir("axe"))
    except RuntimeError as error:
        pytest.skip(f"accessibility is not checked: {error}")


NOT_OURS = [["div.highlight"], ["mjx-container"], [".citation-list"]]  # of the theme, of MathJax, of Sphinx
SERIOUS = """async (rules) => {
    const chosen = rules ? {runOnly: {type: 'rule', values: rules}} : {};
    const options = {...chosen, preload: false, resultTypes: ['violations']};  // preloading asks for files in vain
    const found = await axe.run({include: ['article'], exclude: OUTSIDE}, options);
    return found.violations.filter(({impact}) => ['serious', 'critical'].includes(impact))
        .flatMap(({id, nodes}) => nodes.map(({html}) => `${id}: ${html.slice(0, 200)}`));
}""".replace("OUTSIDE", str(NOT_OURS))


def test_pages_keep_nobody_out_in_light_and_dark(visit: Visit, axe: str) -> None:
    visit.page.add_script_tag(content=axe)
    visit.page.evaluate("document.querySelectorAll('details').forEach((unfolded) => { unfolded.open = true; })")
    for theme, rules in (("light", None), ("dark", ["color-contrast"])):
        visit.page.evaluate("theme => document.documentElement.dataset.theme = theme", theme)
        visit.page.wait_for_timeout(200)  # colours fade in
        assert visit.page.evaluate(SERIOUS, rules) == [], theme
    assert visit.errors == []


def test_the_explorer_follows_the_theme_and_stays_small(browser: Browser, address: str, site: Path) -> None:
    assert (site / "chapters" / "explore.html").stat().st_size < 2_000_000
    with Visit(browser, f"{address}/chapters/explore.html") as visit:
        colour = "() => getComputedStyle(document.querySelector('.explorer legend')).color"
        colours = []
        for theme in ("light", "dark"):
            visit.page.evaluate("theme => document.documentElement.dataset.theme = theme", theme)
            colours.append(visit.page.evaluate(colour))
        assert colours[0] != colours[1]


@pytest.mark.parametrize(("page", "figure"), [("introduction", "fig-overview"), ("rq1_inputs", "fig-inverse-layers")])
def test_figures_are_the_same_white_cards_in_the_dark(browser: Browser, address: str, page: str, figure: str) -> None:
    """Dimmed, a reconstruction would have other greys than the scores were computed of."""
    with Visit(browser, f"{address}/chapters/{page}.html", color_scheme="light") as visit:
        seen = []
        for theme in ("light", "dark"):
            visit.page.evaluate("theme => document.documentElement.dataset.theme = theme", theme)
            visit.page.wait_for_timeout(200)
            shot = Image.open(io.BytesIO(visit.page.locator(f"figure#{figure} img").screenshot())).convert("L")
            seen.append(shot.crop((12, 12, shot.width - 12, shot.height - 12)))  # without the round corners
        assert seen[0].getextrema()[1] == 255
        assert seen[0].tobytes() == seen[1].tobytes()


def test_the_front_page_answers_in_one_screen(browser: Browser, address: str) -> None:
    """What was asked, found with intervals, shown, how far to trust it, and where next."""
    with Visit(browser, f"{address}/chapters/introduction.html", viewport={"width": 1280, "height": 800}) as visit:
        visit.page.wait_for_selector("article table mjx-container")
        places = [
            "strong:text-is('Asked.')",
            "figure#fig-overview img",
            "strong:text-is('Found.')",
            "article table.table",
        ]
        places += [".admonition-title:text-is('How far to trust it')", "p:has(> strong:text-is('Next.'))"]
        boxes = [visit.page.locator(place).bounding_box() for place in places]
        assert [box["y"] for box in boxes] == sorted(box["y"] for box in boxes)
        assert boxes[-1]["y"] + boxes[-1]["height"] <= 800
        assert min(box["width"] for box in boxes[1::2]) > 500
        assert "[" in visit.page.locator("article table.table").inner_text()


def test_a_table_is_downloaded_as_csv(browser: Browser, address: str) -> None:
    with Visit(browser, f"{address}/chapters/rq1_inputs.html", accept_downloads=True) as visit:
        with visit.page.expect_download() as download:
            visit.page.click("a[download='table4.csv']")
        lines = Path(download.value.path()).read_text().splitlines()
        assert lines[0] == "table,row,split,metric,mean,std,n,published_mean,published_std"
        assert lines[1].startswith("4,M_I(O),test,ssim,")


PAPER, LANDSCAPE = 665, 990  # pixels: A4 without its margins
CUT_OFF = """([narrow, wide]) => {
    const room = (e) => getComputedStyle(e.closest('section')).page === 'wide' ? wide : narrow;
    return Array.from(document.querySelectorAll('article :is(table, pre, img, figure, .explorer)'))
        .filter((e) => e.checkVisibility())
        .filter((e) => e.getBoundingClientRect().right > room(e) + 1 || e.scrollWidth > e.clientWidth + 2)
        .map((e) => e.outerHTML.slice(0, 100));
}"""


def test_the_whole_book_prints_and_nothing_is_cut(
    browser: Browser, site: Path, soups: dict[str, BeautifulSoup]
) -> None:
    """As `make pdf` does: all chapters in one page, printed by the browser."""
    build(site.parents[1], "--builder", "singlehtml")
    folder = site.parent / "singlehtml"
    whole = (folder / "chapters" / "introduction.html").rename(folder / "report.html")
    pictures = sum(len(soup.select("article img")) for soup in soups.values())
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(whole.as_uri(), wait_until="load")
        page.emulate_media(media="print")
        shown = (
            "Array.from(document.querySelectorAll('article img')).filter(i => i.naturalWidth && i.checkVisibility())"
        )
        assert page.evaluate(f"{shown}.length") == pictures
        text = page.inner_text("body")
        assert text.count('profile = "published"') > 3, "parameters are read on paper, too"
        assert "Show code cell source" not in text
        assert page.locator("button.copybtn:visible, p.download:visible, nav.bd-links:visible").count() == 0
        page.set_viewport_size({"width": PAPER, "height": 900})
        page.wait_for_function("document.querySelectorAll('mjx-container').length > 100")
        assert page.evaluate(CUT_OFF, [PAPER, LANDSCAPE]) == []
        printed = page.pdf(prefer_css_page_size=True)
    assert b"/MediaBox [0 0 594.95" in printed, "A4"
    assert len(re.findall(rb"/Type /Page\b", printed)) > len(PAGES)
