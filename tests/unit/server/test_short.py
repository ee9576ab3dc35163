"""The server's side of the short way over a fake transport: what is given, and what cannot be given whole."""

import pytest

from shim.server.reading import Reading
from tests.fakes.loops import let_others_run, run_leaping
from tests.fakes.session import Echo, Session

GET = b"GET /v2/images HTTP/1.1\r\nHost: glance\r\n\r\n"


class Offering(Echo):
    """An application with a short way that leaves each request to the test."""

    def __init__(self):
        super().__init__()
        self.short_way = self
        self.clients = []
        self.given_up = 0

    def terms(self, _headers, _ends):
        """The same for all."""
        return self

    def begin(self, _method, _target, client, **_of_body):
        """It is under way."""
        self.clients.append(client)
        return self

    def stop(self):
        """Nothing is waited for here."""

    def give_up(self):
        """The task that went on with it is over."""
        self.given_up += 1


def run_offering(scene):
    async def whole():
        application = Offering()
        session = Session(application)
        await session.send(GET)
        await scene(session, application)
        await session.end()
        assert session.connection.state is Reading.CLOSED

    run_leaping(whole())


def test_an_answer_and_the_next():
    async def scene(session, application):
        for number in (1, 2):
            application.clients[-1].give(200, [(b"content-length", b"2")], b"ok")
            await let_others_run()
            assert [answer.body for answer in session.answers(*["GET"] * number)] == [b"ok"] * number
            await session.send(GET)
        assert len(application.clients) == 3
        assert application.scopes == []

    run_offering(scene)


@pytest.mark.parametrize("body", [b"o", b"okk"])
def test_an_answer_that_is_not_what_it_says_is_cut(body):
    """A fault of ours; the client sees that something is missing, and its connection does not stay."""

    async def scene(session, application):
        with pytest.raises(RuntimeError):
            application.clients[0].give(200, [(b"content-length", b"2")], body)
        assert session.transport.aborted
        await let_others_run()
        assert session.connection.state is Reading.CLOSED

    run_offering(scene)


def test_asked_to_go_on_twice_it_goes_on_once():
    async def scene(session, application):
        (client,) = application.clients
        client.go_on()
        client.go_on()
        await let_others_run(30)
        assert len(application.scopes) == 1
        assert [answer.body for answer in session.answers("GET")] == [b"GET /v2/images "]
        assert application.given_up == 1

    run_offering(scene)
