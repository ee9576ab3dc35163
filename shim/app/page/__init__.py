"""The status page: one document without outside assets, put together once from the files beside this one.

Styles and scripts stand in the document itself, and its Content-Security-Policy names the hash of each: so
nothing else runs in it, whatever a client of the shim chose to be called.
"""

import base64
import hashlib
import importlib.resources

_FOLDER = importlib.resources.files("shim.app.page")
STYLES = ("page.css", "tables.css")
SCRIPTS = ("units.js", "drawing.js", "uploads.js", "ending.js", "tables.js", "feed.js", "page.js")
"""In their order: each uses names of those before it."""


class StatusPage:
    """The document, and the headers to send it with."""

    def __init__(self) -> None:
        styles, scripts = [_read(name) for name in STYLES], [_read(name) for name in SCRIPTS]
        self.text = (
            _read("page.html")
            .replace("<!-- styles -->", "".join(f"<style>{style}</style>" for style in styles))
            .replace("<!-- scripts -->", "".join(f"<script>{script}</script>" for script in scripts))
        )
        self.headers = {
            "Content-Security-Policy": _policy(styles, scripts),
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
        }


def _policy(styles: list[str], scripts: list[str]) -> str:
    return "; ".join(
        (
            "default-src 'none'",
            f"style-src {' '.join(map(_hash, styles))}",
            f"script-src {' '.join(map(_hash, scripts))}",
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _read(name: str) -> str:
    return (_FOLDER / name).read_text("utf-8")
