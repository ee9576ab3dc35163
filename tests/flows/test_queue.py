"""Requests that wait for a slot of their upstream: with their body whole, in a phase of its own."""

import asyncio

import pytest

from shim.observe.journal import Phase
from shim.service.glance import GlanceOptions
from tests.fakes.flow import MEMORY, get, put
from tests.fakes.loops import let_others_run
from tests.fakes.stream import EOF, FakeStream, Whole, answer
from tests.fakes.uploads import image_answer

LARGE = [b"x" * 50] * 10
SIZE = 500


def answered():
    return FakeStream(Whole(), answer(204, b"", framing=b""), EOF)


def test_an_upload_in_line_has_its_body_and_no_connection(run_flow):
    async def scene(flow):
        client, scope = put(*LARGE)
        task = flow.start(client, scope)
        await asyncio.sleep(30)
        (record,) = flow.journal.live()
        assert (record.phase, record.length, flow.store.held) == (Phase.QUEUE, SIZE, SIZE)
        assert flow.journal.uploads() == {"receiving": 0, "waiting": 1, "forwarding": 0}
        assert flow.network.attempts == []
        flow.upstream.queue.limit(0, 1)
        assert await task
        assert client.status == 204
        assert record.phases[Phase.QUEUE] == 30

    run_flow(scene, answered(), slots=0)


def test_who_need_not_wait_never_was_in_line(run_flow):
    async def scene(flow):
        client, scope = put(*LARGE)
        assert await flow.serve(client, scope)
        assert "queue" not in flow.journal.counters.phases

    run_flow(scene, answered(), slots=1)


@pytest.mark.parametrize(("request_", "patience"), [(get, 60), (lambda: put(*LARGE), 3600)])
def test_a_wait_in_vain(run_flow, request_, patience):
    async def scene(flow):
        client, scope = request_()
        began = asyncio.get_running_loop().time()
        assert await flow.serve(client, scope)
        assert (client.status, client.code) == (503, "queue_timeout")
        assert asyncio.get_running_loop().time() - began == patience
        assert client.headers[b"retry-after"] == b"%d" % patience
        assert flow.network.attempts == []

    run_flow(scene, slots=0)


@pytest.mark.parametrize("moment", [1, 1000])
def test_a_client_that_leaves_the_line(run_flow, moment):
    async def scene(flow):
        client, scope = put(*LARGE)
        task = flow.start(client, scope)
        await asyncio.sleep(moment)
        client.leaves.set()
        await asyncio.wait([task])
        assert flow.refusals == {"client_gone": 1}
        assert flow.upstream.queue.waiting == 0
        assert flow.network.attempts == []

    run_flow(scene, slots=0)


def test_the_turn_is_the_projects(run_flow):
    """That of the client's address until the image's owner is known."""

    async def scene(flow):
        asked, place = [], flow.upstream.queue.place

        def watched(project, length, waits):
            asked.append((project, length))
            return place(project, length, waits)

        flow.upstream.queue.place = watched
        client, scope = put(*LARGE, target=b"/v2/images/71c675ab-d94f-49cd-a114-e12490b328d9/file")
        assert await flow.serve(client, scope)
        assert asked == [(scope["client"][0], None), ("a-project", SIZE)]

    run_flow(scene, FakeStream(image_answer("queued")), answered(), slots=1, glance=GlanceOptions())


def test_an_upload_that_failed_asks_about_its_image_without_its_slot(run_flow):
    """With a single slot anything else would wait for itself."""

    async def scene(flow):
        client, scope = put(*LARGE, target=b"/v2/images/71c675ab-d94f-49cd-a114-e12490b328d9/file")
        assert await flow.serve(client, scope)
        assert client.status == 204
        assert "queue" not in flow.journal.counters.phases

    queued = image_answer("queued")
    outcomes = [FakeStream(queued), FakeStream(Whole(), EOF), FakeStream(queued), answered()]
    run_flow(scene, *outcomes, slots=1, glance=GlanceOptions())


def test_a_place_in_line_is_not_in_memory(run_flow):
    async def scene(flow):
        tasks = [flow.start(*put(*LARGE)) for _ in range(20)]
        await asyncio.sleep(1)
        assert flow.upstream.queue.waiting == 20
        assert (flow.store.files, flow.disk.open_files) == (20, 20), f"{SIZE} bytes are over {MEMORY}"
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await let_others_run()

    run_flow(scene, slots=0)
