"""A certificate's files: what is wrong with them is said before anybody is shown them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from tests.support.http.authority import Authority
from wspulse.supervisor.errors import StartError
from wspulse.supervisor.tls.certificates.certificate import Certificate, ExpiredError


def good(folder: Path, expires: datetime | None = None) -> Certificate:
    folder.mkdir(exist_ok=True)
    return Certificate(*map(str, Authority().certificate(folder, expires=expires)))


def test_good_one_is_good_until_it_expires(tmp_path: Path) -> None:
    expires = datetime(2090, 1, 2, tzinfo=UTC)
    certificate = good(tmp_path, expires)
    assert certificate.valid_until(certificate.read()) == expires


def test_what_stands_beside_the_blocks_may_be_of_any_language(tmp_path: Path) -> None:
    certificate = good(tmp_path)
    path = Path(certificate.certificate)
    path.write_bytes("subject=CN = bücher.example\n".encode("latin-1") + path.read_bytes())
    assert certificate.valid_until(certificate.read()) > datetime.now(UTC)


def test_one_that_has_expired_is_refused(tmp_path: Path) -> None:
    certificate = good(tmp_path, datetime.now(UTC) - timedelta(days=1))
    pem = certificate.read()
    with pytest.raises(ExpiredError, match=rf"--tls-cert: the certificate in {certificate.certificate} has expired$"):
        certificate.valid_until(pem)


def test_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    one, other = good(tmp_path / "a"), good(tmp_path / "b")
    with pytest.raises(
        StartError, match=r"--tls-key: the key in .*/b/key.pem does not belong to the certificate in .*/a/"
    ):
        Certificate(one.certificate, other.key).read()


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
            Certificate(cert, key).read()


def test_key_with_a_password_is_refused_without_asking_the_terminal(tmp_path: Path) -> None:
    certificate = good(tmp_path)
    key = Path(certificate.key)
    loaded = load_pem_private_key(key.read_bytes(), None)
    locked = loaded.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    key.write_bytes(locked)
    with pytest.raises(StartError, match=r"--tls-key: the key in .* has a password; give one without"):
        certificate.read()
