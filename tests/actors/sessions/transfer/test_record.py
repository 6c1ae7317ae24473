"""All that a session is travels, or is named here with why it stays; and what travels is the same when it is read again."""

from __future__ import annotations

import asyncio
import string
from random import Random
from typing import Any

import msgspec
import pytest

from wspulse import Server
from wspulse.actors.bus.local import LocalBus
from wspulse.actors.sessions.asking.asking_inbox import AskingInbox
from wspulse.actors.sessions.connections.connection import Resumption
from wspulse.actors.sessions.connections.local_connection import LocalConnection
from wspulse.actors.sessions.exact.inbox import ExactInbox
from wspulse.actors.sessions.exact.log import SendLog
from wspulse.actors.sessions.exact.session import ExactSession
from wspulse.actors.sessions.handlers import Handlers
from wspulse.actors.sessions.inbox import Inbox
from wspulse.actors.sessions.rooms.further import FurtherRooms
from wspulse.actors.sessions.rooms.membership import add_room
from wspulse.actors.sessions.send_buffer import SendBuffer
from wspulse.actors.sessions.session import Session
from wspulse.actors.sessions.shard import Shard
from wspulse.actors.sessions.state import SessionState
from wspulse.actors.sessions.transfer.record import ExactRecord, SessionRecord
from wspulse.actors.sessions.transfer.recording import record_of, session_of
from wspulse.actors.transport.transfer.record import HeartbeatRecord, TransportRecord
from wspulse.actors.transport.upgrade import Upgrade
from wspulse.actors.values.codec import JSONCodec, MsgpackCodec, RawCodec
from wspulse.actors.values.errors import (
    ConnectionLostError,
    KeepaliveTimeoutError,
    PeerClosedError,
    ProtocolError,
    TransportError,
    WriteTimeoutError,
)
from wspulse.actors.values.frame import Frame, MsgpackFrame
from wspulse.actors.values.request import INSECURE, SECURE, Request, Scheme
from wspulse.actors.values.text.exact import SUBPROTOCOL
from wspulse.actors.wire.parser_record import ParserRecord

SCHEMES: tuple[Scheme, ...] = (INSECURE, SECURE)

TRAVELS: dict[type, dict[str, str]] = {
    Session: {
        "_buffer": "buffered",
        "_turn": "late",
        "connected_at": "connected_at",
        "dropped_frames": "dropped_frames",
        "epoch": "epoch",
        "error": "error",
        "further": "rooms",
        "id": "connection_id",
        "inbox": "waiting",
        "incarnation": "birth",
        "resumes": "resumes",
        "room": "rooms",
        "serial": "birth",
        "state": "window_left_s",
        "transport": "transport",
        "window_ends": "window_left_s",
    },
    ExactSession: {
        "_first": "greeting",
        "_owes_ack": "owes_ack",
        "_told": "told",
        "_untold_bytes": "untold_bytes",
        "log": "exact",
        "token": "token",
    },
    Inbox: {
        "_mailbox": "waiting",
        "_waiting_bytes": "waiting",
        "asked": "was_asked",
        "connection": "head",
    },
    AskingInbox: {},
    ExactInbox: {"received": "received"},
    SendBuffer: {"_frames": "buffered", "_bytes": "buffered"},
    SendLog: {
        "_backlog": "frames",
        "_batches": "frames",
        "_bytes": "frames",
        "_own": "frames",
        "_sent_before": "sent_before",
        "_skipped": "frames",
        "_unsent_bytes": "frames",
        "acknowledged": "acknowledged",
        "first": "first",
        "gap": "gap",
        "position": "frames",
        "unsent": "unsent",
    },
    LocalConnection: {
        "_request": "head",
        "_resumed_with": "returned",
        "_state": "state",
        "_subprotocol": "subprotocol",
    },
    FurtherRooms: {"rooms": "rooms"},
    Request: {"_head": "head", "_remote_address": "remote_address", "_scheme": "scheme"},
}
"""In which field of a record, or (`late`) of the commit."""

STAYS: dict[type, dict[str, str]] = {
    Session: {
        "_room_in_buffer": "who waits for it sends by way of the other process from then on",
        "shard": "another one there",
        "watchers": "ask the other process",
    },
    ExactSession: {
        "_answered_at": "the next question may be answered sooner",
        "_beat": "begins anew",
        "_claimed": "of a newcomer that is being decided about, whose session does not leave",
        "_frames": "made of options",
        "_timer": "what was taken and not told of is told of at once",
        "_told_at": "it may be told sooner that we are there",
    },
    Inbox: {
        "_busy": "none that is leaves",
        "_session": "its own",
        "_shard": "another one there",
        "context": "begins anew (contract §3)",
        "handling": "nothing is",
        "successor": "a newcomer of its id is decided about where it is",
    },
    AskingInbox: {},
    ExactInbox: {"_exact": "its own session"},
    SendBuffer: {"_limit_bytes": "an option", "_limit_frames": "an option"},
    SendLog: {"_follower": "its id", "_limit_bytes": "an option", "_limit_frames": "an option"},
    LocalConnection: {"_session": "its own"},
    FurtherRooms: {
        "_joining": "none that joins leaves",
        "_limit": "an option",
        "_place": "its session's",
        "_session": "its own",
        "_table": "the shard's",
        "left": "of one that has ended",
    },
    Request: {"_scope": "read of the head again"},
}


