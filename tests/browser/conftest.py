"""Chromium and JupyterLab for the tests of this folder, which `make browser` runs."""

import functools
import os
import shutil
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from lab import Lab
from live import open_explorer

from course.explorers.tree import TreeExplorer
from course.explorers.wavenet import WaveNetExplorer, stored_wavenet
from course.explorers.windows import WindowsExplorer
from course.runs import load_splits

SITE = Path(__file__).parents[2] / "build" / "site"
CHROMIUM_NAMES = ["chromium", "chromium-browser", "google-chrome", "chrome"]
CHROMIUM_OPTIONS = ["--no-sandbox", "--disable-dev-shm-usage"]  # root, containers


def find_chromium():
    """The path of an installed Chromium, or None; CHROMIUM=/path names another."""
    paths = [os.environ.get("CHROMIUM")]
    paths += [shutil.which(name) for name in CHROMIUM_NAMES]
    return next(filter(None, paths), None)


NEEDS_SITE = pytest.mark.skipif(
    not SITE.is_dir(), reason="no site in build/site: run `make site`"
)
PAGES = {  # of the site, with an explorer
    "windows": "notebooks/02_flat_baseline.html",
    "tree": "notebooks/03_wavenet.html",
    "batchnorm": "notebooks/04_batchnorm_fix.html",
    "grid": "notebooks/05_experiments.html",
    "reuse": "notebooks/06_convolution.html",
    "wavenet": "notebooks/08_full_wavenet.html",
}


@pytest.fixture(scope="session")
def chromium():
    """A headless Chromium."""
    missing = "playwright is missing: `make browser` installs it"
    sync_api = pytest.importorskip("playwright.sync_api", reason=missing)
    path = find_chromium()
    if path is None:
        cure = "install Debian's package chromium, or set CHROMIUM=/path/to/it"
        pytest.skip(f"no Chromium here: {cure}")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=CHROMIUM_OPTIONS
        )
        yield browser
        browser.close()


class Watched:
    """A page and its faults: errors, requests to other hosts, answers that failed."""

    def __init__(self, page):
        self.page = page
        self.faults = []
        page.on("pageerror", self.on_page_error)
        page.on("console", self.on_console)
        page.on("request", self.on_request)
        page.on("response", self.on_response)

    def on_page_error(self, error):
        self.faults.append(f"error in the page: {error}")

    def on_console(self, message):
        if message.type == "error":
            source = message.location.get("url")
            self.faults.append(f"console: {message.text} ({source})")

    def on_request(self, request):
        address = urlsplit(request.url)
        is_local = address.scheme in ("data", "blob", "about", "file")
        if not is_local and address.hostname != "127.0.0.1":
            self.faults.append(f"request to {address.hostname}")

    def on_response(self, response):
        if response.status >= 400:
            self.faults.append(f"{response.status} for {response.url}")


@pytest.fixture(scope="module")
def open_page(chromium):
    """A function that gives a new page, watched; closed after a file's last test."""
    contexts = []

    def new(width=1280, height=900):
        viewport = {"width": width, "height": height}
        contexts.append(chromium.new_context(viewport=viewport))
        return Watched(contexts[-1].new_page())

    yield new
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def lab(chromium, tmp_path_factory):
    """One JupyterLab for all tests."""
    server = Lab(tmp_path_factory.mktemp("lab"))
    yield server
    server.close()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="session")
def address():
    """The site of `make site`, on a web server."""
    handler = functools.partial(Quiet, directory=SITE)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module", params=["server", "file"])
def home(request, address):
    """Where the site is opened: on a web server, and from the disk."""
    return address if request.param == "server" else SITE.as_uri() + "/"


@pytest.fixture(scope="module")
def explorer_at(open_page, home):
    """A function: the explorer of a script on its page of the site, opened once."""
    opened = []

    @functools.cache
    def at(script, path=None):
        watched = open_page()
        opened.append(watched)
        return open_explorer(watched, home + (path or PAGES[script]), script)

    yield at
    for watched in opened:
        assert not watched.faults
        watched.page.close()


@pytest.fixture(scope="session")
def expected_tree(vocab):
    return TreeExplorer(vocab)


@pytest.fixture(scope="session")
def expected_wavenet(vocab):
    return WaveNetExplorer(stored_wavenet(vocab), vocab)


@pytest.fixture(scope="session")
def expected_windows(vocab):
    return WindowsExplorer(vocab, load_splits()[1]["val"])
