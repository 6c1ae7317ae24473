"""A Django site whose users each have a room: whatever happens is shown in all their open windows. In this folder:

    python manage.py migrate
    python -m wspulse.supervisor --workers 2 --app asgi:server --http-app asgi:application

Then open http://127.0.0.1:8000/ in two windows, sign up, and send yourself notes. `uvicorn asgi:application` serves the
same in one process, with the server mounted in Django's application.
"""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
django.setup()

from django.core.asgi import get_asgi_application  # noqa: E402 - Django must be set up first
from pulse import server  # noqa: E402

site = get_asgi_application()
pulse = server.asgi()


async def application(scope, receive, send):
    """Django answers HTTP; a WebSocket, its client for browsers and the lifespan are the server's."""
    is_django = scope["type"] == "http" and scope["path"] != "/wspulse.js"
    await (site if is_django else pulse)(scope, receive, send)