def fields_of(kind: type) -> list[str]:
    return list(vars(kind).get("__slots__", ()))


@pytest.mark.parametrize("kind", TRAVELS, ids=lambda kind: kind.__name__)
def test_every_field_of_what_a_session_is_made_of_travels_or_is_named_as_staying(kind: type) -> None:
    assert sorted(fields_of(kind)) == sorted([*TRAVELS[kind], *STAYS[kind]])
    assert all(STAYS[kind].values())


def test_every_field_of_a_record_comes_of_something() -> None:
    there = {name for fields in TRAVELS.values() for name in fields.values()} - {"late"}
    assert there == {*SessionRecord.__struct_fields__, *ExactRecord.__struct_fields__}


def shard_of(codec: Any, incarnation: int, **options: Any) -> Shard:
    server = Server(lambda _request: ("lobby", "ann"), codec=codec, resume_window=60, **options)
    shard = Shard(
        index=0,
        incarnation=incarnation,
        options=server.options,
        handlers=Handlers(on_message=lambda *_: None),
        loop=asyncio.get_running_loop(),
        real_time=lambda: 100.0 * incarnation,
    )
    shard.bus = LocalBus(shard.deliver, shard.deliver_but)
    return shard


class Drawing:
    """Sessions with anything that can be set set."""

    def __init__(self, draw: Random, shard: Shard) -> None:
        self.draw = draw
        self.shard = shard

    def some(self, most: int = 6) -> range:
        return range(self.draw.choice((0, 1, most, self.draw.randrange(most + 1))))

    def data(self) -> bytes:
        return self.draw.randbytes(self.draw.choice((0, 1, 30, 3000)))

    def text(self) -> str:
        letters = string.ascii_letters + 'äß€😀\ud83d\0"\\'
        return "".join(self.draw.choice(letters) for _ in self.some(20))

    def name(self) -> str:
        """In those of our codecs, and in ids, there is no half of a character."""
        return self.text().encode("utf-8", "replace").decode()

    def request(self) -> Request:
        head = f"GET /ws?{self.draw.random()} HTTP/1.1\r\nHost: x\r\nX-Y: ü\r\n\r\n".encode("latin-1")
        return Request(head, self.draw.choice((None, ("10.0.0.1", 5), ("::1", 70))), self.draw.choice(SCHEMES))

    def state(self) -> dict[Any, Any] | None:
        values: tuple[Any, ...] = (1, -1, 2.5, None, True, "ä", b"\xff", [1, [2]], {"a": {"b": []}}, 2**63, "")
        return self.draw.choice((None, {f"key {n}": self.draw.choice(values) for n in self.some()}, {7: "seven"}))

    def error(self) -> BaseException | None:
        return self.draw.choice(
            (
                None,
                PeerClosedError(4001, "näh"),
                ProtocolError(1002, "what"),
                ConnectionLostError("gone"),
                KeepaliveTimeoutError(),
                WriteTimeoutError(),
                LookupError("else"),
            )
        )

    def frame(self) -> tuple[Frame, int]:
        # A codec of the application's may have it made by either of ours.
        kind = self.draw.choice((Frame, MsgpackFrame))
        payload = self.draw.choice((msgspec.UNSET, msgspec.Raw(self.data()), self.text(), self.data()))
        return kind(self.name(), payload, self.name()), self.draw.randrange(5000)

    def transport(self) -> TransportRecord | None:
        draw = self.draw
        parser = ParserRecord(self.data(), 1, True, 5, 3, b"mask", b"\xe2", self.data())
        beat = HeartbeatRecord(draw.random(), draw.choice((None, self.data())), draw.random(), draw.choice((None, 0.5)))
        counted = draw.choice((None, (1.5, 2, 3)))
        return draw.choice((None, TransportRecord(parser, beat, self.data(), self.data(), counted)))

    def session(self, *, is_exact: bool) -> Session:
        draw, shard = self.draw, self.shard
        room = shard.room_table.enter(self.name())
        session: Session
        if is_exact:
            session = ExactSession(shard, "ann", room, 7, 123.5, shard.exact_frames)
            self.set_exact(session)
        else:
            session = Session(shard, "ann", room, 7, 123.5)
            for _ in self.some():
                session._push(self.data())
        for number in self.some():
            add_room(session, shard.room_table.enter(f"room {number}"))
        upgrade = Upgrade(
            room.id, "ann", self.state(), self.request(), b"", 0.0, draw.choice((None, "x", SUBPROTOCOL)), True
        )
        session.inbox.connection = connection = LocalConnection(session, upgrade)
        if draw.random() < 0.5:
            connection._resumed_with = Resumption(self.request(), self.state())
        session.resumes = draw.random() < 0.5
        session.epoch = draw.randrange(1000)
        session.dropped_frames = draw.randrange(1000)
        session.error = self.error()
        if draw.random() < 0.5:
            session.state = SessionState.SUSPENDED
            session.window_ends = shard.clock() + draw.random() * 50
        for _ in self.some():
            session.inbox._append(*self.frame())
        if draw.random() < 0.3 and not is_exact:
            session.inbox.asked = {}
            session.inbox.__class__ = AskingInbox
        return session

    def set_exact(self, session: ExactSession) -> None:
        draw, log = self.draw, session.log
        backlog = session.room.backlog(10**6)
        for _ in range(12):
            match draw.randrange(6):
                case 0 if not log.unsent:
                    log.follow(backlog, session.id)
                case 1 if log.follows:
                    frames = [self.data() for _ in range(draw.randrange(1, 4))]
                    backlog.append(frames, sum(map(len, frames)))
                case 2 if not log.unsent:
                    wire = self.data()
                    log.keep(([wire], len(wire)))
                case 3:
                    log.unfollow()
                    wires = [self.data() for _ in range(draw.randrange(1, 9))]
                    log.put((wires, sum(map(len, wires))))
                case 4 if log.written > log.acknowledged:
                    log.acknowledge(draw.randrange(log.acknowledged, log.written + 1))
                case 5 if draw.random() < 0.3:
                    log.unfollow()
                    log.resume(max(log.acknowledged, log.written - 1))
        session.inbox.received = draw.randrange(100)
        session._told = draw.randrange(session.inbox.received + 1)
        session._untold_bytes = draw.randrange(5000)
        session._owes_ack = draw.random() < 0.5
        session._first = draw.choice((None, (True, 3), (False, 0)))


