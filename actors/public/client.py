"""wspulse.client: a line to a wspulse server, which reconnects by itself and resumes its session: while the session lives, frames
arrive once and in order, and what is lost is told.

    from wspulse.client import connect

    async with connect("ws://127.0.0.1:8000/ws?room=tea") as line:

        @line.on("chat.message")
        def show(payload):
            print(payload["text"])

        line.send("chat.message", {"text": "hello"})
        total = await line.call("add", [1, 2])
        await line.closed

Importing this module loads nothing of the server. doc/howto/python.md describes the rest.
"""

from wspulse.actors.client.connect import connect
from wspulse.actors.client.delays import Retry
from wspulse.actors.client.ending import Closed
from wspulse.actors.client.errors import LineClosedError, SessionLostError
from wspulse.actors.client.line import Line
from wspulse.actors.values.codec import Codec, JSONCodec, MsgpackCodec, RawCodec
from wspulse.actors.values.errors import ConnectionClosedError, ReplyError, SendBufferFullError, WspulseError
from wspulse.actors.values.frame import Frame

__all__ = [
    "Closed",
    "Codec",
    "ConnectionClosedError",
    "Frame",
    "JSONCodec",
    "Line",
    "LineClosedError",
    "MsgpackCodec",
    "RawCodec",
    "ReplyError",
    "Retry",
    "SendBufferFullError",
    "SessionLostError",
    "WspulseError",
    "connect",
]
