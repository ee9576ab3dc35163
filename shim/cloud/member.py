"""One process as a member of its cloud: asks whether uploads may begin, and keeps its leases alive.

One conversation at a time, by one task: all that was asked meanwhile goes into the next turn, so that what
the server sees has an order, and a server that hangs costs one deadline for all who wait, not one for each.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from shim.cloud.contact import Contact
from shim.cloud.script import MOST_CHANGES
from shim.cloud.server import CloudAway, SharedServer
from shim.cloud.values import Change, CloudLimits, Holdings, OnLoss, Outcome, Turn, Verdict
from shim.observe.cloud import CloudView
from shim.timing import Clock, Seconds, cancel_and_wait, monotonic

log = logging.getLogger("shim.cloud")


@dataclass(frozen=True, slots=True)
class MemberOptions:
    """What a member asks for.

    Attributes:
        limits: What all shims together let in.
        life: Seconds after which the leases of a process that is not heard of any more are over
            (``limits.cloud.lease``).
        on_loss: What is done about new uploads while the server is away.
    """

    limits: CloudLimits = field(default_factory=CloudLimits)
    life: Seconds = 30.0
    on_loss: OnLoss = OnLoss.LOCAL


@dataclass(eq=False, slots=True)
class _Ask:
    """One change that waits for its turn; without an answer to give where something is given back.

    Attributes:
        is_under_way: Whether its upload was let in before: then it is not refused for want of an answer.
    """

    change: Change
    answer: asyncio.Future[Verdict | None] | None = None
    is_under_way: bool = False


class Member:
    """Holds leases of the cloud for the uploads of this process."""

    def __init__(
        self,
        server: SharedServer,
        options: MemberOptions,
        *,
        publish: Callable[[], bytes] = bytes,
        clock: Clock = monotonic,
    ) -> None:
        """Take the shared server, what is asked of it, and what gives the list of uploads to publish."""
        self._server = server
        self._options = options
        self._publish = publish
        self._clock = clock
        self._contact = Contact(options.life, clock())
        self._holdings = Holdings()
        self._asks: list[_Ask] = []
        self._asked = asyncio.Event()
        self._turn = 0
        self._uploads = self._members = 0

    def __repr__(self) -> str:
        return f"<Member of {self._server!r}: {self._holdings!r}, {self._contact!r}>"

    @property
    def limits(self) -> CloudLimits:
        """What all shims together let in."""
        return self._options.limits

    def view(self) -> CloudView:
        """What is known of the cloud, for those who look on."""
        contact = self._contact
        return CloudView(contact.is_there, contact.reason, self._uploads, self._members)

    # -- for uploads ------------------------------------------------------------------------------

    async def take(self, change: Change, *, is_under_way: bool = False) -> Verdict | None:
        """Take more for a project, where it fits; None where nobody can say and new uploads are refused.

        It waits for two deadlines of the server's at most: that of the turn under way, and its own.
        """
        if not self._contact.is_there:
            return self._judge_alone(change, is_under_way=is_under_way)
        answer: asyncio.Future[Verdict | None] = asyncio.get_running_loop().create_future()
        self._ask(_Ask(change, answer, is_under_way))
        try:
            return await answer
        except asyncio.CancelledError:
            # Cancelled between the answer and its reading: what was granted has nobody to give it back.
            if not answer.cancelled() and answer.result() is Verdict.FITS:
                self.give_back(change)
            raise

    def give_back(self, change: Change) -> None:
        """Give back what ``take`` took; told with the next turn, and waited for by nobody."""
        if self._contact.is_there:
            self._ask(_Ask(-change))
        else:
            self._holdings.add(-change)

    def _ask(self, ask: _Ask) -> None:
        self._asks.append(ask)
        self._asked.set()

    def _judge_alone(self, change: Change, *, is_under_way: bool) -> Verdict | None:
        if self._options.on_loss is OnLoss.REFUSE and not is_under_way:
            return None
        # Held all the same, and declared once there is somebody to hear it.
        self._holdings.add(change)
        return Verdict.FITS

    # -- for the process --------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def present(self) -> AsyncIterator[None]:
        """Be a member during the block; at its end the leases are given back."""
        await self._take_turn()
        talking = asyncio.ensure_future(self._talk())
        try:
            yield
        finally:
            was_there = self._contact.is_there
            await cancel_and_wait(talking)
            if was_there:
                # Where this fails they expire, and nobody waits for us to say so.
                with contextlib.suppress(CloudAway):
                    await self._server.leave()
            await self._server.close()

    async def published(self) -> list[bytes]:
        """The lists that all members have published.

        Raises:
            CloudAway: They cannot be had.
        """
        if not self._contact.is_there:
            raise CloudAway(self._contact.reason)
        return await self._server.published()

    async def _talk(self) -> None:
        try:
            while True:
                await self._wait_for_a_reason()
                await self._take_turn()
        except Exception:
            log.exception("Counting in the cloud failed for a fault of the shim")
        finally:
            # Nobody may wait for an answer that does not come any more.
            self._contact.failed(self._clock(), "the shim does not ask any more")
            self._go_on_alone([])

    async def _wait_for_a_reason(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, self._contact.due - self._clock())):
                await self._asked.wait()

    # -- a turn -----------------------------------------------------------------------------------

    async def _take_turn(self) -> None:
        asks = self._take_asks()
        changes = [ask.change for ask in asks]
        is_declaring = not self._contact.is_there or self._contact.is_due(self._clock())
        try:
            outcome = await self._tell(changes, is_declaring=is_declaring)
            if not outcome.is_known and not is_declaring:
                log.warning("The leases of this process had expired, or were lost; they are taken anew")
                is_declaring = True
                outcome = await self._tell(changes, is_declaring=True)
            if not outcome.is_known:
                raise CloudAway("another process goes by our name there")  # noqa: TRY301 - one way to be lost
        except CloudAway as error:
            if self._contact.failed(self._clock(), str(error)):
                log.warning("limits.shared is away, and %s: %s", _MEANWHILE[self._options.on_loss], error)
            self._go_on_alone(asks)
        except BaseException:
            self._go_on_alone(asks)
            raise
        else:
            self._settle(asks, outcome, is_declaring=is_declaring)

    def _take_asks(self) -> list[_Ask]:
        asks, self._asks = self._asks[:MOST_CHANGES], self._asks[MOST_CHANGES:]
        if not self._asks:
            self._asked.clear()
        # Who has left meanwhile is not asked for.
        return [ask for ask in asks if ask.answer is None or not ask.answer.cancelled()]

    async def _tell(self, changes: list[Change], *, is_declaring: bool) -> Outcome:
        # A new number each time, also after a failure: what was given up and arrives late is outdated.
        self._turn += 1
        declared = self._holdings.declared() if is_declaring else None
        published = self._publish() if is_declaring else b""
        return await self._server.take_turn(Turn(self._turn, declared, changes, published))

    def _settle(self, asks: list[_Ask], outcome: Outcome, *, is_declaring: bool) -> None:
        self._uploads, self._members = outcome.uploads, outcome.members
        if self._contact.heard(self._clock(), declared=is_declaring):
            log.info("limits.shared answers; %d uploads of this process are counted", self._holdings.uploads)
        for ask, verdict in zip(asks, outcome.verdicts, strict=True):
            if verdict is Verdict.FITS:
                self._holdings.add(ask.change)
            if ask.answer is None:
                continue
            if not ask.answer.cancelled():
                ask.answer.set_result(verdict)
            elif verdict is Verdict.FITS:
                self.give_back(ask.change)

    def _go_on_alone(self, asks: list[_Ask]) -> None:
        """Give whoever waits the answer that one gets without the server."""
        for ask in [*asks, *self._asks]:
            if ask.answer is None:
                self._holdings.add(ask.change)
            elif not ask.answer.cancelled():
                ask.answer.set_result(self._judge_alone(ask.change, is_under_way=ask.is_under_way))
        self._asks.clear()
        self._asked.clear()


_MEANWHILE = {
    OnLoss.LOCAL: "only the limits of this shim hold",
    OnLoss.REFUSE: "new uploads are refused",
}
