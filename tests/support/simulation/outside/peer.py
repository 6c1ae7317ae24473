"""`SimPeer`: the client's end of a connection that exists only in a simulation, and what the model knows of it.

It makes masked frames, answers pings and close frames (or does not), reads (or does not), and ends the connection in every
way that a client has.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any
from zlib import Z_SYNC_FLUSH, compressobj

from tests.support.simulation.outside.compression import reading
from wspulse.actors.transport.state import TransportState

if TYPE_CHECKING:
    from tests.support.simulation.model.frames import SessionModel
    from tests.support.simulation.outside.app import Script
    from tests.support.simulation.outside.client import SimClient
    from tests.support.simulation.outside.socket import SimSocket
    from wspulse.actors.transport.transport import Transport
    from wspulse.actors.values.text.exact import Claim

__all__ = ["SimPeer"]

_HELD = (TransportState.HELD, TransportState.WAITING_HELD, TransportState.STOPPED)

_MESSAGE, _PING, _PONG, _CLOSE, _BROKEN, _ANSWER = "message", "ping", "pong", "close", "broken", "answer"
_BAD_ACK, _UNDECODABLE = "bad ack", "undecodable"


_COMPRESSED_BINARY = 0x42


def _masked(opcode: int, payload: bytes) -> bytes:
    """A whole client frame; its mask is all zeros, which is a mask like any other."""
    return bytes((0x80 | opcode, 0x80 | len(payload))) + b"\0\0\0\0" + payload


_PING_FRAME = _masked(9, b"?")
_BROKEN_FRAME = b"\x83\x80\0\0\0\0"
"""An opcode that RFC 6455 reserves."""


class SimPeer:
    """The client's end, and what the model knows of this connection."""

    __slots__ = (
        "_marks",
        "_queue",
        "_read_bytes",
        "_sent_bytes",
        "_unread_bytes",
        "accepted",
        "accepted_at",
        "answer",
        "answer_by",
        "answered",
        "broken_delivered",
        "claim",
        "client",
        "close_delivered",
        "close_seen",
        "close_sent",
        "close_written",
        "connection_id",
        "counted_delivered",
        "early_messages",
        "ended_at",
        "eof",
        "eof_at",
        "eof_delivered",
        "eof_in_session",
        "expected_close",
        "first_pinged_at",
        "handled",
        "held_up",
        "holders",
        "messages_delivered",
        "messages_sent",
        "next_ping",
        "number",
        "outgoing",
        "owed_messages",
        "ping",
        "pinged",
        "pinged_at",
        "polite",
        "pongs",
        "read_at",
        "read_on_at",
        "reads",
        "reset",
        "room_id",
        "rooms",
        "saw_end",
        "scripts",
        "session",
        "socket",
        "stands_since",
        "transport",
        "unsent",
        "was_behind_at_close",
        "was_blocked_at_close",
        "was_busy_at_eof",
        "was_held",
        "was_paused",
        "was_refused_by_loop",
        "was_silent",
        "window_bits",
    )

    socket: SimSocket
    transport: Transport

    def __init__(self, number: int, connection_id: str, room_id: str) -> None:
        self.number = number
        self.connection_id = connection_id
        self.room_id = room_id
        self.rooms: tuple[str, ...] = ()
        self.window_bits = 0
        """What it has agreed on, if it compresses."""
        self.reads = True
        self.pongs = True
        """Whether it answers pings."""
        self.polite = True
        """Whether it answers a close frame."""
        self.outgoing = b""
        """What it has sent and the server has not read yet."""
        self.eof = False
        self.eof_delivered = False
        self.eof_in_session = False
        self.eof_at = 0.0
        self.reset = False
        self.saw_end = False
        self.close_sent = False
        self.close_seen: tuple[int, str] | None = None
        # What the model keeps here.
        self.scripts: dict[str, Script] = {}
        """What the callbacks do of the session that this connection may begin."""
        self.answer_by = 0.0
        """When the handshake has timed out."""
        self.answer = 0
        """The HTTP status that the server wrote."""
        self.accepted = False
        self.accepted_at = 0.0
        self.held_up: tuple[float, int] | None = None
        """Since when it is seen to be held up for what it sends, and how many bytes of it were taken by then."""
        self.session: SessionModel | None = None
        self.client: SimClient | None = None
        """Whose connection it is, of an exact session."""
        self.claim: Claim | None = None
        self.counted_delivered = 0
        """How many messages of an exact session's client were delivered."""
        self.close_written: tuple[int, str] | None = None
        self.expected_close: tuple[int, str | None] | None = None
        self.ended_at: float | None = None
        """When the session let go of this transport."""
        self.close_delivered: int | None = None
        self.broken_delivered = False
        self.messages_sent: list[int] = []
        self.messages_delivered = 0
        self.early_messages = 0
        """How many were delivered before its 101."""
        self.handled = 0
        self.ping: bytes | None = None
        """What the server's ping said that no pong has answered yet."""
        self.answered: bytes | None = None
        self.first_pinged_at = 0.0
        self.pinged_at = 0.0
        """When that was written; the time in which it was not read, or took nothing, is added."""
        self.stands_since: float | None = None
        self.read_at = 0.0
        """When the server last read something of it."""
        self.read_on_at = 0.0
        """When it was last read again, or took something again."""
        self.next_ping = 0.0
        self.pinged = False
        """Whether a ping was delivered that has no pong."""
        self.owed_messages = 0
        """How many of its messages have to reach on_message before the next callback of another kind."""
        self.was_behind_at_close = False
        """Whether it had much to take already."""
        self.was_blocked_at_close = False
        self.was_busy_at_eof = False
        self.was_held = False
        self.was_paused = False
        self.was_refused_by_loop = False
        """Whether its socket was none any more when it came to another loop."""
        self.was_silent = False
        self.holders = 1
        """How many loops, descriptors and streams have its connection."""
        self.unsent = b""
        """What a loop that has let go of it had not written: the next one has to, before anything else."""
        self._marks: deque[tuple[int, str, int, bytes]] = deque()
        self._sent_bytes = 0
        self._read_bytes = 0
        self._queue: deque[list[Any]] = deque()
        self._unread_bytes = 0

    def __repr__(self) -> str:
        return f"p{self.number}({self.connection_id})"

    @property
    def held(self) -> bool:
        """Whether the server does not read it, since a handler is behind, too much came ahead, or it is to move."""
        return self.transport.state in _HELD

    @property
    def is_held_up(self) -> bool:
        """Whether the server does not read it since it sends too much."""
        throttle = getattr(self.transport, "_throttle", None)
        return throttle is not None and throttle.is_waiting

    def note_standing(self, *, stands: bool) -> None:
        """The server does not read it from now on, or writes nothing to it; or does again."""
        now = self.socket.model.now
        if stands:
            if self.stands_since is None:
                self.stands_since = now
        elif self.stands_since is not None:
            self.pinged_at += now - max(self.stands_since, self.pinged_at)
            self.stands_since = None
            self.read_on_at = now

    def state_of_ping(self) -> str:
        """For whoever reads a violation."""
        return (
            f"ping {self.ping!r} of {self.pinged_at}, stands since {self.stands_since}, {len(self.outgoing)} unread, "
            f"{self.socket.kernel_bytes} untaken since {self.socket.taken_at}"
        )

    @property
    def claimed_received(self) -> int:
        return 0 if self.claim is None else self.claim.received

    @property
    def can_send(self) -> bool:
        if self.client is not None and (self.client.peer is not self or not self.client.is_open):
            return False
        return not (self.eof or self.reset or self.close_sent or self.saw_end)

    # What it sends.

    def send(self, kind: str, value: int = 0, payload: bytes = b"") -> None:
        """Put a frame behind what it has sent: "message" (value: its number), "ping", "pong" (with a payload), "close" (its
        code), "broken", "answer" (value: the call's number, with what kind as payload)."""
        if kind == _MESSAGE:
            frame = self._message(b"%d" % value)
            self.messages_sent.append(value)
        elif kind == _PONG:
            frame = _masked(10, payload)
        elif kind == _ANSWER:
            frame = self._message(b"%s%d" % (payload, value))
        elif kind == _PING:
            frame = _PING_FRAME
        elif kind == _CLOSE:
            frame = _masked(8, value.to_bytes(2) if value else b"")
            self.close_sent = True
        elif kind == _BROKEN:
            frame = _BROKEN_FRAME
        elif kind == _BAD_ACK:
            frame = self._message(payload)
        else:
            frame = self._message(b"undecodable")
        self._put(frame, kind, value, payload)

    def say(self, kind: str) -> None:
        """Send something, which counts where it is a message."""
        if self.client is not None and kind == _UNDECODABLE:
            self.client.say(kind, 0)
        else:
            self.send(kind)

    def write_frame(self, payload: bytes) -> None:
        """A frame of the protocol's own, which counts for nothing."""
        frame = self._message(payload)
        self.outgoing += frame
        self._sent_bytes += len(frame)

    def _message(self, payload: bytes) -> bytes:
        """Now and then compressed, where it may be."""
        if not self.window_bits or len(payload) % 2:
            return _masked(2, payload)
        compressor = compressobj(1, wbits=-self.window_bits)
        data = compressor.compress(payload) + compressor.flush(Z_SYNC_FLUSH)
        return _masked(_COMPRESSED_BINARY, data[:-4])

    def _put(self, frame: bytes, kind: str, value: int, payload: bytes) -> None:
        self.outgoing += frame
        # A broken frame is known by its first two bytes, every other one when it is complete.
        self._marks.append((self._sent_bytes + (2 if kind == _BROKEN else len(frame)), kind, value, payload))
        self._sent_bytes += len(frame)

    def answer_call(self, kind: bytes, number: int) -> None:
        """Answer a call: with "a", or with "e" for an error."""
        if self.client is not None:
            self.client.say(_ANSWER, number, kind)
        else:
            self.send(_ANSWER, number, kind)

    def hand_over(self, most_bytes: int | None = None) -> bytes:
        """What the server reads now; notes what is in it."""
        data = self.outgoing
        if most_bytes is None or most_bytes >= len(data):
            self.outgoing = b""
        else:
            data, self.outgoing = data[:most_bytes], data[most_bytes:]
        self._read_bytes += len(data)
        self.read_at = self.socket.model.now
        marks = self._marks
        while marks and marks[0][0] <= self._read_bytes:
            _, kind, value, payload = marks.popleft()
            if self.close_delivered is not None or self.broken_delivered:
                continue
            if self.client is not None and kind in (_MESSAGE, _ANSWER, _UNDECODABLE):
                self.counted_delivered += 1
            if kind == _MESSAGE:
                self.messages_delivered += 1
            elif kind == _PONG:
                if payload == self.ping:
                    self.answered, self.ping = payload, None
            elif kind == _ANSWER:
                self.socket.model.calls.delivered(self, payload, value)
            elif kind == _PING:
                self.pinged = True
            elif kind == _CLOSE:
                self.close_delivered = value
            elif kind in (_BROKEN, _BAD_ACK):
                self.broken_delivered = True
        return data

    def drop(self) -> None:
        """The connection is reset: what was not read yet is gone on both sides."""
        self.reset = True
        self.outgoing = b""
        self._marks.clear()

    # What it gets.

    def reading(self, wire: bytes) -> bytes:
        """What is written to it, as it reads it."""
        if wire[:5] == b"HTTP/":
            return wire
        plain = reading(wire, self.window_bits)
        if plain is None:
            self.socket.model.fail(f"{self}: {wire!r} is written to one with a window of {self.window_bits} bits")
            return wire
        return plain

    def take(self, frames: list[tuple[int, bytes]]) -> None:
        """Frames of the server, as (opcode, payload); opcode 0 is an HTTP answer."""
        for opcode, payload in frames:
            if opcode == 9:
                if self.pongs and self.can_send:
                    self.send(_PONG, payload=payload)
            elif opcode == 8:
                code = int.from_bytes(payload[:2]) if payload else 1005
                self.close_seen = (code, payload[2:].decode())
                if self.polite and self.can_send:
                    self.send(_CLOSE, 0 if code == 1005 else code)
            elif opcode == 2 and self.client is not None:
                if self.client.peer is self:
                    self.client.reads(self, payload)
            elif opcode == 2 and payload[:1] == b"c":
                self.socket.model.calls.asked(self, int(payload[1:]))

    def wait_for(self, frames: list[tuple[int, bytes]], size_bytes: int) -> None:
        self._queue.append([size_bytes, frames])
        self._unread_bytes += size_bytes

    def read(self, most_bytes: int) -> None:
        """Read from the kernel; the frames that are there as a whole are taken."""
        size = min(most_bytes, self.socket.kernel_bytes)
        if not size:
            return
        left = size
        queue = self._queue
        while queue and left:
            entry = queue[0]
            if entry[0] > left:
                entry[0] -= left
                break
            left -= entry[0]
            queue.popleft()
            self.take(entry[1])
        self.socket.drain(size)

    def start_reading(self) -> None:
        """Read all that is there, and from now on whatever comes."""
        while self.socket.kernel_bytes:
            self.read(self.socket.kernel_bytes)
        self.reads = True

    def sees_end(self) -> None:
        self.saw_end = True
        if self.polite:
            self.eof = True
