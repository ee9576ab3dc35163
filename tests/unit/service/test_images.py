"""Questions about an image: what goes up with them, and what an answer tells."""

import json

import pytest

from shim.errors import ResponseTimeout, UpstreamInvalid
from shim.service.images import PATIENCE, Image, ImageQuestions, read_image
from shim.upstream.question import MOST_BYTES, Reply
from shim.wire.framing import NOTHING
from tests.fakes.loops import loop_time, run_leaping
from tests.fakes.stream import FakeNetwork, FakeStream, Pause, answer
from tests.fakes.uploads import IMAGE, image_answer, upload_message, upstream_over
from tests.support.series import series

OF_THE_BODY = [
    (b"content-type", b"application/octet-stream"),
    (b"x-openstack-image-size", b"7"),
    (b"if-match", b"x"),
    (b"range", b"bytes=0-1"),
    (b"accept", b"*/*"),
    (b"accept-encoding", b"gzip"),
]


def ask(*outcomes, headers=(), delete=False, token=None):
    network = FakeNetwork(*outcomes)
    questions = ImageQuestions(upload_message(*headers, body=b"data"), IMAGE, upstream_over(network))
    question = questions.delete if delete else questions.show
    return run_leaping(question(service_token=token)), network.streams[0].sent


def test_it_asks_as_the_client_would():
    reply, sent = ask(
        FakeStream(answer(200, b"{}")), headers=[*OF_THE_BODY, (b"x-forwarded-for", b"1.2.3.4")]
    )
    line, *fields = sent.removesuffix(b"\r\n\r\n").split(b"\r\n")
    assert line == b"GET " + IMAGE + b" HTTP/1.1"
    assert sorted(field.lower() for field in fields if not field.lower().startswith(b"connection")) == [
        b"accept-encoding: identity",
        b"accept: */*",
        b"host: images.example",
        b"x-auth-token: secret-of-client",
        b"x-forwarded-for: 1.2.3.4",
    ]
    assert (reply.status, reply.body) == (200, b"{}")


@series(("status", "deleted"), [(204, True), (403, False), (404, False), (500, False)])
def test_deleting(status, deleted):
    got, sent = ask(FakeStream(answer(status, b"")), delete=True, token=b"service")
    assert got is deleted
    assert sent.startswith(b"DELETE " + IMAGE + b" HTTP/1.1\r\n")
    assert b"x-service-token: service\r\n" in sent


def test_a_long_answer_is_none():
    with pytest.raises(UpstreamInvalid):
        ask(FakeStream(answer(200, b"x" * (MOST_BYTES + 1))))


@pytest.mark.parametrize(
    "script",
    [(), (Pause(9), answer(200, b"foo", framing=b"Content-Length: 6"))],
    ids=["silent", "slow"],
)
def test_an_answer_that_takes_too_long(script):
    async def story():
        began = loop_time()
        questions = ImageQuestions(upload_message(), IMAGE, upstream_over(FakeNetwork(FakeStream(*script))))
        with pytest.raises(ResponseTimeout):
            await questions.show()
        return loop_time() - began

    assert run_leaping(story()) == pytest.approx(PATIENCE)


@series(
    ("status", "body", "image"),
    [
        (200, {"status": "queued", "owner": "p", "size": None}, Image("queued", "p")),
        (200, {"status": "active", "owner": "p", "size": 7}, Image("active", "p", 7)),
        (200, {"status": "queued"}, Image("queued")),
        (200, {"status": "queued", "owner": None, "size": "7"}, Image("queued")),
        (200, {"status": 7}, None),
        (200, {"images": []}, None),
        (200, ["queued"], None),
        (200, "queued", None),
        (300, {"status": "queued"}, None),
        (404, {"status": "queued"}, None),
    ],
)
def test_what_an_answer_tells(status, body, image):
    assert read_image(Reply(status, (), NOTHING, json.dumps(body).encode())) == image


@series("body", [b"", b"<html>", b"\xff\xfe", b"{", b"[" * 100000])
def test_what_is_no_json_tells_nothing(body):
    assert read_image(Reply(200, (), NOTHING, body)) is None


def test_glances_answer():
    reply, _ = ask(FakeStream(image_answer("saving", size=3)))
    assert read_image(reply) == Image("saving", "a-project", 3)
