"""The options of limits that hold over several shims together.

They stand beside the limits of a single shim, not in their place: those hold whether the others are reached
or not.
"""

from typing import Literal

from shim.config import kinds, places
from shim.config.option import Options, option


class CloudOptions(Options):
    """What all shims of a cloud hold together; of effect where limits.shared is set."""

    name: places.Name = option(
        "default",
        "Which shims belong together: those with the same name on the same server. Several clouds can share "
        "a server.",
    )
    max_uploads: kinds.CountLimit = option(
        "unlimited",
        "Bodies over 64 KiB under way in all shims together; one more is answered with 503 and Retry-After. "
        "limits.max_uploads is one shim's, and holds besides.",
    )
    max_uploads_per_project: kinds.CountLimit = option(
        "unlimited",
        "Those of one project among them, on whichever shim; one more is answered with 429 and Retry-After.",
    )
    max_spool_per_project: kinds.SizeLimit = option(
        "unlimited",
        "Bytes that one project's bodies over 64 KiB spool in all shims together; one that does not fit is "
        "answered with 429 and Retry-After. spool.max_total and spool.max_per_project are about one disk.",
    )
    on_loss: Literal["local", "refuse"] = option(
        "local",
        "What becomes of new uploads while the server is away: local lets in what the limits of this shim "
        "alone let in; refuse answers 503. Uploads under way go on in any case.",
    )
    lease: kinds.Wait = option(
        "30s",
        "How long the server counts what a shim holds after it was last heard of: what a shim that died held "
        "is free by then. Each declares all it holds three times in that time.",
    )
    timeout: kinds.Wait = option(
        "0.5s",
        "How long the server may take for one answer, a new connection included, before it counts as away. "
        "An upload waits for two answers at most, and for none once the server is away.",
    )
    password_file: places.Directory | None = option(
        None,
        "A file with the server's password, read anew for each connection; in place of one in the URL.",
        example="/etc/glance-shim/valkey-password",
    )
    ca_file: places.Directory | None = option(
        None,
        "For rediss://: who signed the server's certificate, as PEM; by default whom the system trusts.",
        example="/etc/ssl/certs/cloud.pem",
    )
