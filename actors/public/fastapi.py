"""wspulse.fastapi: FastAPI's dependencies in `connect`. This module needs FastAPI; nothing else in wspulse does.

    from wspulse.fastapi import with_dependencies

    @server.connect
    @with_dependencies(app)
    async def connect(user: Annotated[str, Depends(current_user)], room: str = "lobby") -> tuple[str, str]:
        return room, user

doc/howto/http.md describes how wspulse carries an application, and how a server is mounted in one.
"""

from wspulse.actors.asgi.dependencies import with_dependencies

__all__ = ["with_dependencies"]
