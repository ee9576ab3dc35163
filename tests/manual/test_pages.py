"""What every page of the manual keeps to, and that what is generated of it is up to date."""

import re
import tomllib

import pytest

from shim.app.answers import STATUSES
from shim.app.explanations import EXPLANATIONS
from shim.config.load import load
from shim.errors import ShimError
from tests.manual.blocks import ROOT, all_blocks, all_commands, blocks, pages
from tests.manual.excused import EXCUSED, excuse
from tests.support.series import series
from tools.manual.files import FILES

LANGUAGES = {"console", "toml", "ini", "yaml", "apache", "nginx", "text", "python", "{toctree}"}
PROGRAM_NAMES = re.compile(r"`glance-shim ([a-z]+)")
OPTION = re.compile(r"`((?:server|limits|spool|timeouts|admin|log|traces|glance)\.[a-z_.]+)(?: = [^`]*)?`")


@series("page", pages())
def test_its_code_is_in_blocks_that_a_test_knows(page):
    text = page.read_text("utf-8")
    for block in blocks(page):
        assert block.language in LANGUAGES, f"{block}: {block.language or 'no language'}"
    outside = re.sub(r"^(`{3,}).*?^\1$", "", text, flags=re.MULTILINE | re.DOTALL)
    # Code by indentation would say no language; in a list it is the list's text.
    assert not re.search(r"\n\n {4,}\S", outside), f"{page.name} has an indented block"


@pytest.mark.parametrize("file", FILES)
def test_what_is_generated_is_up_to_date(file):
    assert (ROOT / file).read_text("utf-8") == FILES[file](), "run: make docs"


def test_each_code_has_its_explanation_and_each_explanation_its_code():
    assert EXPLANATIONS.keys() == STATUSES.keys()
    assert ShimError.code in EXPLANATIONS
    sections = re.findall(r"^## (\w+)$", (ROOT / "docs/refusals.md").read_text("utf-8"), re.MULTILINE)
    assert sections == sorted(STATUSES)


@pytest.mark.parametrize("block", all_blocks("toml"), ids=str)
def test_each_configuration_loads(block, tmp_path):
    file = tmp_path / "block.toml"
    file.write_text(block.text)
    assert load(file, environment={}).settings
    assert tomllib.loads(block.text), "it says something"


@pytest.mark.parametrize("block", all_blocks("python"), ids=str)
def test_each_script_is_python(block):
    compile(block.text, str(block), "exec")


# The changelog tells of what is gone, too.
@series("page", [p for p in pages() if p.name != "CHANGELOG.md"])
def test_options_that_are_named_exist(page):
    known = set(re.findall(r"^### (\S+)$", (ROOT / "docs/configuration.md").read_text("utf-8"), re.MULTILINE))
    tables = set(re.findall(r"^## (\S+)$", (ROOT / "docs/configuration.md").read_text("utf-8"), re.MULTILINE))
    named = set(OPTION.findall(page.read_text("utf-8")))
    assert named <= known | tables


def test_each_excuse_is_needed():
    needed = {text for text in EXCUSED for command in all_commands() if re.fullmatch(text, command.text)}
    assert needed == EXCUSED.keys()
    assert {command.page for command in all_commands() if excuse(command) is None} >= {
        "README.md",
        "docs/quickstart.md",
        "docs/hosting.md",
    }
