"""A client as ASGI shows it: parts of a body in, an answer out; slow, malformed, or gone at any moment."""

import asyncio
from typing import Any, TypeAlias

from shim.asgi import Message, Scope
from shim.timing import Seconds


class Gone:
    """A step of the script: the client has closed its connection."""


GONE = Gone()
Step: TypeAlias = bytes | Gone | Exception | asyncio.Event | Seconds


class FakeClient:
    """One request of one client.

    Args:
        script: Parts of the body; events and seconds are waited for; ``GONE`` disconnects; an error is
            raised by ``receive``, as our own server does for malformed framing. After the last step the
            body has ended, and the client waits for its answer.
        leaves: Set to make the client go after its body was taken.
    """

    def __init__(self, *script: Step) -> None:
        self._script = list(script)
        self.leaves = asyncio.Event()
        self.sent: list[Message] = []
        self.receives = 0
        self._ended = False
        self._send_gate: asyncio.Event | None = None
        self.send_error: Exception | None = None

    @property
    def has_more(self) -> bool:
        """Whether there is anything left in the script."""
        return bool(self._script)

    async def receive(self) -> Message:
        """The next message."""
        self.receives += 1
        while self._script:
            step = self._script.pop(0)
            if isinstance(step, asyncio.Event):
                await self._keeping(step, step.wait())
            elif isinstance(step, int | float):
                await self._keeping(step, asyncio.sleep(step))
            elif isinstance(step, Exception):
                raise step
            elif isinstance(step, Gone):
                self._script.insert(0, step)
                return {"type": "http.disconnect"}
            else:
                more = bool(self._script)
                self._ended = not more
                return {"type": "http.request", "body": step, "more_body": more}
        if not self._ended:
            self._ended = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.leaves.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Take a part of the answer."""
        # As our own server: nothing is waited for where the client takes all.
        if self._send_gate is not None:
            await self._send_gate.wait()
        if self.send_error is not None:
            raise self.send_error
        # A server must have copied or sent the bytes when send() returns.
        self.sent.append({**message, "body": bytes(message["body"])} if "body" in message else message)

    def stop_reading(self) -> asyncio.Event:
        """Hold every send until the event is set."""
        self._send_gate = asyncio.Event()
        return self._send_gate

    async def _keeping(self, step: Step, waiting: Any) -> None:
        """Wait; a cancelled wait is begun again by the next receive."""
        try:
            await waiting
        except asyncio.CancelledError:
            self._script.insert(0, step)
            raise

    # -- what it got ------------------------------------------------------------------------------

    @property
    def status(self) -> int | None:
        """The answer's status, None without an answer."""
        return next((m["status"] for m in self.sent if m["type"] == "http.response.start"), None)

    @property
    def headers(self) -> dict[bytes, bytes]:
        """The answer's fields."""
        return next((dict(m["headers"]) for m in self.sent if m["type"] == "http.response.start"), {})

    @property
    def body(self) -> bytes:
        """The answer's body, as far as it came."""
        return b"".join(m["body"] for m in self.sent if m["type"] == "http.response.body")

    @property
    def is_answered(self) -> bool:
        """Whether the answer came to its end."""
        return bool(self.sent) and self.sent[-1].get("more_body") is False

    @property
    def code(self) -> str:
        """The code of an answer of the shim's own."""
        return self.body.decode().partition('"code": "')[2].partition('"')[0]


def scope_of(
    method: str = "GET",
    target: bytes = b"/v2/images",
    headers: tuple[tuple[bytes, bytes], ...] = (),
    *,
    http_version: str = "1.1",
    extensions: dict[str, Any] | None = None,
) -> Scope:
    """A request's ASGI scope, with a Host."""
    path, _, query = target.partition(b"?")
    return {
        "type": "http",
        "http_version": http_version,
        "method": method,
        "path": path.decode(),
        "raw_path": path,
        "query_string": query,
        "headers": [(b"host", b"glance"), *headers],
        "client": ("192.0.2.7", 40000),
        "server": ("192.0.2.1", 9292),
        "scheme": "http",
        "extensions": extensions or {},
    }
