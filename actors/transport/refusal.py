"""`Refusal`: a connection that is told no in HTTP, and then has a while to read it.

Made where a socket is refused: by a newcomer, by a transport whose newcomer may not join, for a handover that nobody took. It
takes the socket over, and the shard waits for its end as it does for that of a transport. Closing at once would reset what the
client has not read yet (RFC 9112 §9.6).
"""

from __future__ import annotations

import asyncio
from typing import cast

from wspulse.actors.transport.client import abort, end_writing, shut_down, unsent_bytes
from wspulse.actors.transport.contract import EndingShard

__all__ = ["Refusal"]

_LINGER_S = 1.0
"""How long a refused client has to read the answer and close."""


class Refusal(asyncio.Protocol):
    """See the module. `answer` is a whole response; what takes longer than a moment to send, as a page to a slow network
    does, has until `deadline`, on the shard's clock."""

    __slots__ = ("_answer", "_client", "_deadline", "_shard")

    def __init__(self, shard: EndingShard, answer: bytes, deadline: float) -> None:
        self._shard = shard
        self._answer = answer
        self._deadline = deadline
        self._client: asyncio.Transport | None = None

    def take(self, client: asyncio.Transport) -> None:
        """Take over the socket of another protocol, which must read."""
        client.set_protocol(self)
        self.connection_made(client)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        client = self._client = cast("asyncio.Transport", transport)
        shard = self._shard
        shard.transport_ending(self)
        answer, self._answer = self._answer, b""
        if client.is_closing():
            return
        shard.at(shard.clock() + _LINGER_S, self._give_up)
        client.write(answer)
        end_writing(client)

    def connection_lost(self, exc: BaseException | None) -> None:
        shut_down(self._client)
        self._client = None
        self._shard.transport_gone(self)

    def abort(self) -> None:
        """Drop the socket now; `connection_lost` follows from the loop."""
        abort(self._client)

    def _give_up(self, now: float) -> None:
        client, shard = self._client, self._shard
        if client is None:
            return
        if unsent_bytes(client) and now < self._deadline and not shard.closing:
            shard.at(now + _LINGER_S, self._give_up)
        else:
            abort(client)
