"""Faults: how keys are written, and what an unknown key is told."""

import pytest

from shim.config.faults import ConfigurationError, Fault, dotted
from shim.config.load import Flags, load
from tests.support.series import series

KEYS = [
    (("body",), "body"),
    (("spool", "max_body"), "spool.max_body"),
    (("routes", 1, "path"), "routes[1].path"),
    (("routes", 0, "methods", 2), "routes[0].methods[2]"),
    (("upstreams", "a.b", "mount"), 'upstreams."a.b".mount'),
    (("",), '""'),
]

UNKNOWN = [
    ("spool.max_boddy", "unknown key; did you mean spool.max_body?"),
    ("spol.max_body", "unknown key; did you mean spool?"),
    ("upstrem", "unknown key; did you mean upstream?"),
    ("max_body", "unknown key; did you mean spool.max_body?"),
    ("server.max_head", "unknown key; did you mean limits.max_head?"),
    ("upstreams.glance.server", "unknown key; did you mean upstreams.glance.servers?"),
    ("server.x", "unknown key; known here: listen, workers, state_directory"),
    ("routes[0].path", "unknown key; did you mean routes?"),
    ("SPOOL.max_body", "unknown key; known here: upstream, body, service, "),
]


def told(**arguments):
    with pytest.raises(ConfigurationError) as error:
        load(environment={}, **arguments)
    return {fault.key: fault.message for fault in error.value.faults}


SECRET = "not-to-be-told"
# Each is a way to write a secret wrongly.
TOLD_WRONGLY = [
    f"glance.service_auth.password={SECRET}\tx",
    f"glance.service_auth.password=[{SECRET!r}]",
    f"glance.service_auth.password={{a = {SECRET!r}}}",
    f"glance.service_auth={SECRET}",
    f"glance.service_auth={{password = {SECRET!r}",
    f"glance.service_auth=[{{password = {SECRET!r}}}]",
    f"glance={{service_auth = {{password = {SECRET!r}}}",
    f"glance.service_auth.auth_url=http://u:{SECRET}@keystone:5000/v3",
    f"glance.service_auth.auth_url=http://u:{SECRET}@\tkeystone:5000/v3",
    f"glance.service_auth.auth_url=['http://u:{SECRET}@keystone']",
    f"glance.service_auth.auth_url=http://u:a/@{SECRET}@keystone",
    f"admin.token={SECRET}\xa0x",
    f"admin.token={SECRET} x",
    f"admin.token=[{SECRET!r}]",
    f"admin={{token = {SECRET!r}",
    f"limits.shared=redis://u:{SECRET}@h:x",
    f"limits.shared=redis://u:{SECRET}@\th",
    f"limits.shared=['redis://u:{SECRET}@h']",
    f"limits=redis://u:{SECRET}@h",
    f"upstream=http://u:{SECRET}@h\t",
    f"upstreams.a.servers=http://u:{SECRET}@h",
    f"upstreams.a.servers=['http://u:{SECRET}@h']",
    f"body=redis://u:{SECRET}@h",
]


@series("setting", TOLD_WRONGLY)
def test_no_fault_tells_a_secret(setting):
    with pytest.raises(ConfigurationError) as error:
        load(environment={}, flags=Flags(settings=[setting]))
    assert SECRET not in str(error.value)


@series("table", ["glance.service_auth.password", "admin.token", "limits.shared"])
def test_a_secret_that_is_no_text_is_not_told(table, tmp_path):
    file = tmp_path / "shim.toml"
    file.write_text(f"{table} = 12345678")
    message = told(file=file)[table]
    assert message == "write text, in quotes"


@series(("path", "key"), KEYS)
def test_keys_are_dotted(path, key):
    assert dotted(path) == key


@series(("key", "message"), UNKNOWN)
def test_an_unknown_key_gets_the_nearest_known_one(key, message):
    faults = told(flags=Flags(settings=[f"{key}=1"]))
    assert any(text.startswith(message) for text in faults.values())


def test_an_unknown_key_of_a_route():
    assert told(flags=Flags(settings=['routes=[{path = "/", methosd = []}]'])) == {
        "routes[0].methosd": "unknown key; did you mean routes[0].methods?"
    }


def test_tables_and_lists_are_asked_for_in_the_operators_words():
    settings = ["spool=3", "server.listen=h:1", 'upstreams={a = "http://h"}', "routes=[1]"]
    assert told(flags=Flags(settings=settings)) == {
        "spool": "must be a table",
        "server.listen": """'h:1': must be a list, in brackets, its text in quotes, as in ["one", "two"]""",
        "upstreams.a": "must be a table",
        "routes[0]": "must be a table",
    }


def test_what_is_missing_is_named():
    settings = ['upstreams={a = {mount = "/a"}}', "routes=[{}]"]
    assert told(flags=Flags(settings=settings)) == {
        "upstreams.a.servers": "is missing",
        "routes[0].path": "is missing",
    }


def test_a_fault_is_one_line():
    assert str(Fault("spool.max_body", "--set", "is wrong")) == "spool.max_body (--set): is wrong"
    assert str(Fault("", "shim.toml", "cannot be read")) == "shim.toml: cannot be read"


def test_the_error_tells_all_faults():
    error = ConfigurationError([Fault("a", "x", "1"), Fault("b", "y", "2")])
    assert str(error) == "a (x): 1\nb (y): 2"


def test_a_wrong_name_of_an_upstream_is_told_at_the_name():
    assert told(flags=Flags(settings=['upstreams={"a.b" = {servers = ["http://h"]}}'])) == {
        'upstreams."a.b"': "'a.b': not a name; use letters, digits, - and _ (not at its ends)"
    }
