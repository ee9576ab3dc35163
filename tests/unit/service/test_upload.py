"""An upload's way with Glance: the look before the body, what goes up with it, what a failure leads to."""

import asyncio
import json

import pytest

from shim.admission.queue import SlotQueue
from shim.admission.room import QueueOptions
from shim.errors import (
    ConnectTimeout,
    ImageConflict,
    NoUpstream,
    QueueFull,
    ResponseTimeout,
    SendTimeout,
    ServerKeptWaiting,
    TokenExpired,
    UpstreamClosed,
    UpstreamInvalid,
    UpstreamRefused,
)
from shim.service.admissions import Admissions
from shim.service.aftermath import REVIVAL, SETTLING
from shim.service.generic import Remedy
from shim.service.images import ImageQuestions
from shim.service.upload import (
    FIRST_PAUSE,
    MOST_RESENDS,
    Action,
    ImageUpload,
    UploadOptions,
)
from shim.upstream.question import Reply
from shim.wire.framing import NOTHING
from tests.fakes.loops import loop_time, run_leaping
from tests.fakes.stream import EOF, FakeNetwork, FakeStream, answer
from tests.fakes.uploads import IMAGE, image_answer, telling, upload_message, upstream_over
from tests.support.series import series

CLOSED = UpstreamClosed("The upstream closed the connection.", for_operator="uwsgi://host closed.")
SIZE = 4


class Tokens:
    """Gives the shim's own token, or none."""

    def __init__(self, token=b"of-the-service"):
        self.given = token
        self.asked = 0

    async def token(self):
        self.asked += 1
        return self.given


class Upload:
    """One upload, and the servers that are asked about its image."""

    def __init__(self, *outcomes, action=Action.UPLOAD, headers=(), admissions=None, tokens=None, **options):
        self.network = FakeNetwork(*outcomes)
        self.upstream = upstream_over(self.network)
        self.admissions = admissions or Admissions(clock=loop_time)
        self.message = upload_message(*headers)
        self.upload = ImageUpload(
            action,
            ImageQuestions(self.message, IMAGE, self.upstream),
            "images",
            options=UploadOptions(**options),
            admissions=self.admissions,
            tokens=tokens,
            clock=loop_time,
        )

    async def admitted(self):
        """Admit it and give it a body of SIZE bytes."""
        assert await self.upload.admit() is None
        self.sent = await self.upload.complete(upload_message(body=b"x" * SIZE))
        return self

    @property
    def methods(self):
        return [stream.sent.partition(b" ")[0].decode() for stream in self.network.streams]


def admit(*outcomes, **options):
    async def story():
        upload = Upload(*outcomes, **options)
        return upload, await upload.upload.admit()

    return run_leaping(story())


# -- the look ---------------------------------------------------------------------------------------------


def test_a_queued_image_takes_data():
    upload, refusal = admit(*telling("queued"))
    assert refusal is None
    assert upload.upload.project == "a-project"
    assert upload.methods == ["GET"]


@pytest.mark.parametrize("status", [401, 403, 404])
def test_glances_own_refusal_is_given_back(status):
    upload, refusal = admit(*telling(answer(status, b"because", b"Www-Authenticate: Keystone")))
    assert (refusal.status, refusal.body) == (status, b"because")
    assert (b"www-authenticate", b"Keystone") in refusal.headers
    assert upload.upload.project == ""


@series("state", ["saving", "uploading", "importing", "active", "deactivated", "killed"])
def test_an_image_that_takes_no_data(state):
    with pytest.raises(ImageConflict, match=state):
        admit(*telling(state))


@series(
    "outcome",
    [
        pytest.param(FakeStream(answer(500)), id="500"),
        pytest.param(FakeStream(answer(503)), id="503"),
        pytest.param(FakeStream(answer(300, b"{}")), id="versions"),
        pytest.param(FakeStream(answer(200, b"<html>")), id="no JSON"),
        pytest.param(FakeStream(answer(200, json.dumps({"images": []}).encode())), id="no image"),
        pytest.param(FakeStream(EOF), id="closed"),
        pytest.param(FakeStream(b"garbage\r\n\r\n"), id="garbage"),
        pytest.param(FakeStream(), id="silent"),
    ],
)
def test_no_verdict_is_no_refusal(outcome):
    upload, refusal = admit(outcome)
    assert refusal is None
    assert upload.upload.project == ""
    assert len(upload.admissions) == 0


@pytest.mark.parametrize("error", [UpstreamRefused("refused"), ConnectTimeout("no connection")])
def test_where_there_is_no_server_nothing_is_received(error):
    with pytest.raises(type(error)):
        admit(error)


