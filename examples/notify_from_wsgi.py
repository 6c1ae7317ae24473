"""A web backend outside the server tells browsers that something has happened: plain WSGI, plain threads.

    python -m wspulse.supervisor
    python examples/notify_from_wsgi.py
    curl -d 'Lunch is ready' http://127.0.0.1:8080/rooms/lobby

Everybody at ws://127.0.0.1:8000/ws?room=lobby gets {"event":"notice","payload":{"text":"Lunch is ready"}}. One Control
serves all threads, and the children of a server that forks.
"""

import sys
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.simple_server import make_server

from wspulse import Control, ControlError, Frame

control = Control(sys.argv[1] if len(sys.argv) > 1 else None, timeout=3)


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    room = environ["PATH_INFO"].removeprefix("/rooms/")
    if environ["REQUEST_METHOD"] != "POST" or not room or "/" in room:
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"POST /rooms/<room>\n"]
    text = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)).decode("utf-8", "replace")
    try:
        control.broadcast(room, Frame("notice", {"text": text}))
    except ControlError as error:
        start_response("503 Service Unavailable", [("Content-Type", "text/plain")])
        return [f"{error}\n".encode()]
    start_response("202 Accepted", [("Content-Type", "text/plain")])
    return [b"sent\n"]


if __name__ == "__main__":
    port = int(sys.argv[2]) if len(sys.argv) > 2 else 8080
    with make_server("127.0.0.1", port, application) as server:
        print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()
