"""The client of a cluster's NATS servers, and what is said when there can be none."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nkeys
import pytest
import trustme

from tests.support.eventually import eventually
from tests.support.processes.nats_servers import nats_servers
from wspulse.supervisor.cluster import connection
from wspulse.supervisor.cluster.connection import connect
from wspulse.supervisor.cluster.errors import ClusterError


async def refusal(*urls: str, credentials: Path | None = None, timeout_s: float = 5.0, wait: bool = False) -> str:
    """What is said instead of connecting."""
    with pytest.raises(ClusterError) as raised:
        await connect(urls, credentials=credentials, timeout_s=timeout_s, wait=wait)
    return str(raised.value)


async def test_connects_to_the_server_that_accepts(tmp_path: Path) -> None:
    with nats_servers(tmp_path) as servers, nobody() as url:
        client = await connect([url, *servers.urls])
        assert client.is_connected
        await client.close()


async def test_no_server_is_said_and_passwords_are_not() -> None:
    with nobody() as url:
        said = await refusal(url.replace("//", "//somebody:secret@"), timeout_s=0.3)
    assert f"no NATS server accepts at {url} within 0.3 s" in said
    assert "secret" not in said


async def test_server_is_waited_for_where_that_is_asked_and_the_log_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with nats_servers(tmp_path) as servers:
        servers.kill(0)
        connecting = asyncio.create_task(connect(servers.urls, timeout_s=0.01, wait=True))
        done, _ = await asyncio.wait([connecting], timeout=0.7)
        assert not done
        assert caplog.messages == ["NATS cannot be reached yet, and is waited for"]
        servers.start(0)
        client = await connecting
        assert client.is_connected
        await client.close()


async def test_cancelled_waiting_leaves_nothing() -> None:
    with nobody() as url:
        connecting = asyncio.create_task(connect([url], wait=True))
        await asyncio.wait([connecting], timeout=0.05)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting


@pytest.mark.parametrize("url", ["", "10.0.0.1:4222", "http://10.0.0.1", "nats://", "nats://host:port", "ws://host:80"])
async def test_address_that_is_none_is_refused_at_once(url: str) -> None:
    assert "is no address of a NATS server" in await refusal(url, wait=True)


async def test_refused_credentials_are_said_at_once(tmp_path: Path) -> None:
    options = 'authorization { user: "somebody", password: "secret" }'
    with nats_servers(tmp_path, options=options) as servers:
        url = servers.urls[0]
        for wrong in (url, url.replace("//", "//somebody:wrong@")):
            assert f"NATS at {url} refuses these credentials" in await refusal(wrong, wait=True)
        client = await connect([url.replace("//", "//somebody:secret@")])
        await client.close()


async def test_server_that_is_too_old_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "OLDEST", (99, 1))
    with nats_servers(tmp_path) as servers:
        said = await refusal(*servers.urls)
    assert "the NATS server is too old (nats server v2." in said
    assert "must be 99.1 or newer" in said


async def test_credentials_that_cannot_be_read_are_said(tmp_path: Path) -> None:
    assert "cannot be read" in await refusal("nats://host", credentials=tmp_path / "missing")
    (tmp_path / "other").write_text("something else")
    assert "holds no NATS credentials" in await refusal("nats://host", credentials=tmp_path / "other")


async def test_credentials_file_is_used(tmp_path: Path) -> None:
    options, credentials = with_an_operator(tmp_path)
    with nats_servers(tmp_path, options=options) as servers:
        client = await connect(servers.urls, credentials=credentials)
        await client.close()
        assert "refuses these credentials" in await refusal(*servers.urls)


async def test_tls_is_spoken_with_servers_whose_certificate_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "cert.pem")
    options = f'tls {{ cert_file: "{tmp_path}/cert.pem", key_file: "{tmp_path}/cert.pem" }}'
    with nats_servers(tmp_path, options=options) as servers:
        url = servers.urls[0].replace("nats:", "tls:")
        assert "do not agree on TLS" in await refusal(url, wait=True)
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        monkeypatch.setenv(ssl.get_default_verify_paths().openssl_cafile_env, str(tmp_path / "ca.pem"))
        client = await connect([url])
        await client.close()


async def test_server_without_tls_behind_a_tls_address_is_said(tmp_path: Path) -> None:
    with nats_servers(tmp_path) as servers:
        assert "speaks no TLS" in await refusal(servers.urls[0].replace("nats:", "tls:"))


async def test_outage_is_logged_once_and_so_is_its_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with nats_servers(tmp_path) as servers:
        client = await connect(servers.urls)
        with caplog.at_level("INFO", "wspulse.supervisor"):
            servers.kill(0)
            await eventually(lambda: "NATS is away" in caplog.messages, "the outage in the log")
            refused = sum(server.reconnects for server in client._server_pool) + 10
            await eventually(
                lambda: sum(server.reconnects for server in client._server_pool) >= refused, "it tries again and again"
            )
            servers.start(0)
            await eventually(lambda: client.is_connected, "connected again")
            await eventually(lambda: "NATS is back" in caplog.messages, "its end in the log")
            await client.close()
        assert [caplog.messages.count(text) for text in ("NATS is away", "NATS is back")] == [1, 1]
        reasons = [vars(record)["reason"] for record in caplog.records if record.message == "trouble with NATS"]
        assert len(set(reasons)) == len(reasons) <= 3


@contextmanager
def nobody() -> Iterator[str]:
    """The URL of a port that is taken, where nobody accepts."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield f"nats://127.0.0.1:{sock.getsockname()[1]}"


def with_an_operator(folder: Path) -> tuple[str, Path]:
    """Options of a server that trusts an operator of our own, and the credentials of a user of it, as `nsc` writes them."""
    operator, account, system, user = (
        nkeys.from_seed(bytearray(nkeys.encode_seed(os.urandom(32), prefix)))
        for prefix in (
            nkeys.PREFIX_BYTE_OPERATOR,
            nkeys.PREFIX_BYTE_ACCOUNT,
            nkeys.PREFIX_BYTE_ACCOUNT,
            nkeys.PREFIX_BYTE_USER,
        )
    )
    tokens = {key.public_key.decode(): _token(operator, key, "account") for key in (account, system)}
    preload = "\n".join(f'{name}: "{token}"' for name, token in tokens.items())
    options = f"""
        operator: "{_token(operator, operator, "operator")}"
        resolver: MEMORY
        resolver_preload: {{ {preload} }}
        system_account: "{system.public_key.decode()}"
    """
    path = folder / "user.creds"
    path.write_text(
        f"-----BEGIN NATS USER JWT-----\n{_token(account, user, 'user')}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{user.seed.decode()}\n------END USER NKEY SEED------\n"
    )
    return options, path


def _token(issuer: nkeys.KeyPair, subject: nkeys.KeyPair, kind: str) -> str:
    def encode(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).decode().rstrip("=")

    limits: dict[str, object] = {} if kind == "operator" else {"subs": -1, "data": -1, "payload": -1}
    if kind == "account":
        limits = {"limits": {**limits, "conn": -1, "leaf": -1, "imports": -1, "exports": -1, "wildcards": True}}
    claims = {
        "jti": kind,
        "iat": int(time.time()),
        "iss": issuer.public_key.decode(),
        "name": kind,
        "sub": subject.public_key.decode(),
        "nats": {"type": kind, "version": 2, **limits},
    }
    head = {"typ": "JWT", "alg": "ed25519-nkey"}
    text = ".".join(encode(json.dumps(part).encode()) for part in (head, claims))
    return f"{text}.{encode(issuer.sign(text.encode()))}"
