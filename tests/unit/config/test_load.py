"""Loading: who beats whom, where each value came from, and all faults at once."""

import itertools

import pytest

from shim.config.faults import ConfigurationError
from shim.config.load import DEFAULT, Flags, load
from shim.config.settings import Settings

MAX_BODY = ("spool", "max_body")


@pytest.fixture
def write(tmp_path):
    def write(content):
        file = tmp_path / "shim.toml"
        file.write_text(content)
        return file

    return write


def faults(*arguments, **options):
    with pytest.raises(ConfigurationError) as error:
        load(*arguments, **({"environment": {}} | options))
    return error.value.faults


def test_nothing_set_is_all_defaults():
    loaded = load(environment={})
    assert loaded.settings == Settings()
    assert loaded.source(MAX_BODY) == DEFAULT


@pytest.mark.parametrize(
    ("in_file", "in_environment", "in_flags"), [*itertools.product([False, True], repeat=3)]
)
def test_flags_beat_environment_beats_file_beats_defaults(write, in_file, in_environment, in_flags):
    file = write('[spool]\nmax_body = "1MiB"\n')
    loaded = load(
        file if in_file else None,
        Flags(settings=["spool.max_body=3MiB"] if in_flags else []),
        environment={"GLANCE_SHIM_SPOOL__MAX_BODY": "2MiB"} if in_environment else {},
    )
    ranking = [
        (in_flags, 3 * 1024**2, "--set"),
        (in_environment, 2 * 1024**2, "GLANCE_SHIM_SPOOL__MAX_BODY"),
        (in_file, 1024**2, str(file)),
        (True, 1024**4, DEFAULT),
    ]
    _, value, source = next(row for row in ranking if row[0])
    assert loaded.settings.spool.max_body == value
    assert loaded.source(MAX_BODY) == source


def test_sources_meet_in_one_table(write):
    file = write('[spool]\nmax_body = "1MiB"\n[upstreams.glance]\nservers = ["http://h"]\n')
    loaded = load(
        file,
        Flags(settings=["spool.min_free=0"]),
        environment={
            "GLANCE_SHIM_SPOOL__MAX_TOTAL": "50%",
            "GLANCE_SHIM_UPSTREAMS__glance__MOUNT": "/image",
            "GLANCE_SHIM_UPSTREAMS__b__SERVERS": '["uwsgi+unix:///run/b.sock"]',
            "GLANCE_SHIM_ROUTES": '[{path = "/**", upstream = "b"}]',
            "TMPDIR": "/scratch",
        },
    )
    written = loaded.settings.model_dump(mode="json")
    assert written["spool"] == Settings().model_dump(mode="json")["spool"] | {
        "directory": "/scratch",
        "max_body": "1MiB",
        "max_total": "50%",
        "min_free": "0B",
    }
    given = {
        name: {key: group[key] for key in ("servers", "mount")}
        for name, group in written["upstreams"].items()
    }
    assert given == {
        "glance": {"servers": ["http://h:80"], "mount": "/image"},
        "b": {"servers": ["uwsgi+unix:///run/b.sock"], "mount": ""},
    }
    assert loaded.source(("spool", "directory")) == "$TMPDIR"
    assert loaded.source(("upstreams", "glance", "mount")) == "GLANCE_SHIM_UPSTREAMS__glance__MOUNT"
    assert loaded.source(("routes", 0, "path")) == "GLANCE_SHIM_ROUTES"
    assert loaded.source(("routes", 0, "body")) == DEFAULT


def test_a_list_replaces_a_list_and_its_sources(write):
    file = write('upstream = "http://h"\n[[routes]]\npath = "/a"\nbody = "spool"\n[[routes]]\npath = "/b"\n')
    loaded = load(file, Flags(settings=['routes=[{path = "/c"}]']), environment={})
    assert [route.path for route in loaded.settings.routes] == ["/c"]
    assert loaded.source(("routes", 0, "path")) == "--set"
    assert loaded.source(("routes", 0, "body")) == DEFAULT


def test_the_last_of_two_equal_flags_counts():
    flags = Flags(settings=["spool.max_body=1", "spool.max_body=2", "upstream=http://a"], upstream="http://b")
    loaded = load(None, flags, environment={})
    assert loaded.settings.spool.max_body == 2
    assert loaded.source(("upstream",)) == "--upstream"


