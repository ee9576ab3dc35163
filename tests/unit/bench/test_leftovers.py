"""Which images a run left behind: tag, name, owner and visibility all have to fit."""

from shim.bench.leftovers import is_leftover
from tests.support.series import series

RUN = "0123456789ab"
OURS = {
    "id": "1",
    "owner": "us",
    "visibility": "private",
    "name": f"glance-shim-bench-{RUN}-00001",
    "tags": ["else", f"glance-shim-bench-{RUN}"],
    "status": "saving",
}


@series(("changes", "is_ours"), [
    ({}, True),
    ({"status": "deleted"}, False),
    ({"owner": "them"}, False),
    ({"owner": None}, False),
    ({"visibility": "shared"}, False),
    ({"visibility": "public"}, False),
    ({"name": None}, False),
    ({"name": "glance-shim-bench-ba9876543210-00001"}, False),
    ({"name": f"glance-shim-bench-{RUN}"}, False),
    ({"tags": []}, False),
    ({"tags": None}, False),
    ({"tags": ["glance-shim-bench"]}, False),
    ({"id": None}, False),
])  # fmt: skip
def test_leftovers(changes, is_ours):
    assert is_leftover({**OURS, **changes}, RUN, "us") is is_ours
