"""The WebSocket side: who is signed in with Django gets the room of that user, in every window."""

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.sessions.backends.db import SessionStore
from django.http import HttpRequest

from wspulse import ConnectRejected, Frame, Request, Server, allow_origins

server = Server(resume_window=30, check_origin=allow_origins(settings.ORIGINS))


def room_of(user_name: str) -> str:
    return f"user:{user_name}"


def user_of(request: Request) -> str:
    """The name behind the session's cookie, "" for nobody. It asks the database."""
    http = HttpRequest()
    http.session = SessionStore(request.cookies.get(settings.SESSION_COOKIE_NAME))
    return get_user(http).get_username()


@server.connect
async def connect(request: Request) -> tuple[str, str]:
    name = await sync_to_async(user_of)(request)
    if not name:
        raise ConnectRejected("sign in first")
    return room_of(name), ""  # each window is a connection of its own; wspulse.js brings back which one it was


async def notify(user_name: str, text: str) -> None:
    """Show a text in all windows of a user."""
    await server.broadcast(room_of(user_name), Frame("note", {"text": text}))
