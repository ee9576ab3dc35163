"""Counters on disk, so that what was shown once stays counted when its worker is gone.

Each worker writes its own file before it tells anybody its numbers; the supervisor adds the file of a dead
worker to those of all dead ones. Files are replaced whole, never changed.
"""

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from shim.observe.counters import Counters
from shim.observe.snapshot import add_up, decode_counters, encode_counters

_ENDED = "ended.json"


class CounterFiles:
    """The counters of one shim's workers, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, worker: int, counters: Counters) -> None:
        """Write what a worker has counted; raises OSError."""
        self._write(_file_of(worker), encode_counters(counters))

    def bury(self, worker: int) -> None:
        """Add a dead worker's counters to those of all dead ones; raises OSError."""
        told = self._read(_file_of(worker))
        if told is None:
            return
        ended = self._read(_ENDED) or {"counters": encode_counters(Counters()), "workers": []}
        counters = add_up(map(decode_counters, (ended["counters"], told)))
        # Only those whose files may still be there have to be known by their numbers.
        workers = [other for other in ended["workers"] if (self._folder / _file_of(other)).exists()]
        self._write(_ENDED, {"counters": encode_counters(counters), "workers": [*workers, worker]})
        with contextlib.suppress(FileNotFoundError):
            (self._folder / _file_of(worker)).unlink()

    def read(self) -> tuple[dict[int, Counters], Counters, set[int]]:
        """What was written: by worker, by all dead ones together, and whose files these include.

        Files first, then the sum: a worker that is buried in between is found in one of them or in both, and
        then its number says so, but never in neither.
        """
        files: dict[int, Counters] = {}
        for path in self._folder.glob("worker-*.json"):
            told = self._read(path.name)
            if told is not None:
                files[int(path.stem.partition("-")[2])] = decode_counters(told)
        ended = self._read(_ENDED)
        if ended is None:
            return files, Counters(), set()
        return files, decode_counters(ended["counters"]), set(ended["workers"])

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            told: dict[str, Any] = json.loads((self._folder / name).read_bytes())
        except FileNotFoundError:
            return None
        return told

    def _write(self, name: str, told: dict[str, Any]) -> None:
        new = self._folder / f"{name}.{os.getpid()}.new"
        new.write_text(json.dumps(told))
        new.replace(self._folder / name)


def _file_of(worker: int) -> str:
    return f"worker-{worker}.json"
