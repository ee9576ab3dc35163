"""Sources: what file, environment and flags turn into, and what is wrong with them as a whole."""

import pytest

from shim.config.sources import Entry, Flags, decode, from_defaults, from_environment, from_file, from_flags
from tests.support.series import series

DECODED = [
    ("8GiB", "8GiB"),
    (" 8GiB ", "8GiB"),
    ("10000", "10000"),
    ("true", "true"),
    ("", ""),
    ('"8GiB"', "8GiB"),
    ("'8GiB'", "8GiB"),
    ('["a", "b"]', ["a", "b"]),
    ("[]", []),
    ('{max_body = "8GiB"}', {"max_body": "8GiB"}),
    # Looks like TOML and is not: the option that gets it says what it takes.
    ("[::1]:9293", "[::1]:9293"),
    ("[a, b]", "[a, b]"),
    ('"open', '"open'),
]

VARIABLES = [
    ("GLANCE_SHIM_UPSTREAM", ("upstream",)),
    ("GLANCE_SHIM_SPOOL__MAX_BODY", ("spool", "max_body")),
    ("GLANCE_SHIM_UPSTREAMS__glance__SERVERS", ("upstreams", "glance", "servers")),
    ("GLANCE_SHIM_UPSTREAMS__Region_1__MOUNT", ("upstreams", "Region_1", "mount")),
    ("GLANCE_SHIM_", ("",)),
    ("GLANCE_SHIM_A____B", ("a", "", "b")),
]


@series(("text", "value"), DECODED)
def test_text_outside_a_file(text, value):
    assert decode(text) == value


@series(("variable", "path"), VARIABLES)
def test_variables_are_keys(variable, path):
    assert from_environment({variable: "x"}).found == [Entry(path, "x", variable)]


def test_other_variables_are_none_of_ours():
    variables = {"PATH": "x", "glance_shim_body": "x", "GLANCE_SHIM": "x", "GLANCE_SHIM_DEMO_HOME": "/x"}
    assert from_environment(variables).found == []


def test_a_table_in_a_variable_is_its_keys():
    variables = {"GLANCE_SHIM_SPOOL": '{max_body = "8GiB", min_free = 0}'}
    assert from_environment(variables).found == [
        Entry(("spool", "max_body"), "8GiB", "GLANCE_SHIM_SPOOL"),
        Entry(("spool", "min_free"), 0, "GLANCE_SHIM_SPOOL"),
    ]


def test_the_temporary_directory_is_a_default():
    assert from_defaults({"TMPDIR": "/scratch"}).found == [
        Entry(("spool", "directory"), "/scratch", "$TMPDIR")
    ]
    assert from_defaults({"TMPDIR": ""}).found == []
    assert from_defaults({}).found == []


def test_a_file_is_its_keys(tmp_path):
    file = tmp_path / "shim.toml"
    file.write_text('body = "spool"\n[spool]\nmax_body = 1\n[log]\n[[routes]]\npath = "/"\n')
    assert from_file(file).found == [
        Entry(("body",), "spool", str(file)),
        Entry(("spool", "max_body"), 1, str(file)),
        Entry(("log",), {}, str(file)),
        Entry(("routes",), [{"path": "/"}], str(file)),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"body = ", "is not TOML: Invalid value (at end of document)"),
        (b'body = "auto"\nserver listen = 3\n', "(at line 2, column 8)"),
        (b"body = 1\nbody = 2\n", "is not TOML: Cannot overwrite a value"),
        (b'body = "\xff"', "is not UTF-8 text (byte 8)"),
    ],
)
def test_a_file_that_cannot_be_understood(tmp_path, content, message):
    file = tmp_path / "shim.toml"
    file.write_bytes(content)
    entries = from_file(file)
    assert entries.found == []
    [fault] = entries.faults
    assert str(fault).startswith(f"{file}: ")
    assert message in fault.message


def test_a_file_that_cannot_be_read(tmp_path):
    missing, directory = tmp_path / "missing.toml", tmp_path
    assert [str(fault) for file in (missing, directory) for fault in from_file(file).faults] == [
        f"{missing}: cannot be read: No such file or directory",
        f"{directory}: cannot be read: Is a directory",
    ]


def test_flags_are_keys():
    flags = Flags(
        listen=["h:1", "unix:/s"], upstream="http://h", settings=["spool.max_body=8GiB", "a = b = c"]
    )
    assert from_flags(flags).found == [
        Entry(("spool", "max_body"), "8GiB", "--set"),
        Entry(("a",), "b = c", "--set"),
        Entry(("server", "listen"), ["h:1", "unix:/s"], "--listen"),
        Entry(("upstream",), "http://h", "--upstream"),
    ]


@pytest.mark.parametrize("setting", ["spool.max_body", "=8GiB", ""])
def test_a_setting_has_a_key_and_a_value(setting):
    entries = from_flags(Flags(settings=[setting]))
    assert entries.found == []
    assert [fault.message for fault in entries.faults] == ["write KEY=VALUE, as in --set spool.max_body=8GiB"]