def test_it_can_be_switched_off():
    upload, refusal = admit(look=False)
    assert refusal is None
    assert upload.methods == []


def test_a_repetition_is_not_asked_for():
    async def story():
        first = Upload(*telling("queued"))
        await first.upload.admit()
        second = Upload(admissions=first.admissions)
        assert await second.upload.admit() is None
        return second

    second = run_leaping(story())
    assert second.methods == []
    assert second.upload.project == "a-project"


def test_with_its_data_on_the_way_an_image_is_asked_for_again():
    async def story():
        first = await Upload(*telling("queued")).admitted()
        second = Upload(*telling("saving"), admissions=first.admissions)
        with pytest.raises(ImageConflict):
            await second.upload.admit()

    run_leaping(story())


def test_refusals_are_not_kept():
    async def story():
        first = Upload(*telling(answer(404)))
        assert (await first.upload.admit()).status == 404
        second = Upload(*telling("queued"), admissions=first.admissions)
        assert await second.upload.admit() is None
        assert second.methods == ["GET"]
        conflict = Upload(*telling("saving"))
        with pytest.raises(ImageConflict):
            await conflict.upload.admit()
        assert len(conflict.admissions) == 0

    run_leaping(story())


# -- with the body ----------------------------------------------------------------------------------------


def complete(*headers, action=Action.UPLOAD, body=b"x" * SIZE, tokens=None, outcomes=(), look=True):
    async def story():
        upload = Upload(*(outcomes or telling("queued")), action=action, tokens=tokens, look=look)
        assert await upload.upload.admit() is None
        return (await upload.upload.complete(upload_message(*headers, body=body))).headers

    return run_leaping(story())


def sizes(headers):
    return [value for name, value in headers if name == b"x-openstack-image-size"]


def test_the_size_is_said_for_the_client():
    assert sizes(complete()) == [b"4"]


@pytest.mark.parametrize("size", [b"4", b"0"])
def test_what_the_client_said_stays(size):
    assert sizes(complete((b"x-openstack-image-size", size))) == [size]


def test_an_empty_body_and_a_staged_one_say_nothing():
    assert sizes(complete(body=b"")) == []
    assert sizes(complete(action=Action.STAGE)) == []


def service_tokens(headers):
    return [value for name, value in headers if name == b"x-service-token"]


def test_the_shim_vouches_for_a_token_that_was_good():
    assert service_tokens(complete(tokens=Tokens())) == [b"of-the-service"]


def test_the_clients_own_service_token_stays():
    assert service_tokens(complete((b"x-service-token", b"own"), tokens=Tokens())) == [b"own"]


def test_without_keystone_it_goes_without():
    assert service_tokens(complete(tokens=Tokens(None))) == []
    assert service_tokens(complete()) == []


def test_the_shim_vouches_for_nobody_it_has_not_seen_admitted():
    tokens = Tokens()
    assert service_tokens(complete(tokens=tokens, outcomes=telling(answer(500)))) == []
    assert service_tokens(complete(tokens=tokens, look=False)) == []
    assert tokens.asked == 0


# -- answers ----------------------------------------------------------------------------------------------


def reply(status, *headers, body=b"words"):
    return Reply(status, headers, NOTHING, body)


def test_a_token_that_expired_meanwhile():
    async def story():
        upload = await Upload(*telling("queued")).admitted()
        await asyncio.sleep(70)
        with pytest.raises(TokenExpired) as raised:
            upload.upload.is_doubtful(reply(401, (b"www-authenticate", b"Keystone uri=x")))
        assert raised.value.challenge == b"Keystone uri=x"
        assert "70 s" in raised.value.detail

    run_leaping(story())


def test_a_401_without_a_look_is_glances_own():
    assert Upload().upload.is_doubtful(reply(401)) is False


@series(
    ("status", "doubtful"), [(204, False), (400, False), (409, False), (413, False), (500, True), (502, True)]
)
def test_which_answers_may_be_accidents(status, doubtful):
    assert Upload().upload.is_doubtful(reply(status)) is doubtful


# -- after a failure --------------------------------------------------------------------------------------


def recover(failure, *states, admitted=True, **options):
    """What becomes of a failure while Glance tells these states; the remedy or the error, and the upload."""

    async def story():
        first = telling("queued") if admitted else []
        upload = Upload(*first, *telling(*states), look=admitted, **options)
        await upload.admitted()
        began = loop_time()
        try:
            result = await upload.upload.recover(failure)
        except Exception as error:  # noqa: BLE001 - to be looked at by the test
            result = error
        upload.took = loop_time() - began
        return result, upload

    return run_leaping(story())


