"""Debian's Chromium, driven by Playwright: quiet, without a network of its own, one for all tests."""

import contextlib
import shutil
import time
from collections.abc import Iterator

from playwright.sync_api import Browser, Page, sync_playwright

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def chromium() -> str | None:
    """Where Debian's Chromium is; None where it is not installed."""
    return shutil.which("chromium")


@contextlib.contextmanager
def browser(program: str) -> Iterator[Browser]:
    """A running browser."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=FLAGS, headless=True)
        try:
            yield running
        finally:
            running.close()


def until(page: Page, condition: str, patience: float = 30.0) -> None:
    """Wait until an expression holds in the page; Playwright's own way needs eval, which the page forbids."""
    end = time.monotonic() + patience
    while not page.evaluate(condition):
        assert time.monotonic() < end, f"{condition} does not become true"
        page.wait_for_timeout(50)
