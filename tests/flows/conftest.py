"""Runs each flow test on leaping time and checks at its end that nothing is held, whatever the test did."""

import pytest

from shim.proxy.growing import GrowingBody
from shim.proxy.receive import BodyReceiver
from tests.fakes.flow import Flow
from tests.fakes.loops import let_others_run, loop_time, run_leaping


@pytest.fixture
def run_flow(monkeypatch):
    """Run a scene over a ``Flow``, and check at its end that nothing is held."""
    for waiting in (BodyReceiver, GrowingBody):
        monkeypatch.setitem(waiting.__init__.__kwdefaults__, "clock", loop_time)

    def run(scene, *outcomes, **options):
        async def whole():
            flow = Flow(*outcomes, **options)
            await scene(flow)
            await let_others_run()
            await flow.check_nothing_is_held()

        run_leaping(whole())

    return run
