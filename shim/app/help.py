"""``/help`` on the admin listener: every refusal's code, with what it means and what to do.

It is here so that an operator without the manual, or without a network, has it all the same.
"""

import html
import re
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from shim.app.answers import STATUSES, title_of
from shim.app.explanations import EXPLANATIONS

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}
_STYLE = (
    ":root{color-scheme:light dark}"
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem}"
    "dt{font-weight:600;margin-top:1rem}dd{margin:0}td{padding:.1rem 1rem .1rem 0;vertical-align:top}"
    "td,dd{overflow-wrap:anywhere}td:first-child,td a{white-space:nowrap}"
    "@media(max-width:40rem){tr{display:block;margin-top:.7rem}td{display:inline}td:last-child{display:block}}"
)


def help_routes() -> list[Route]:
    """The pages, for the admin application."""
    return [Route("/help", _all_codes), Route("/help/{code}", _one_code)]


async def _all_codes(_request: Request) -> Response:
    rows = "".join(
        f'<tr><td>{status}<td><a href="help/{code}">{code}</a><td>{_text(EXPLANATIONS[code].means)}\n'
        for code, status in STATUSES.items()
    )
    return _page("What refusals mean", f"<table>\n{rows}</table>\n")


async def _one_code(request: Request) -> Response:
    code = request.path_params["code"]
    if code not in EXPLANATIONS:
        text = '<p>There is no such code. <a href="../help">All codes</a></p>\n'
        return _page("Unknown code", text, HTTPStatus.NOT_FOUND)
    told, status = EXPLANATIONS[code], STATUSES[code]
    parts = {"What happened": told.means, "Where it comes from": told.cause, "What to do": told.do}
    terms = "".join(f"<dt>{term}</dt><dd>{_text(text)}</dd>\n" for term, text in parts.items())
    heading = f"{status} {title_of(status)}: {code}"
    return _page(heading, f'<dl>\n{terms}</dl>\n<p><a href="../help">All codes</a></p>\n')


def _text(marked: str) -> str:
    """A text with its `code` marks as HTML."""
    return re.sub("`([^`]*)`", r"<code>\1</code>", html.escape(marked, quote=False))


def _page(heading: str, content: str, status: int = HTTPStatus.OK) -> Response:
    page = (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{heading}</title>\n<style>{_STYLE}</style>\n<h1>{heading}</h1>\n{content}"
    )
    return HTMLResponse(page, status, headers=_HEADERS)
