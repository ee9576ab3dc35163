"""``glance-shim bench``: measures a deployment as its clients see it, and leaves nothing behind there.

Reads what was written, runs the plan with a progress bar on standard error, and hands the results to
``bench_terminal``, ``bench_page`` and JSON. Ctrl-C ends it early, with what was made taken away.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

from shim.bench.faults import BenchFault
from shim.bench.leftovers import clean_up
from shim.bench.results import Results, as_values
from shim.bench.runner import Runner
from shim.bench.service import GlanceService, PlainService, Service
from shim.bench.target import open_client
from shim.commands import ENDED_AS_ASKED, FAILED, WRONG_USAGE
from shim.commands.bench_options import Order, Request, read_order
from shim.commands.bench_page import render_page
from shim.commands.bench_terminal import Progress, print_results
from shim.commands.reading import Unusable

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(request: Request, *, environment: Mapping[str, str] = os.environ) -> int:
    """Do what the command line says; the exit status.

    Args:
        request: The command line.
        environment: For OS_TOKEN and OS_CACERT.
    """
    try:
        order = read_order(request, environment)
    except Unusable as error:
        print(f"glance-shim bench: {error}", file=sys.stderr)
        return WRONG_USAGE
    try:
        if request.cleanup is not None:
            return asyncio.run(_clean_up(order, request.cleanup))
        return asyncio.run(_measure(order, request))
    except BenchFault as fault:
        print(f"glance-shim bench: {fault}", file=sys.stderr)
    except OSError as error:
        print(f"glance-shim bench: {error.filename}: {error.strerror}", file=sys.stderr)
    return FAILED


async def _measure(order: Order, request: Request) -> int:
    plan, names = order.plan, [target.url for target in order.targets]
    print(f"run {plan.run}; should it be killed: {_cleaning(request, plan.run)}", file=sys.stderr)
    async with AsyncExitStack() as stack:
        services = await _open(order, stack, plan.run)
        volume = plan.volume(len(services), downloads=services[0].gives_back)
        with Progress(names, volume) as progress, _ending_cancels():
            results = await Runner(plan, services, names, progress).run()
    # First of all: writing a report may fail, and then nobody would know.
    for key, reason in results.left.items():
        print(f"glance-shim bench: {key} stays: {reason}", file=sys.stderr)
    if results.left:
        print(f"Try again with: {_cleaning(request, plan.run)}", file=sys.stderr)
    _tell(results, request)
    return FAILED if results.failures or results.left else ENDED_AS_ASKED


async def _open(order: Order, stack: AsyncExitStack, run: str) -> list[Service]:
    """A service for each target, its connections closed with the stack."""
    services: list[Service] = []
    for target in order.targets:
        client = await stack.enter_async_context(open_client(target, order.headers, order.trust))
        plain = order.plain
        services.append(GlanceService(client, run) if plain is None else PlainService(client, run, plain))
    return services


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
    urls = (request.url, request.against) if request.against else (request.url,)
    return " and ".join(f"glance-shim bench {url} --cleanup {run}" for url in urls)


async def _clean_up(order: Order, run: str) -> int:
    async with AsyncExitStack() as stack:
        (service,) = await _open(order, stack, run)
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
