"""The command line: which commands there are and what they take.

Each command imports its work when it is called: ``--help`` stays quick, and ``serve`` never loads what
only the demo or a live view needs. The work itself, and the exit statuses, stand in ``commands``.
"""
# ruff: noqa: PLC0415 - imports inside of commands are this module's purpose

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

import shim

app = typer.Typer(
    name="glance-shim",
    help="Gives chunked uploads a length before they reach Glance on a WSGI server.",
    no_args_is_help=True,
    add_completion=False,
    # Plain text: rich costs memory and start-up time in every worker, and its tracebacks show values.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Config: TypeAlias = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="Configuration file, TOML.")
]
Listen: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--listen",
        metavar="ADDR",
        help="Where clients connect: HOST:PORT, [v6]:PORT, unix:/path or fd:N. May be given several times.",
    ),
]
Upstream: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--upstream",
        metavar="URL",
        help="The server behind: http://, https:// or uwsgi://host:port, "
        "http+unix:// or uwsgi+unix:///path.sock.",
    ),
]
Settings: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Any option, as in spool.max_body=8GiB. May be given several times.",
    ),
]


Admin: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--admin",
        metavar="URL",
        help="The admin listener: http://HOST:PORT or unix:/path. By default what admin.listen says.",
    ),
]
TokenFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        metavar="FILE",
        help="Where admin.token stands; else GLANCE_SHIM_ADMIN__TOKEN or the configuration has it.",
    ),
]


def _print_version(asked: bool) -> None:  # noqa: FBT001 - typer calls it with the flag
    if asked:
        typer.echo(f"glance-shim {shim.__version__}")
        raise typer.Exit


