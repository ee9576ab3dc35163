"""One browser for all tests of a process; what it may not do fails whichever test it happens in."""

import os
import urllib.parse
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="package")
def running() -> Iterator["Browser"]:
    """Debian's Chromium; for these tests only, for Playwright keeps a loop in the thread that others need."""
    # Not loaded where only this file is: by each process of make test-fast.
    from tests.browser.browsing import browser, chromium  # noqa: PLC0415

    program = chromium()
    if program is None:
        if os.environ.get("CI") == "true":
            pytest.fail("chromium is not installed, and CI=true skips nothing")
        pytest.skip("chromium is not installed: tools/debian.sh")
    with browser(program) as running:
        yield running


@pytest.fixture
def visit(running: "Browser") -> Iterator[Callable[..., "Page"]]:
    """Opens pages; at the end none of them has complained, or asked another host for anything."""
    contexts, hosts, faults, own = [], set(), [], set()

    def open_page(url: str, **options: object) -> "Page":
        context = running.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: hosts.add(urllib.parse.urlsplit(request.url).netloc))
        page.on("console", lambda told: faults.append(told.text) if told.type == "error" else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("dialog", lambda dialog: faults.append(dialog.message))
        own.add(urllib.parse.urlsplit(url).netloc)
        page.goto(url)
        page.set_default_timeout(15_000)
        return page

    open_page.faults = faults  # type: ignore[attr-defined]
    yield open_page
    for context in contexts:
        context.close()
    assert faults == []
    # "" is the icon, which stands in the page itself.
    assert hosts - {""} <= own
