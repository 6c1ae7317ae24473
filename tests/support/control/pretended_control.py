"""A control socket whose server is the test: it sees every request and answers what it likes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import zmq

from tests.support.eventually import eventually

__all__ = ["PretendedControl", "Taken", "pretended_control"]


class Taken(NamedTuple):
    """A request, and the way back to who sent it."""

    identity: bytes
    encoding: str
    id: Any
    op: str
    args: dict[str, Any]
    message: dict[str, Any]
    """All of it."""


class PretendedControl:
    """See the module. Made by `pretended_control`; it is away until `start`."""

    def __init__(self, folder: Path) -> None:
        self.endpoint = f"ipc://{folder}/control"
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None
        self._router: zmq.Socket[bytes] | None = None

    @property
    def router(self) -> zmq.Socket[bytes]:
        assert self._router is not None, "the server is away"
        return self._router

    def start(self) -> None:
        self._context = zmq.Context()
        self._router = self._context.socket(zmq.ROUTER)
        self._router.setsockopt(zmq.LINGER, 0)
        self._router.bind(self.endpoint)

    def stop(self) -> None:
        """Go away, with all connections. ZeroMQ's thread closes a socket and removes its path some time after it was told so,
        which could be a successor's path by then: only the end of the context says that all is gone."""
        if self._router is not None and self._context is not None:
            self._router.close()
            self._context.term()
            self._router = self._context = None

    @property
    def has_request(self) -> bool:
        return bool(self.router.poll(0))

    async def takes(self) -> Taken:
        """The next request."""
        await eventually(lambda: self.has_request, "there is a request")
        identity, data = self.router.recv_multipart()
        encoding = "json" if data[:1] == b"{" else "msgpack"
        message = (msgspec.json.decode if encoding == "json" else msgspec.msgpack.decode)(data)
        return Taken(identity, encoding, message.get("id"), message.get("op", ""), message.get("args", {}), message)

    def says(self, identity: bytes, message: dict[str, Any]) -> None:
        self.router.send_multipart([identity, msgspec.msgpack.encode(message)])

    def answers(self, taken: Taken, result: Any = None) -> None:
        self.says(taken.identity, {"id": taken.id, "ok": True, "result": result})

    def refuses(self, taken: Taken, code: str, message: str) -> None:
        self.says(taken.identity, {"id": taken.id, "ok": False, "error": {"code": code, "message": message}})


@contextmanager
def pretended_control(folder: Path, *, away: bool = False) -> Iterator[PretendedControl]:
    """Started when the block begins, unless it is to be `away` at first."""
    made = PretendedControl(folder)
    if not away:
        made.start()
    try:
        yield made
    finally:
        made.stop()
