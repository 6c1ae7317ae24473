"""`connect`: the client of a cluster's NATS servers, with what we ask of it, and its errors as sentences for people.

nats-py would give up after 60 attempts, wait for two seconds between them, and notice a dead server after four minutes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from nats.aio.client import Client

from wspulse.actors.values.log_limit import LogLimit
from wspulse.supervisor.cluster.errors import ClusterError

__all__ = ["connect"]

OLDEST = (2, 11)
"""nats-server since which a message may have a time to live."""

_RECONNECT_WAIT_S = 0.2
_PING_S = 5
_UNANSWERED_PINGS = 2
_DIAL_S = 2
_UNSENT_BYTES = 16 * 1024 * 1024
"""What may wait to be written: as much as a worker may have unacknowledged."""

_logger = logging.getLogger("wspulse.supervisor")


async def connect(
    urls: Sequence[str],
    *,
    credentials: Path | None = None,
    timeout_s: float = 10.0,
    wait: bool = False,
    name: str = "wspulse",
) -> Client:
    """A client that reconnects for ever. `urls` begin with nats:// or tls://; `credentials` is a file as `nsc` makes it.

    Raises ClusterError when no server accepts within `timeout_s`; with `wait` it goes on until one does. What waiting does not
    mend (an address that is none, credentials that are refused, a server that is too old) is raised at once either way.
    """
    _check(urls)
    if credentials is not None:
        _check_credentials(credentials)
    client = Client()
    trouble = _Trouble(client, urls)
    connecting = asyncio.ensure_future(
        client.connect(
            servers=list(urls),
            name=name,
            error_cb=trouble.error,
            disconnected_cb=trouble.disconnected,
            reconnected_cb=trouble.reconnected,
            closed_cb=trouble.closed,
            connect_timeout=_DIAL_S,
            reconnect_time_wait=_RECONNECT_WAIT_S,  # type: ignore[arg-type]
            max_reconnect_attempts=-1,
            ping_interval=_PING_S,
            max_outstanding_pings=_UNANSWERED_PINGS,
            pending_size=_UNSENT_BYTES,
            user_credentials=credentials,
        )
    )
    try:
        either: list[asyncio.Future[Any]] = [connecting, trouble.hopeless]
        await asyncio.wait(either, timeout=None if wait else timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if trouble.hopeless.done():
            raise trouble.hopeless.result()
        if not connecting.done():
            raise trouble.unreachable(timeout_s)
        connecting.result()
        _check_server(client)
    except BaseException:
        connecting.cancel()
        await asyncio.wait([connecting])
        trouble.is_connected = False
        await client.close()
        raise
    trouble.is_connected = True
    return client


class _Trouble:
    """What goes wrong with the connection: while it is made, the reason why it is not; later, a line in the log."""

    def __init__(self, client: Client, urls: Sequence[str]) -> None:
        self._client = client
        self._where = ", ".join(map(_shown, urls))
        self._limit = LogLimit()
        self._last: Exception | None = None
        self.is_connected = False
        self.hopeless: asyncio.Future[ClusterError] = asyncio.get_running_loop().create_future()

    async def error(self, error: Exception) -> None:
        self._last = error
        if self.is_connected:
            if (not_logged := self._limit.admit(time.monotonic())) is not None:
                _logger.warning("trouble with NATS", extra={"reason": repr(error), "not_logged": not_logged})
        elif "authorization" in str(error).lower():
            self._give_up(
                f"NATS at {self._where} refuses these credentials: name a user that it knows, or a credentials file"
            )
        elif isinstance(error, ssl.SSLError):
            self._give_up(f"NATS at {self._where} and this host do not agree on TLS: {error}")

    def _give_up(self, sentence: str) -> None:
        if not self.hopeless.done():
            self.hopeless.set_result(ClusterError(sentence))

    async def disconnected(self) -> None:
        if self.is_connected and not self._client.is_closed:
            _logger.warning("NATS is away", extra={"servers": self._where})

    async def reconnected(self) -> None:
        _logger.info("NATS is back", extra={"servers": self._where})

    async def closed(self) -> None:
        if self.is_connected:
            _logger.info("the connection to NATS is closed", extra={"servers": self._where})

    def unreachable(self, after_s: float) -> ClusterError:
        reason = "nobody answers" if self._last is None else str(self._last) or type(self._last).__name__
        return ClusterError(
            f"no NATS server accepts at {self._where} within {after_s:g} s ({reason}): is it running, and the address right?"
        )


def _check(urls: Sequence[str]) -> None:
    if not urls:
        raise ClusterError("no address of a NATS server: say nats://HOST:PORT")
    for url in urls:
        with contextlib.suppress(ValueError):
            parts = urlsplit(url)
            if parts.scheme in ("nats", "tls") and parts.hostname and parts.port != 0:
                continue
        raise ClusterError(f"{_shown(url)} is no address of a NATS server: say nats://HOST:PORT or tls://HOST:PORT")


def _check_credentials(path: Path) -> None:
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ClusterError(f"the NATS credentials {path} cannot be read: {error}") from None
    if "BEGIN NATS USER JWT" not in text or "BEGIN USER NKEY SEED" not in text:
        raise ClusterError(
            f"{path} holds no NATS credentials: they are a user's JWT and seed, as `nsc generate creds` writes them"
        )
    if find_spec("nkeys") is None:
        raise ClusterError("a NATS credentials file needs the package nkeys: pip install nkeys")


def _check_server(client: Client) -> None:
    version = client.connected_server_version
    if (version.major, version.minor) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise ClusterError(f"the NATS server is too old ({str(version).strip('<>')}): it must be {oldest} or newer")
    address = client.connected_url
    if address is not None and address.scheme == "tls" and not client._server_info.get("tls_required", False):
        raise ClusterError(
            f"the NATS server at {address.hostname} speaks no TLS, and its address says tls://: have it do so"
        )


def _shown(url: str) -> str:
    """Without a password."""
    scheme, found, rest = url.partition("://")
    return f"{scheme}{found}{rest.rpartition('@')[2]}"
