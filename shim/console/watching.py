"""What a person at ``top`` has chosen to see, and what their keys change in it: pure, without a terminal."""

import enum
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shim.timing import Seconds

Upload = Mapping[str, Any]

SPAN: Seconds = 5.0
"""Rates are measured over so long: a slow second is no standstill."""


class Order(enum.Enum):
    """By what uploads are sorted, in the order in which a key goes through them."""

    AGE = "age"
    RATE = "rate"
    BYTES = "bytes"
    PHASE = "phase"
    PROJECT = "project"


class Mode(enum.Enum):
    """What keys mean."""

    LOOKING = "looking"
    FILTERING = "filtering"
    CONFIRMING = "confirming"


@dataclass(frozen=True, slots=True)
class Cancel:
    """An upload is to be ended."""

    key: str


class Quit:
    """The person has seen enough."""


Wish = Cancel | Quit | None


class Speeds:
    """How fast each upload, and all of them, come in: from what was told over the last seconds."""

    def __init__(self) -> None:
        self._told: dict[str, deque[tuple[Seconds, int]]] = {}

    def tell(self, now: Seconds, counts: Mapping[str, int]) -> None:
        """Note counts that grow, by name; those that are not named are forgotten."""
        self._told = {name: self._told.get(name) or deque() for name in counts}
        for name, value in counts.items():
            samples = self._told[name]
            if samples and (value < samples[-1][1] or now < samples[-1][0]):
                # It began anew: the shim was restarted.
                samples.clear()
            samples.append((now, value))
            while len(samples) > 2 and samples[0][0] < now - SPAN:  # noqa: PLR2004 - two make a rate
                samples.popleft()

    def of(self, name: str) -> float | None:
        """Bytes per second; None before it was told twice."""
        samples = self._told.get(name)
        if not samples or samples[-1][0] <= samples[0][0]:
            return None
        (began, first), (ended, last) = samples[0], samples[-1]
        return (last - first) / (ended - began)


@dataclass
class Watching:
    """What is shown, and how.

    Attributes:
        chosen: Key of the upload that the cursor is on.
        note: What came of the last thing asked for.
    """

    order: Order = Order.AGE
    falls: bool = True
    words: str = ""
    is_paused: bool = False
    mode: Mode = Mode.LOOKING
    chosen: str = ""
    note: str = ""
    speeds: Speeds = field(default_factory=Speeds)
    uploads: Sequence[Upload] = ()

    def tell(self, status: Mapping[str, Any]) -> None:
        """Take a new status in."""
        self.uploads = status["uploads"]
        counts = {upload["key"]: upload["bytes"] for upload in self.uploads}
        self.speeds.tell(status["at"], counts | {"": status["received"]})

    def speed_of(self, upload: Upload) -> float:
        """Bytes per second now; over its whole life before that is known."""
        speed = self.speeds.of(upload["key"])
        return float(upload["rate"]) if speed is None else speed

    def shown(self) -> list[Upload]:
        """The uploads that match, in order."""
        words = self.words.lower().split()
        found = [upload for upload in self.uploads if all(word in _haystack(upload) for word in words)]
        return sorted(found, key=lambda upload: (self._rank(upload), upload["key"]), reverse=self.falls)

    def cursor(self) -> int:
        """Where the cursor is among those shown; on the first where its upload has gone."""
        keys = [upload["key"] for upload in self.shown()]
        return keys.index(self.chosen) if self.chosen in keys else 0

    def _rank(self, upload: Upload) -> Any:
        match self.order:
            case Order.RATE:
                return self.speed_of(upload)
            case Order.PHASE:
                return upload["phase"] or ""
            case Order.AGE | Order.BYTES | Order.PROJECT as order:
                return upload[order.value]

    # -- keys -----------------------------------------------------------------------------------------

    def press(self, key: str) -> Wish:
        """A key was pressed; what is wished for beyond another view."""
        self.note = ""
        match self.mode:
            case Mode.FILTERING:
                self._type(key)
                return None
            case Mode.CONFIRMING:
                self.mode = Mode.LOOKING
                if key in ("y", "Y"):
                    return Cancel(self.chosen)
                self.note = "Nothing was cancelled."
                return None
            case Mode.LOOKING:
                return self._look(key)

    def _type(self, key: str) -> None:
        if key == "enter":
            self.mode = Mode.LOOKING
        elif key == "escape":
            self.mode, self.words = Mode.LOOKING, ""
        elif key == "backspace":
            self.words = self.words[:-1]
        elif len(key) == 1 and key.isprintable():
            self.words += key

    def _look(self, key: str) -> Wish:
        match key:
            case "q" | "escape":
                return Quit()
            case "p" | " ":
                self.is_paused = not self.is_paused
            case "s":
                orders = list(Order)
                self.order = orders[(orders.index(self.order) + 1) % len(orders)]
            case "r":
                self.falls = not self.falls
            case "/":
                self.mode, self.words = Mode.FILTERING, ""
            case "up" | "k":
                self._move(-1)
            case "down" | "j":
                self._move(1)
            case "c":
                self._ask_to_cancel()
        return None

    def _move(self, by: int) -> None:
        shown = self.shown()
        if shown:
            self.chosen = shown[max(0, min(len(shown) - 1, self.cursor() + by))]["key"]

    def _ask_to_cancel(self) -> None:
        shown = self.shown()
        if not shown:
            self.note = "There is no upload to cancel."
            return
        self.chosen, self.mode = shown[self.cursor()]["key"], Mode.CONFIRMING


def _haystack(upload: Upload) -> str:
    names = ("path", "image", "project", "id", "key", "method")
    return "\n".join(str(upload[name]) for name in names).lower()
