"""A run from its first image to the last that is taken away: rounds in turns, and an end in any case.

Places are made before the clock starts, hashes compared and images deleted after it has stopped: no target
pays for another's cleaning up.
"""

import asyncio
import contextlib
import datetime as dt
from collections.abc import AsyncIterator, Sequence
from typing import Protocol, TypeAlias

from shim.bench.faults import BenchFault
from shim.bench.keeper import Keeper
from shim.bench.payload import PIECE, SMALLEST, Filling, Payload
from shim.bench.plan import WARMING_UP, Case, Plan, Round
from shim.bench.results import Failure, Results, Sample
from shim.bench.service import Place, Service
from shim.bench.traffic import Advance, UploadTiming, ask, download, drip, together, upload
from shim.timing import Clock, Seconds, finish, monotonic

WARM_UP = 1024**2
"""Bytes at most of the upload before all rounds: what is wrong is found before anything large is sent."""
HEAD_START: Seconds = 0.5
"""Slow clients are to be there before those that are measured, as they are in life."""

_Work: TypeAlias = list[tuple[Place, Payload]]


class Watcher(Protocol):
    """Who is told of what goes on."""

    def begin(self, turn: Round) -> None:
        """A round begins."""

    def advance(self, count: int) -> None:
        """So many bytes have passed."""


class Runner:
    """Does what a plan says.

    Args:
        services: One for each target.
        names: What the targets are called.
        watcher: Is told of rounds and bytes.
        clock: Of all times that are told.
    """

    def __init__(
        self,
        plan: Plan,
        services: Sequence[Service],
        names: Sequence[str],
        watcher: Watcher,
        *,
        keeper: Keeper | None = None,
        clock: Clock = monotonic,
    ) -> None:
        self._plan = plan
        self._services = services
        self._watcher = watcher
        self._keeper = keeper or Keeper()
        self._clock = clock
        self._filling = Filling(plan.run, max(chunk or PIECE for chunk in (*plan.chunks, None)))
        self.results = Results(plan, names, dt.datetime.now(dt.UTC).replace(microsecond=0))

    async def run(self) -> Results:
        """All rounds; what was made is taken away before it returns.

        Cancelled, or where a round failed and the plan does not say to go on, it ends with the rounds so far:
        they are what the person wants to see.
        """
        try:
            await self._rounds()
        except asyncio.CancelledError:
            self._interrupt()
        except BenchFault:
            # Noted where it happened.
            self.results.broken_off = True
        finally:
            try:
                # To its own end, which is bounded: a second Ctrl-C would only leave images behind.
                await finish(self._keeper.remove_all())
            except asyncio.CancelledError:
                self._interrupt()
            self.results.left = self._keeper.left
        return self.results

    def _interrupt(self) -> None:
        """Note that a person ended it; the cancellation has done its work with that."""
        self.results.interrupted = True
        self._filling.give_up()
        task = asyncio.current_task()
        assert task is not None
        task.uncancel()

    async def _rounds(self) -> None:
        await self._warm_up()
        self._check_cleaned()
        for turn in self._plan.rounds(len(self._services)):
            self._watcher.begin(turn)
            async with self._failing(turn):
                self.results.samples[turn] = await self._round(turn)
            self._check_cleaned()

    def _check_cleaned(self) -> None:
        """Begin nothing more where what was made stays: a server that deletes nothing would fill up."""
        if self._keeper.left:
            raise BenchFault("refused", "What a round made could not be deleted.")

    @contextlib.asynccontextmanager
    async def _failing(self, turn: Round) -> AsyncIterator[None]:
        try:
            yield
        except BenchFault as fault:
            self.results.failures.append(Failure(turn, fault.kind, str(fault)))
            if not self._plan.keep_going:
                raise

    async def _warm_up(self) -> None:
        """Hash what will be compared, and let every target show once that it can do this at all."""
        # Once for all images of a size: they differ in their last bytes alone. A terabyte takes an hour, and
        # where nobody tells a hash to compare with, none is needed.
        for size in self._plan.sizes if any(service.hashes for service in self._services) else ():
            await asyncio.to_thread(Payload(self._filling, size, 0).digest, "sha512")
        first = self._plan.cases()[0]
        case = Case(max(min(first.size, WARM_UP), SMALLEST), first.chunk)
        for target, service in enumerate(self._services):
            async with (
                self._failing(Round(case, WARMING_UP, target)),
                self._places(service, case.size, 1) as work,
            ):
                await self._upload(service, case, work, lambda _count: None)
                await self._confirm(service, work)

    # -- a round -------------------------------------------------------------------------------------------

    async def _round(self, turn: Round) -> Sample:
        service, case = self._services[turn.target], turn.case
        async with self._places(service, case.size, self._plan.concurrency) as work:
            async with self._beside(service) as asked:
                began = self._clock()
                timings = await self._upload(service, case, work, self._watcher.advance)
                seconds = self._clock() - began
            await self._confirm(service, work)
            return Sample(
                upload=seconds,
                uploads=tuple(one.seconds for one in timings),
                after=tuple(one.after for one in timings),
                download=await self._download(service, work) if service.gives_back else None,
                asked=tuple(asked),
            )

    @contextlib.asynccontextmanager
    async def _places(self, service: Service, size: int, count: int) -> AsyncIterator[_Work]:
        """So many places for data, all of them taken away with the block, slow clients' too."""
        try:
            numbers = [self._keeper.next_number() for _ in range(count)]
            places = await together(self._keeper.make(service, number) for number in numbers)
            payloads = [Payload(self._filling, size, number) for number in numbers]
            yield list(zip(places, payloads, strict=True))
        finally:
            await finish(self._keeper.remove_all())

    @contextlib.asynccontextmanager
    async def _beside(self, service: Service) -> AsyncIterator[list[Seconds]]:
        """Slow clients and small requests while the block runs; the seconds of the latter."""
        numbers = [self._keeper.next_number() for _ in range(self._plan.slow)]
        places = await together(self._keeper.make(service, number) for number in numbers)
        stop, asked = asyncio.Event(), list[Seconds]()
        try:
            async with asyncio.TaskGroup() as group:
                for place in places:
                    group.create_task(self._drip(service, place, stop))
                await asyncio.sleep(HEAD_START if places else 0)
                for _ in range(self._plan.askers if service.small else 0):
                    group.create_task(
                        ask(service.client, service.small or "", asked, stop=stop, clock=self._clock)
                    )
                yield asked
                stop.set()
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from errors

    async def _drip(self, service: Service, place: Place, stop: asyncio.Event) -> None:
        rate = self._plan.slow_rate
        await drip(service.client, place, self._filling, rate=rate, stop=stop, clock=self._clock)

    async def _upload(
        self, service: Service, case: Case, work: _Work, advance: Advance
    ) -> list[UploadTiming]:
        declare = self._plan.declare
        return await together(
            upload(service.client, place, payload, case, declare=declare, clock=self._clock, advance=advance)
            for place, payload in work
        )

    async def _confirm(self, service: Service, work: _Work) -> None:
        await together(service.confirm(place, payload) for place, payload in work)

    async def _download(self, service: Service, work: _Work) -> Seconds:
        began, advance = self._clock(), self._watcher.advance
        await together(
            download(service.client, place, payload, clock=self._clock, advance=advance)
            for place, payload in work
        )
        return self._clock() - began
