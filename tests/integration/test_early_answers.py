"""Glance's refusals under every hosting, by a shim that does not look first: the client is still sending.

Without the look the shim has to carry each answer past a server that closes with the body unread;
``python -m tests.hosting.early_answers`` does the same at length.
"""

from collections.abc import Iterator

import pytest

from tests.hosting.early_answers import Tally, count_answers
from tests.hosting.kinds import KINDS, Hostings
from tests.integration.images import Images
from tests.integration.results import Results
from tests.integration.running import run_shim
from tests.support.shim import Shim

pytestmark = pytest.mark.servers

MIB = 1 << 20
COUNT = 12


@pytest.fixture(scope="module", params=KINDS)
def hosting(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def shim(hosting: str, hostings: Hostings, tmp_path_factory) -> Iterator[Shim]:
    with run_shim(tmp_path_factory.mktemp("shim"), hostings[hosting], glance__look=False) as shim:
        yield shim


@pytest.mark.parametrize("declared", [False, True], ids=["spool", "cut-through"])
def test_refused_while_still_sending(
    *, hosting: str, shim: Shim, images: Images, results: Results, declared: bool
):
    image = images.create()
    tally = count_answers(shim, image, count=COUNT, size=8 * MIB, declared=declared)
    results.put(f"early answers, {'cut-through' if declared else 'spool'}", hosting, str(tally))
    assert tally == Tally(right=COUNT)
    shim.await_rest()
    images.assert_untouched(image)
