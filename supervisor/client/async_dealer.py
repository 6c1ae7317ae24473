"""`AsyncDealer`: a `Dealer` in the running event loop, without a future per message.

Made by the asynchronous clients.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import zmq

from wspulse.supervisor.client.dealer import Dealer
from wspulse.supervisor.protocol.address import Address
from wspulse.supervisor.protocol.lookout import Lookout
from wspulse.supervisor.protocol.received import Received

__all__ = ["AsyncDealer"]

DRAIN_BUDGET = 256
"""Messages taken in one go; then the loop's other work has its turn."""


class AsyncDealer:
    """Calls `on_message(parts)` for each message, `on_writable()` when the server may take something, and `on_away()` when
    the connection has ended, from its creation until `close`. Raises ControlError when there can be no socket now."""

    def __init__(
        self,
        address: Address,
        *,
        on_message: Callable[[list[bytes]], None],
        on_writable: Callable[[], None],
        on_away: Callable[[], None],
        kind: int = zmq.DEALER,
    ) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        try:
            self._dealer = Dealer(self._context, address, kind)
        except BaseException:
            self._context.destroy(linger=0)
            raise
        self.socket = self._dealer.socket
        self._on_message = on_message
        self._on_writable = on_writable
        self._on_away = on_away
        self._lookout = Lookout(self._look, self.socket, self._dealer.monitor)
        self._lookout.open()

    @property
    def obstacle(self) -> str | None:
        """Why there will be no connection, when that is known: keys that do not fit."""
        return self._dealer.obstacle

    @property
    def closed(self) -> bool:
        return self._lookout.is_closed

    def close(self) -> None:
        if not self.closed:
            self._lookout.close()
            self._dealer.close()
            self._context.destroy(linger=0)

    def try_send(self, parts: Sequence[bytes]) -> bool:
        """False while no server is connected."""
        self.schedule_look()
        if not self._dealer.is_connected:
            return False
        try:
            self.socket.send_multipart(parts, zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def schedule_look(self) -> None:
        """To be called after an operation on `socket`."""
        self._lookout.again()

    def _look(self) -> None:
        received = Received(self.socket, DRAIN_BUDGET)
        for parts in received:
            self._on_message(parts)
            if self.closed:
                return
        if not received.is_all:
            self.schedule_look()
            return
        if self._dealer.went_away():
            self._on_away()
        self._offer()

    def _offer(self) -> None:
        if not self.closed and self._dealer.is_writable:
            self._on_writable()
        # Asking may have used up the descriptor's change that told of a message.
        if not self.closed and self._dealer.is_readable:
            self.schedule_look()
