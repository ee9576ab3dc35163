"""``glance-shim top``: the status page in a terminal, until q or Ctrl-C."""

import asyncio
import contextlib
import os
import sys

from rich.console import Console
from rich.live import Live

from shim.commands import ENDED_AS_ASKED, WRONG_USAGE
from shim.commands.admin import AdminFlags, with_admin
from shim.console.client import AdminClient, AdminError, Json
from shim.console.screen import draw, draw_lost
from shim.console.terminal import keyboard
from shim.console.watching import Cancel, Quit, Watching
from shim.timing import Seconds, cancel_and_wait

EVERY: Seconds = 1.0

# No key has such a name.
_ASKING_ENDED = "asking ended"


def run(flags: AdminFlags) -> int:
    """Show it; the exit status."""
    if not sys.stdout.isatty():
        print("glance-shim top needs a terminal; for programs: glance-shim uploads --json", file=sys.stderr)
        return WRONG_USAGE
    return with_admin(flags, _show)


async def _show(client: AdminClient) -> int:
    console = Console(no_color="NO_COLOR" in os.environ or None, highlight=False)
    with keyboard() as keys, Live(console=console, screen=True, auto_refresh=False) as live:
        await Top(client, live).run(keys)
    return ENDED_AS_ASKED


class Top:
    """The view while it is open: asks every second, and draws after each answer and each key."""

    def __init__(self, client: AdminClient, live: Live) -> None:
        self._client = client
        self._live = live
        self._watching = Watching()
        self._status: Json | None = None
        self._lost = "connecting"

    async def run(self, keys: asyncio.Queue[str]) -> None:
        """Show it until a key ends it; a fault of the asking ends it too, and is raised."""
        asking = asyncio.ensure_future(self._keep_asking())
        # Whoever waits for a key would never hear of it, and look at a screen that stands still.
        asking.add_done_callback(lambda _: keys.put_nowait(_ASKING_ENDED))
        try:
            while (key := await keys.get()) != _ASKING_ENDED:
                wish = self._watching.press(key)
                if isinstance(wish, Quit):
                    return
                if isinstance(wish, Cancel):
                    await self._cancel(wish)
                self._draw()
            await asking
        finally:
            await cancel_and_wait(asking)

    async def _keep_asking(self) -> None:
        while True:
            # A pause ends nothing: what is shown stands, and the first look after it is a whole one.
            if not self._watching.is_paused:
                await self._ask()
                self._draw()
            await asyncio.sleep(EVERY)

    async def _ask(self) -> None:
        try:
            self._status = await self._client.status()
        except AdminError as error:
            self._status, self._lost = None, str(error)
        else:
            self._watching.tell(self._status)

    async def _cancel(self, wish: Cancel) -> None:
        try:
            await self._client.cancel(wish.key)
            self._watching.note = f"{wish.key} is cancelled."
        except AdminError as error:
            self._watching.note = f"{wish.key} is not cancelled: {error}"

    def _draw(self) -> None:
        width, height = self._live.console.size
        if self._status is None:
            screen = draw_lost(self._lost, str(self._client.address), width)
        else:
            screen = draw(self._status, self._watching, width, height)
        # A terminal that has just gone is noticed by the keyboard.
        with contextlib.suppress(BrokenPipeError):
            self._live.update(screen, refresh=True)
