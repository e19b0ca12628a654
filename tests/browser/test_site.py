"""The site of `make site`, opened page by page in Chromium: each page once."""

import functools
import os
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest

from course.drawings import DENSITY

ROOT = Path(__file__).parents[2]
SITE = ROOT / "build" / "site"
NOTEBOOKS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
PHONE = {"width": 390, "height": 844}  # CSS pixels
WIDTHS = [1024, 1100, 1280, 1366, 1440, 1536, 1920]
LAPTOP = 1280  # from this width on, code is seen whole


def pages():
    """The pages of the site, without those that Sphinx keeps for itself."""
    paths = [path.relative_to(SITE) for path in SITE.rglob("*.html")]
    own = [path for path in paths if not path.parts[0].startswith("_")]
    return sorted(path.as_posix() for path in own)


PAGES = pages()
pytestmark = pytest.mark.skipif(
    not PAGES, reason="no site in build/site: run `make site`"
)


@pytest.fixture(scope="module", params=PAGES)
def path(request):
    return request.param


@pytest.fixture(scope="module")
def opened(open_page, address, path):
    """One page of the site, opened once for all its tests."""
    watched = open_page()
    watched.page.goto(address + path, wait_until="networkidle")
    yield watched
    watched.page.close()


def test_a_page_opens_without_a_fault_and_has_a_title(opened):
    assert not opened.faults
    assert opened.page.title()


def test_every_picture_is_there_and_has_a_text(opened):
    # An explorer takes the place of its picture when it comes into view.
    for image in opened.page.locator("img:not(.explorer img)").all():
        image.scroll_into_view_if_needed()  # some are loaded when they come into view
        image.evaluate("image => image.decode()")
        assert image.evaluate("image => image.naturalWidth") > 0
        alt = image.get_attribute("alt") or ""
        is_text = len(alt) > 5 and ".png" not in alt
        assert is_text, image.get_attribute("src")


LINKS = "links => links.map(link => link.href)"
IDS = "all => all.map(one => one.id)"


@pytest.fixture(scope="module")
def look_up(open_page):
    """A function: the ids on a page of the site, or None if it is not there."""
    page = open_page().page

    @functools.cache
    def ids(target):
        if not page.request.get(target).ok:
            return None
        if not target.endswith((".html", "/")):
            return set()
        page.goto(target)
        return set(page.eval_on_selector_all("[id]", IDS))

    return ids


def test_every_internal_link_leads_somewhere(opened, address, look_up):
    for link in opened.page.eval_on_selector_all("a[href]", LINKS):
        target, fragment = urldefrag(link)
        if not target.startswith(address):
            # not a file on somebody's machine, nor an unresolved name
            assert target.startswith("https://"), link
            continue
        ids = look_up(target)
        assert ids is not None, link
        if fragment and target.endswith((".html", "/")):
            assert unquote(fragment) in ids, link


def test_notebooks_link_to_services_only_if_the_repository_is_known(opened, path):
    # GitHub's workflow sets it, and builds the site with it (tools/site/hosts.py).
    is_known = bool(os.environ.get("GITHUB_REPOSITORY"))
    links = opened.page.eval_on_selector_all("article a[href]", LINKS)
    found = [link for link in links if "colab.research" in link]
    expected = is_known and path.startswith("notebooks/")
    assert len(found) == int(expected)


WIDTH = "document.scrollingElement.scrollWidth"
FONT_SIZES = "all => all.map(one => parseFloat(getComputedStyle(one).fontSize))"


def test_a_page_can_be_read_on_a_phone(opened):
    page = opened.page
    page.set_viewport_size(PHONE)
    assert page.evaluate(WIDTH) <= PHONE["width"]
    for image in page.locator("article img").all():
        assert image.evaluate(FITS), image.get_attribute("alt")
    for figure in page.locator(".cell_output img, section > p > img").all():
        if figure.evaluate("image => image.closest('.explorer')"):
            continue
        scale = figure.evaluate("image => image.width / image.naturalWidth")
        assert DENSITY * scale > 0.45  # what is written in it can be read
    for kind, least in (("article p", 14), ("article pre", 11)):
        for size in page.eval_on_selector_all(kind, FONT_SIZES):
            assert size >= least


# Whether an element is within the page's width or in something that scrolls sideways.
FITS = """element => {
  for (let box = element; box; box = box.parentElement) {
    if (["auto", "scroll"].includes(getComputedStyle(box).overflowX)) return true;
  }
  return element.getBoundingClientRect().right <= innerWidth;
}"""


def test_nothing_is_cut_off_at_the_side(opened):
    for width in WIDTHS:
        opened.page.set_viewport_size({"width": width, "height": 900})
        assert opened.page.evaluate(WIDTH) <= width
        links = ".toc-tree a, .sidebar-tree a"
        cut = opened.page.eval_on_selector_all(links, CUT_OFF)
        assert not cut, width


# The links that are partly beyond the page's side; a folded column is beyond it whole.
CUT_OFF = """links => links.filter(link => {
  const box = link.getBoundingClientRect();
  return box.left < innerWidth && innerWidth < box.right;
}).map(link => link.innerText)"""


def test_code_and_what_it_printed_are_seen_whole_on_a_laptop(opened):
    for width in WIDTHS:
        if width >= LAPTOP:
            opened.page.set_viewport_size({"width": width, "height": 900})
            cut = opened.page.eval_on_selector_all("article pre", SCROLLED)
            assert not cut, width


SCROLLED = """all => all.filter(
  one => one.scrollWidth > one.clientWidth).map(one => one.innerText)"""


def test_every_notebook_has_a_page_in_the_navigation(open_page, address):
    page = open_page().page
    page.goto(address)
    listed = page.eval_on_selector_all(".sidebar-tree a", LINKS)
    for name in NOTEBOOKS:
        assert f"{address}notebooks/{name}.html" in listed


WIDGET = '"application/vnd.jupyter.widget-view+json"'


def test_widgets_leave_a_note_and_no_broken_text(opened, path):
    if not path.startswith("notebooks/"):
        pytest.skip("no notebook")
    for words in opened.page.locator(".cell_output").all_inner_texts():
        for broken in ("VBox(", "<Figure", "IPython.core"):
            assert broken not in words
    notebook = (ROOT / path).with_suffix(".ipynb").read_text(encoding="utf-8")
    places = opened.page.locator(".widget-note, .explorer")
    assert places.count() == notebook.count(WIDGET)


def test_the_search_finds_words_in_notebooks(open_page, address):
    watched = open_page()
    watched.page.goto(address)
    watched.page.locator(".sidebar-search").fill("dilated")
    watched.page.locator(".sidebar-search").press("Enter")
    watched.page.wait_for_selector("#search-results a")
    found = watched.page.eval_on_selector_all("#search-results a", LINKS)
    assert any("notebooks/06_convolution.html" in link for link in found)
    assert not watched.faults
