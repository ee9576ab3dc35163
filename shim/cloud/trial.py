"""Tries the shared server before it is used: all that a member does there, under a name of its own."""

from shim.cloud.joining import CloudOptions, make_server
from shim.cloud.values import Change, Outcome, Turn

# A project that nobody has: a trial must not stand in anybody's way.
_NOBODY = Change("", 0, 0)


async def try_cloud(options: CloudOptions) -> Outcome:
    """Join, ask, read what is published, and leave again; what the cloud holds without us.

    Raises:
        CloudAway: Something of it failed, so a shim would not get further either.
    """
    server = make_server(options)
    try:
        outcome = await server.take_turn(Turn(1, [], [_NOBODY], b"[]"))
        await server.published()
        await server.leave()
        return outcome
    finally:
        await server.close()
