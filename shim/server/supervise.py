"""The supervisor: opens the sockets, forks the workers that share them, and sees to it that there are enough.

It serves nothing and has neither threads nor an event loop, so that it may fork at any time, and its id stays
the same over reloads. What there is to do the ``Roster`` decides; here it is done.
"""

import contextlib
import errno
import functools
import gc
import logging
import signal
from collections.abc import Callable, Iterable

from shim.server.channel import Post
from shim.server.listen import ListenFailed
from shim.server.notify import Notifier
from shim.server.plan import Plan, PlanRefused, Station
from shim.server.sockets import Sockets
from shim.server.steps import End, Kill, Order, Say, Start, Step, Tell
from shim.server.vitals import Vitals
from shim.server.wakeups import ENDING, Wakeups
from shim.server.workers import Life, Patience, Roster
from shim.server.workforce import Workforce
from shim.timing import Clock, Seconds, monotonic

log = logging.getLogger("shim.server")

# Where a worker cannot be forked, what to do about it.
_ADVICE = {
    errno.ENOMEM: "; free memory, or set fewer workers",
    errno.EAGAIN: "; allow more processes (systemd's TasksMax, a container's pids), or set fewer workers",
    errno.EMFILE: "; allow more open files (LimitNOFILE of systemd)",
}


class Supervisor:
    """Runs one shim, from its first worker to its last."""

    def __init__(
        self,
        plan: Plan,
        *,
        replan: Callable[[], Plan],
        notifier: Notifier,
        bury: Callable[[int], None] = lambda _number: None,
        patience: Patience | None = None,
        clock: Clock = monotonic,
    ) -> None:
        """Take what to begin with, and who is asked and told.

        Args:
            plan: The first configuration.
            replan: Reads the configuration again; raises PlanRefused.
            notifier: Speaks to systemd.
            bury: Called with the number of each worker that has ended.
            patience: What is made of workers that end again and again.
            clock: Told the time by this.
        """
        self._plans = {1: plan}
        self._replan = replan
        self._notifier = notifier
        self._bury = bury
        self._clock = clock
        self._sockets = Sockets()
        self._wakeups = Wakeups()
        self._roster = Roster(plan.workers, patience)
        self._workforce = Workforce(clock)
        self._vitals = Vitals(notifier, self._roster, self._workforce, clock)
        self._in_force = 0  # the generation that was last told of
        self._reload_asked = False
        self._asked_to_end = 0
        self._end: End | None = None

    def run(self) -> bool:
        """Serve until SIGTERM or SIGINT; whether it ended as asked.

        Raises:
            ListenFailed: An address cannot be listened on.
        """
        plan = self._plans[1]
        with contextlib.closing(self._sockets), self._wakeups:
            self._sockets.open(plan.addresses, plan.listening)
            # Workers share what is here already; the collector shall not write to it in each of them.
            gc.collect()
            gc.freeze()
            while self._end is None:
                self._turn()
        if not self._end.failed:
            log.info("Ended")
        return not self._end.failed

    def _turn(self) -> None:
        self._act(self._roster.steps(self._clock()))
        self._vitals.tell()
        self._wakeups.wait(self._workforce.lines, self._timeout())
        for number in self._workforce.heard():
            self._act(self._roster.came_up(number))
        # Signals before ends: a worker that was told to end by the same key press has not failed.
        while self._wakeups.signals:
            self._take(self._wakeups.signals.pop(0))
        for number, status in self._workforce.reap():
            self._bury(number)
            self._act(self._roster.ended(number, status, self._clock()))
        # Before another reload: one that was asked for meanwhile is beside what is in force by then.
        self._settle()
        if self._reload_asked and self._roster.life is Life.SERVING:
            self._reload()

    def _timeout(self) -> Seconds | None:
        """Seconds in which nothing will be due, as far as we know."""
        due = [time for time in (self._roster.next_due, self._vitals.next_due) if time is not None]
        return max(0.0, min(due) - self._clock()) if due else None

    # -- what is done -----------------------------------------------------------------------------

    def _act(self, steps: Iterable[Step]) -> None:
        for step in steps:
            match step:
                case Start():
                    self._start(step)
                case Tell():
                    self._workforce.tell(step.number, step.order)
                case Kill():
                    self._workforce.kill(step.number)
                case Say():
                    log.log(logging.ERROR if step.is_fault else logging.INFO, step.text)
                case End():
                    self._end = step

    def _start(self, step: Start) -> None:
        try:
            self._workforce.start(step.number, functools.partial(self._work, step))
        except OSError as error:
            reason = f"{error.strerror}{_ADVICE.get(error.errno or 0, '')}"
            self._act(self._roster.not_started(step.number, reason, self._clock()))
            # No process will tell us of its end: what follows from it is seen to in this turn.
            self._wakeups.hurry()

    def _work(self, step: Start, post: Post) -> int:
        """In a new worker: what is the supervisor's goes, and the rest is the plan's."""
        plan = self._plans[step.generation]
        self._wakeups.close()
        # A socket that only other generations listen on would take connections that nobody serves.
        self._sockets.keep_only(plan.addresses)
        listeners, admin = self._sockets.listeners(plan.listen), self._sockets.listeners(plan.admin_listen)
        return plan.work(Station(step.number, listeners, admin, post, self._vitals.beat))

    def _take(self, number: int) -> None:
        if number == signal.SIGHUP:
            self._reload_asked = True
        elif number in ENDING:
            self._end_more_urgently()

    def _end_more_urgently(self) -> None:
        """Drain when asked for the first time, end at once the second time, and kill the third time."""
        self._asked_to_end += 1
        self._notifier.stopping()
        match self._asked_to_end:
            case 1:
                self._act(self._roster.end(Order.DRAIN))
            case 2:
                log.info("Ending at once")
                self._act(self._roster.end(Order.NOW))
            case _:
                log.warning("Killing the workers")
                self._act(self._roster.kill())

    # -- configurations ---------------------------------------------------------------------------

    def _reload(self) -> None:
        """Try a new configuration beside the one in force."""
        log.info("Reading the configuration again")
        self._reload_asked = False
        self._notifier.reloading()
        try:
            plan = self._replan()
            self._sockets.open(plan.addresses, plan.listening)
        except (PlanRefused, ListenFailed) as refusal:
            log.error("The new configuration is not used: %s", refusal)  # noqa: TRY400 - told, not traced
            self._notifier.ready()
            return
        self._plans[self._roster.change_over(plan.workers)] = plan

    def _settle(self) -> None:
        """Let go of what no generation in force needs, once a change over has ended, in whatever way."""
        if self._roster.life is Life.ENDING:
            # Workers stop listening when it is time; a socket still open here would take connections for
            # nobody, away from a second instance on the same address.
            self._sockets.keep_only(())
        if self._roster.life is not Life.SERVING:
            return
        generation, before = self._roster.generation, self._in_force
        if len(self._plans) == 1 and generation == before:
            return
        plan = self._plans[generation]
        self._plans, self._in_force = {generation: plan}, generation
        self._sockets.keep_only(plan.addresses)
        self._notifier.ready()
        if before not in (0, generation):
            log.info("The new configuration is in force")
        if before != generation:
            self._announce(plan)

    def _announce(self, plan: Plan) -> None:
        places = {
            "listen": self._sockets.places(plan.listen),
            "admin": self._sockets.places(plan.admin_listen),
        }
        log.info("Listening on %s", ", ".join(places["listen"]), extra={"fields": places})
