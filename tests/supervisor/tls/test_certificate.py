"""A certificate's files: what is wrong with them is said before anybody is shown them."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from tests.support.http.authority import Authority
from wspulse.supervisor.errors import StartError
from wspulse.supervisor.tls.certificate import Certificate


def good(folder: Path, expires: datetime | None = None) -> Certificate:
    folder.mkdir(exist_ok=True)
    return Certificate(*map(str, Authority().certificate(folder, expires=expires)))


def number_of(context: ssl.SSLContext) -> object:
    """Of the certificate that a context shows, which no other of these tests has."""
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = trusting.wrap_bio(to_client, to_server), context.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in sides:
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                pass
    return sides[0].getpeercert(binary_form=True)


def test_good_one_is_shown_over_tls_of_1_2_at_least(tmp_path: Path) -> None:
    expires = datetime(2090, 1, 2, tzinfo=UTC)
    certificate = good(tmp_path, expires)
    context = certificate.context()
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert certificate.valid_until(context) == expires


def test_one_that_has_expired_is_refused(tmp_path: Path) -> None:
    certificate = good(tmp_path, datetime.now(UTC) - timedelta(days=1))
    with pytest.raises(StartError, match=rf"--tls-cert: the certificate in {certificate.certificate} has expired$"):
        certificate.context()


def test_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    one, other = good(tmp_path / "a"), good(tmp_path / "b")
    with pytest.raises(
        StartError, match=r"--tls-key: the key in .*/b/key.pem does not belong to the certificate in .*/a/"
    ):
        Certificate(one.certificate, other.key).context()


def test_files_that_are_not_there_or_hold_something_else_are_refused(tmp_path: Path) -> None:
    certificate = good(tmp_path)
    junk = tmp_path / "junk"
    junk.write_text("not PEM")
    for cert, key, problem in (
        ("nowhere", certificate.key, "--tls-cert: nowhere cannot be read: No such file or directory"),
        (certificate.certificate, "nowhere", "--tls-key: nowhere cannot be read: No such file or directory"),
        (str(junk), certificate.key, "--tls-cert: .* are not a certificate and its key in PEM"),
        (certificate.certificate, str(junk), "--tls-cert: .* are not a certificate and its key in PEM"),
        (certificate.certificate, certificate.certificate, "--tls-cert: .* are not a certificate and its key in PEM"),
        (str(tmp_path), certificate.key, "--tls-cert: .* cannot be read: Is a directory"),
    ):
        with pytest.raises(StartError, match=problem):
            Certificate(cert, key).context()


def test_key_with_a_password_is_refused_without_asking_the_terminal(tmp_path: Path) -> None:
    certificate = good(tmp_path)
    key = Path(certificate.key)
    loaded = load_pem_private_key(key.read_bytes(), None)
    locked = loaded.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    key.write_bytes(locked)
    with pytest.raises(StartError, match=r"--tls-key: the key in .* has a password; give one without"):
        certificate.context()


def test_context_in_use_shows_another_from_then_on_or_stays_as_it_was(tmp_path: Path) -> None:
    authority = Authority()
    certificate = Certificate(*map(str, authority.certificate(tmp_path)))
    context = certificate.context()
    first = number_of(context)
    authority.certificate(tmp_path)
    certificate.show_from_now_on(context)
    second = number_of(context)
    assert second != first
    (tmp_path / "key.pem").write_bytes(trustme.CA().issue_cert("localhost").private_key_pem.bytes())
    with pytest.raises(StartError, match="does not belong to"):
        certificate.show_from_now_on(context)
    assert number_of(context) == second
    authority.certificate(tmp_path, expires=datetime.now(UTC) - timedelta(days=1))
    with pytest.raises(StartError, match="has expired"):
        certificate.show_from_now_on(context)
    assert number_of(context) == second