@series("admitted", [True, False])
@series(
    "failure", [CLOSED, UpstreamInvalid("garbage"), SendTimeout("stuck"), ResponseTimeout("late"), reply(500)]
)
def test_a_queued_image_takes_the_body_again(failure, admitted):
    remedy, upload = recover(failure, "queued", admitted=admitted)
    assert remedy is Remedy.SEND_AGAIN
    assert upload.took == pytest.approx(FIRST_PAUSE)


@pytest.mark.parametrize("failure", [UpstreamRefused("refused"), ConnectTimeout("no connection")])
def test_what_was_never_delivered_was_tried_enough(failure):
    error, upload = recover(failure)
    assert type(error) is type(failure)
    assert error.detail == f"{failure.detail} Nothing of the upload was delivered: it can be repeated."
    assert upload.methods == ["GET"]


def test_when_to_repeat_what_found_no_server_is_still_told():
    error, _ = recover(NoUpstream("all are drained", retry_after=7))
    assert error.retry_after == 7


@pytest.mark.parametrize("most", [0, 10], ids=["a full line", "a long line"])
def test_a_question_that_finds_no_slot_hides_no_failure(most):
    """The failed attempt has given its slot back, but others were before the question."""

    async def story():
        upload = await Upload(*telling("queued")).admitted()
        upload.upstream.queue = SlotQueue(1, options=QueueOptions(most=most), clock=loop_time)
        upload.upstream.queue.limit(0, 1)
        with upload.upstream.queue.place("another", None) as place:
            await place.take(on_wait=lambda: None)
            with pytest.raises(UpstreamClosed, match="state of the image could not be learnt"):
                await upload.upload.recover(CLOSED)
        assert upload.upstream.queue.waiting == 0

    run_leaping(story())


def test_a_look_that_finds_no_slot():
    """A full line refuses the upload before its body; a long one leaves the verdict to Glance."""

    async def story(**options):
        upload = Upload()
        upload.upstream.queue = SlotQueue(1, options=QueueOptions(**options), clock=loop_time)
        upload.upstream.queue.limit(0, 0)
        return await upload.upload.admit()

    with pytest.raises(QueueFull):
        run_leaping(story(most=0))
    assert run_leaping(story(most=10)) is None
    assert run_leaping(story(most=10, without_body=1)) is None


def test_it_is_sent_again_so_often_and_no_more():
    async def story():
        upload = await Upload(*telling(*["queued"] * (MOST_RESENDS + 2))).admitted()
        began, pauses = loop_time(), []
        for _ in range(MOST_RESENDS):
            assert await upload.upload.recover(CLOSED) is Remedy.SEND_AGAIN
            pauses.append(loop_time() - began)
        assert pauses == sorted(set(pauses))
        with pytest.raises(UpstreamClosed) as raised:
            await upload.upload.recover(CLOSED)
        assert raised.value.detail == (
            "The upstream closed the connection. The image is still queued: the same upload may be repeated."
        )
        assert raised.value.for_operator.startswith("uwsgi://host closed. The image")

    run_leaping(story())


def test_at_the_end_glances_own_words_count():
    async def story():
        upload = await Upload(*telling(*["queued"] * (MOST_RESENDS + 2))).admitted()
        remedies = [await upload.upload.recover(reply(503)) for _ in range(MOST_RESENDS + 1)]
        assert remedies == [Remedy.SEND_AGAIN] * MOST_RESENDS + [Remedy.GIVE_UP]

    run_leaping(story())


def test_glance_is_given_time_to_undo():
    remedy, _ = recover(CLOSED, "saving", "saving", "saving", "queued")
    assert remedy is Remedy.SEND_AGAIN


STUCK = ["saving"] * 20


@pytest.mark.parametrize(
    ("action", "state"), [(Action.UPLOAD, "saving"), (Action.STAGE, "uploading")], ids=["upload", "stage"]
)
def test_a_stuck_image_is_told(action, state):
    error, upload = recover(CLOSED, *[state] * 20, action=action)
    assert type(error) is UpstreamClosed
    assert error.detail == (
        f"The upstream closed the connection. The image is stuck in '{state}' and takes no data any more: "
        "it must be deleted and created again."
    )
    assert upload.took <= SETTLING
    assert "DELETE" not in upload.methods


def test_an_accident_with_an_answer_is_told_too():
    error, _ = recover(reply(500), *STUCK)
    assert type(error) is UpstreamClosed
    assert "status 500" in error.detail
    assert "stuck in 'saving'" in error.detail