@pytest.mark.parametrize("codec", [JSONCodec(), MsgpackCodec(), RawCodec()], ids=lambda codec: type(codec).__name__)
async def test_session_that_is_recorded_and_made_of_its_record_is_recorded_alike(codec: Any, draw: Random) -> None:
    encode, decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(SessionRecord).decode
    for turn in range(300):
        here = shard_of(codec, 1, send_buffer_size=draw.choice((2, 8, 4096)))
        there = shard_of(codec, 2, send_buffer_size=draw.choice((2, 8, 4096)))
        drawing = Drawing(draw, here)
        session = drawing.session(is_exact=bool(turn % 2) and here.has_exact_sessions)
        record, unsaid = record_of(session, drawing.transport())
        assert unsaid == []
        read = decode(encode(record))
        assert read == record
        built = session_of(there, read, there.room_table.enter(record.rooms[0]))
        for room_id in record.rooms[1:]:
            add_room(built, there.room_table.enter(room_id))
        again, _ = record_of(built, read.transport)
        assert again.epoch > record.epoch
        window_left_s = record.window_left_s
        if window_left_s is not None:
            assert again.window_left_s == pytest.approx(window_left_s)
        again = msgspec.structs.replace(again, epoch=record.epoch, window_left_s=window_left_s)
        assert msgspec.structs.asdict(again) == msgspec.structs.asdict(record)
        assert type(built) is type(session)
        assert type(built.inbox) is type(session.inbox)
        assert built.inbox._waiting_bytes == session.inbox._waiting_bytes
        assert list(built.inbox._mailbox or ()) == list(session.inbox._mailbox or ())
        assert built.key == session.key
        assert built.queued_frames == session.queued_frames
        assert (type(built.error), str(built.error)) == told(session.error)
        if isinstance(built, ExactSession):
            assert isinstance(session, ExactSession)
            assert [getattr(built.log, name) for name in COUNTS] == [getattr(session.log, name) for name in COUNTS]


COUNTS = ("frames", "written", "sent", "_bytes", "_unsent_bytes", "_own", "unsent", "gap", "first", "acknowledged")


def told(error: BaseException | None) -> tuple[type[Any], str]:
    """What callbacks are told in the other process, where a stranger's error has no type."""
    if isinstance(error, LookupError):
        return TransportError, "wspulse: LookupError: else"
    return type(error), str(error)
