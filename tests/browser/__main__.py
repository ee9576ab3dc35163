"""``make screenshots``: pictures of the page in each state, on a desk and on a phone, light and dark."""

import sys
from pathlib import Path

from playwright.sync_api import Browser

from tests.browser import scenes
from tests.browser.browsing import browser, chromium
from tests.browser.theatre import staged

IMAGES = Path(__file__).parents[2] / "docs" / "images"
DESK = {"width": 1280, "height": 800}
PHONE = {"width": 360, "height": 780}

SHOTS = [
    ("status", scenes.BUSY, DESK, "light"),
    ("status-dark", scenes.BUSY, DESK, "dark"),
    ("status-idle", scenes.IDLE, DESK, "light"),
    ("status-full", scenes.FULL, DESK, "light"),
    ("status-broken", scenes.BROKEN, DESK, "dark"),
    ("status-phone", scenes.BUSY, PHONE, "light"),
    ("status-phone-dark", scenes.FULL, PHONE, "dark"),
]
# Rates are measured over some events; then the numbers stand.
SETTLED = 3500


def main() -> int:
    """Take all pictures; those whose names are given, where any are."""
    program = chromium()
    if program is None:
        sys.stderr.write("Chromium is not installed: tools/debian.sh\n")
        return 1
    chosen = set(sys.argv[1:])
    with browser(program) as running:
        for shot in SHOTS:
            if not chosen or shot[0] in chosen:
                take(running, *shot)
    return 0


def take(running: Browser, name: str, scene: scenes.Scene, size: dict[str, int], colours: str) -> None:
    """One picture, of the whole page."""
    with staged(scene) as stage:
        context = running.new_context(viewport=size, color_scheme=colours, device_scale_factor=1.5)
        page = context.new_page()
        page.on("console", lambda message: sys.stderr.write(f"console: {message.text}\n"))
        page.on("pageerror", lambda error: sys.stderr.write(f"page error: {error}\n"))
        page.goto(stage.url)
        page.wait_for_timeout(SETTLED)
        page.screenshot(path=IMAGES / f"{name}.png", full_page=size is DESK)
        context.close()


if __name__ == "__main__":
    raise SystemExit(main())
