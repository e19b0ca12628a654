"""Chromium for the tests in this folder, which `make browser` runs and `make test` does not."""

import contextlib
import os
import shutil
from urllib.parse import urlsplit

import pytest


@pytest.fixture(scope="session")
def chromium():
    """A headless Chromium that is installed already; CHROMIUM=/path names another."""
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="playwright is missing: `make browser` installs it"
    )
    names = "chromium", "chromium-browser", "google-chrome", "chrome"
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip("no Chromium here: install Debian's package chromium, or set CHROMIUM=/path/to/it")
    with sync_api.sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-dev-shm-usage"]  # runs as root and in containers
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


class Watched:
    """What went wrong on a page: its errors, its console's, requests to other hosts, bad answers."""

    def __init__(self, page):
        self.page, self.faults = page, []
        page.on("pageerror", lambda error: self.faults.append(f"error in the page: {error}"))
        page.on("console", self.on_console)
        page.on("request", self.on_request)
        page.on("response", self.on_response)

    def on_console(self, message):
        if message.type == "error":
            self.faults.append(f"console: {message.text} ({message.location.get('url')})")

    def on_request(self, request):
        address = urlsplit(request.url)
        if address.scheme not in ("data", "blob", "about") and address.hostname != "127.0.0.1":
            self.faults.append(f"request to {address.hostname}")

    def on_response(self, response):
        if response.status >= 400:
            self.faults.append(f"{response.status} for {response.url}")


@pytest.fixture
def open_page(chromium):
    """A function that gives a new page of the wanted size, watched; closed after the test."""
    with contextlib.ExitStack() as stack:

        def new(width=1280, height=900):
            context = chromium.new_context(viewport={"width": width, "height": height})
            stack.callback(context.close)
            return Watched(context.new_page())

        yield new


@pytest.fixture(scope="session")
def watch():
    return Watched
