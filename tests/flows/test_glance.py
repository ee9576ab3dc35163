"""Uploads to Glance over the whole way: asked about first, received only then, helped in accidents."""

import asyncio

import pytest

from shim.errors import UpstreamRefused
from shim.service.glance import LONGEST_JSON, GlanceOptions
from shim.service.upload import UploadOptions
from tests.fakes.client import FakeClient, scope_of
from tests.fakes.flow import MEMORY, put
from tests.fakes.stream import EOF, FakeStream, Whole, answer, split_request
from tests.fakes.uploads import TARGET, image_answer, telling

LOOK = GlanceOptions()
DELETE = GlanceOptions(upload=UploadOptions(delete_stuck=True))
TOKEN = (b"x-auth-token", b"t")
DATA = b"x" * (3 * MEMORY)
TAKEN = answer(204, b"", framing=b"")


def upload(*script, **options):
    return put(*(script or (DATA,)), headers=[TOKEN], target=TARGET, **options)


def accepting():
    return FakeStream(Whole(), TAKEN, EOF)


def breaking():
    """A server whose worker is killed in the middle of the upload."""
    return FakeStream(Whole(), EOF)


def methods(flow):
    return [sent.partition(b" ")[0] for sent in flow.sent]


def test_first_the_look_then_the_body(run_flow):
    async def scene(flow):
        client, scope = upload(b"foo", b"bar")
        assert await flow.serve(client, scope)
        assert client.status == 204
        question, sent = flow.sent
        assert question.startswith(b"GET /v2/images/71c675ab-d94f-49cd-a114-e12490b328d9 ")
        head, body = split_request(sent)
        assert body == b"foobar"
        assert b"\r\nx-openstack-image-size: 6\r\n" in head + b"\r\n"
        # The probe's connection is not that of the body.
        assert len(flow.network.streams) == 2

    run_flow(scene, *telling("queued"), accepting(), glance=LOOK)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refusal_comes_before_the_body_is_asked_for(run_flow, status):
    async def scene(flow):
        client, scope = upload()
        assert await flow.serve(client, scope)
        assert (client.status, client.body) == (status, b"because")
        assert client.headers[b"www-authenticate"] == b"Keystone"
        assert client.receives == 0
        assert flow.disk.files == []
        assert flow.requests == {("image-upload", "PUT", status): 1}
        assert flow.refusals == {}

    refusal = answer(status, b"because", b"WWW-Authenticate: Keystone")
    run_flow(scene, *telling(refusal), glance=LOOK)


def test_a_conflict_comes_before_the_body_is_asked_for(run_flow):
    async def scene(flow):
        client, scope = upload()
        assert await flow.serve(client, scope)
        assert (client.status, client.code) == (409, "image_conflict")
        assert client.receives == 0
        assert flow.refusals == {"image_conflict": 1}

    run_flow(scene, *telling("active"), glance=LOOK)


def test_no_server_no_body(run_flow):
    async def scene(flow):
        client, scope = upload()
        assert await flow.serve(client, scope)
        assert (client.status, client.code) == (502, "upstream_refused")
        assert client.receives == 0

    run_flow(scene, UpstreamRefused("refused"), glance=LOOK)


@pytest.mark.parametrize("case", ["too large", "two lengths", "expectation"])
def test_what_is_wrong_anyway_is_not_asked_about(run_flow, case):
    async def scene(flow):
        length, headers = 10, [TOKEN]
        if case == "too large":
            length = 10_000
        elif case == "two lengths":
            headers.append((b"x-openstack-image-size", b"11"))
        else:
            headers.append((b"expect", b"200-ok"))
        client, scope = put(b"x" * 10, headers=headers, length=length, target=TARGET)
        assert await flow.serve(client, scope)
        assert client.status in (400, 413, 417)
        assert flow.network.streams == []

    run_flow(scene, glance=LOOK, max_body=1000)


def test_the_project_is_the_images_owner(run_flow):
    async def scene(flow):
        seen = []

        class Watching(FakeClient):
            async def receive(self):
                seen.extend(record.project for record in flow.journal.live())
                return await super().receive()

        _, scope = upload()
        assert await flow.serve(Watching(DATA), scope)
        assert set(seen) == {"a-project"}

    run_flow(scene, *telling("queued"), accepting(), glance=LOOK)


