"""The site as it is built: without a warning, and without anything fetched from elsewhere."""

import html.parser
import re
import subprocess
import sys

import pytest

from tests.manual.blocks import ROOT

FETCHED = {"img": "src", "script": "src", "link": "href", "iframe": "src", "source": "src", "object": "data"}
"""Elements that make a browser fetch something, and where they say what."""


class Fetches(html.parser.HTMLParser):
    """What a browser would fetch for a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        address = dict(attributes).get(FETCHED.get(tag, ""))
        if address is not None:
            self.addresses.append(address)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("sphinx", reason="the extra docs is not installed: run make venv")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--keep-going"]
    ended = subprocess.run(
        [*command, "--builder", "html", "--doctree-dir", folder / "trees", ROOT / "docs", folder / "site"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout
    return folder / "site"


@pytest.mark.more
def test_nothing_comes_from_elsewhere(site):
    pages = list(site.rglob("*.html"))
    assert {"index.html", "quickstart.html", "refusals.html", "configuration.html"} <= {p.name for p in pages}
    for page in pages:
        foreign = [a for a in Fetches(page.read_text("utf-8")).addresses if re.match(r"[a-z]+:|//", a)]
        assert not foreign, f"{page.name} fetches {foreign}"
    for sheet in site.rglob("*.css"):
        foreign = re.findall(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//[^)'\"]*", sheet.read_text("utf-8"))
        assert not foreign, f"{sheet.name} fetches {foreign}"
