"""What clients do during a soak: uploads of every kind, downloads, small calls; whole, cut, slow and refused.

A visit ends with what came of it in a word, or with a ``Violation``: something that must never be, whatever
went wrong at that moment.
"""

import contextlib
import hashlib
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType

from tests.soak.standin import TOKEN
from tests.support.client import LAST, Answer, Client, NoAnswer, chunk, chunked, get, head
from tests.support.wire import Ended, Hang

KIB, MIB = 1 << 10, 1 << 20
PATIENCE = 60.0
SIZES = (0, 1, 1000, 65_536, 300_000, MIB, 2 * MIB + 17)
DATA = random.Random(0).randbytes(8 * MIB)
MOST_IMAGES = 40
SETTLE = 20.0
OK, TROUBLE = "ok", "trouble"
# What the shim or a server in trouble may answer to a proper request.
TROUBLES = frozenset({400, 408, 409, 429, 500, 502, 503, 504, 507})
CONFLICT, CREATED, NO_CONTENT = 409, 201, 204


class Violation(AssertionError):
    """Something that must never happen."""


@dataclass
class World:
    """What all visitors share.

    Attributes:
        port: The shim's.
        images: The server's own view of them.
        active: Those with data: id and sha256.
    """

    port: int
    images: ModuleType
    active: deque[tuple[str, str]] = field(default_factory=deque)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def client(self) -> Client:
        """A new connection."""
        return Client(("127.0.0.1", self.port), patience=PATIENCE)

    def ask(self, request: bytes, method: str = "GET") -> Answer | None:
        """A small request on a connection of its own; None where no answer came."""
        try:
            with self.client() as client:
                client.send(request)
                return client.answer(method)
        except (NoAnswer, ConnectionError):
            return None

    def any_active(self, chance: random.Random) -> tuple[str, str] | None:
        """One of the images with data."""
        with self.lock:
            return chance.choice(self.active) if self.active else None

    def remember(self, image: str, sha256: str) -> str | None:
        """Keep an image; gives one that is too many."""
        with self.lock:
            self.active.append((image, sha256))
            return self.active.popleft()[0] if len(self.active) > MOST_IMAGES else None


Visit = Callable[[World, random.Random], str]

AUTH = f"X-Auth-Token: {TOKEN}"
OCTETS = "Content-Type: application/octet-stream"


# -- small calls ----------------------------------------------------------------------------------


def list_images(world: World, _chance: random.Random) -> str:
    return _judge(world.ask(get("/v2/images", AUTH)), 200)


def keep_alive(world: World, chance: random.Random) -> str:
    """Several calls on one connection."""
    try:
        with world.client() as client:
            for _ in range(chance.randint(2, 6)):
                client.send(get("/v2/images", AUTH))
                answer = client.answer()
                if answer.status != 200:
                    return _judge(answer, 200)
    except (NoAnswer, ConnectionError):
        return TROUBLE
    return OK


def bad_token(world: World, _chance: random.Random) -> str:
    return _judge(world.ask(get("/v2/images", "X-Auth-Token: bad")), 401)


def stay_idle(world: World, chance: random.Random) -> str:
    """Connect, say nothing or half a head, and leave."""
    with contextlib.suppress(ConnectionError), world.client() as client:
        client.offer(get("/v2/images", AUTH)[: chance.choice((0, 10))])
        time.sleep(chance.uniform(0.1, 1.5))
    return OK


def _judge(answer: Answer | None, expected: int) -> str:
    if answer is None or not answer.complete:
        return TROUBLE
    if answer.status == expected:
        return OK
    if answer.status not in TROUBLES:
        raise Violation(f"{answer.status} for {expected}: {answer}")
    return f"{TROUBLE} {answer.status}"


# -- uploads --------------------------------------------------------------------------------------


def create(world: World) -> str | None:
    """A new image's id; None where it could not be made."""
    request = head("POST", "/v2/images", AUTH, "Content-Length: 2") + b"{}"
    answer = world.ask(request, "POST")
    if answer is None or answer.status != CREATED or not answer.complete:
        return None
    return str(answer.body.partition(b'"id": "')[2][:36].decode())


def upload(world: World, chance: random.Random, framing: str) -> str:
    """A whole one; what became of the image is judged by the server's own view."""
    if (image := create(world)) is None:
        return TROUBLE
    body = _body(chance)
    pieces = _framed(image, body, framing, chance)
    try:
        with world.client() as client:
            client.offer(*pieces)
            answer: Answer | None = client.answer("PUT")
    except (NoAnswer, ConnectionError):
        answer = None
    return _conclude(world, image, body, answer)


def _conclude(world: World, image: str, body: bytes, answer: Answer | None) -> str:
    sha256 = hashlib.sha256(body).hexdigest()
    found = world.images.read(image) or {}
    if found.get("status") == "active" and found.get("sha256") != sha256:
        raise Violation(f"{image} is active with other bytes than were sent: {found}")
    if answer is not None and answer.status == NO_CONTENT:
        if found.get("status") != "active":
            raise Violation(f"{image} was told to be whole, and is {found}")
        if (old := world.remember(image, sha256)) is not None:
            world.ask(head("DELETE", f"/v2/images/{old}", AUTH), "DELETE")
        return OK
    return _judge(answer, NO_CONTENT)


def _body(chance: random.Random) -> bytes:
    size = chance.choice(SIZES)
    start = chance.randrange(len(DATA) - size)
    return DATA[start : start + size]


