"""`connect`: the client of a cluster's NATS servers, with what we ask of it, and its errors as sentences for people.

nats-py would give up after 60 attempts, wait for two seconds between them, and notice a dead server after four minutes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import ssl
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from nats.aio.client import Client

from wspulse.actors.values.log_limit import LogLimit
from wspulse.supervisor.cluster.errors import ClusterError
from wspulse.supervisor.settings.cluster_address import shown_nats_url

__all__ = ["connect"]

OLDEST = (2, 11)
"""nats-server since which a message may have a time to live."""

_RECONNECT_WAIT_S = 0.2
_PING_S = 5
_UNANSWERED_PINGS = 2
_DIAL_S = 2
_UNSENT_BYTES = 16 * 1024 * 1024
"""What may wait to be written: as much as a worker may have unacknowledged."""

_REASONS = 8
"""That are logged of one outage."""

_OURS = re.compile(r'"(wspulse\.|\$js\.api\.|\$kv\.|_inbox\.)')
"""Subjects that a host needs, in what NATS says of permissions; nats-py has it in small letters."""

_logger = logging.getLogger("wspulse.supervisor")


def _unheard(_error: ClusterError) -> None:
    """The log has it."""


async def connect(
    urls: Sequence[str],
    *,
    credentials: Path | None = None,
    timeout_s: float = 10.0,
    wait: bool = False,
    name: str = "wspulse",
    failed: Callable[[ClusterError], None] = _unheard,
) -> Client:
    """A client that reconnects for ever. `urls` begin with nats:// or tls://; `credentials` is a file as `nsc` makes it.

    Raises ClusterError when no server accepts within `timeout_s`; with `wait` it goes on until one does. What waiting does not
    mend (an address that is none, credentials that are refused, a server that is too old) is raised at once either way.
    `failed(error)` is called when such a thing comes later: NATS has closed the connection for good, does not permit what a host
    needs, or is another one, and too old.
    """
    _check(urls)
    if credentials is not None:
        _check_credentials(credentials)
    client = Client()
    trouble = _Trouble(client, urls, failed, waits=wait)
    connecting = asyncio.ensure_future(
        client.connect(
            servers=list(map(_without_user, urls)),
            name=name,
            **_user_of(urls),
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

    def __init__(
        self, client: Client, urls: Sequence[str], failed: Callable[[ClusterError], None], *, waits: bool
    ) -> None:
        self._client = client
        self._failed = failed
        self._waits = waits
        self._where = ", ".join(map(shown_nats_url, urls))
        self._limit = LogLimit()
        self._last: Exception | None = None
        self._told: set[str] = set()
        """Why it could not connect, in this outage."""
        self.is_connected = False
        self.hopeless: asyncio.Future[ClusterError] = asyncio.get_running_loop().create_future()

    async def error(self, error: Exception) -> None:
        self._last = error
        if "permissions violation" in str(error) and _OURS.search(str(error)):
            self._failed(
                ClusterError(
                    f"NATS at {self._where} does not let this user do what a host needs ({error}): permit it to publish and "
                    "subscribe to wspulse.>, WSPULSE.>, $KV.>, $JS.API.> and _INBOX.>"
                )
            )
        elif self.is_connected:
            self._tell(_text(error))
        elif "authorization" in str(error).lower():
            self._give_up(
                f"NATS at {self._where} refuses these credentials: name a user that it knows, or a credentials file"
            )
        elif isinstance(error, ssl.SSLError):
            self._give_up(
                f"NATS at {self._where} and this host do not agree on TLS: {error}. An authority of your own is trusted when the "
                "variable SSL_CERT_FILE names a file with its certificate"
            )
        elif self._waits and not self._told:
            self._told.add(_text(error))
            _logger.warning(
                "NATS cannot be reached yet, and is waited for", extra={"servers": self._where, "reason": _text(error)}
            )

    def _tell(self, reason: str) -> None:
        if self._client.is_reconnecting:  # it tries five times a second
            if reason in self._told or len(self._told) >= _REASONS:
                return
            self._told.add(reason)
        if (not_logged := self._limit.admit(time.monotonic())) is not None:
            _logger.warning("trouble with NATS", extra={"reason": reason, "not_logged": not_logged})

    def _give_up(self, sentence: str) -> None:
        if not self.hopeless.done():
            self.hopeless.set_result(ClusterError(sentence))

    async def disconnected(self) -> None:
        self._told.clear()
        if self.is_connected and not self._client.is_closed:
            _logger.warning("NATS is away", extra={"servers": self._where})

    async def reconnected(self) -> None:
        _logger.info("NATS is back", extra={"servers": self._where})
        try:
            _check_server(self._client)
        except ClusterError as error:  # it is another one
            self._failed(error)

    async def closed(self) -> None:
        if not self.is_connected:
            return
        _logger.info("the connection to NATS is closed", extra={"servers": self._where})
        if (error := self._client.last_error) is not None:
            self._failed(
                ClusterError(
                    f"NATS at {self._where} has closed the connection for good ({error}): see that it still knows this user, and "
                    "what its log says"
                )
            )

    def unreachable(self, after_s: float) -> ClusterError:
        reason = "nobody answers" if self._last is None else _text(self._last)
        return ClusterError(
            f"no NATS server accepts at {self._where} within {after_s:g} s ({reason}): is it running, and the address right?"
        )


def _text(error: Exception) -> str:
    return str(error) or type(error).__name__


def _check(urls: Sequence[str]) -> None:
    if not urls:
        raise ClusterError("no address of a NATS server: say nats://HOST:PORT")
    for url in urls:
        with contextlib.suppress(ValueError):
            parts = urlsplit(url)
            if parts.scheme in ("nats", "tls") and parts.hostname and parts.port != 0:
                continue
        raise ClusterError(
            f"{shown_nats_url(url)} is no address of a NATS server: say nats://HOST:PORT or tls://HOST:PORT"
        )


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


def _without_user(url: str) -> str:
    return re.sub(r"//.*@", "//", url)


def _user_of(urls: Sequence[str]) -> dict[str, Any]:
    """As options of the client, which would not decode them, and would not use them for servers that NATS tells it of."""
    parts = [urlsplit(url) for url in urls]
    found = {(part.username, part.password) for part in parts if part.username}
    if len(found) > 1:
        raise ClusterError("the addresses of the NATS servers name different users: name one, in any or all of them")
    for user, password in found:
        if password is None:
            return {"token": unquote(user or "")}
        return {"user": unquote(user or ""), "password": unquote(password)}
    return {}
