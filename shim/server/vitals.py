"""What systemd hears of a shim: its status in a line, and signs of life while all workers give theirs."""

import logging

from shim.server.notify import Notifier
from shim.server.workers import Roster, Stage
from shim.server.workforce import Workforce
from shim.timing import Clock, Seconds

log = logging.getLogger("shim.server")

# How often workers give a sign of life where no watchdog asks for more.
BEAT: Seconds = 5.0
_MIB = 1 << 20


class Vitals:
    """Watches that the workers' loops turn, where systemd's watchdog is on.

    A worker that has not moved for half of its time is killed and replaced, so that the other workers'
    uploads are spared; if that is of no help, systemd hears nothing more, and starts the whole shim again.
    """

    def __init__(self, notifier: Notifier, roster: Roster, workforce: Workforce, clock: Clock) -> None:
        self._notifier = notifier
        self._roster = roster
        self._workforce = workforce
        self._clock = clock
        self._due: Seconds = 0.0

    @property
    def beat(self) -> Seconds:
        """Seconds between a worker's signs of life."""
        watchdog = self._notifier.watchdog
        return BEAT if watchdog is None else min(BEAT, watchdog / 8)

    @property
    def next_due(self) -> Seconds | None:
        """When ``tell`` has to be called at the latest; None where there is no such time."""
        return None if self._notifier.watchdog is None else self._due

    def tell(self) -> None:
        """Tell what is new, and that we are alive where that is due."""
        self._notifier.status(self._status())
        watchdog, now = self._notifier.watchdog, self._clock()
        if watchdog is None or now < self._due:
            return
        self._due = now + watchdog / 4
        stuck = self._stuck(now - watchdog / 2)
        for number in stuck:
            log.error("Worker %d has not moved for %g s and is killed", number, watchdog / 2)
            self._workforce.kill(number)
        if not stuck:
            self._notifier.alive()

    def _stuck(self, since: Seconds) -> list[int]:
        """Workers that serve, and have not given a sign of life since then; starting may take its time."""
        return [
            worker.number
            for worker in self._roster.workers.values()
            if worker.stage is Stage.SERVING and self._workforce.silent_since(worker.number) < since
        ]

    def _status(self) -> str:
        load, count = self._workforce.load, len(self._workforce)
        workers = f"{count} {'worker' if count == 1 else 'workers'}"
        return (
            f"{self._roster.life.value}: {workers}, {load.uploads} uploads, {load.held / _MIB:.0f} MiB held"
        )
