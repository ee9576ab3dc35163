"""``make screenshots``: pictures of the page in each state, on a desk and on a phone, light and dark."""

import io
import re
import sys
from pathlib import Path

from playwright.sync_api import Browser
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console

from shim.console.screen import draw
from shim.console.watching import Watching
from tests.browser import scenes
from tests.browser.browsing import browser, chromium
from tests.browser.theatre import staged, status_of

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
]
COLUMNS, LINES = 116, 28
LETTERS = "DejaVu Sans Mono"
# Rates are measured over some events; then the numbers stand.
SETTLED = 3500


def main() -> int:
    """Take all pictures; those whose names are given, where any are."""
    program = chromium()
    if program is None:
        sys.stderr.write("Chromium is not installed: tools/debian.sh\n")
        return 1
    chosen = set(sys.argv[1:])
    # Before the browser: Playwright keeps a loop in this thread.
    recorded = record_terminal(scenes.BUSY)
    with browser(program) as running:
        for shot in SHOTS:
            if not chosen or shot[0] in chosen:
                take(running, *shot)
        if not chosen or "top" in chosen:
            take_terminal(running, "top", recorded)
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


def record_terminal(scene: scenes.Scene) -> str:
    """``glance-shim top`` of a scene, as rich records it; SVG."""
    watching = Watching()
    for now in (0.0, 2.0):
        status = status_of(scene, now)
        watching.tell(status)
    watching.press("down")
    console = Console(width=COLUMNS, height=LINES, record=True, file=io.StringIO(), force_terminal=True)
    console.print(draw(status, watching, COLUMNS, LINES))
    # Rich's own form fetches a font from elsewhere.
    form = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    return console.export_svg(title="glance-shim top", code_format=form.replace("Fira Code", LETTERS))


def take_terminal(running: Browser, name: str, recorded: str) -> None:
    """A picture of what was recorded."""
    page = running.new_page(viewport=DESK, device_scale_factor=1.5)
    page.set_content(f"<body style='margin:0'>{recorded}</body>")
    page.locator("svg").first.screenshot(path=IMAGES / f"{name}.png", omit_background=True)
    page.close()


if __name__ == "__main__":
    raise SystemExit(main())
