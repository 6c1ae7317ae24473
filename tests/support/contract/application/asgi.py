"""The contract's application, mounted in a Starlette application: run by uvicorn, in its one process."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.routing import WebSocketRoute

from tests.support.contract.application.app import server

__all__ = ["app"]

app = Starlette(routes=[WebSocketRoute("/ws", server.asgi())], lifespan=server.asgi_lifespan)
