"""What was written on ``capacity``'s command line, as a load and its premises; what means nothing is told.

Texts come with units, and sizes with weights; typer has looked at the bounds of numbers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from shim.capacity.arithmetic import scale_load
from shim.capacity.load import Load
from shim.capacity.plan import Premises
from shim.capacity.sizes import ListedSizes, LogNormalSizes, Sizes
from shim.commands.reading import Unusable, read_value
from shim.config.units import parse_duration, parse_rate, parse_size

HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Request:
    """The command line, as it was written; see ``cli.planning`` for what each of them is."""

    per_hour: float | None
    at_once: float | None
    size: Sequence[str]
    median: str
    upper: str
    largest: str
    client: str
    server: str
    answer: str
    known: float
    premises: Premises
    shim_rate: str


def read_load(request: Request) -> tuple[Load, Premises]:
    """The load that was written, and what is required beside it.

    Raises:
        Unusable: Something of it means nothing.
    """
    if (request.per_hour is None) == (request.at_once is None):
        raise Unusable("give one of --per-hour and --at-once")
    load = Load(
        # Of --at-once it does not matter: the load is scaled.
        arrivals=_positive("--per-hour", 1.0 if request.per_hour is None else request.per_hour) / HOUR,
        sizes=_sizes(request),
        client_rate=_quantity("--client", parse_rate, request.client),
        drain_rate=_quantity("--server", parse_rate, request.server),
        answer=_quantity("--answer", parse_duration, request.answer, least=0),
        known=_part("--known", request.known),
    )
    if request.at_once is not None:
        load = scale_load(load, _positive("--at-once", request.at_once))
    for name, part in (("--waits", request.premises.waits), ("--confidence", request.premises.confidence)):
        _part(name, part)
    return load, replace(request.premises, rate=_quantity("--shim-rate", parse_rate, request.shim_rate))


def _sizes(request: Request) -> Sizes:
    if request.size:
        pairs = [_weighted(text) for text in request.size]
        return ListedSizes([size for size, _ in pairs], [weight for _, weight in pairs])
    middle, upper, largest = (
        _quantity(name, parse_size, text)
        for name, text in (
            ("--median", request.median),
            ("--upper", request.upper),
            ("--largest", request.largest),
        )
    )
    if not middle < upper <= largest:
        raise Unusable("--median, --upper and --largest have to rise in this order")
    return LogNormalSizes.between(middle, upper, largest)


def _weighted(text: str) -> tuple[float, float]:
    """``2GiB``, or ``2GiB*3``: three times as often as those without a weight."""
    size, star, weight = text.partition("*")
    try:
        times = float(weight) if star else 1.0
    except ValueError:
        raise Unusable(f"--size {text}: {weight!r} is no weight; write it as in 2GiB*3") from None
    return _quantity("--size", parse_size, size), _positive(f"--size {text}", times)


def _quantity(name: str, parse: Callable[[object], float], text: str, *, least: float = 1) -> float:
    value = read_value(name, parse, text)
    if value < least:
        raise Unusable(f"{name} {text}: must be more than 0")
    return value


def _part(name: str, part: float) -> float:
    # Typer has looked at the bounds, which "nan" is on neither side of.
    if not 0 <= part <= 1:
        raise Unusable(f"{name}: must be from 0 to 1")
    return part


def _positive(name: str, number: float) -> float:
    # Infinite and no-number compare as they like: only what is properly between counts.
    if not 0 < number < float("inf"):
        raise Unusable(f"{name}: must be more than 0")
    return number
