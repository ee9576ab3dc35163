"""``glance-shim bench``: measures a deployment as its clients see it, and leaves nothing behind there.

Reads what was written, runs the plan with a progress bar on standard error, and hands the results to
``bench_terminal``, ``bench_page`` and JSON. Ctrl-C ends it early, with what was made taken away.
"""

import asyncio
import json
import os
import signal
import ssl
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import httpx

from shim.bench.faults import BenchFault
from shim.bench.leftovers import clean_up
from shim.bench.payload import SMALLEST
from shim.bench.plan import Plan, is_run, new_run
from shim.bench.results import Results, as_values
from shim.bench.runner import Runner
from shim.bench.service import GlanceService, PlainService, Service
from shim.bench.target import Target, open_client, parse_target
from shim.commands import ENDED_AS_ASKED, FAILED, WRONG_USAGE
from shim.commands.bench_page import render_page
from shim.commands.bench_terminal import Progress, print_results
from shim.config.units import parse_rate, parse_size

Value = TypeVar("Value")

DEFAULT_SIZES = ("64MiB",)
DEFAULT_CHUNKS = ("1MiB",)
"""What the glance command sends."""
LENGTH = "length"
LARGEST_CHUNK = 64 * 1024**2
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LONGEST_TOKEN = 64 * 1024


@dataclass(frozen=True, slots=True)
class Request:
    """The command line, as it was written; see ``cli.bench`` for what each of them is."""

    url: str
    against: str | None = None
    token: str | None = None
    token_file: Path | None = None
    ca_file: Path | None = None
    size: Sequence[str] = ()
    chunk: Sequence[str] = ()
    count: int = 5
    concurrency: int = 1
    slow: int = 0
    slow_rate: str = "1MiB/s"
    askers: int = 1
    declare: bool = False
    plain: str | None = None
    cleanup: str | None = None
    json_file: Path | None = None
    page_file: Path | None = None
    keep_going: bool = False


class Unusable(Exception):
    """What was written means nothing; the text is for the person."""


def run(request: Request, *, environment: Mapping[str, str] = os.environ) -> int:
    """Do what the command line says; the exit status.

    Args:
        request: The command line.
        environment: For OS_TOKEN and OS_CACERT.
    """
    try:
        bench = _read(request, environment)
    except Unusable as error:
        print(f"glance-shim bench: {error}", file=sys.stderr)
        return WRONG_USAGE
    try:
        if request.cleanup is not None:
            return asyncio.run(_clean_up(bench, request.cleanup))
        return asyncio.run(_measure(bench, request))
    except BenchFault as fault:
        print(f"glance-shim bench: {fault}", file=sys.stderr)
    except OSError as error:
        print(f"glance-shim bench: {error.filename}: {error.strerror}", file=sys.stderr)
    return FAILED


@dataclass(frozen=True, slots=True)
class _Bench:
    """What was written, as values."""

    plan: Plan
    targets: Sequence[Target]
    headers: Mapping[str, str]
    trust: ssl.SSLContext | None
    plain: str | None

    async def open(self, stack: AsyncExitStack, run: str) -> list[Service]:
        services: list[Service] = []
        for target in self.targets:
            client = await stack.enter_async_context(open_client(target, self.headers, self.trust))
            services.append(self._service(client, run))
        return services

    def _service(self, client: httpx.AsyncClient, run: str) -> Service:
        if self.plain is not None:
            return PlainService(client, run, self.plain)
        return GlanceService(client, run)


async def _measure(bench: _Bench, request: Request) -> int:
    plan, names = bench.plan, [target.url for target in bench.targets]
    print(f"run {plan.run}; should it be killed: {_cleaning(request, plan.run)}", file=sys.stderr)
    async with AsyncExitStack() as stack:
        services = await bench.open(stack, plan.run)
        volume = plan.volume(len(services), downloads=services[0].gives_back)
        with Progress(names, volume) as progress, _ending_cancels():
            runner = Runner(plan, services, names, progress)
            fault = await _fault_of(runner)
    _tell(runner.results, request)
    if fault is not None:
        print(f"glance-shim bench: {fault}", file=sys.stderr)
    if runner.results.left:
        print(f"glance-shim bench: not deleted: {', '.join(runner.results.left)}", file=sys.stderr)
        print(f"Try again with: {_cleaning(request, plan.run)}", file=sys.stderr)
    return FAILED if runner.results.failures or runner.results.left else ENDED_AS_ASKED


async def _fault_of(runner: Runner) -> BenchFault | None:
    """Run it; what ended it before its end."""
    try:
        await runner.run()
    except BenchFault as fault:
        return fault
    return None


def _tell(results: Results, request: Request) -> None:
    print_results(results)
    if request.json_file is not None:
        _write(request.json_file, json.dumps(as_values(results), indent=2) + "\n")
    if request.page_file is not None:
        _write(request.page_file, render_page(results))


def _write(file: Path, text: str) -> None:
    file.write_text(text, "utf-8")
    print(f"written: {file}", file=sys.stderr)


