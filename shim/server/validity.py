"""What ``check`` says of the server's certificate: unreadable, a key that does not fit, from when to when.

The pair is tried as it will be used, by a handshake in memory; the other end of it then tells what it saw.
"""

import datetime as dt
import ssl
import stat
from collections.abc import Iterator

from shim.findings import Finding, Level
from shim.server.certificates import CertificateFault, TlsFiles, make_context

# Renewals by ACME come 30 days ahead: with less left than this, one has failed.
SOON = dt.timedelta(days=14)
# OpenSSL's X509_V_FLAG_NO_CHECK_TIME, for which Python has no name: the dates are looked at here.
_NO_CHECK_TIME = 0x200000


def inspect_certificate(files: TlsFiles, now: dt.datetime) -> Iterator[Finding]:
    """All findings about the files of ``server.tls``; ``now`` has a time zone."""
    try:
        make_context(files)
        dates = _validity(files)
    except CertificateFault as fault:
        yield Finding(Level.FAULT, str(fault))
        return
    yield _inspect_dates(files, *dates, now)
    if files.key.stat().st_mode & (stat.S_IRWXO | stat.S_IWGRP):
        yield Finding(Level.WARNING, f"{files.key}: others may read or change it: chmod 640, or 600")


def _inspect_dates(files: TlsFiles, first: dt.datetime, last: dt.datetime, now: dt.datetime) -> Finding:
    path = files.certificate
    if now > last:
        return Finding(Level.FAULT, f"{path}: expired on {_told(last)}: clients refuse it; renew it")
    if now < first:
        return Finding(
            Level.FAULT, f"{path}: not valid before {_told(first)}: clients refuse it; is the clock right?"
        )
    if last - now < SOON:
        return Finding(Level.WARNING, f"{path}: expires on {_told(last)}: renew it")
    clients = ", and asks clients for theirs" if files.client_ca else ""
    return Finding(Level.FINE, f"{path}: fits its key, is valid until {_told(last)}{clients}")


def _validity(files: TlsFiles) -> tuple[dt.datetime, dt.datetime]:
    """From when to when the certificate is valid."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    try:
        client.load_verify_locations(files.certificate)
        # The certificate itself is what is trusted here, whoever signed it, and whenever.
        client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME
        # Without the authority of clients: this one has no certificate.
        shown = _shake_hands(make_context(TlsFiles(files.certificate, files.key)), client).getpeercert()
    except ssl.SSLError as error:
        why = getattr(error, "verify_message", "") or error.reason or error
        raise CertificateFault(f"{files.certificate}: is no certificate for a server: {why}") from error
    assert shown is not None
    return _date(str(shown["notBefore"])), _date(str(shown["notAfter"]))


def _shake_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> ssl.SSLObject:
    """Let the two talk until the client is content; gives the client's end."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    done: set[ssl.SSLObject] = set()
    # Each message answers one of the other end, so that turns without an end cannot be.
    while ends[0] not in done:
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            done.add(end)
    return ends[0]


def _date(text: str) -> dt.datetime:
    return dt.datetime.fromtimestamp(ssl.cert_time_to_seconds(text), dt.UTC)


def _told(date: dt.datetime) -> str:
    return f"{date:%Y-%m-%d %H:%M} UTC"