def _framed(image: str, body: bytes, framing: str, chance: random.Random) -> list[bytes]:
    fields = [AUTH, OCTETS]
    if framing == "length":
        pieces = [body[start : start + 256 * KIB] for start in range(0, len(body), 256 * KIB)]
        return [_head(image, *fields, f"Content-Length: {len(body)}"), *pieces]
    if framing == "declared":
        fields.append(f"X-Openstack-Image-Size: {len(body)}")
    coded = chunked(body, chance.choice((997, 16_384, MIB)))
    return [_head(image, *fields, "Transfer-Encoding: chunked"), coded]


def _head(image: str, *fields: str) -> bytes:
    return head("PUT", f"/v2/images/{image}/file", *fields)


def upload_chunked(world: World, chance: random.Random) -> str:
    return upload(world, chance, "chunked")


def upload_declared(world: World, chance: random.Random) -> str:
    return upload(world, chance, "declared")


def upload_length(world: World, chance: random.Random) -> str:
    return upload(world, chance, "length")


def upload_slowly(world: World, chance: random.Random) -> str:
    """Some seconds for a body whose length is known: it is cut through."""
    if (image := create(world)) is None:
        return TROUBLE
    body = DATA[: chance.choice((200_000, MIB))]
    try:
        with world.client() as client:
            client.send(_head(image, AUTH, OCTETS, f"Content-Length: {len(body)}"))
            step = len(body) // 20 + 1
            for start in range(0, len(body), step):
                if not client.offer(body[start : start + step]):
                    break
                time.sleep(chance.uniform(0.05, 0.25))
            answer: Answer | None = client.answer("PUT")
    except (NoAnswer, ConnectionError):
        answer = None
    return _conclude(world, image, body, answer)


def upload_cut(world: World, chance: random.Random) -> str:
    """The client goes before the end, by FIN or RST; the image must never be active."""
    if (image := create(world)) is None:
        return TROUBLE
    body = _body(chance) + b"."
    whole = b"".join(_framed(image, body, chance.choice(("chunked", "declared", "length")), chance))
    with contextlib.suppress(ConnectionError):
        client = world.client()
        client.offer(whole[: chance.randrange(len(whole))])
        time.sleep(chance.choice((0, 0.2)))
        chance.choice((client.close, client.reset))()
    return _never_active(world, image)


def upload_malformed(world: World, chance: random.Random) -> str:
    if (image := create(world)) is None:
        return TROUBLE
    body = _body(chance)
    pieces = [
        _head(image, AUTH, OCTETS, "Transfer-Encoding: chunked"),
        *([chunk(body)] if body else []),
        b"x\r\n",
    ]
    try:
        with world.client() as client:
            client.offer(*pieces, LAST)
            outcome = _judge(client.answer("PUT"), 400)
    except (NoAnswer, ConnectionError):
        outcome = TROUBLE
    _never_active(world, image)
    return outcome


def upload_too_large(world: World, _chance: random.Random) -> str:
    if (image := create(world)) is None:
        return TROUBLE
    answer = world.ask(_head(image, AUTH, OCTETS, f"Content-Length: {1 << 50}"), "PUT")
    _never_active(world, image)
    return _judge(answer, 413)


def _never_active(world: World, image: str) -> str:
    """Wait until nobody saves it any more; a killed worker's stays so for ever, as Glance's does."""
    end = time.monotonic() + SETTLE
    while (status := (world.images.read(image) or {}).get("status")) == "saving" and time.monotonic() < end:
        time.sleep(0.1)
    if status == "active":
        raise Violation(f"{image} is active, and was never sent whole")
    return OK if status == "queued" else f"{TROUBLE} {status}"


# -- downloads ------------------------------------------------------------------------------------


def download(world: World, chance: random.Random) -> str:
    return _download(world, chance, pause=0.0)


def download_slowly(world: World, chance: random.Random) -> str:
    return _download(world, chance, pause=0.03)


def _download(world: World, chance: random.Random, *, pause: float) -> str:
    if (found := world.any_active(chance)) is None:
        return OK
    image, sha256 = found
    digest = hashlib.sha256()
    try:
        with world.client() as client:
            client.send(get(f"/v2/images/{image}/file", AUTH))
            status, _, fields, _ = client.head()
            left = int(dict(fields).get("content-length", "0"))
            if status == 404:
                return OK  # deleted meanwhile
            while left and status == 200:
                piece = client.wire.some(min(left, 65_536))
                digest.update(piece)
                left -= len(piece)
                time.sleep(pause)
    except (NoAnswer, Ended, ConnectionError):
        return TROUBLE
    if status == 200 and digest.hexdigest() != sha256:
        raise Violation(f"{image} was downloaded whole, with other bytes than it has")
    return OK if status == 200 else f"{TROUBLE} {status}"


def download_cut(world: World, chance: random.Random) -> str:
    """The client goes in the middle of its answer."""
    if (found := world.any_active(chance)) is not None:
        with contextlib.suppress(NoAnswer, Ended, ConnectionError):
            client = world.client()
            client.send(get(f"/v2/images/{found[0]}/file", AUTH))
            client.head()
            if chance.random() < 0.5:
                client.wire.pending()
            chance.choice((client.close, client.reset))()
    return OK


VISITS: dict[Visit, int] = {
    list_images: 30,
    keep_alive: 8,
    bad_token: 4,
    stay_idle: 2,
    upload_chunked: 12,
    upload_declared: 8,
    upload_length: 8,
    upload_slowly: 2,
    upload_cut: 8,
    upload_malformed: 3,
    upload_too_large: 2,
    download: 10,
    download_slowly: 2,
    download_cut: 4,
}
"""All kinds, and how often each is made beside the others."""

__all__ = ["OK", "TROUBLE", "VISITS", "Hang", "Violation", "Visit", "World"]
