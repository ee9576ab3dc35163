"""Uploads that Glance refuses from their head alone, by a client that is still sending when the answer comes.

Left alone, servers answer and close with the body unread, so that the client is reset and loses the answer.
``python -m tests.hosting.early_answers`` counts, for every hosting, how many got the right answer through the
shim: at the look before the body, with a body that is spooled first, and with one that is cut through.
"""

import argparse
import sys
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from shim.config.units import parse_size
from shim.demo.environment import ensure_environment
from tests.hosting.apache import public_directory
from tests.hosting.kinds import KINDS, Hostings
from tests.hosting.site import Unavailable, make_site
from tests.integration.images import Images
from tests.integration.programs import TOKEN
from tests.integration.running import run_shim
from tests.support.client import LAST, Answer, BadAnswer, Client, NoAnswer, chunk, head
from tests.support.shim import Shim

MIB = 1 << 20
PATIENCE = 120.0
"""Seconds that one step of an upload may take on a busy machine."""

WAYS: Mapping[str, tuple[Mapping[str, object], bool]] = {
    "look": ({}, False),
    "spool": ({"glance__look": False}, False),
    "cut-through": ({"glance__look": False}, True),
}
"""The shim's settings, and whether the client declares the size: then forwarding begins early."""


@dataclass(frozen=True)
class Refusal:
    """An upload that Glance answers at once.

    Attributes:
        status: The right answer.
        image: Its id, or None: one that exists.
    """

    name: str
    status: int
    token: str = TOKEN
    image: str | None = None
    media_type: str = "application/octet-stream"


REFUSALS = (
    Refusal("bad token", 401, token="bad"),
    Refusal("bad id", 404, image=str(uuid.UUID(int=0))),
    Refusal("wrong content type", 415, media_type="text/plain"),
)


@dataclass
class Tally:
    """What uploads of one hosting and way were answered."""

    right: int = 0
    wrong: Counter[str] = field(default_factory=Counter)

    @property
    def count(self) -> int:
        """All of them."""
        return self.right + self.wrong.total()

    def __str__(self) -> str:
        told = "; ".join(f"{number} x {what}" for what, number in self.wrong.items())
        return f"{self.right} of {self.count}" + (f" ({told})" if told else "")


def count_answers(shim: Shim, image: str, *, count: int, size: int, declared: bool) -> Tally:
    """Upload ``count`` times, with each of the refusals in turn."""
    tally = Tally()
    for number in range(count):
        refusal = REFUSALS[number % len(REFUSALS)]
        said = upload_refused(shim.port, refusal, image, size, declared=declared)
        if said == str(refusal.status):
            tally.right += 1
        else:
            tally.wrong[f"{refusal.name}: {said}"] += 1
    return tally


def upload_refused(port: int, refusal: Refusal, image: str, size: int, *, declared: bool) -> str:
    """One upload: it sends until it is answered, and says the answer's status, or what came instead."""
    fields = [
        "Transfer-Encoding: chunked",
        f"X-Auth-Token: {refusal.token}",
        f"Content-Type: {refusal.media_type}",
        *([f"x-openstack-image-size: {size}"] if declared else []),
    ]
    with Client(("127.0.0.1", port), patience=PATIENCE) as client:
        client.send(head("PUT", f"/v2/images/{refusal.image or image}/file", *fields))
        try:
            _send_until_answered(client, size)
            return _told(client.answer("PUT"))
        except (NoAnswer, BadAnswer, ConnectionError) as failure:
            return f"{type(failure).__name__}: {failure}"[:100]


def _send_until_answered(client: Client, size: int) -> None:
    piece = chunk(bytes(MIB))
    for _ in range(size // MIB):
        if not client.silent() or not client.offer(piece):
            return
    client.offer(LAST)


def _told(answer: Answer) -> str:
    return str(answer.status) if answer.complete else f"{answer.status}, cut"


# -- the command --------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it for all hostings, and print a table; 1 where any answer was not the right one."""
    given = _parse(arguments)
    is_right = True
    with make_site(ensure_environment()) as site, Hostings(site) as hostings:
        _say(f"{given.count} uploads of {given.size // MIB} MiB for each: right answers\n")
        _say(f"{'':26}" + "".join(f"{way:16}" for way in WAYS) + "\n")
        for kind in given.kind or KINDS:
            _say(f"{kind:26}")
            try:
                tallies = [_count(hostings, kind, way, given.count, given.size) for way in WAYS]
            except Unavailable as lack:
                _say(f"skipped: {lack}\n")
                continue
            _say("".join(f"{tally!s:16}" for tally in tallies) + "\n")
            is_right = is_right and not any(tally.wrong for tally in tallies)
    return 0 if is_right else 1


def _count(hostings: Hostings, kind: str, way: str, count: int, size: int) -> Tally:
    settings, declared = WAYS[way]
    upstream = hostings[kind]
    image = Images(hostings["uwsgi-http-socket"], hostings.site.glance.directory / "images").create()
    with public_directory("shim") as folder, run_shim(folder, upstream, **settings) as shim:
        return count_answers(shim, image, count=count, size=size, declared=declared)


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200, help="uploads of each hosting and way")
    parser.add_argument("--size", type=parse_size, default="64MiB", help="of each upload")
    parser.add_argument("--kind", action="append", choices=KINDS, help="only this hosting; may be repeated")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
