"""Ending a request from outside: an operator's word becomes an error of ours in the task that serves it.

All that the request holds is given back on its way out, as at any other error; and what is left to be said
to the client is said where all errors are answered.
"""

import asyncio
from types import TracebackType
from typing import Self

from shim.errors import Cancelled, ShimError
from shim.observe.journal import Journal, Phase, Record

# In these the server has nothing of the body, or not its last byte: it takes no part for the whole.
_UNTOUCHED = frozenset({None, Phase.RECEIVE, Phase.QUEUE, Phase.CONNECT})


class Stoppable:
    """A block that others may end by ``stop``; it then raises the error that they gave."""

    __slots__ = ("_error", "_task")

    def __init__(self) -> None:
        self._task: asyncio.Task[object] | None = None
        self._error: ShimError | None = None

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        return self

    def stop(self, error: ShimError) -> bool:
        """End the block with ``error``; False where it is over, or being ended already."""
        if self._task is None or self._error is not None:
            return False
        self._error = error
        self._task.cancel()
        return True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        assert task is not None
        if self._error is None:
            return
        # The cancellation is ours only if nobody else asked for one too (a drain that is over).
        is_ours = task.uncancel() == 0
        if isinstance(error, asyncio.CancelledError) and is_ours:
            raise self._error from None


class Canceller:
    """Ends uploads of this process by their number, for an operator."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def cancel(self, serial: int, who: str) -> bool:
        """End an upload; False where there is none of that number any more."""
        record = self._journal.find(serial)
        if record is None or not record.has_body or record.stop is None:
            return False
        return record.stop(_cancelled(record, who))


def _cancelled(record: Record, who: str) -> Cancelled:
    if record.phase in _UNTOUCHED:
        state = "nothing of it was stored"
    else:
        state = "it had begun to go to the server: look whether it is there before you repeat it"
    text = f"An operator has ended this upload; {state}."
    return Cancelled(text, for_operator=f"{text} It was {who}.")
