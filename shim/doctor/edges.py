"""The edges that strangers touch: who is believed about a client, who may read secrets or change state."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from shim.config.load import Loaded
from shim.config.settings import Settings
from shim.errors import DiskError
from shim.findings import Finding, Level
from shim.ledger.state import open_directory
from shim.server.addresses import ListenAddress, TcpAddress, UnixAddress
from shim.spool.inspect import is_directory

# Wider networks than these are nobody's own proxies: a class A net, and what a provider gets of IPv6.
_WIDEST = {4: 8, 6: 32}
_SECRETS = (("admin", "token"), ("glance", "service_auth", "password"), ("limits", "shared"))


def inspect_trust(settings: Settings) -> Iterator[Finding]:
    """Whether those who are believed can be only proxies; and whether there is one that is not."""
    server = settings.server
    for network in server.trusted.networks:
        if network.prefixlen < _WIDEST[network.version]:
            text = (
                f"{network} is more than anybody's own proxies: whoever connects from there chooses the "
                "address that it is known and limited by"
            )
            yield Finding(Level.WARNING, text, "server.trusted_proxies = the addresses of your proxies alone")
    if all(_is_here(place) for place in server.listen) and not server.trusted_proxies:
        text = (
            "only this machine reaches server.listen. If a proxy on it stands in front, it is not believed: "
            "all clients have its address, and Glance's links say http"
        )
        yield Finding(Level.NOTE, text, 'server.trusted_proxies = ["127.0.0.1/32"], or ["unix"]')


def _is_here(place: ListenAddress) -> bool:
    """Whether only this machine reaches it; what a descriptor from the parent is bound to is not known."""
    return isinstance(place, UnixAddress) or (isinstance(place, TcpAddress) and place.is_loopback)


def inspect_state(directory: Path) -> Finding:
    """Whether the shim can have its state directory for itself; it is not made here.

    Whoever runs ``check`` may be another user than the shim's, and would leave it one that it refuses.
    """
    if not is_directory(directory):
        if os.access(directory.parent, os.W_OK | os.X_OK):
            return Finding(Level.FINE, f"{directory} will be made")
        text = f"{directory} is not there, or not for this user, who cannot make it either"
        return Finding(Level.FAULT, text, "server.state_directory, or RuntimeDirectory in the unit")
    owner = directory.stat().st_uid
    if os.geteuid() == 0 and owner != 0:
        text = f"{directory} belongs to uid {owner}: only a shim of that user can have it"
        return Finding(Level.NOTE, text)
    try:
        os.close(open_directory(directory))
    except DiskError as error:
        return Finding(Level.FAULT, error.for_operator)
    return Finding(Level.FINE, f"{directory} is this user's alone")


def inspect_user(user: int) -> Iterator[Finding]:
    """What root sees of files and sockets says nothing about the shim's user."""
    if user == 0:
        text = "this is root, who may do everything: whether the shim's user may, only a check by it tells"
        yield Finding(Level.NOTE, text, "sudo -u glance-shim glance-shim check … instead")


def inspect_secrets(loaded: Loaded, config: Path | None) -> Iterator[Finding]:
    """Whether a configuration file that holds a secret can be read by others."""
    if config is None:
        return
    held = [".".join(path) for path in _SECRETS if loaded.source(path) == str(config)]
    shared = loaded.settings.limits.shared
    if shared is None or not shared.password:
        # Only an address.
        held = [name for name in held if name != "limits.shared"]
    mode = config.stat().st_mode
    if held and mode & stat.S_IRWXO:
        text = f"{config} holds {' and '.join(held)}, and others may read it (mode {stat.S_IMODE(mode):04o})"
        yield Finding(Level.WARNING, text, f"chmod 640 {config}, or the secret in the environment")
