"""Waits for a connection's descriptor without a task: one call where an answer comes, another where it ends.

A descriptor stays registered from one request to the next: that spares two calls of the system for each.
"""

import asyncio
from collections.abc import Callable


class DescriptorWatch:
    """One descriptor's."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._descriptor = -1
        self._on_answer: Callable[[], None] | None = None
        self._on_end: Callable[[], None] | None = None

    @property
    def is_on(self) -> bool:
        """Whether anybody is called back."""
        return self._on_end is not None

    def start(self, descriptor: int, on_end: Callable[[], None]) -> None:
        """Call ``on_end`` where there is something to be read, and no answer is waited for."""
        assert self._on_end is None
        self._loop.add_reader(descriptor, self._readable)
        self._descriptor, self._on_end = descriptor, on_end

    def wait(self, on_answer: Callable[[], None]) -> None:
        """From now on call ``on_answer`` instead."""
        self._on_answer = on_answer

    def rest(self) -> None:
        """No answer is waited for any more."""
        self._on_answer = None

    def stop(self) -> None:
        """Call nobody any more: before anybody else reads, and before the descriptor is closed.

        A registration left behind would wake whoever gets the number next.
        """
        if self._on_end is not None:
            self._on_answer = self._on_end = None
            self._loop.remove_reader(self._descriptor)

    def _readable(self) -> None:
        if self._on_answer is not None:
            self._on_answer()
        elif self._on_end is not None:
            self._on_end()
