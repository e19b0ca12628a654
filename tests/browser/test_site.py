"""The site of `make site`, opened page by page in Chromium."""

import functools
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest

ROOT = Path(__file__).parents[2]
SITE = ROOT / "build" / "site"
PAGES = sorted(
    path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html") if "_" not in path.parts[0][:1]
)
NOTEBOOKS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
PHONE = 390, 844  # CSS pixels

pytestmark = pytest.mark.skipif(not PAGES, reason="no site in build/site: run `make site`")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def address():
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=SITE)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.mark.parametrize("path", PAGES)
def test_a_page_opens_without_a_fault_and_has_a_title(open_page, address, path):
    watched = open_page()
    watched.page.goto(address + path, wait_until="networkidle")
    assert not watched.faults
    assert watched.page.title()


@pytest.mark.parametrize("path", PAGES)
def test_every_picture_is_there_and_has_a_text(open_page, address, path):
    page = open_page().page
    page.goto(address + path)
    for image in page.locator("img").all():
        image.scroll_into_view_if_needed()  # some are loaded only when they come into view
        image.evaluate("image => image.decode()")
        assert image.evaluate("image => image.naturalWidth") > 0
        alt = image.get_attribute("alt") or ""
        assert len(alt) > 5 and ".png" not in alt, image.get_attribute("src")


@functools.cache
def targets(page, address):
    """The addresses and the ids on a page of the site."""
    page.goto(address)
    links = page.eval_on_selector_all("a[href]", "links => links.map(link => link.href)")
    return links, set(page.eval_on_selector_all("[id]", "all => all.map(one => one.id)"))


@pytest.mark.parametrize("path", PAGES)
def test_every_internal_link_leads_somewhere(open_page, address, path):
    page = open_page().page
    for link in targets(page, address + path)[0]:
        target, fragment = urldefrag(link)
        if not target.startswith(address):
            assert target.startswith("https://"), (
                link
            )  # not a file on somebody's machine, nor an unresolved name
        elif target.endswith((".html", "/")):
            assert not fragment or unquote(fragment) in targets(page, target)[1], link
            assert page.request.get(target).ok, link
        else:
            assert page.request.get(target).ok, link


@pytest.mark.parametrize("path", PAGES)
def test_a_page_can_be_read_on_a_phone(open_page, address, path):
    page = open_page(*PHONE).page
    page.goto(address + path)
    assert page.evaluate("document.scrollingElement.scrollWidth") <= PHONE[0]
    for image in page.locator("article img").all():
        assert image.evaluate(FITS), image.get_attribute("alt")
    for figure in page.locator(".cell_output img, section > p > img").all():
        assert figure.evaluate("image => image.width / image.naturalWidth") > 0.5  # its letters can be read
    for kind, least in (("article p", 14), ("article pre", 11)):  # letters, in CSS pixels
        sizes = page.eval_on_selector_all(
            kind, "all => all.map(one => parseFloat(getComputedStyle(one).fontSize))"
        )
        assert all(size >= least for size in sizes)


# Whether an element is within the page's width or in something that scrolls sideways by itself.
FITS = """element => {
  for (let box = element; box; box = box.parentElement) {
    if (["auto", "scroll"].includes(getComputedStyle(box).overflowX)) return true;
  }
  return element.getBoundingClientRect().right <= innerWidth;
}"""


@pytest.mark.parametrize("width", [1024, 1100, 1280, 1366, 1440, 1536, 1920])
def test_nothing_is_cut_off_at_the_side(open_page, address, width):
    page = open_page(width).page
    for path in PAGES:
        page.goto(address + path)
        assert page.evaluate("document.scrollingElement.scrollWidth") <= width, path
        assert not page.eval_on_selector_all(".toc-tree a, .sidebar-tree a", CUT_OFF), path


# The links that are partly beyond the page's side; those of a folded column are beyond it as a whole.
CUT_OFF = """links => links.filter(link => {
  const box = link.getBoundingClientRect();
  return box.left < innerWidth && innerWidth < box.right;
}).map(link => link.innerText)"""


@pytest.mark.parametrize("width", [1280, 1366, 1440, 1536, 1920])
def test_code_and_what_it_printed_are_seen_whole_on_a_laptop(open_page, address, width):
    page = open_page(width).page
    for path in PAGES:
        page.goto(address + path)
        cut = page.eval_on_selector_all(
            "article pre",
            "all => all.filter(one => one.scrollWidth > one.clientWidth).map(one => one.innerText)",
        )
        assert not cut, (path, cut)


def test_every_notebook_has_a_page_in_the_navigation(open_page, address):
    page = open_page().page
    page.goto(address)
    listed = page.eval_on_selector_all(".sidebar-tree a", "links => links.map(link => link.href)")
    assert {f"{address}notebooks/{name}.html" for name in NOTEBOOKS} <= set(listed)


def test_widgets_leave_a_note_and_no_broken_text(open_page, address):
    page = open_page().page
    for name in NOTEBOOKS:
        page.goto(f"{address}notebooks/{name}.html")
        for words in page.locator(".cell_output").all_inner_texts():
            assert "VBox(" not in words and "<Figure" not in words and "IPython.core" not in words
        source = (ROOT / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8")
        assert page.locator(".widget-note").count() == source.count(
            '"application/vnd.jupyter.widget-view+json"'
        )


def test_the_search_finds_words_in_notebooks(open_page, address):
    watched = open_page()
    watched.page.goto(address)
    watched.page.locator(".sidebar-search").fill("dilated")
    watched.page.locator(".sidebar-search").press("Enter")
    watched.page.wait_for_selector("#search-results a")
    found = watched.page.eval_on_selector_all("#search-results a", "links => links.map(link => link.href)")
    assert any("notebooks/06_convolution.html" in link for link in found)
    assert not watched.faults
