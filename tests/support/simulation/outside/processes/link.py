"""`SimLink`: the way from one simulated process to another's mailbox: what is told and asked there arrives in order, later."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from tests.support.simulation.outside.processes.network import SimNetwork, Wire
from wspulse.actors.mesh.message import Message
from wspulse.actors.mesh.placing.held import held
from wspulse.actors.values.errors import InTransitError, ShardUnavailableError

if TYPE_CHECKING:
    from tests.support.simulation.outside.processes.process import SimProcess

__all__ = ["SimLink"]


class SimLink:
    """See the module, and `ActorRef`."""

    def __init__(self, network: SimNetwork, to: SimProcess) -> None:
        self.to = to
        self.wire = Wire(network, to)
        self._asked: set[asyncio.Future[Any]] = set()
        self._loop = to.world.loop

    def tell(self, message: Message) -> None:
        self.wire.put(partial(self._told, message))

    async def ask(self, message: Message, *, timeout_s: float | None = 5.0) -> Any:
        answer: asyncio.Future[Any] = self._loop.create_future()
        self._asked.add(answer)
        self.wire.put(partial(self._is_asked, message, answer))
        try:
            async with asyncio.timeout(timeout_s):
                return await answer
        except TimeoutError:
            raise ShardUnavailableError("no answer in time") from None
        finally:
            self._asked.discard(answer)

    def end(self) -> None:
        """One of the two has gone: what is not answered never is."""
        self.wire.cut()
        for answer in self._asked:
            if not answer.done():
                answer.set_exception(ShardUnavailableError("it has died"))

    def _told(self, message: Message) -> None:
        try:
            self.to.receive(message)
        except InTransitError as in_transit:
            in_transit.wait(partial(self._told, message))

    def _is_asked(self, message: Message, answer: asyncio.Future[Any]) -> None:
        if answer.done():
            return  # it is refused: who asked was told that it failed
        try:
            result = self.to.receive(message)
        except InTransitError as in_transit:
            result = held(message, self.to.receive, in_transit, self._loop)
            answer.add_done_callback(partial(_withdraw, result))
        except Exception as error:
            answer.set_exception(error)
            return
        if isinstance(result, asyncio.Future):
            result.add_done_callback(partial(_answered, answer))
        else:
            answer.set_result(result)


def _withdraw(held_message: asyncio.Future[Any], answer: asyncio.Future[Any]) -> None:
    if answer.cancelled() or answer.exception() is not None:
        held_message.cancel()


def _answered(answer: asyncio.Future[Any], result: asyncio.Future[Any]) -> None:
    if answer.done():
        if not result.cancelled():
            result.exception()
    elif result.cancelled():
        answer.set_exception(ShardUnavailableError("it was cancelled"))
    elif (error := result.exception()) is not None:
        answer.set_exception(error)
    else:
        answer.set_result(result.result())