def test_a_killed_worker_costs_nothing_while_the_image_is_queued(run_flow):
    async def scene(flow):
        client, scope = upload()
        assert await flow.serve(client, scope)
        assert client.status == 204
        assert methods(flow) == [b"GET", b"PUT", b"GET", b"PUT"]
        assert [split_request(flow.sent[i])[1] for i in (1, 3)] == [DATA, DATA]

    run_flow(scene, *telling("queued"), breaking(), *telling("queued"), accepting(), glance=LOOK)


def test_a_killed_worker_that_left_the_image_saving_is_told(run_flow):
    async def scene(flow):
        client, scope = upload()
        assert await flow.serve(client, scope)
        assert (client.status, client.code) == (502, "upstream_closed")
        assert b"stuck in 'saving'" in client.body
        assert b"deleted and created again" in client.body
        assert flow.refusals == {"upstream_closed": 1}
        assert b"DELETE" not in methods(flow)

    run_flow(scene, *telling("queued"), breaking(), *telling(*["saving"] * 20), glance=LOOK)


def test_it_is_deleted_where_that_is_wanted(run_flow):
    """As often as it is asked about, then deleted: every answer is a server's that fits both."""

    async def scene(flow):
        client, scope = upload()
        assert await flow.serve(client, scope)
        assert client.status == 502
        assert methods(flow)[-1] == b"DELETE"

    run_flow(scene, *telling("queued"), breaking(), *telling(*["saving"] * 20), glance=DELETE)


def test_nothing_is_sent_again_for_a_client_that_has_gone(run_flow):
    async def scene(flow):
        client, scope = upload()
        serving = flow.start(client, scope)
        await asyncio.sleep(2)
        client.leaves.set()
        assert not await serving
        assert methods(flow)[:2] == [b"GET", b"PUT"]
        assert methods(flow).count(b"PUT") == 1
        assert flow.refusals == {"client_gone": 1}

    run_flow(scene, *telling("queued"), breaking(), *telling(*["saving"] * 20), glance=LOOK)


def test_an_expired_token_is_called_one(run_flow):
    async def scene(flow):
        client, scope = upload(b"foo", 50, b"bar")
        assert await flow.serve(client, scope)
        assert (client.status, client.code) == (401, "token_expired")
        assert client.headers[b"www-authenticate"] == b"Keystone uri=k"

    refusal = FakeStream(answer(401, b"no", b"WWW-Authenticate: Keystone uri=k"), EOF)
    run_flow(scene, *telling("queued"), refusal, glance=LOOK)


def test_an_answer_of_glances_own_is_relayed_in_the_end(run_flow):
    async def scene(flow):
        client, scope = upload()
        assert await flow.serve(client, scope)
        assert (client.status, client.body) == (503, b"store is read-only")
        assert methods(flow).count(b"PUT") == 3
        assert flow.refusals == {}

    def failing():
        return FakeStream(Whole(), answer(503, b"store is read-only"), EOF)

    again = [stream for _ in range(3) for stream in (failing(), *telling("queued"))]
    run_flow(scene, *telling("queued"), *again, glance=LOOK)


def test_a_stuck_answer_is_told_instead_of_a_500(run_flow):
    async def scene(flow):
        client, scope = upload()
        assert await flow.serve(client, scope)
        assert (client.status, client.code) == (502, "upstream_closed")
        assert b"status 500" in client.body

    broken = FakeStream(Whole(), answer(500, b"<html>Internal Server Error"), EOF)
    run_flow(scene, *telling("queued"), broken, image_stream("active", size=7), glance=LOOK)


def image_stream(state, **fields):
    return FakeStream(image_answer(state, **fields))


def test_json_has_a_limit_of_its_own(run_flow):
    async def scene(flow):
        headers = ((b"content-length", b"%d" % (LONGEST_JSON + 1)),)
        client, scope = FakeClient(), scope_of("POST", b"/v2/images", headers)
        assert await flow.serve(client, scope)
        assert (client.status, client.code) == (413, "body_too_large")
        assert client.receives == 0

    run_flow(scene, glance=LOOK)
