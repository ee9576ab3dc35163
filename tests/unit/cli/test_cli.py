"""The command line: what each command is handed, what it answers with, and what it does not load."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

import shim
from shim.cli import app
from shim.commands import check, load_or_report
from shim.commands.admin import AdminFlags
from shim.config import describe
from tests.fakes.certificates import make_authority, make_certificate
from tests.support.series import series

REPOSITORY = Path(__file__).parents[3]
ALL_OPTIONS = "All options, with units and reasons: glance-shim config --defaults\n"

HANDED_ON = [
    (["serve"], {"config": None, "listen": [], "upstream": None, "settings": []}),
    (
        ["serve", "--config", "a.toml", "--listen", "h:1", "--listen", "fd:3", "--upstream", "http://h"],
        {"config": Path("a.toml"), "listen": ["h:1", "fd:3"], "upstream": "http://h", "settings": []},
    ),
    (
        ["serve", "--set", "a.b=1", "--set", "c=[]"],
        {"config": None, "listen": [], "upstream": None, "settings": ["a.b=1", "c=[]"]},
    ),
    (
        ["check", "--config", "a.toml", "--upstream", "http://h", "--set", "a=1"],
        {"config": Path("a.toml"), "upstream": "http://h", "settings": ["a=1"], "as_json": False},
    ),
    (["check", "--json"], {"config": None, "upstream": None, "settings": [], "as_json": True}),
    (["demo"], {"once": False}),
    (["demo", "--once"], {"once": True}),
]

WRONG_USAGE = [
    [],
    ["frobnicate"],
    ["serve", "--frobnicate"],
    ["serve", "a.toml"],
    ["serve", "--upstream"],
    ["check", "--listen", "h:1"],
    ["config", "--defaults", "--schema"],
    ["config", "--schema", "--explain", "GET", "/"],
    ["config", "--explain", "GET"],
    ["config", "--size", "1KiB"],
    ["demo", "twice"],
    ["top", "--json"],
    ["uploads", "cancel"],
    ["uploads", "frobnicate"],
]

ADMIN = ["--admin", "unix:/run/a", "--token-file", "t", "--config", "c.toml"]
# What is asked of a running shim, and what a command's function is given after where that is.
ASKED = [
    (["top", *ADMIN], "top.run", [], {}),
    (["uploads", *ADMIN], "uploads.run", [], {"as_json": False}),
    (["uploads", *ADMIN, "--json"], "uploads.run", [], {"as_json": True}),
    (["uploads", *ADMIN, "cancel", "1-2"], "uploads.cancel", ["1-2"], {}),
    (["uploads", "cancel", "1-2", *ADMIN], "uploads.cancel", ["1-2"], {}),
]


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch):
    for variable in list(os.environ):
        if variable.startswith("GLANCE_SHIM_") or variable == "TMPDIR":
            monkeypatch.delenv(variable)


@pytest.fixture
def invoke():
    return lambda *arguments: CliRunner().invoke(app, arguments, prog_name="glance-shim")


def python(*arguments):
    return subprocess.run(
        [sys.executable, *arguments], cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False
    )


# -- what is handed on ----------------------------------------------------------------------------


@pytest.mark.parametrize(("arguments", "handed"), HANDED_ON, ids=[" ".join(case) for case, _ in HANDED_ON])
@pytest.mark.parametrize("status", [0, 1, 2])
def test_a_command_gets_its_options_and_gives_the_status(monkeypatch, invoke, arguments, handed, status):
    calls = []

    def run(**options):
        calls.append(options)
        return status

    monkeypatch.setitem(sys.modules, f"shim.commands.{arguments[0]}", SimpleNamespace(run=run))
    assert invoke(*arguments).exit_code == status
    assert calls == [handed]


@pytest.mark.parametrize("case", ASKED, ids=[" ".join(case[0]) for case in ASKED])
@pytest.mark.parametrize("status", [0, 1, 2])
def test_a_running_shim_is_asked(monkeypatch, invoke, case, status):
    arguments, function, given, named = case
    module, name = function.split(".")
    calls = []

    def work(*values, **options):
        calls.append((values, options))
        return status

    monkeypatch.setitem(sys.modules, f"shim.commands.{module}", SimpleNamespace(**{name: work}))
    assert invoke(*arguments).exit_code == status
    assert calls == [((AdminFlags("unix:/run/a", Path("t"), Path("c.toml")), *given), named)]


def test_top_needs_a_terminal(invoke):
    result = invoke("top")
    assert (result.exit_code, "needs a terminal" in result.stderr) == (2, True)


# Each with what is wrong; nothing is asked of anybody.
NO_ADMIN = [
    (["--admin", "uwsgi://h:1"], 2, "the admin listener speaks HTTP"),
    (["--token-file", "/nonexistent"], 2, "No such file or directory"),
    (["--config", "/nonexistent.toml"], 2, "cannot be read"),
    (
        ["--admin", "unix:/nonexistent/a.sock"],
        1,
        "http+unix:///nonexistent/a.sock does not answer: No such file",
    ),
]


@pytest.mark.parametrize(("arguments", "status", "text"), NO_ADMIN, ids=[text for _, _, text in NO_ADMIN])
def test_a_shim_that_cannot_be_asked(invoke, arguments, status, text):
    result = invoke("uploads", *arguments)
    assert (result.exit_code, result.stdout) == (status, "")
    assert text in result.stderr


def test_a_spool_directory_that_is_missing(invoke, tmp_path):
    spool = f"spool.directory={tmp_path}/gone"
    result = invoke("serve", "--upstream", "http://127.0.0.1:1", "--set", spool, "--set", "admin.listen=[]")
    assert result.exit_code == 1
    assert f"The spool is {tmp_path}/gone: make that directory, or set spool.directory." in result.stderr


@series("arguments", WRONG_USAGE)
def test_wrong_usage_is_2(invoke, arguments):
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert "Usage: glance-shim" in result.output or "Error: Option" in result.output


def test_version(invoke):
    result = invoke("--version")
    assert (result.exit_code, result.output) == (0, f"glance-shim {shim.__version__}\n")


@pytest.mark.parametrize("command", ["serve", "check", "config", "demo", "top", "uploads", "bench"])
def test_help(invoke, command):
    assert f"  {command} " in invoke("--help").output
    result = invoke(command, "--help")
    assert result.exit_code == 0
    assert f"Usage: glance-shim {command}" in result.output
    # Short help that was cut ends in dots.
    assert "..." not in invoke("--help").output.replace("[ARGS]...", "")


# -- config ---------------------------------------------------------------------------------------


def test_config_prints_what_is_in_force(invoke, tmp_path):
    file = tmp_path / "shim.toml"
    file.write_text('[spool]\nmax_body = "1MiB"\n')
    arguments = ["--config", str(file), "--upstream", "http://h:1", "--set", "spool.min_free=0"]
    result = invoke("config", *arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    printed = tomllib.loads(result.stdout)
    assert printed["upstream"] == "http://h:1"
    assert (printed["spool"]["max_body"], printed["spool"]["min_free"]) == ("1MiB", "0B")
    assert f'max_body = "1MiB"              # {file}\n' in result.stdout


def test_config_reads_the_environment(invoke, monkeypatch):
    monkeypatch.setenv("GLANCE_SHIM_SPOOL__MAX_BODY", "8GiB")
    assert 'max_body = "8GiB"              # GLANCE_SHIM_SPOOL__MAX_BODY\n' in invoke("config").stdout


def test_config_needs_no_upstream(invoke):
    result = invoke("config")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "# upstream is not set" in result.stdout


def test_config_defaults_and_schema_do_not_look_at_the_configuration(invoke, monkeypatch):
    monkeypatch.setenv("GLANCE_SHIM_SPOOL__MAX_BODY", "10GB")
    assert invoke("config", "--defaults").stdout == describe.defaults()
    assert json.loads(invoke("config", "--schema").stdout)["title"] == "glance-shim"


def test_config_explains_a_route(invoke):
    routes = 'routes=[{path = "/**", headers = {x-kind = "a*"}, at_least = 10}]'
    arguments = ["config", "--upstream", "http://h", "--set", routes, "--explain", "PUT", "/v2"]
    result = invoke(*arguments, "--header", "X-Kind: abc", "--size", "10")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "  1. /**: takes it\n" in result.stdout
    assert invoke("config", "--upstream", "http://h", "--explain", "GET", "v2").exit_code == 2
    assert "  1. /**: no, no header x-kind matches a*\n  2. default: takes it\n" in invoke(*arguments).stdout


def test_config_tells_all_faults(invoke, monkeypatch):
    monkeypatch.setenv("GLANCE_SHIM_SPOOL__MAX_BODY", "10GB")
    result = invoke("config", "--set", "spool.max_boddy=1", "--config", "/nonexistent.toml")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        "/nonexistent.toml: cannot be read: No such file or directory\n"
        "spool.max_body (GLANCE_SHIM_SPOOL__MAX_BODY): "
        "'10GB': unknown unit 'GB'; use B, KiB, MiB, GiB or TiB\n"
        "spool.max_boddy (--set): unknown key; did you mean spool.max_body?\n" + ALL_OPTIONS
    )


# -- loading for a command ------------------------------------------------------------------------


def test_a_configuration_without_faults_is_loaded(capsys):
    loaded = load_or_report(
        None, listen=["h:1"], upstream="http://h", settings=["body=spool"], upstream_required=True
    )
    assert [str(address) for address in loaded.settings.server.listen] == ["h:1"]
    assert str(loaded.settings.upstream) == "http://h:80"
    assert capsys.readouterr() == ("", "")


def test_a_missing_upstream_is_reported_where_it_is_needed(capsys):
    assert load_or_report(None, upstream_required=True) is None
    fault, last = capsys.readouterr().err.splitlines(keepends=True)
    assert fault.startswith("upstream (not set): is missing: ")
    assert last == ALL_OPTIONS


# -- the process ----------------------------------------------------------------------------------


def test_as_a_module():
    result = python("-m", "shim", "--version")
    assert (result.returncode, result.stdout, result.stderr) == (0, f"glance-shim {shim.__version__}\n", "")


def test_the_status_is_the_processs():
    result = python("-m", "shim", "config", "--set", "oops")
    assert result.returncode == 2
    assert result.stderr.endswith(ALL_OPTIONS)


# A name here costs every worker memory and every command its start. What one of several loads is there to the
# end, so that they take one process.
@pytest.mark.parametrize(
    ("commands", "unwanted"),
    [
        (["--help", "serve --help", "oops"], {"rich", "shim.config", "uvicorn", "asyncio"}),
        (["serve --set oops"], {"rich", "httpx", "redis", "cryptography", "opentelemetry", "shim.console"}),
        pytest.param(
            ["config", "config --set oops"],
            {"rich", "uvicorn", "starlette", "httpx", "pydantic_settings"},
            marks=pytest.mark.more,
        ),
        pytest.param(
            ["uploads --admin 127.0.0.1:1"],
            {"uvicorn", "starlette", "prometheus_client"},
            marks=pytest.mark.more,
        ),
    ],
    ids=["help", "serve", "config", "uploads"],
)
def test_nothing_is_loaded_without_need(commands, unwanted):
    script = f"""
