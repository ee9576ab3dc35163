"""What check says of a certificate, at any time of its life."""

import datetime as dt
import re

import pytest
from cryptography import x509

from shim.findings import Level
from shim.server.certificates import TlsFiles
from shim.server.validity import inspect_certificate
from tests.fakes.certificates import make_authority, make_certificate


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A certificate of two days from now on."""
    folder = tmp_path_factory.mktemp("identity")
    make_authority(folder)
    for name in ("one", "two"):
        _, key = make_certificate(folder, name, f"DNS:{name}")
        key.chmod(0o640)
    return folder


def inspect(made, later=dt.timedelta(0), key="one.key", client_ca=None):
    """What is said some time after the certificate was made, however long ago that was."""
    files = TlsFiles(made / "one.pem", made / key, client_ca and made / client_ca)
    begins = x509.load_pem_x509_certificate(files.certificate.read_bytes()).not_valid_before_utc
    return list(inspect_certificate(files, begins + later))


@pytest.mark.parametrize(
    ("later", "level", "told"),
    [
        (dt.timedelta(days=-1), Level.FAULT, "not valid before"),
        (dt.timedelta(days=3), Level.FAULT, "expired on"),
        (dt.timedelta(minutes=5), Level.WARNING, "expires on"),
    ],
)
def test_dates(made, later, level, told):
    (finding,) = inspect(made, later)
    assert finding.level is level
    assert told in finding.text
    assert re.search(r"\d{4}-\d\d-\d\d", finding.text)


def test_a_good_one(made, monkeypatch):
    monkeypatch.setattr("shim.server.validity.SOON", dt.timedelta(hours=1))
    (finding,) = inspect(made, dt.timedelta(minutes=5), client_ca="authority.pem")
    assert finding.level is Level.FINE
    assert "asks clients for theirs" in finding.text


def test_a_pair_that_does_not_fit(made):
    (finding,) = inspect(made, key="two.key")
    assert finding.level is Level.FAULT
    assert "is not the key of" in finding.text


def test_a_key_that_others_may_read(made):
    (made / "one.key").chmod(0o644)
    try:
        *_, finding = inspect(made)
    finally:
        (made / "one.key").chmod(0o640)
    assert (finding.level, "chmod" in finding.text) == (Level.WARNING, True)
