"""The text of Glance's configuration files."""

import configparser
from pathlib import Path

from shim.demo.configuration import PASTE, default_settings, render_settings
from tests.support.series import series

SITE = Path("/var/lib/site")


def read(text):
    parser = configparser.RawConfigParser(strict=True)
    parser.optionxform = str
    parser.read_string(text)
    return parser


def defaults():
    return default_settings(SITE, Path("/venv/bin/python"))


def test_every_path_of_the_defaults_is_below_the_site():
    text = render_settings(defaults(), {})
    paths = [
        word for word in text.replace("sqlite:///", "").split() if word.startswith("/") and "venv" not in word
    ]
    assert paths
    assert all(Path(path).is_relative_to(SITE) for path in paths)


@series(
    ("changes", "section", "option", "value"),
    [
        ({}, "image_format", "require_image_format_match", "false"),
        ({"DEFAULT": {"debug": "true"}}, "DEFAULT", "debug", "true"),
        ({"DEFAULT": {"debug": "true"}}, "DEFAULT", "enabled_backends", "files:file,second:file"),
        ({"wsgi": {"task_pool_threads": "1"}}, "wsgi", "task_pool_threads", "1"),
        ({"new": {"option": "1"}}, "new", "option", "1"),
        # oslo.config reads $$ as one dollar sign.
        ({"files": {"filesystem_store_datadir": "/a$b"}}, "files", "filesystem_store_datadir", "/a$$b"),
    ],
)
def test_changes_go_over_the_defaults(changes, section, option, value):
    parser = read(render_settings(defaults(), changes))
    found = parser.defaults() if section == "DEFAULT" else parser[section]
    assert found[option] == value


def test_the_pipeline_names_only_what_the_file_defines():
    parser = read(PASTE)
    *filters, application = parser["pipeline:api"]["pipeline"].split()
    assert all(parser.has_section(f"filter:{name}") for name in filters)
    assert parser.has_section(f"composite:{application}")
    assert parser["filter:tokens"]["paste.filter_factory"] == "glance_shim_tokens:factory"
