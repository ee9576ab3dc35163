"""``glance-shim uploads``: what is under way, as a table or as JSON; and ending one of them."""

import json
from collections.abc import Sequence

from shim.commands import ENDED_AS_ASKED
from shim.commands.admin import AdminFlags, obeying_listener, with_admin
from shim.console.client import AdminClient, Json
from shim.console.words import duration, rate, shortened, size

_TITLES = ("KEY", "UPLOAD", "PROJECT", "PHASE", "BYTES", "OF", "RATE", "AGE")


def run(flags: AdminFlags, *, as_json: bool) -> int:
    """Print the uploads under way, the oldest first; the exit status."""

    async def work(client: AdminClient) -> int:
        uploads = await client.uploads()
        print(json.dumps(uploads, indent=1) if as_json else _table(uploads))
        return ENDED_AS_ASKED

    return with_admin(flags, work)


def cancel(flags: AdminFlags, name: str) -> int:
    """End an upload, named by its key or its request id; the exit status."""

    async def work(client: AdminClient) -> int:
        ended = await client.cancel(name)
        print(f"{ended['key']} is cancelled: {_name(ended)}, {size(ended['bytes'])} received")
        return ENDED_AS_ASKED

    return with_admin(flags, work, listener=obeying_listener)


def _table(uploads: Sequence[Json]) -> str:
    if not uploads:
        return "No upload is under way."
    rows = [_TITLES, *map(_row, uploads)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_TITLES))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _row(upload: Json) -> tuple[str, ...]:
    length = upload["length"]
    return (
        upload["key"],
        _name(upload),
        shortened(upload["project"], 40),
        upload["phase"] or "-",
        size(upload["bytes"]),
        "?" if length is None else size(length),
        rate(upload["rate"]),
        duration(upload["age"]),
    )


def _name(upload: Json) -> str:
    return shortened(upload["image"] or f"{upload['method']} {upload['path']}", 60)
