"""`Authority`: a certificate authority made up for a test, and certificates for localhost that it signs."""

from __future__ import annotations

import ssl
from base64 import b64encode
from datetime import datetime
from hashlib import sha256
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

__all__ = ["Authority"]


class Authority:
    """Each one trusts itself alone."""

    def __init__(self) -> None:
        self._authority = trustme.CA()

    def certificate(self, folder: Path, *names: str, expires: datetime | None = None) -> tuple[Path, Path]:
        """Write the files of a new certificate, for localhost if no other `names` are given, and of its key."""
        issued = self._authority.issue_cert(*(names or ("localhost", "127.0.0.1", "::1")), not_after=expires)
        certificate, key = folder / "certificate.pem", folder / "key.pem"
        certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        key.write_bytes(issued.private_key_pem.bytes())
        return certificate, key

    def trusted_by_chromium(self, certificate: Path) -> str:
        """The flag with which it trusts the key of this certificate."""
        key = x509.load_pem_x509_certificate(certificate.read_bytes()).public_key()
        told = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return f"--ignore-certificate-errors-spki-list={b64encode(sha256(told).digest()).decode()}"

    def client_context(self) -> ssl.SSLContext:
        """Of a client that trusts this authority and no other."""
        context = ssl.create_default_context()
        self._authority.configure_trust(context)
        return context

    def file(self, folder: Path) -> Path:
        """The authority's own certificate, for programs that take a file."""
        path = folder / "authority.pem"
        self._authority.cert_pem.write_to_path(path)
        return path
