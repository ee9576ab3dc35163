"""A real Valkey or Redis server of a test's own: started with what the test wants, ended by its pid."""

import contextlib
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from tests.support.wire import Hang, eventually

PROGRAM = next(filter(None, map(shutil.which, ("valkey-server", "redis-server"))), None)
"""The server's program, None where neither is installed."""

START = 10.0


class Valkey:
    """One server, on a unix socket in ``folder`` and on whatever ``options`` say.

    ``prefix`` is a command that runs another, as ``ip netns exec`` does. Nothing is kept on disk.
    """

    def __init__(self, folder: Path, *options: str, prefix: Sequence[str] = ()) -> None:
        self.folder = folder
        self.path = folder / "valkey.sock"
        self.process: subprocess.Popen[bytes] | None = None
        self._log = folder / "valkey.log"
        common = ("--save", "", "--appendonly", "no", "--dir", str(folder), "--unixsocket", str(self.path))
        self._command = [*prefix, str(PROGRAM), "--port", "0", *common, *options]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def url(self) -> str:
        """The URL of its unix socket."""
        return f"unix://{self.path}"

    def start(self) -> None:
        """Start it, or start it again with nothing in it."""
        self.path.unlink(missing_ok=True)
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        try:
            eventually(self._is_up, "the server takes connections", START)
        except (Hang, RuntimeError) as failure:
            failure.add_note(self._log.read_text()[-2000:])
            self.kill()
            raise

    def _is_up(self) -> bool:
        assert self.process
        if self.process.poll() is not None:
            raise RuntimeError("the server ended instead of serving")
        return self.path.is_socket() and "eady to accept connections" in self._log.read_text()

    def hang(self) -> None:
        """Stop it in its tracks: connections are still taken, by the kernel."""
        assert self.process
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """End ``hang``."""
        assert self.process
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL: what it held is gone."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            self.process.wait(START)
        self._log.write_bytes(b"")
