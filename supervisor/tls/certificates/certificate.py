"""`Certificate`: the files of a certificate and its key, read, and checked as a client would before anybody is shown them.

Named by the settings; read by the supervisor at the start and before a reload, to say what is wrong with them. What they said
when they were good is a `Pem`, which terminators are given: it is there whatever becomes of the files.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from wspulse.supervisor.errors import StartError
from wspulse.supervisor.tls.certificates.pem import PasswordWantedError, Pem

__all__ = ["Certificate", "ExpiredError"]

_TOO_EARLY, _EXPIRED = 9, 10
"""OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED."""


class ExpiredError(StartError):
    """The certificate has expired, and else could be used."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """See the module."""

    certificate: str
    """The path of the server's certificate and those that lead from it to an authority, in PEM."""
    key: str
    """The path of its private key, in PEM, without a password."""

    def read(self) -> Pem:
        """What the files say, which may have expired. Raises StartError for files that cannot be used."""
        certificate, key = _read("--tls-cert", self.certificate), _read("--tls-key", self.key)
        pem = Pem(certificate, key)
        try:
            pem.context()
        except PasswordWantedError:
            raise StartError(f"--tls-key: the key in {self.key} has a password; give one without") from None
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                text = f"the key in {self.key} does not belong to the certificate in {self.certificate}"
                raise StartError(f"--tls-key: {text}") from None
            raise self._unusable(error) from None
        return pem

    def valid_until(self, pem: Pem) -> datetime:
        """When what the files said expires. Raises ExpiredError where it has, and StartError where it is not valid yet."""
        trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        trusting.check_hostname = False
        trusting.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        try:
            # What stands beside the blocks may be of any language.
            trusting.load_verify_locations(cadata=pem.certificate.decode("ascii", "ignore"))
        except ssl.SSLError as error:
            raise self._unusable(error) from None
        to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
        server = pem.context().wrap_bio(to_server, to_client, server_side=True)
        client = trusting.wrap_bio(to_client, to_server)
        try:
            for _ in range(4):
                for side in (client, server):
                    try:
                        side.do_handshake()
                    except ssl.SSLWantReadError:
                        pass
        except ssl.SSLCertVerificationError as error:
            if error.verify_code == _EXPIRED:
                raise ExpiredError(f"--tls-cert: the certificate in {self.certificate} has expired") from None
            if error.verify_code == _TOO_EARLY:
                raise StartError(f"--tls-cert: the certificate in {self.certificate} is not valid yet") from None
            raise StartError(f"--tls-cert: {self.certificate}: {error.verify_message}") from None
        except ssl.SSLError as error:
            raise StartError(f"--tls-cert: {self.certificate}: {error.reason or error}") from None
        shown = client.getpeercert()
        assert shown
        return datetime.fromtimestamp(ssl.cert_time_to_seconds(str(shown["notAfter"])), UTC)

    def _unusable(self, error: ssl.SSLError) -> StartError:
        text = f"{self.certificate} and {self.key} are not a certificate and its key in PEM"
        return StartError(f"--tls-cert: {text}" + (f" ({error.reason})" if error.reason else ""))


def _read(flag: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise StartError(f"{flag}: {path} cannot be read: {error.strerror}") from None
