"""Serves scenes: the real admin application over told parts, under uvicorn on a thread of this process."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import uvicorn

from shim.app.admin import Admin
from shim.app.colleagues import SoleWorker
from shim.app.feed import Feed
from shim.app.guard import Guard
from shim.app.health import Readiness, ServerHealth
from shim.app.view import Status, View
from shim.spool.space import Space
from shim.timing import monotonic
from tests.browser.scenes import IDLE, Scene
from tests.support.shim import free_port
from tests.support.wire import eventually


@dataclass
class Stage:
    """What is played now; it can be changed while pages look on."""

    scene: Scene = IDLE
    url: str = ""
    token: str | None = None

    def __post_init__(self) -> None:
        self._began = time.monotonic()
        self.cancelled: list[tuple[int, str]] = []

    def play(self, scene: Scene) -> None:
        """Change the scene; its time begins."""
        self.scene, self._began = scene, time.monotonic()

    def cancel(self, serial: int, who: str) -> bool:
        """An upload is to be ended: those of even numbers are gone already."""
        self.cancelled.append((serial, who))
        return serial % 2 == 1

    # -- in place of the parts ------------------------------------------------------------------------

    @property
    def limit(self) -> float:
        return self.scene.limit

    async def space(self) -> Space:
        return self.scene.space

    async def readiness(self, _life: str) -> Readiness:
        return self.scene.readiness

    async def servers(self) -> list[ServerHealth]:
        return list(self.scene.servers)

    def application(self) -> Guard:
        """The admin application over this stage."""
        own = lambda: self.scene.snapshot(time.monotonic() - self._began, monotonic())  # noqa: E731
        view = View(self, self, SoleWorker(own, self.cancel))  # type: ignore[arg-type]
        self.feed = Feed(view.now)
        return Guard(Admin(view, self.feed).application(), self.token)


@contextlib.contextmanager
def staged(scene: Scene = IDLE, token: str | None = None) -> Iterator[Stage]:
    """A stage that is served at ``url``."""
    stage = Stage(scene, token=token)
    port = free_port()
    config = uvicorn.Config(
        stage.application(), port=port, log_config=None, lifespan="off", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        eventually(lambda: server.started, "the stage is served")
        stage.url = f"http://127.0.0.1:{port}/"
        yield stage
    finally:
        for loop_server in server.servers:
            loop_server.get_loop().call_soon_threadsafe(stage.feed.close)
            break
        server.should_exit = True
        thread.join(10)


CLOCK = 5_000_000.0


def status_of(scene: Scene, now: float = 0.0) -> Status:
    """What the shim tells of a scene, ``now`` seconds into it."""
    stage = Stage(scene)
    own = SoleWorker(lambda: scene.snapshot(now, CLOCK + now))
    return asyncio.run(View(stage, stage, own, clock=lambda: CLOCK + now).now())  # type: ignore[arg-type]
