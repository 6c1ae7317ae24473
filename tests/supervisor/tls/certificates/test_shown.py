"""The certificate that a terminator shows, and how it is shown."""

from __future__ import annotations

import ssl
from datetime import datetime
from pathlib import Path

import pytest
import trustme

from wspulse.supervisor.tls.certificates.pem import Pem
from wspulse.supervisor.tls.certificates.shown import Shown

AUTHORITY = trustme.CA()


def issued(kind: trustme.KeyType) -> Pem:
    made = AUTHORITY.issue_cert("localhost", key_type=kind, not_after=datetime(2090, 1, 2))  # noqa: DTZ001
    return Pem(b"".join(blob.bytes() for blob in made.cert_chain_pems), made.private_key_pem.bytes())


def shake_hands(
    shown: Shown, *, name: str | None = "localhost", newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> ssl.SSLObject:
    """A client's side of it, after a handshake."""
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    trusting.set_alpn_protocols(["h2", "http/1.1"])
    trusting.maximum_version = newest
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting.wrap_bio(to_client, to_server, server_hostname=name)
    server = shown.context.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                pass
    return client


def first_of(pem: Pem) -> bytes:
    text = pem.certificate.decode()
    return ssl.PEM_cert_to_DER_cert(text[: text.index("-----END CERTIFICATE-----") + 26])


@pytest.mark.parametrize("name", ["localhost", None])
@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_newest_certificate_is_shown_whatever_the_kind_of_its_key(name: str | None, newest: ssl.TLSVersion) -> None:
    kinds = (trustme.KeyType.RSA, trustme.KeyType.ECDSA, trustme.KeyType.RSA, trustme.KeyType.RSA)
    pems = [issued(kind) for kind in kinds]
    shown = Shown(pems[0])
    for number, pem in enumerate(pems):
        if number:
            shown.show(pem)
        client = shake_hands(shown, name=name, newest=newest)
        assert client.getpeercert(binary_form=True) == first_of(pem)
        assert client.selected_alpn_protocol() == "http/1.1"


def test_one_that_cannot_be_shown_changes_nothing() -> None:
    first, other = issued(trustme.KeyType.ECDSA), issued(trustme.KeyType.ECDSA)
    shown = Shown(first)
    with pytest.raises(ssl.SSLError):
        shown.show(Pem(other.certificate, first.key))
    assert shake_hands(shown).getpeercert(binary_form=True) == first_of(first)


def test_client_can_make_nobody_compute_a_new_key_and_speaks_tls_of_1_2_at_least() -> None:
    context = issued(trustme.KeyType.ECDSA).context()
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_key_is_not_in_the_text_of_what_holds_it(tmp_path: Path) -> None:
    pem = issued(trustme.KeyType.ECDSA)
    assert "PRIVATE" not in repr(pem)


def test_system_without_files_in_memory_shows_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("os.memfd_create", raising=False)
    pem = issued(trustme.KeyType.ECDSA)
    assert shake_hands(Shown(pem)).getpeercert(binary_form=True) == first_of(pem)