def _cleaning(request: Request, run: str) -> str:
    """The command that takes away what a killed run leaves."""
    if request.plain is not None:
        return f"delete what is named glance-shim-bench-{run}-*"
    return f"glance-shim bench {request.url} --cleanup {run}"


async def _clean_up(bench: _Bench, run: str) -> int:
    async with AsyncExitStack() as stack:
        (service,) = await bench.open(stack, run)
        assert isinstance(service, GlanceService)
        cleaned = await clean_up(service)
    for image in cleaned.gone:
        print(f"deleted: {image}")
    for image, reason in cleaned.stay.items():
        print(f"glance-shim bench: {image} stays: {reason}", file=sys.stderr)
    print(f"run {run}: {len(cleaned.gone)} deleted, {len(cleaned.stay)} left")
    return FAILED if cleaned.stay else ENDED_AS_ASKED


@contextmanager
def _ending_cancels() -> Iterator[None]:
    """Let the first Ctrl-C (or SIGTERM, SIGHUP) cancel us; later ones do nothing, the end is bounded."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    asked = False

    def end() -> None:
        nonlocal asked
        if not asked:
            asked = True
            print("\nending: what was made is being deleted", file=sys.stderr)
            task.cancel()

    for number in _ENDING:
        loop.add_signal_handler(number, end)
    try:
        yield
    finally:
        for number in _ENDING:
            loop.remove_signal_handler(number)


# -- what was written ------------------------------------------------------------------------------------


def _read(request: Request, environment: Mapping[str, str]) -> _Bench:
    _read_combination(request)
    urls = [request.url] if request.against is None else [request.url, request.against]
    plan = Plan(
        run=new_run(),
        sizes=tuple(_each("--size", _size, request.size or DEFAULT_SIZES)),
        chunks=tuple(_each("--chunk", _chunk, request.chunk or DEFAULT_CHUNKS)),
        count=request.count,
        concurrency=request.concurrency,
        slow=request.slow,
        slow_rate=_positive(_value("--slow-rate", parse_rate, request.slow_rate)),
        askers=request.askers,
        declare=request.declare,
        keep_going=request.keep_going,
    )
    return _Bench(
        plan=plan,
        targets=[_value("", parse_target, url) for url in urls],
        headers=_headers(request, environment),
        trust=_trust(request.ca_file or environment.get("OS_CACERT")),
        plain=request.plain,
    )


def _read_combination(request: Request) -> None:
    if request.cleanup is not None:
        if not is_run(request.cleanup):
            raise Unusable(f"--cleanup {request.cleanup!r}: a run's id has twelve digits of 0-9 and a-f")
        if request.plain is not None or request.against is not None:
            raise Unusable("--cleanup goes with one URL of a Glance, and without --plain")
    if request.plain is not None:
        if (
            not request.plain.startswith("/")
            or not request.plain.isascii()
            or not request.plain.isprintable()
        ):
            raise Unusable(f"--plain {request.plain!r}: a path begins with a slash")
        if "{name}" not in request.plain and request.slow + request.concurrency > 1:
            raise Unusable("--plain: several bodies at once need names, as in --plain '/folder/{name}'")
    if request.token is not None and request.token_file is not None:
        raise Unusable("give one of --token and --token-file")


def _headers(request: Request, environment: Mapping[str, str]) -> dict[str, str]:
    """The token's; with --plain only one that was given for it, for the service is not OpenStack's."""
    token = request.token
    if request.token_file is not None:
        try:
            with request.token_file.open("rb") as file:
                token = file.read(_LONGEST_TOKEN).decode("ascii", "replace").strip()
        except OSError as error:
            raise Unusable(f"--token-file {request.token_file}: {error.strerror}") from None
    elif token is None and request.plain is None:
        token = environment.get("OS_TOKEN") or environment.get("OS_AUTH_TOKEN")
    if not token:
        return {}
    if not token.isascii() or not token.isprintable() or " " in token:
        raise Unusable("the token has characters that no token has")
    return {"X-Auth-Token": token}


def _trust(ca_file: Path | str | None) -> ssl.SSLContext | None:
    if not ca_file:
        return None
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise Unusable(f"--cacert {ca_file}: {error.strerror or error}") from None


def _each(option: str, parse: Callable[[str], Value], texts: Iterable[str]) -> list[Value]:
    # Twice the same would be measured twice under one name.
    return list(dict.fromkeys(_value(option, parse, text) for text in texts))


def _value(option: str, parse: Callable[[str], Value], text: str) -> Value:
    try:
        return parse(text)
    except ValueError as error:
        raise Unusable(f"{option} {error}".strip()) from None


def _size(text: str) -> int:
    found = parse_size(text)
    if found < SMALLEST:
        raise ValueError(f"{text}: an image has at least {SMALLEST} bytes here, for it has to be known again")
    return found


def _chunk(text: str) -> int | None:
    if text == LENGTH:
        return None
    found = parse_size(text)
    if not 0 < found <= LARGEST_CHUNK:
        raise ValueError(f"{text}: a chunk has 1B to 64MiB; or write {LENGTH!r} for no chunks at all")
    return found


def _positive(rate: int) -> int:
    if not rate:
        raise Unusable("--slow-rate: must be more than 0")
    return rate