def test_an_empty_table_changes_nothing(write):
    file = write('[spool]\nmax_body = "1MiB"\n')
    loaded = load(file, environment={"GLANCE_SHIM_SPOOL": "{}", "GLANCE_SHIM_LOG": "{}"})
    assert loaded.settings.spool.max_body == 1024**2


def test_listen_addresses_of_flags():
    loaded = load(None, Flags(listen=["127.0.0.1:0", "unix:/s"]), environment={})
    assert list(map(str, loaded.settings.server.listen)) == ["127.0.0.1:0", "unix:/s"]
    assert loaded.source(("server", "listen")) == "--listen"


def test_all_faults_at_once(write):
    file = write(
        """
        body = "aut"
        [server]
        listen = ["127.0.0.1:9292", "nope", ":80"]
        [spool]
        max_boddy = 1
        max_total = "10GB"
        [upstreams.glance]
        mount = "image"
        [[routes]]
        path = "v2"
        upstream = "glanse"
        [[routes]]
        upstream = "glance"
        """
    )
    found = faults(
        file,
        Flags(listen=[], upstream="uwsgi://h", settings=["timeouts.header=0", "oops"]),
        environment={"GLANCE_SHIM_LIMITS__MAX_UPLOADS": "0", "GLANCE_SHIM_LIMIT__X": "1", "TMPDIR": "tmp"},
        upstream_required=True,
    )
    assert {(fault.key, fault.source) for fault in found} == {
        ("body", str(file)),
        ("server.listen[1]", str(file)),
        ("server.listen[2]", str(file)),
        ("spool.max_boddy", str(file)),
        ("spool.max_total", str(file)),
        ("spool.directory", "$TMPDIR"),
        ("upstreams.glance.servers", str(file)),
        ("upstreams.glance.mount", str(file)),
        ("routes[0].path", str(file)),
        ("routes[0].upstream", str(file)),
        ("routes[1].path", str(file)),
        ("timeouts.header", "--set"),
        ("oops", "--set"),
        # The URL itself is wrong, and it must not stand beside the table.
        ("upstream", "--upstream"),
        ("limits.max_uploads", "GLANCE_SHIM_LIMITS__MAX_UPLOADS"),
        ("limit", "GLANCE_SHIM_LIMIT__X"),
    }
    assert len(found) == 17


def test_a_fault_says_key_source_and_what_to_write():
    [fault] = faults(environment={"GLANCE_SHIM_SPOOL__MAX_BODY": "10GB"})
    assert str(fault) == (
        "spool.max_body (GLANCE_SHIM_SPOOL__MAX_BODY): '10GB': unknown unit 'GB'; use B, KiB, MiB, GiB or TiB"
    )


def test_no_upstream_is_a_fault_only_where_one_is_needed():
    assert load(environment={}).settings.upstream is None
    [fault] = faults(upstream_required=True)
    assert str(fault).startswith("upstream (not set): is missing: say what to forward to")


def test_an_unreadable_file_does_not_hide_other_faults(tmp_path):
    found = faults(
        tmp_path / "missing.toml",
        environment={"GLANCE_SHIM_SPOOL__MAX_BODY": "10GB"},
        upstream_required=True,
    )
    assert [fault.key for fault in found] == ["", "spool.max_body"]


def test_a_key_inside_of_what_is_no_table(write):
    file = write('spool = "big"\nroutes = []\n')
    found = faults(file, environment={"GLANCE_SHIM_SPOOL__MAX_BODY": "1", "GLANCE_SHIM_ROUTES__0__PATH": "/"})
    assert {fault.key: fault.message for fault in found} == {
        "routes.0.path": f"cannot be set alone: {file} gives routes as a whole",
        "spool.max_body": f"cannot be set alone: {file} gives spool as a whole",
        "spool": "must be a table",
    }


def test_text_that_is_no_utf8_is_a_fault():
    [fault] = faults(environment={"GLANCE_SHIM_SPOOL__DIRECTORY": "/srv/\udcff"})
    assert fault.message == r"'/srv/\udcff': has characters that cannot be printed"


def test_the_environment_is_the_processs_own_by_default(monkeypatch):
    monkeypatch.setenv("GLANCE_SHIM_SPOOL__MAX_BODY", "7B")
    assert load().settings.spool.max_body == 7