@series(
    ("action", "state", "told"),
    [
        (
            Action.STAGE,
            image_answer("uploading", size=SIZE),
            "All 4 bytes are staged: only the answer",
        ),
        (Action.STAGE, image_answer("uploading", size=3), "'uploading' with 3 bytes, of 4 that were sent"),
        (Action.STAGE, image_answer("saving"), "the data of another request is on its way to it"),
        (Action.UPLOAD, image_answer("uploading"), "the data of another request is on its way to it"),
    ],
)
def test_what_is_not_this_uploads_is_never_deleted(action, state, told):
    error, upload = recover(CLOSED, *[state] * 20, action=action, delete_stuck=True)
    assert told in error.detail
    assert "DELETE" not in upload.methods


@series("failure", [SendTimeout("no byte"), ServerKeptWaiting("too slow")])
def test_where_the_worker_lives_nothing_is_deleted(failure):
    error, upload = recover(failure, *STUCK, delete_stuck=True)
    assert "its worker lives" in error.detail
    assert "DELETE" not in upload.methods


def test_a_service_token_of_the_clients_own_is_the_only_one():
    _, upload = recover(CLOSED, "queued", tokens=Tokens(), headers=[(b"x-service-token", b"own")])
    for stream in upload.network.streams:
        assert stream.sent.lower().count(b"x-service-token:") == 1
        assert b"of-the-service" not in stream.sent


@pytest.mark.parametrize("failure", [ResponseTimeout("No answer."), reply(504)])
def test_a_server_that_may_still_work_is_not_called_stuck(failure):
    error, upload = recover(failure, *STUCK, delete_stuck=True)
    assert type(error) is ResponseTimeout
    assert "may yet become active" in error.detail
    assert "DELETE" not in upload.methods


def looks_until_settled():
    return len(recover(CLOSED, *STUCK)[1].methods) - 1


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (answer(204, b""), "The image was stuck in 'saving' and has been deleted: create it again."),
        (answer(403), "could not be deleted either"),
        (EOF, "could not be deleted either"),
    ],
)
def test_a_stuck_image_can_be_deleted(outcome, told):
    states = [*STUCK[: looks_until_settled()], outcome]
    error, upload = recover(CLOSED, *states, delete_stuck=True)
    assert upload.methods[-1] == "DELETE"
    assert told in error.detail


@series(
    ("state", "told"),
    [
        (image_answer("active", size=SIZE), "with all 4 bytes: only the answer was lost"),
        (image_answer("active", size=3), "'active' with 3 bytes, of 4 that were sent"),
        (image_answer("importing"), "'importing'"),
        (answer(404), "does not exist any more"),
        (answer(401), "could not be learnt"),
    ],
)
def test_what_else_is_known_is_told(state, told):
    error, _ = recover(CLOSED, state)
    assert type(error) is UpstreamClosed
    assert error.detail.startswith(CLOSED.detail)
    assert told in error.detail


DEAF = [answer(500, b"", b"Connection: close"), EOF, answer(503, b"", b"Connection: close")]
"""What questions meet while a server loads Glance again."""


def test_a_server_that_comes_back_is_asked_again():
    error, upload = recover(reply(500), *DEAF, *STUCK)
    assert "stuck in 'saving'" in error.detail
    assert upload.took > SETTLING - FIRST_PAUSE


def test_a_state_of_before_is_no_reason_to_delete():
    """Glance told `saving`, and no more after that: it may have stored all of it meanwhile."""
    error, upload = recover(CLOSED, "saving", "saving", *DEAF * 20, delete_stuck=True)
    assert "could not be learnt" in error.detail
    assert "DELETE" not in upload.methods


def test_what_a_server_tells_again_counts():
    error, upload = recover(CLOSED, "saving", *DEAF * 2, *STUCK, delete_stuck=False)
    assert "stuck in 'saving'" in error.detail
    assert SETTLING - 2 * FIRST_PAUSE < upload.took < REVIVAL


def test_a_server_that_comes_back_too_late():
    outcomes = DEAF * 20
    error, upload = recover(CLOSED, *outcomes)
    assert "could not be learnt" in error.detail
    assert REVIVAL / 2 < upload.took <= REVIVAL


def test_an_answer_is_relayed_where_nothing_is_known():
    assert recover(reply(500), *DEAF * 20)[0] is Remedy.GIVE_UP


def test_questions_afterwards_have_the_service_token_too():
    _, upload = recover(CLOSED, "queued", tokens=Tokens())
    assert b"x-service-token" not in upload.network.streams[0].sent
    assert b"x-service-token: of-the-service\r\n" in upload.network.streams[1].sent
