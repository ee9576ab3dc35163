"""Why a request takes its route: the conditions in words, and what holds there that is not the default."""

import pytest

from shim.commands.explain import Request, explain
from shim.config.load import load
from shim.config.sources import Flags

FILE = """
[timeouts]
send = "5min"
response = "1h"

[upstreams.glance]
servers = ["http://one", "http://two"]
balance = "sticky"
[upstreams.large]
servers = ["http://three"]

[[routes]]
name = "large"
methods = ["PUT"]
path = "/v2/images/*/file"
at_least = "100GiB"
upstream = "large"
body = "spool"
response = "12h"
[[routes]]
path = "/v2/**"
headers = { user-agent = "*curl*" }
upstream = "glance"
max_body = "1MiB"
[[routes]]
name = "small"
path = "/v2/**"
at_least = 1
at_most = "1KiB"
upstream = "glance"
"""

ALL = "takes it"
METHOD, PATH = "no, the method is not PUT", "no, the path does not match "
CURL, SIZES = "no, no header user-agent matches *curl*", "no, the size is not at least 1B and at most 1KiB"
UNSAID = "no, it asks for a size, and the request declares none"

# Method, path, headers, size; why each route was not taken, and the last words.
CASES = {
    "large": ("PUT", "/v2/images/x/file?a=b", [], "100GiB", [ALL]),
    "too small": (
        "PUT",
        "/v2/images/x/file",
        [],
        "99GiB",
        ["no, the size is not at least 100GiB", CURL, SIZES],
    ),
    "a pipe": ("PUT", "/v2/images/x/file", [], "unknown", [UNSAID, CURL, UNSAID]),
    "curl": ("GET", "/v2/images", ["User-Agent: curl/8"], None, [METHOD, ALL]),
    "small": ("POST", "/v2/images", [], "1KiB", [METHOD, CURL, ALL]),
    "no body": ("GET", "/v2/images", [], None, [METHOD, CURL, SIZES]),
    "nowhere": ("PUT", "/", [], None, [PATH + "/v2/images/*/file", PATH + "/v2/**", PATH + "/v2/**"]),
}


@pytest.fixture(name="loaded")
def _loaded(tmp_path):
    file = tmp_path / "shim.toml"
    file.write_text(FILE)
    return load(file, environment={})


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_why_each_route_is_taken_or_not(loaded, case):
    method, path, headers, size, reasons = case
    lines = list(explain(loaded, Request.parse(method, path, headers, size)))
    tried = [line.split(": ", 1)[1] for line in lines[1 : lines.index("")]]
    assert tried == reasons
    assert (lines[-1] == "no route takes it: 503 no_upstream") is (ALL not in reasons)


def test_what_holds_there(loaded):
    lines = list(explain(loaded, Request.parse("PUT", "/v2/images/x/file", [], "1TiB")))
    told = "\n".join(lines[lines.index("") + 1 :])
    assert told.startswith('upstream large: http://three:80\nbody = "spool"\n')
    rows = dict(line.strip().split(" = ", 1) for line in told.splitlines() if "  # " in line)
    assert {name: value.split("  #")[0].strip() for name, value in rows.items()} == {
        "routes[0].response": '"12h"',
        "timeouts.send": '"5min"',
    }
    lines = list(explain(loaded, Request.parse("GET", "/v2/images", ["user-agent: curl"], None)))
    assert [line.split(" = ")[0].strip() for line in lines if "  # " in line] == [
        "routes[1].max_body", "timeouts.send", "timeouts.response", "upstreams.glance.balance",
    ]  # fmt: skip


def test_the_services_own_routes():
    loaded = load(None, Flags(upstream="http://h"), environment={})
    lines = list(explain(loaded, Request.parse("PATCH", "/v2/images/x", [], None)))
    assert lines[4] == "  4. api: takes it"
    assert lines[-1].split() == ["max_body", "=", '"16MiB"', "#", "service", "glance"]
    lines = list(explain(loaded, Request.parse("GET", "/", [], None)))
    assert (lines[5], lines[-1]) == ("  5. default: takes it", "all else is as by default")


@pytest.mark.parametrize(
    "given",
    [
        ("GET", "v2", [], None),
        ("GET", "/", ["x"], None),
        ("GET", "/", [": x"], None),
        ("GET", "/", [], "big"),
    ],
)
def test_what_is_no_request(given):
    with pytest.raises(ValueError, match=r"."):
        Request.parse(*given)
