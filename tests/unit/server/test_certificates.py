"""The server's certificate: a faulty one says why, and what is in force stays until a better one comes."""

import asyncio
import shutil
import ssl
import subprocess

import pytest

from shim.server.certificates import CertificateFault, ServerCertificate, TlsFiles, make_context
from tests.fakes.certificates import make_authority, make_certificate


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An authority, two certificates of it, and keys that are of no use."""
    folder = tmp_path_factory.mktemp("identity")
    make_authority(folder)
    make_certificate(folder, "one", "DNS:one")
    make_certificate(folder, "two", "DNS:two")
    openssl = ["openssl", "pkey", "-in", folder / "one.key", "-aes128", "-passout", "pass:secret"]
    subprocess.run([*openssl, "-out", folder / "locked.key"], check=True, capture_output=True)
    subprocess.run(
        ["openssl", "genpkey", "-algorithm", "ed25519", "-out", folder / "other.key"],
        check=True,
        capture_output=True,
    )
    (folder / "text").write_text("no PEM\n")
    return folder


def files_of(folder, certificate="one.pem", key="one.key", client_ca=None):
    return TlsFiles(folder / certificate, folder / key, client_ca and folder / client_ca)


FAULTS = [
    ({"certificate": "gone"}, "gone: cannot be read: No such file"),
    ({"key": "gone"}, "gone: cannot be read: No such file"),
    ({"client_ca": "gone"}, "gone: cannot be read: No such file"),
    ({"certificate": "."}, "cannot be read: Is a directory"),
    ({"certificate": "text"}, "text: holds no certificate"),
    ({"key": "text"}, "text: holds no private key"),
    ({"client_ca": "text"}, "text: holds no certificate"),
    ({"certificate": "one.key"}, "one.key: holds no certificate"),
    ({"key": "one.pem"}, "one.pem: holds no private key"),
    ({"key": "two.key"}, "two.key: is not the key of .*one.pem"),
    ({"key": "other.key"}, "other.key: is not the key of .*one.pem"),
    ({"key": "locked.key"}, "locked.key: has a passphrase"),
]


@pytest.mark.parametrize(("given", "told"), FAULTS)
def test_what_cannot_be_used_says_why(made, given, told):
    with pytest.raises(CertificateFault, match=told):
        make_context(files_of(made, **given))


def test_modern_defaults(made):
    context = make_context(files_of(made))
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert context.options & ssl.OP_NO_COMPRESSION
    assert context.verify_mode is ssl.CERT_NONE
    assert make_context(files_of(made, client_ca="authority.pem")).verify_mode is ssl.CERT_REQUIRED


@pytest.fixture
def in_force(made, tmp_path):
    for name in ("one", "two"):
        for kind in ("pem", "key"):
            shutil.copy(made / f"{name}.{kind}", tmp_path)
    return ServerCertificate(TlsFiles(tmp_path / "one.pem", tmp_path / "one.key"))


def replace(folder, kind):
    (folder / f"two.{kind}").replace(folder / f"one.{kind}")


def test_a_renewed_pair_is_taken(in_force, tmp_path):
    before = in_force.context
    replace(tmp_path, "pem")
    replace(tmp_path, "key")
    in_force.reload_if_changed()
    assert in_force.context is before, "it may still be written"
    in_force.reload_if_changed()
    assert in_force.context is not before
    after = in_force.context
    in_force.reload_if_changed()
    assert in_force.context is after, "what has not changed is not loaded"


def test_half_a_pair_is_refused_aloud_and_the_old_one_stays(in_force, tmp_path, caplog):
    before = in_force.context
    replace(tmp_path, "pem")
    for _ in range(5):
        in_force.reload_if_changed()
    assert in_force.context is before
    (line,) = [line for line in caplog.records if line.levelname == "ERROR"]
    assert "the old certificate stays in force" in line.getMessage()
    assert "is not the key of" in line.getMessage()
    replace(tmp_path, "key")
    for _ in range(2):
        in_force.reload_if_changed()
    assert in_force.context is not before


def test_files_that_are_gone_are_refused_too(in_force, tmp_path, caplog):
    before = in_force.context
    (tmp_path / "one.key").unlink()
    assert in_force.reload() is False
    assert in_force.context is before
    assert "one.key: cannot be read" in caplog.text


def test_a_file_that_goes_while_it_is_loaded(in_force, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("shim.server.certificates._check_readable", lambda path: None)
    (tmp_path / "one.pem").unlink()
    assert in_force.reload() is False
    assert "cannot be read: No such file" in caplog.text


def test_reload_on_demand(in_force, tmp_path):
    before = in_force.context
    assert in_force.reload() is True
    assert in_force.context is not before


def test_it_is_watched(in_force, tmp_path):
    async def story():
        before = in_force.context
        watching = asyncio.ensure_future(in_force.watch(0.001))
        replace(tmp_path, "pem")
        replace(tmp_path, "key")
        async with asyncio.timeout(30):
            while in_force.context is before:
                await asyncio.sleep(0.001)
        watching.cancel()
        await asyncio.wait([watching])
        assert watching.cancelled()

    asyncio.run(story())
