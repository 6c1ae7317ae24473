"""What a client orders is carried out by the worker that holds it."""

from __future__ import annotations

from typing import Any

from tests.support.contract.application import calls, rooms, sending, sessions
from wspulse import Connection, Frame

__all__ = ["carry_out"]


async def carry_out(connection: Connection, number: str, order: dict[str, Any]) -> None:
    try:
        result = await OPERATIONS[order.pop("op")](connection, **order)
    except Exception as error:
        result = {"error": type(error).__name__, "text": str(error)}
    if not connection.closed:
        await connection.send(Frame("done", result, number))


OPERATIONS: dict[str, Any] = {
    name: getattr(orders, name) for orders in (sending, rooms, calls, sessions) for name in orders.__all__
}