import sys
from shim.cli import main
for command in {commands!r}:
    sys.argv = ["glance-shim", *command.split()]
    try:
        main()
    except SystemExit:
        print(command, *sorted({unwanted!r} & sys.modules.keys()), file=sys.stderr)
"""
    result = python("-c", script)
    assert result.returncode == 0, result.stderr
    told = result.stderr.splitlines()
    assert all(command in told for command in commands), result.stderr


def test_check_looks_at_the_edges(tmp_path, capsys):
    """A pair that does not fit, and admin pages that the whole network sees."""
    make_authority(tmp_path)
    certificate, _ = make_certificate(tmp_path, "one", "DNS:one")
    _, key = make_certificate(tmp_path, "two", "DNS:two")
    settings = [
        f"server.tls.certificate={certificate}",
        f"server.tls.key={key}",
        'admin.listen=["0.0.0.0:9293", "127.0.0.1:9294", "[::1]:9295", "unix:/run/admin.sock"]',
        f"spool.directory={tmp_path}",
    ]
    assert check.run(None, f"http+unix://{tmp_path}/missing.sock", settings) == 1
    told = capsys.readouterr().out
    assert f"fault    tls: {key}: is not the key of {certificate}" in told
    assert "warning  admin: 0.0.0.0:9293 is reached from other machines" in told
    assert told.count(" admin: ") == 1
    sticky = ["service=none", 'upstreams={a = {servers = ["http://127.0.0.1:1"], balance = "sticky"}}']
    check.run(None, None, sticky)
    assert "warning  upstream a: sticky goes by images" in capsys.readouterr().out
    large = [
        "spool.max_per_project=1024TiB",
        "spool.max_response=1024TiB",
        'routes=[{path = "/**", max_body = "1024TiB"}]',
    ]
    check.run(None, "http://127.0.0.1:1", [f"spool.directory={tmp_path}", *large])
    assert capsys.readouterr().out.count("is larger than the file system: spool.max_total") == 3
    check.run(None, "http://127.0.0.1:1", ["admin.listen=0.0.0.0:9293", "admin.token=a-token-of-some-length"])
    assert " admin: " not in capsys.readouterr().out
