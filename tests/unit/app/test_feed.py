"""The live views' events: one look a second for all listeners, whole once, then what has changed."""

import asyncio
import contextlib
import json

import pytest

from shim.app.feed import EVERY, Feed, difference
from shim.app.streaming import EventStream
from tests.fakes.loops import loop_time, run_leaping


class Shim:
    """What is looked at; counts how often."""

    def __init__(self, **options):
        self.looks = 0
        self.uploads = []
        self.feed = Feed(self.look, clock=loop_time, **options)

    async def look(self):
        self.looks += 1
        return {"look": self.looks, "uploads": list(self.uploads)}


def upload(key, **given):
    told = {
        "key": key,
        "bytes": 0,
        "length": None,
        "phase": "receive",
        "age": 1.0,
        "rate": 0.0,
        "project": "p",
    }
    return told | given


def parsed(event):
    name, data, *rest = event.decode().split("\n")
    assert rest == ["", ""]
    return name.removeprefix("event: "), json.loads(data.removeprefix("data: "))


async def take(events, number):
    return [parsed(await anext(events)) for _ in range(number)]


async def listen(feed, number):
    async with contextlib.aclosing(feed.events()) as events:
        return await take(events, number)


def test_all_of_it_first_then_what_has_changed():
    async def story():
        shim = Shim()
        shim.uploads = [upload("1-1"), upload("1-2"), upload("1-3")]
        events = shim.feed.events()
        assert await take(events, 1) == [("whole", {"look": 1, "uploads": shim.uploads})]
        shim.uploads = [upload("1-1", bytes=7, age=2.0, rate=3.5), upload("1-3", age=2.0), upload("1-4")]
        changed = {"new": [upload("1-4")], "moved": [["1-1", 7, None, "receive"]], "gone": ["1-2"]}
        assert await take(events, 1) == [("change", {"look": 2, **changed})]
        await events.aclose()

    run_leaping(story())


def test_what_else_changes_comes_whole():
    before, after = {"k": upload("k")}, {"k": upload("k", project="q")}
    assert difference(before, after) == {"new": [upload("k", project="q")], "moved": [], "gone": []}


def test_however_many_listen_there_is_one_look_a_second():
    async def story():
        shim = Shim()
        began = loop_time()
        taken = await asyncio.gather(*(listen(shim.feed, 5) for _ in range(20)))
        assert shim.looks == 5
        assert loop_time() - began == pytest.approx(4 * EVERY)
        assert all(each == taken[0] for each in taken)

    run_leaping(story())


def test_who_has_missed_a_moment_gets_all_of_it():
    async def story():
        shim = Shim()
        slow, quick = shim.feed.events(), shim.feed.events()
        await take(slow, 1)
        await take(quick, 3)
        assert (await take(slow, 1))[0] == ("whole", {"look": 3, "uploads": []})
        assert (await take(slow, 1))[0][0] == "change"
        await slow.aclose()
        await quick.aclose()

    run_leaping(story())


def test_nobody_is_looked_at_while_nobody_listens():
    async def story():
        shim = Shim()
        events = shim.feed.events()
        await take(events, 2)
        await events.aclose()
        await asyncio.sleep(3600)
        assert shim.looks == 2
        assert (await listen(shim.feed, 1))[0] == ("whole", {"look": 3, "uploads": []})

    run_leaping(story())


def test_one_that_leaves_while_it_looks_leaves_the_others_their_events():
    async def story():
        shim = Shim()
        leaves, stays = (asyncio.ensure_future(listen(shim.feed, 3)) for _ in range(2))
        await asyncio.sleep(0.5)
        leaves.cancel()
        assert [name for name, _ in await stays] == ["whole", "change", "change"]
        assert leaves.cancelled()

    run_leaping(story())


def test_no_more_than_so_many_listen():
    async def story():
        shim = Shim(most=2)
        held = [shim.feed.events(), shim.feed.events()]
        for events in held:
            await take(events, 1)
        assert shim.feed.is_full
        assert [event async for event in shim.feed.events()] == []
        await held.pop().aclose()
        assert not shim.feed.is_full
        await listen(shim.feed, 1)
        await held.pop().aclose()

    run_leaping(story())


def test_it_ends_where_the_worker_does():
    async def story():
        shim = Shim()
        listening = asyncio.ensure_future(take_all(shim.feed.events()))
        await asyncio.sleep(2.5)
        shim.feed.close()
        assert len(await listening) == 3
        assert await take_all(shim.feed.events()) == []

    run_leaping(story())


async def take_all(events):
    return [event async for event in events]


# -- as an answer ---------------------------------------------------------------------------------


def never():
    raise AssertionError("given up")


async def answer(stream, send, leaves):
    async def receive():
        await leaves.wait()
        return {"type": "http.disconnect"}

    await stream({"type": "http", "asgi": {"spec_version": "2.3"}}, receive, send)


def test_a_listener_that_goes_is_no_listener_any_more():
    async def story():
        shim, sent, leaves = Shim(), [], asyncio.Event()

        async def send(message):
            sent.append(message)

        answering = asyncio.ensure_future(answer(EventStream(shim.feed.events(), never), send, leaves))
        await asyncio.sleep(1.5)
        leaves.set()
        await answering
        assert dict(sent[0]["headers"])[b"content-type"].startswith(b"text/event-stream")
        assert [parsed(message["body"])[0] for message in sent[1:]] == ["whole", "change"]
        assert shim.feed._listeners == 0

    run_leaping(story())


def test_a_listener_that_reads_nothing_is_given_up():
    async def story():
        shim, began, aborted = Shim(), loop_time(), []

        async def send(message):
            if message["type"] == "http.response.body":
                await asyncio.Event().wait()

        stream = EventStream(shim.feed.events(), lambda: aborted.append(loop_time()), within=20)
        await answer(stream, send, asyncio.Event())
        assert aborted == [loop_time()]
        assert loop_time() - began == pytest.approx(20)
        assert shim.feed._listeners == 0

    run_leaping(story())
