"""A FastAPI application that pushes to its users' browsers. Run it in this folder, in one of two ways:

    uvicorn fastapi_app:app
    python -m wspulse.supervisor --workers 4 --app fastapi_app:server --http-app fastapi_app:app

First the server is mounted in the application: one process, uvicorn's. Then the server carries the application: as many
workers as you like, on one port, and a route reaches the members of every worker. Nothing else changes:

    POST /login {"name": "ann", "password": "rabbit"}       gives a token
    ws://127.0.0.1:8000/ws?token=...&room=tea
    POST /rooms/tea/notices {"text": "hi"}                  with Authorization: Bearer ..., pushes to the room
    GET /rooms/tea                                          who is there
"""

from __future__ import annotations

import os
import time
from typing import Annotated

import jwt
from fastapi import Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel
from starlette.routing import WebSocketRoute

from wspulse import Connection, Frame, Server
from wspulse.fastapi import with_dependencies

SECRET = os.environ.get("APP_SECRET", "only for trying it out: 32 bytes or more")
PASSWORDS = {"ann": "rabbit", "bob": "builder"}
TOKEN_S = 300

server = Server(resume_window=30, max_message_size=4096)
app = FastAPI(routes=[WebSocketRoute("/ws", server.asgi())], lifespan=server.asgi_lifespan)


class Login(BaseModel):
    name: str
    password: str


class Notice(BaseModel):
    text: str


def current_user(authorization: Annotated[str, Header()] = "", token: str = "") -> str:
    """Whose token it is: of the header, or of the query, since a page cannot set headers for a WebSocket."""
    token = token or authorization.removeprefix("Bearer ")
    try:
        claims = jwt.decode(token, SECRET, algorithms=["HS256"], options={"require": ["exp", "sub"]})
    except jwt.InvalidTokenError as error:
        raise HTTPException(401, f"sign in first: {error}") from None
    return str(claims["sub"])


User = Annotated[str, Depends(current_user)]


@server.connect
@with_dependencies(app)
async def connect(user: User, room: str = "lobby") -> tuple[str, str]:
    return room, user


@server.on_message
async def said(connection: Connection, frame: Frame) -> None:
    await server.broadcast(connection.room_id, Frame("said", {"name": connection.id, "text": frame.decode(str)}))


@app.post("/login")
async def login(login: Login) -> dict[str, str]:
    if PASSWORDS.get(login.name) != login.password:
        raise HTTPException(401, "wrong name or password")
    claims = {"sub": login.name, "exp": int(time.time()) + TOKEN_S}
    return {"token": jwt.encode(claims, SECRET, algorithm="HS256")}


@app.post("/rooms/{room}/notices", status_code=204)
def post_notice(room: str, notice: Notice, user: User) -> None:  # no async: FastAPI runs it in a thread
    server.from_thread.broadcast(room, Frame("notice", {"from": user, "text": notice.text}))


@app.get("/rooms/{room}")
async def members(room: str) -> list[str]:
    return sorted(member.id for member in await server.presence(room))
