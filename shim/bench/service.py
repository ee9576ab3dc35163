"""To whom a run speaks: Glance's image API, or any HTTP service that takes a PUT.

Each knows how to make a place for data, what has to have become of it, and how to take it away. A place is
named here before it is asked for, so that one whose making was interrupted can be taken away too.
"""

import asyncio
import uuid
from dataclasses import dataclass
from typing import Any, Protocol

import httpx

from shim.bench.faults import BenchFault, Refused, in_words, plain, refusal
from shim.bench.payload import Payload
from shim.bench.plan import mark_of, name_of
from shim.bench.target import CONNECT
from shim.timing import Seconds

ASKED: Seconds = 60.0
"""For the answer to a small request."""
_SMALL = httpx.Timeout(ASKED, connect=CONNECT)
HALF_DELETED = frozenset({"deleted", "pending_delete"})
"""States of an image that is listed, and that no client can do anything about."""
_LARGEST_ANSWER = 4 * 1024**2


@dataclass(frozen=True, slots=True)
class Place:
    """Where one image's data goes.

    Attributes:
        key: What the service knows it by.
        file: Path of its data.
        headers: Of the request that brings the data.
    """

    key: str
    file: str
    headers: tuple[tuple[str, str], ...] = ()


class Service(Protocol):
    """What a run needs of whatever stands there."""

    @property
    def client(self) -> httpx.AsyncClient:
        """Reaches it."""

    @property
    def small(self) -> str | None:
        """Path of a small request, for latencies."""

    @property
    def hashes(self) -> bool:
        """Whether it says what the data's hash is."""

    @property
    def gives_back(self) -> bool:
        """Whether data can be got again, and taken away."""

    def place(self, number: int) -> Place:
        """Choose one; nothing is asked yet."""

    async def create(self, place: Place, number: int) -> None:
        """Make it ready for data.

        Raises:
            Taken: It is somebody else's.
            BenchFault: It could not be made.
        """

    async def confirm(self, place: Place, payload: Payload) -> None:
        """See that the data arrived whole.

        Raises:
            BenchFault: It did not, or nobody says.
        """

    async def remove(self, place: Place) -> None:
        """Take it away; that it is not there is as good.

        Raises:
            BenchFault: It is still there.
        """


class Taken(BenchFault):
    """What was to be made is there already, and so is not ours."""

    def __init__(self, key: str) -> None:
        super().__init__("refused", f"{key} is there already: it is somebody else's, and stays as it is")

    @property
    def is_certain(self) -> bool:
        """Nothing was made."""
        return True


class GlanceService:
    """Glance: private images, each with the run's tag."""

    small = "/v2/images?limit=1"
    hashes = True
    gives_back = True

    def __init__(self, client: httpx.AsyncClient, run: str) -> None:
        self.client = client
        self.run = run

    def place(self, _number: int) -> Place:
        """A new id: Glance takes the client's own."""
        key = str(uuid.uuid4())
        return Place(key, f"/v2/images/{key}/file", (("Content-Type", "application/octet-stream"),))

    async def create(self, place: Place, number: int) -> None:
        """An image without data."""
        await self.make(place, number)

    async def make(self, place: Place, number: int) -> dict[str, Any]:
        """The same; what Glance says of it."""
        fields = {
            "id": place.key,
            # These two serve only to find what a killed run has left behind: a run itself goes by ids.
            "name": name_of(self.run, number),
            "tags": [mark_of(self.run)],
            "visibility": "private",
            "disk_format": "raw",
            "container_format": "bare",
        }
        try:
            return await ask_json(self.client, "POST", "/v2/images", "making an image", json=fields)
        except Refused as error:
            if error.status == httpx.codes.CONFLICT:
                raise Taken(place.key) from error
            raise

    async def confirm(self, place: Place, payload: Payload) -> None:
        """Active, with the size and the hash of what was sent."""
        image = await ask_json(self.client, "GET", f"/v2/images/{place.key}", "asking for the image")
        if image.get("status") != "active":
            state = plain(str(image.get("status")))
            raise BenchFault("differs", f"image {place.key} is {state} after its upload")
        if image.get("size") != payload.size:
            found = plain(str(image.get("size")))
            raise BenchFault("differs", f"image {place.key} has {found} bytes of {payload.size}")
        algorithm, told = image.get("os_hash_algo"), image.get("os_hash_value")
        if await _digest(payload, str(algorithm)) != told:
            raise BenchFault(
                "differs", f"image {place.key} has other data: its {plain(str(algorithm))} differs"
            )

    async def remove(self, place: Place) -> None:
        """Whatever state it is in; one that Glance itself takes for deleted is as good as gone."""
        try:
            await delete(self.client, f"/v2/images/{place.key}")
        except Refused as error:
            if error.status != httpx.codes.BAD_REQUEST or not await self._is_half_deleted(place):
                raise

    async def _is_half_deleted(self, place: Place) -> bool:
        """Whether a deletion failed between its two steps: the data is gone, the image is not."""
        image = await ask_json(self.client, "GET", f"/v2/images/{place.key}", "asking for the image")
        return image.get("status") in HALF_DELETED


class PlainService:
    """Any service that takes a PUT.

    Args:
        path: Where to; ``{name}`` in it becomes the name of each body. Only then is there anything to get
            back and to take away again.
    """

    small: str | None = None
    hashes = False

    def __init__(self, client: httpx.AsyncClient, run: str, path: str) -> None:
        self.client = client
        self.gives_back = "{name}" in path
        self._run = run
        self._path = path

    def place(self, number: int) -> Place:
        """A name of its own, where names are asked for."""
        key = self._path.replace("{name}", name_of(self._run, number))
        return Place(key, key)

    async def create(self, place: Place, number: int) -> None:
        """Nothing: the PUT makes it."""

    async def confirm(self, place: Place, payload: Payload) -> None:
        """Nobody can be asked; the download compares."""

    async def remove(self, place: Place) -> None:
        """By DELETE, if it has a name of this run."""
        if self.gives_back:
            await delete(self.client, place.key)


# -- requests without much to them ---------------------------------------------------------------------------


async def ask_json(
    client: httpx.AsyncClient, method: str, path: str, what: str, json: object = None
) -> dict[str, Any]:
    """The object that a small request is answered with.

    Raises:
        BenchFault: It was refused, or answered with something else.
    """
    with in_words(what, CONNECT):
        async with client.stream(method, path, json=json, timeout=_SMALL) as response:
            if not response.is_success:
                raise await refusal(what, response)
            body = b""
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) > _LARGEST_ANSWER:
                    break
    try:
        found = httpx.Response(200, content=body).json()
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise BenchFault("refused", f"{what}: the answer is no JSON object; is this Glance's own URL?")
    return found


async def delete(client: httpx.AsyncClient, path: str) -> None:
    """DELETE something; 404 and 410 say the same as success.

    Raises:
        BenchFault: It stays.
    """
    what = "deleting what was made"
    with in_words(what, CONNECT):
        async with client.stream("DELETE", path, timeout=_SMALL) as response:
            gone = response.is_success or response.status_code in (httpx.codes.NOT_FOUND, httpx.codes.GONE)
            if not gone:
                raise await refusal(what, response)


async def _digest(payload: Payload, algorithm: str) -> str | None:
    try:
        return await asyncio.to_thread(payload.digest, algorithm)
    except ValueError:
        return None
