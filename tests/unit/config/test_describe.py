"""The configuration shown: the committed file, the printed values and the schema keep up with the code."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from shim.config import describe
from shim.config.behind import ServiceAuthOptions
from shim.config.listening import TlsOptions
from shim.config.load import Flags, load
from shim.config.settings import Settings
from shim.config.shape import all_keys, table_of
from tests.support.series import series

REPOSITORY = Path(__file__).parents[3]
DEFAULTS_FILE = REPOSITORY / "config" / "glance-shim.toml"
EXAMPLES = sorted((REPOSITORY / "config" / "examples").glob("*.toml"))

FULL = """
service = "none"
[server]
listen = ["0.0.0.0:9292", "unix:/run/shim \\"1\\".sock"]
socket_mode = "0600"
trusted_proxies = ["unix", "10.0.0.0/8"]
[admin]
listen = ["127.0.0.1:9293", "[::1]:9293"]
[log]
access = false
[limits]
max_connections = "unlimited"
min_rate = 0
[spool]
max_body = 1000
min_free = "0.5%"
max_total = "unlimited"
[timeouts]
header = 0.25
response = "6h"
[upstreams.glance]
servers = ["http://h", "uwsgi://[::1]:3031"]
[upstreams.volumes]
servers = ["http+unix:///run/v.sock"]
mount = "/volume"
[[routes]]
name = "upload"
methods = ["PUT", "POST"]
path = "/v2/images/*/file"
upstream = "glance"
body = "spool"
[[routes]]
path = "/**"
upstream = "volumes"
"""


# -- defaults -------------------------------------------------------------------------------------


def test_the_committed_file_is_the_generated_one():
    assert DEFAULTS_FILE.read_text() == describe.defaults(), "run: make docs"


def test_the_defaults_file_loads_to_the_defaults():
    assert load(DEFAULTS_FILE, environment={}).settings == Settings()


def test_the_defaults_file_leaves_the_temporary_directory_to_the_machine():
    loaded = load(DEFAULTS_FILE, environment={"TMPDIR": "/scratch"})
    assert loaded.settings.spool.directory == Path("/scratch")


def test_the_defaults_file_does_not_depend_on_the_machine(monkeypatch):
    monkeypatch.setenv("TMPDIR", "/somewhere/else")
    monkeypatch.setenv("GLANCE_SHIM_SPOOL__MAX_BODY", "7B")
    assert describe.defaults() == DEFAULTS_FILE.read_text()


def test_every_option_stands_in_the_defaults_file():
    named = re.findall(r"^#?([a-z_]+) = ", describe.defaults(), re.MULTILINE)
    several = [table_of(Settings.model_fields[name].annotation) for name in ("upstreams", "routes")]
    expected = [key.rpartition(".")[2] for key in all_keys()]
    # A table in a table comes at the end of its own.
    end_of_server = expected.index("max_head")
    expected[end_of_server:end_of_server] = [*TlsOptions.model_fields]
    expected += [*ServiceAuthOptions.model_fields]
    assert named == expected + [name for table in several for name in table.model_fields]


def test_every_option_says_why_and_what_it_takes():
    for block in re.split(r"\n\n", describe.defaults()):
        if re.search(r"^#?[a-z_]+ = ", block, re.MULTILINE):
            *reason, takes, option = block.strip().splitlines()
            assert reason, option
            assert takes.startswith("# Takes: "), option


@pytest.mark.parametrize("dropped", ["upstream = ", "[upstreams"])
def test_its_examples_work_when_they_are_uncommented(dropped, tmp_path):
    text = describe.defaults()
    if dropped == "[upstreams":
        text = re.sub(r"(?ms)^#\[upstreams.*?(?=^#\[\[routes)", "", text).replace('#upstream = "glance"', "")
    else:
        text = text.replace("#upstream = ", "# ", 1)
    file = tmp_path / "shim.toml"
    file.write_text(re.sub(r"(?m)^#(?=[a-z\[])", "", text))
    settings = load(file, environment={}, upstream_required=True).settings
    assert settings.spool.directory == Path("/var/lib/glance-shim/spool")
    assert [route.path for route in settings.routes] == ["/v2/images/*/file"]


@series("file", EXAMPLES)
def test_examples_have_no_faults(file):
    assert load(file, environment={}, upstream_required=True).settings.upstream_groups


def test_there_are_examples():
    assert len(EXAMPLES) >= 2


# -- effective values -----------------------------------------------------------------------------


@pytest.mark.parametrize("content", ["", 'upstream = "uwsgi+unix:///run/g.sock"', FULL])
def test_effective_values_load_again(tmp_path, content):
    file, printed = tmp_path / "shim.toml", tmp_path / "printed.toml"
    file.write_text(content)
    loaded = load(file, environment={"TMPDIR": "/scratch"})
    printed.write_text(describe.effective(loaded))
    assert load(printed, environment={}).settings == loaded.settings


SERVICE_AUTH = """
[glance]
delete_stuck = true
[glance.service_auth]
auth_url = "http://keystone:5000/v3"
username = "shim"
password = "se cret"
"""


def test_a_table_in_a_table_is_shown_but_no_password(tmp_path):
    file, printed = tmp_path / "shim.toml", tmp_path / "printed.toml"
    file.write_text(SERVICE_AUTH)
    loaded = load(file, environment={"GLANCE_SHIM_GLANCE__SERVICE_AUTH__USERNAME": "other"})
    text = describe.effective(loaded)
    assert "se cret" not in text + repr(loaded.settings)
    assert f"# password is set, and not shown  # {file}" in text
    assert '\n[glance.service_auth]\nauth_url = "http://keystone:5000/v3"' in text
    printed.write_text(text)
    again = load(printed, environment={"GLANCE_SHIM_GLANCE__SERVICE_AUTH__PASSWORD": "se cret"})
    assert again.settings == loaded.settings
    assert again.settings.glance.service_auth.username == "other"


def test_every_effective_value_says_where_it_came_from(tmp_path):
    file = tmp_path / "shim.toml"
    file.write_text(
        '[log]\nlevel = "debug"\n[upstreams.glance]\nservers = ["http://h"]\n[[routes]]\npath = "/"\n'
    )
    environment = {"GLANCE_SHIM_SPOOL__MAX_BODY": "8GiB", "TMPDIR": "/scratch"}
    printed = describe.effective(load(file, Flags(settings=["body=spool"]), environment=environment))
    rows = re.findall(r"^([a-z_]+) = .+?  # (.+)$", printed, re.MULTILINE)
    assert [row for row in rows if row[1] != "default"] == [
        ("body", "--set"),
        ("level", str(file)),
        ("directory", "$TMPDIR"),
        ("max_body", "GLANCE_SHIM_SPOOL__MAX_BODY"),
        ("servers", str(file)),
        ("path", str(file)),
    ]
    assert len(rows) == len([line for line in printed.splitlines() if " = " in line])


def test_an_address_with_a_password_is_not_shown():
    flags = Flags(settings=["limits.shared=redis://shim:se-cret@h"])
    text = describe.effective(load(flags=flags, environment={}))
    assert "# shared is set, and not shown  # --set\n" in text
    assert "cret" not in text
    flags = Flags(settings=["limits.shared=redis://shim@h"])
    assert 'shared = "redis://shim@h:6379"' in describe.effective(load(flags=flags, environment={}))


def test_without_an_upstream_that_is_said():
    printed = describe.effective(load(environment={}))
    assert "# upstream is not set\n" in printed
    assert "upstream" not in tomllib.loads(printed)


def test_sources_stand_in_a_column_of_their_table():
    printed = describe.effective(load(environment={}))
    table = printed.split("[limits]\n")[1].split("\n\n")[0]
    assert len({line.index("#") for line in table.splitlines() if " = " in line}) == 1


# -- schema ---------------------------------------------------------------------------------------


def accepts(schema, value, root):
    """Whether ``schema`` takes ``value``: the part of JSON Schema that the shim's own schema uses."""
    if "$ref" in schema:
        return accepts(root["$defs"][schema["$ref"].removeprefix("#/$defs/")], value, root)
    checks = {
        "type": lambda name: isinstance(value, TYPES[name]) and (name == "boolean" or value is not True),
        "const": lambda constant: value == constant,
        "enum": lambda choices: value in choices,
        "pattern": lambda pattern: re.search(pattern, value) is not None,
        "minimum": lambda least: value >= least,
        "maximum": lambda most: value <= most,
        "minItems": lambda least: len(value) >= least,
        "anyOf": lambda schemas: any(accepts(choice, value, root) for choice in schemas),
        "items": lambda inner: all(accepts(inner, element, root) for element in value),
        "required": lambda names: set(names) <= set(value),
        "properties": lambda inner: all(
            accepts(inner[name], value[name], root) for name in inner.keys() & value
        ),
        "patternProperties": lambda inner: all(
            accepts(inner[pattern], value[name], root)
            for pattern in inner
            for name in value
            if re.search(pattern, name)
        ),
        # Nowhere in the shim's schema is it anything but false.
        "additionalProperties": lambda _: all(
            name in schema.get("properties", {})
            or any(re.search(pattern, name) for pattern in schema.get("patternProperties", {}))
            for name in value
        ),
    }
    says_nothing = {"title", "description", "default", "examples", "$defs", "$schema"}
    # The type comes first: the other checks rely on it.
    ordered = sorted(schema.keys() - says_nothing, key=lambda name: name != "type")
    return all(checks[name](schema[name]) for name in ordered)


TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "number": (int, float),
    "integer": int,
    "boolean": bool,
    "null": type(None),
}


@pytest.fixture(scope="module")
def schema():
    return json.loads(describe.schema())


def test_the_schema_says_which_draft_it_is(schema):
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["title"] == "glance-shim"


@pytest.mark.parametrize("file", [DEFAULTS_FILE, *EXAMPLES], ids=lambda file: file.name)
def test_the_schema_takes_the_files(schema, file):
    assert accepts(schema, tomllib.loads(file.read_text()), schema)


def test_the_schema_takes_every_kind_of_value(schema):
    assert accepts(schema, tomllib.loads(FULL), schema)


@series(
    "content",
    [
        'bodi = "auto"',
        'body = "buffer"',
        'upstream = "h:80"',
        "[spool]\nmax_body = '10GB'",
        "[spool]\nmax_body = '80%'",
        "[spool]\nmax_total = -1",
        "[spool]\nmemory_limit = 'unlimited'",
        "[timeouts]\nheader = '3m'",
        "[timeouts]\nbody_idle = 'auto'",
        "[limits]\nmax_uploads = 1.5",
        "[limits]\nmin_rate = '1KiB'",
        "[server]\nlisten = []",
        "[server]\nlisten = 'h:80'",
        "[server]\nsocket_mode = 660",
        "[log]\naccess = 'yes'",
        "[upstreams.glance]\nmount = '/image'",
        "[upstreams.'a.b']\nservers = ['http://h']",
        "[[routes]]\nmethods = ['PUT']",
        "[[routes]]\npath = '/'\nmethods = ['put']",
    ],
)
def test_the_schema_refuses(schema, content):
    assert not accepts(schema, tomllib.loads(content), schema)


def test_defaults_in_the_schema_are_as_an_operator_writes_them(schema):
    assert schema["$defs"]["SpoolOptions"]["properties"]["max_body"]["default"] == "1TiB"
