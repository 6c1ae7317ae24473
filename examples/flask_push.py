"""A Flask application, on any WSGI server, that pushes to the rooms of a wspulse server beside it. In this folder:

    mkdir -m 700 /tmp/push
    python -m wspulse.supervisor --control ipc:///tmp/push/control.sock
    WSPULSE_CONTROL=ipc:///tmp/push/control.sock python flask_push.py

People connect to wspulse at ws://127.0.0.1:8000/ws?room=tea; the application says something to all of them:

    curl -d text=hello http://127.0.0.1:5000/rooms/tea

A Celery task or a Django view does the same with the same client. It may be created before a server forks its workers: each
child gets a connection of its own. Any thread may use it.
"""

from __future__ import annotations

import os

from flask import Flask, request
from flask.typing import ResponseReturnValue

from wspulse import Control, ControlError, Frame

app = Flask(__name__)
control = Control(os.environ.get("WSPULSE_CONTROL"), timeout=5)


@app.post("/rooms/<room>")
def say(room: str) -> ResponseReturnValue:
    control.broadcast(room, Frame("said", {"text": request.form["text"]}))
    return "", 204


@app.get("/rooms/<room>")
def members(room: str) -> ResponseReturnValue:
    return [{"id": member.id, "since": member.since} for member in control.presence(room)]


@app.errorhandler(ControlError)
def server_is_away(error: ControlError) -> ResponseReturnValue:
    return {"error": str(error)}, 503


if __name__ == "__main__":
    app.run(port=5000)
