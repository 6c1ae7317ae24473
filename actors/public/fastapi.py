"""wspulse.fastapi: what a FastAPI application has of its own. It needs FastAPI, which nothing else of wspulse does.

    from wspulse.fastapi import with_dependencies

    @server.connect
    @with_dependencies(app)
    async def connect(user: Annotated[str, Depends(current_user)], room: str = "lobby") -> tuple[str, str]:
        return room, user

doc/http.md tells how an application is carried, and how a server is mounted in one.
"""

from wspulse.actors.asgi.dependencies import with_dependencies

__all__ = ["with_dependencies"]
