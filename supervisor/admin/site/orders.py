"""`Orders`: what the operator's page may have changed: kick, broadcast, reload, restart, scale.

Made by the application, which has checked the token by then. Each is an operation of the control socket; a few may be under way
at once, since a reload takes as long as the slowest handler. The log has a line of each, with the address that it came from.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from wspulse.actors.values.errors import ControlError
from wspulse.supervisor.admin.site.answers import Answer, failure, json_answer
from wspulse.supervisor.client.asynchronous import AsyncControl

__all__ = ["Orders"]

MOST_AT_ONCE = 16

_STATUSES = {
    "bad_request": 400,
    "connection_not_found": 404,
    "connection_closed": 409,
    "send_buffer_full": 409,
    "start_failed": 409,
    "move_failed": 409,
}
"""By the code of an error of the control socket; 503 for all others: the server cannot do it now."""

_logger = logging.getLogger("wspulse.supervisor")


class _Order(msgspec.Struct, forbid_unknown_fields=True):
    pass


class _Kick(_Order):
    connection: str
    code: int = 1000
    reason: str = "kicked"


class _Broadcast(_Order):
    room: str
    payload: msgspec.Raw
    event: str = ""


class _Reload(_Order):
    drain: bool = False


class _Restart(_Order):
    shard: int
    drain: bool = False


class _Scale(_Order):
    workers: int


class Orders:
    """See the module."""

    def __init__(self, control: AsyncControl) -> None:
        self._control = control
        self._under_way = 0
        self._known: dict[str, tuple[type[_Order], Callable[[Any], Awaitable[Any]]]] = {
            "kick": (_Kick, lambda order: control.kick(order.connection, order.code, order.reason)),
            "broadcast": (_Broadcast, self._broadcast),
            "reload": (_Reload, lambda order: control.reload(drain=order.drain)),
            "restart": (_Restart, lambda order: control.restart(order.shard, drain=order.drain)),
            "scale": (_Scale, lambda order: control.scale(order.workers)),
        }

    def is_known(self, name: str) -> bool:
        return name in self._known

    async def carry_out(self, name: str, body: bytes, address: str) -> Answer:
        """The answer when it is done."""
        kind, run = self._known[name]
        try:
            order = msgspec.json.decode(body, type=kind)
        except (ValueError, RecursionError) as error:
            return failure(400, "bad_request", f"this is not a valid {name}: {error}")
        if self._under_way >= MOST_AT_ONCE:
            return failure(429, "busy", "too many requests are in progress; try again")
        self._under_way += 1
        try:
            result = await run(order)
        except ControlError as error:
            answer = failure(_STATUSES.get(error.error_code, 503), error.error_code, str(error))
        except (ValueError, TypeError) as error:
            answer = failure(400, "bad_request", str(error))
        else:
            answer = json_answer({"result": result})
        finally:
            self._under_way -= 1
        fields = {"order": name, "client": address, "status": answer.status}
        _logger.info("the operator's page gave an order", extra=fields)
        return answer

    async def _broadcast(self, order: _Broadcast) -> None:
        await self._control.broadcast(order.room, {"event": order.event, "payload": order.payload})