@app.callback()
def options(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options that stand before any command."""


@app.command()
def serve(
    config: Config = None, listen: Listen = None, upstream: Upstream = None, settings: Settings = None
) -> None:
    """Run the proxy.

    Needs no file: --upstream alone is enough. SIGTERM and Ctrl-C let requests under way end.
    """
    from shim.commands.serve import run

    raise typer.Exit(run(config=config, listen=listen or [], upstream=upstream, settings=settings or []))


@app.command()
def check(
    *,
    config: Config = None,
    upstream: Upstream = None,
    settings: Settings = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead, for programs.")
    ] = False,
) -> None:
    """Look for faults before a start.

    Tells every fault of the configuration at once, then looks at spool, machine, timeouts and servers, and
    says what each finding means and what to set. Warnings do not change the exit status.
    """
    from shim.commands.check import run

    raise typer.Exit(run(config=config, upstream=upstream, settings=settings or [], as_json=as_json))


@app.command("config")
def print_config(
    *,
    config: Config = None,
    upstream: Upstream = None,
    settings: Settings = None,
    defaults: Annotated[
        bool, typer.Option("--defaults", help="Print all options with their defaults and reasons instead.")
    ] = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema instead.")] = False,
    explain: Annotated[
        tuple[str, str] | None,
        typer.Option("--explain", metavar="METHOD PATH", help="Tell which route a request takes, and why."),
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option("--header", metavar="'NAME: VALUE'", help="A header of that request; may be repeated."),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option("--size", metavar="SIZE", help='The size it declares, as in 10GiB, or "unknown".'),
    ] = None,
) -> None:
    """Print the configuration in force.

    It is TOML, each value with where it came from.
    """
    from shim.commands.config import View, run

    if defaults + schema + bool(explain) > 1:
        raise typer.BadParameter("give one of --defaults, --schema and --explain")
    if (header or size) and not explain:
        raise typer.BadParameter("--header and --size describe the request of --explain")
    if explain:
        from shim.commands.explain import run as explain_route

        status = explain_route(
            config=config,
            upstream=upstream,
            settings=settings or [],
            request=explain,
            headers=header or [],
            size=size,
        )
        raise typer.Exit(status)
    view = View.DEFAULTS if defaults else View.SCHEMA if schema else View.EFFECTIVE
    raise typer.Exit(run(config=config, upstream=upstream, settings=settings or [], view=view))


@app.command()
def demo(
    *,
    once: Annotated[
        bool, typer.Option("--once", help="End after the upload; 0 only if the image arrived whole.")
    ] = False,
) -> None:
    """Upload to a real Glance, without the shim and with it.

    First straight at uWSGI, which fails, then through the shim, which works; then it stays up to look at.
    """
    from shim.commands.demo import run

    raise typer.Exit(run(once=once))


@app.command()
def top(admin: Admin = None, token_file: TokenFile = None, config: Config = None) -> None:
    """Watch uploads, spool and servers.

    The status page in a terminal. Keys: q quits, s sorts, / filters, p pauses, c cancels an upload.
    """
    from shim.commands.admin import AdminFlags
    from shim.commands.top import run

    raise typer.Exit(run(AdminFlags(admin, token_file, config)))


uploads = typer.Typer(name="uploads", help="List the uploads under way, or end one.", rich_markup_mode=None)
app.add_typer(uploads)


@uploads.callback(invoke_without_command=True)
def list_uploads(
    context: typer.Context,
    *,
    admin: Admin = None,
    token_file: TokenFile = None,
    config: Config = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print them as JSON, for programs.")] = False,
) -> None:
    """List the uploads under way, or end one.

    Without a command they are listed, the oldest first.
    """
    from shim.commands.admin import AdminFlags

    context.obj = AdminFlags(admin, token_file, config)
    if context.invoked_subcommand is not None:
        return
    from shim.commands.uploads import run

    raise typer.Exit(run(context.obj, as_json=as_json))


@uploads.command("cancel")
def cancel_upload(
    context: typer.Context,
    upload: Annotated[
        str,
        typer.Argument(metavar="ID", help="The upload's key, or its request id where it is the only one."),
    ],
    *,
    admin: Admin = None,
    token_file: TokenFile = None,
    config: Config = None,
) -> None:
    """End an upload.

    Its client is answered 403 "cancelled". Needs admin.token, or an admin listener on a unix socket.
    """
    from shim.commands.admin import AdminFlags
    from shim.commands.uploads import cancel

    # Before the word or after it: people write them where they think of them.
    before: AdminFlags = context.obj
    flags = AdminFlags(admin or before.admin, token_file or before.token_file, config or before.config)
    raise typer.Exit(cancel(flags, upload))


@app.command()
def capacity(
    *,
    per_hour: Annotated[
        float | None, typer.Option(metavar="N", help="Uploads that begin in an hour.")
    ] = None,
    at_once: Annotated[
        float | None, typer.Option(metavar="N", help="Uploads under way at once, instead of --per-hour.")
    ] = None,
    size: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SIZE[*WEIGHT]",
            help="An image's size, and how often it comes. May be given several times.",
        ),
    ] = None,
    median: Annotated[str, typer.Option(metavar="SIZE", help="Without --size: half are larger.")] = "1GiB",
    upper: Annotated[str, typer.Option(metavar="SIZE", help="Without --size: 1 of 20 is larger.")] = "10GiB",
    largest: Annotated[str, typer.Option(metavar="SIZE", help="Without --size: none is larger.")] = "200GiB",
    client: Annotated[str, typer.Option(metavar="RATE", help="What one client sends.")] = "10MiB/s",
    server: Annotated[
        str, typer.Option(metavar="RATE", help="What one worker takes in; Glance does 50 to 80MiB/s.")
    ] = "60MiB/s",
    answer: Annotated[
        str, typer.Option(metavar="DURATION", help="How long a worker is busy after the last byte.")
    ] = "1s",
    known: Annotated[
        float,
        typer.Option(
            metavar="PART", min=0, max=1, help="Part of the uploads whose length is known before the body."
        ),
    ] = 1.0,
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, max=1_000_000, help="Workers of all servers; else as many as are needed."
        ),
    ] = None,
    waits: Annotated[
        float,
        typer.Option(
            metavar="PART", min=1e-6, max=0.99, help="Part of the uploads that may wait for a worker."
        ),
    ] = 0.05,
    confidence: Annotated[
        float,
        typer.Option(
            metavar="PART", min=0.5, max=0.999999, help="Part of the time that peaks are to hold for."
        ),
    ] = 0.999,
    upload_share: Annotated[
        float, typer.Option(metavar="PART", min=0.01, max=1, help="upstreams.NAME.upload_share.")
    ] = 0.75,
    shim_rate: Annotated[str, typer.Option(metavar="RATE", help="What one shim takes in.")] = "400MiB/s",
    shim_uploads: Annotated[
        int,
        typer.Option(metavar="N", min=1, help="Uploads that one shim may have at once (limits.max_uploads)."),
    ] = 1000,
    spare: Annotated[int, typer.Option(metavar="N", min=0, help="Shims that may be down.")] = 1,
    simulate: Annotated[bool, typer.Option("--simulate", help="Also simulate it, event by event.")] = False,
    table: Annotated[
        bool, typer.Option("--table", help="The same load from 3 to 10,000 at once, in Markdown.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print it for programs.")] = False,
) -> None:
    """Tell what an installation needs.

    Workers, shims and spool for a load: with cut-through, spooled whole, and without the shim.
    """
    from shim.capacity.plan import Premises
    from shim.commands.capacity import Request, run

    premises = Premises(
        waits=waits,
        confidence=confidence,
        upload_share=upload_share,
        workers=workers,
        uploads=shim_uploads,
        spare=spare,
    )
    request = Request(
        per_hour=per_hour,
        # The table has numbers of its own, for which any load will do.
        at_once=1.0 if table and per_hour is None else at_once,
        size=size or [],
        median=median,
        upper=upper,
        largest=largest,
        client=client,
        server=server,
        answer=answer,
        known=known,
        premises=premises,
        shim_rate=shim_rate,
    )
    raise typer.Exit(run(request, table=table, simulated=simulate, as_json=as_json))


@app.command()
def bench(
    url: Annotated[str, typer.Argument(metavar="URL", help="What is measured: http(s)://, http+unix://.")],
    *,
    against: Annotated[
        str | None, typer.Option(metavar="URL", help="A second one, measured in turns with the first.")
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(metavar="TOKEN", help="Seen by other users: rather --token-file or OS_TOKEN."),
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A file that holds the token.")
    ] = None,
    cacert: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Authorities to trust, PEM. Else OS_CACERT.")
    ] = None,
    size: Annotated[
        list[str] | None,
        typer.Option(metavar="SIZE", help="Of an image. May be given several times. [default: 64MiB]"),
    ] = None,
    chunk: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SIZE|length",
            help="Of a chunk; length: declared instead. May be given several times. [default: 1MiB]",
        ),
    ] = None,
    count: Annotated[
        int, typer.Option(metavar="N", min=1, max=10_000, help="Rounds of each size and framing.")
    ] = 5,
    concurrency: Annotated[int, typer.Option(metavar="N", min=1, max=1000, help="Uploads at once.")] = 1,
    slow: Annotated[int, typer.Option(metavar="N", min=0, max=1000, help="Slow clients beside them.")] = 0,
    slow_rate: Annotated[str, typer.Option(metavar="RATE", help="What each of these sends.")] = "1MiB/s",
    askers: Annotated[
        int,
        typer.Option(
            metavar="N", min=0, max=100, help="Clients beside them that list images, 10 times a second."
        ),
    ] = 1,
    declare: Annotated[
        bool, typer.Option("--declare", help="Say the size of chunked bodies too, as glance --file does.")
    ] = False,
    plain: Annotated[
        str | None,
        typer.Option(
            metavar="PATH", help="For a service that is not Glance: PUT to this path, {name} differing."
        ),
    ] = None,
    cleanup: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="Only delete what a killed run left; it told RUN when it began."),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the figures there, as JSON.")
    ] = None,
    page_file: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a page with plots there.")
    ] = None,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Report a round that fails, and do the others.")
    ] = False,
) -> None:
    """Measure your own deployment.

    Uploads private images of its own, compares what arrived, and deletes them: also after Ctrl-C or a fault.
    """
    from shim.commands.bench import run
    from shim.commands.bench_options import Request

    request = Request(
        url=url,
        against=against,
        token=token,
        token_file=token_file,
        ca_file=cacert,
        size=size or [],
        chunk=chunk or [],
        count=count,
        concurrency=concurrency,
        slow=slow,
        slow_rate=slow_rate,
        askers=askers,
        declare=declare,
        plain=plain,
        cleanup=cleanup,
        json_file=json_file,
        page_file=page_file,
        keep_going=keep_going,
    )
    raise typer.Exit(run(request))


def main() -> None:
    """Run the command line; leaves with the exit status."""
    app(prog_name="glance-shim")
