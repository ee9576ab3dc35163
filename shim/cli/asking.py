"""The commands that ask a running shim, through its admin listener: ``top`` and ``uploads``.

They take where to ask and what opens the door, and need no configuration of their own.
"""
# ruff: noqa: PLC0415 - as in all modules of this room: a command's work is imported when it is called

from typing import Annotated

import typer

from shim.cli.flags import Admin, Config, TokenFile


def top(admin: Admin = None, token_file: TokenFile = None, config: Config = None) -> None:
    """Watch uploads, spool and servers.

    The status page in a terminal. Keys: q quits, s sorts, / filters, p pauses, c cancels an upload.
    """
    from shim.commands.admin import AdminFlags
    from shim.commands.top import run

    raise typer.Exit(run(AdminFlags(admin, token_file, config)))


uploads = typer.Typer(name="uploads", help="List the uploads under way, or end one.", rich_markup_mode=None)


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
