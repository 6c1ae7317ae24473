"""The vocabulary of actors: every message that one actor may send another, and the envelopes that carry them.

Messages are plain values. They are encoded (msgpack, tagged arrays) only when they leave the process. An ask has a
result or one of the codes of `wspulse.actors.values.errors`; a tell has neither.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from wspulse.actors.mesh.lifecycle import ActorMessage, LifecycleMessage
from wspulse.actors.mesh.placing.hosts import GatewayMessage
from wspulse.actors.mesh.placing.moves import MoveAnswer, MoveEnvelope
from wspulse.actors.mesh.placing.yields import YieldMessage
from wspulse.actors.values.request import INSECURE, Address, Scheme
from wspulse.actors.values.text.exact import Claim

__all__ = ["DESK_SHARD", "QUESTION_TIMEOUT_S", "Envelope", "Message"]


# What a shard can be asked. `key` is (incarnation, serial): one session and no later one of the same id; None is whichever
# session has the id now.


class SendFrame(ActorMessage):
    """Queue a frame in wire form for one session. Result: None."""

    connection_id: str
    wire: bytes
    key: tuple[int, int] | None = None


class CallConnection(ActorMessage):
    """Send a frame in wire form, whose id is `call_id`, to that session. Result: the message that answers it, as (opcode,
    payload), or None when none has come within `timeout_s`; ConnectionClosedError when the session ends first."""

    connection_id: str
    key: tuple[int, int]
    call_id: str
    wire: bytes
    timeout_s: float


class Kick(ActorMessage):
    """Destroy the session now. Result: None, when it is out of the table."""

    connection_id: str
    code: int = 1000
    reason: str = "kicked"


class CloseConnection(ActorMessage):
    """Close the session as `connection.close()` does. Result: None, when it is out of the table."""

    connection_id: str
    key: tuple[int, int]
    code: int = 1000
    reason: str = ""


class WatchClosed(ActorMessage):
    """Answered with None when that session has ended."""

    connection_id: str
    key: tuple[int, int]


class JoinRoom(ActorMessage):
    """Have the session join a room as `connection.join()` does. Result: None, when every broadcast issued from then on reaches
    it. `deadline` is monotonic: it joins no more after that."""

    connection_id: str
    room_id: str
    deadline: float
    key: tuple[int, int] | None = None


class LeaveRoom(ActorMessage):
    """Have the session leave a room as `connection.leave()` does. Result: None."""

    connection_id: str
    room_id: str
    key: tuple[int, int] | None = None


class ListConnections(ActorMessage):
    """Result: ConnectionList, of one room or (None) of all; with what the application keeps in `connection.state` where that is
    asked for."""

    room_id: str | None
    with_state: bool = False


class ListRooms(ActorMessage):
    """Result: list of (room id, number of sessions) of those rooms that have any."""


class SendPayload(ActorMessage):
    """Encode a frame with the application's codec and queue it for one session. Result: None.

    `frame` is a map with the fields of a frame, encoded as `encoding` ("json" or "msgpack") says. BadRequestError when it
    is none, or the codec refuses it.
    """

    connection_id: str
    frame: bytes
    encoding: str


class BroadcastPayload(ActorMessage):
    """Encode a frame, as in SendPayload, with the application's codec and broadcast it to all but `exclude`. Result: None."""

    room_id: str
    frame: bytes
    encoding: str
    exclude: tuple[str, ...] = ()


class GetStats(ActorMessage):
    """Result: what the shard knows of itself, as a map of plain values."""


class GetMetrics(ActorMessage):
    """Result: {gauges, counters, histograms}, each by the names of the sources in the contract of telemetry."""


# What shards tell each other.


class WatchRoom(ActorMessage):
    """The teller has connections that watch who is in this room (or has none any more): report it, or report it no more."""

    shard: int
    incarnation: int
    room_id: str
    watching: bool


class PresenceReport(ActorMessage):
    """How sessions of the teller in this room are now, in order: (connection id, "connected", "suspended", "gone" or "moved").

    "moved": it is not the teller's any more, and another will report it. `is_complete`: the teller has no others there.
    `worker` is the number by which people know the teller; `host`, in a cluster, the name of its host.
    """

    shard: int
    incarnation: int
    room_id: str
    is_complete: bool
    states: list[tuple[str, Literal["connected", "suspended", "gone", "moved"]]]
    worker: int
    host: str = ""


class BusConsumed(ActorMessage):
    """The teller has delivered everything that the bus carried from `sender` (an incarnation) up to message `number`."""

    shard: int
    sender: int
    number: int


class BusRooms(ActorMessage):
    """The teller has joined rooms on the bus, and gets nothing more of some that it has left; known by their topics.

    `are_all`: it has joined no others. `is_hearsay`: not the teller is meant, but another shard, which has told it so.
    """

    shard: int
    incarnation: int
    joined: list[bytes]
    left: list[bytes]
    are_all: bool = False
    is_hearsay: bool = False


class BusRoomsWanted(ActorMessage):
    """The teller has not been told which rooms a third shard has joined, since that is silent: answer with what it told you."""

    shard: int
    silent_shard: int


# The bridge application → the supervisor's bridge desk.

DESK_SHARD = -1
"""The desk is reached as a shard is, and is none."""

QUESTION_TIMEOUT_S = 5.0
"""How long a program has to say who somebody is."""


class BridgeQuestion(ActorMessage):
    """Who is this? Result: {room, connection, program}, or {status, text} to refuse with."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]
    remote: tuple[str, int] | None


class BridgeNotice(ActorMessage):
    """A session is "connected", "disconnected", "dropped" or "restored"; or "moved": it is the teller's now, in whose process it
    goes on. `shard` is the teller's seat, `program` the one that let the session in."""

    kind: str
    shard: int
    connection_id: str
    room_id: str
    error: dict[str, str] | None
    program: int


class BridgeFrame(ActorMessage):
    """A frame of a client. Result: None, when it has been sent to a program.

    `kind` says what the payload is: "json", "msgpack", "text", "bytes", or "" for none.
    """

    connection_id: str
    room_id: str
    event: str
    id: str
    payload: bytes
    kind: str


class BridgeMark(ActorMessage):
    """Result: None, at once: what the asker has said before has arrived."""


class BridgeRest(ActorMessage):
    """Result: None, when all frames of a client that the desk has by now have been sent to a program."""

    connection_id: str


Message = (
    SendFrame
    | CallConnection
    | Kick
    | CloseConnection
    | WatchClosed
    | JoinRoom
    | LeaveRoom
    | ListConnections
    | ListRooms
    | SendPayload
    | BroadcastPayload
    | GetStats
    | GetMetrics
    | WatchRoom
    | PresenceReport
    | BusConsumed
    | BusRooms
    | BusRoomsWanted
    | BridgeQuestion
    | BridgeNotice
    | BridgeFrame
    | BridgeMark
    | BridgeRest
    | GatewayMessage
    | YieldMessage
    | LifecycleMessage
)


class ConnectionRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One session as a snapshot. `state` is "connected" or "suspended"; `connected_at` is Unix time in seconds.

    `incarnation` and `serial` are its birth key, the same wherever it goes. `shard` is the name of the worker in which it lives,
    for telling; who asks it something asks the owner of its id.
    """

    id: str
    room_id: str
    shard: int
    incarnation: int
    serial: int
    state: str
    connected_at: float
    queued_frames: int
    subprotocol: str | None = None
    latency_s: float | None = None
    application_state: dict[str, Any] | None = None
    further_rooms: tuple[str, ...] = ()
    """That it is in beside its first one."""


class ConnectionList(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The sessions of one process. `gone_to` are the seats that some of them may be at by now: whoever wants all asks there
    behind this (`placing.listing`)."""

    records: list[ConnectionRecord]
    gone_to: list[int] = []


class UpgradeRequest(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An accepted upgrade on its way to the shard that owns its connection id."""

    room_id: str
    connection_id: str
    state: dict[str, Any] | None
    head: bytes
    """The request as it came, without the empty line that ends it."""
    leftover: bytes
    """What the client had sent behind the request."""
    subprotocol: str | None
    deadline: float
    """Monotonic time at which the handshake has timed out."""
    remote_address: Address | None
    headers: tuple[tuple[str, str], ...] = ()
    """That the 101 has beside its own."""
    resume: bool = True
    """Whether the session may have a resume window."""
    rooms: tuple[str, ...] = ()
    """That it joins beside `room_id`."""
    claim: Claim | None = None
    """Of which session the client says that it is its own."""
    scheme: Scheme = INSECURE
    family: int = 0
    """Of the socket, which may not be that of the client's address; 0 where it is not known."""
    window_bits: int = 0
    """Of the server's window, where `headers` agree on compression; 0: they do not."""


# Envelopes on a stream between two processes.


class Hello(ActorMessage):
    """The first envelope of a stream's accepting side: who is there."""

    shard: int
    incarnation: int


class Tell(ActorMessage):
    message: Message


class Ask(ActorMessage):
    """`incarnation` is the one that the asker means, 0 for whichever is there; `deadline` is monotonic, 0 for none."""

    number: int
    incarnation: int
    deadline: float
    message: Message


class Withdrawal(ActorMessage):
    """Nobody waits any more for the answer to this ask: what waits there is cancelled."""

    number: int


class Reply(ActorMessage):
    number: int
    result: Any = None


class Failure(ActorMessage):
    number: int
    code: str
    subject: str


class Handover(ActorMessage):
    """An upgrade whose descriptor travels with the first byte of this envelope."""

    number: int
    upgrade: UpgradeRequest


class ReceiptsWanted(ActorMessage):
    """Before the first handover of a stream: the pipe that travels with it wants their numbers (`wspulse.actors.mesh.receipts`).

    A number in it says that the descriptor has arrived and will be answered by the owner: the sender may close its copy.
    """


class MailboxMoved(ActorMessage):
    """Supervisor → worker: the file of the worker's mailbox was removed, and the listener that travels with this has been opened
    in its place. Others find the shard there."""


Envelope = (
    Hello
    | Tell
    | Ask
    | Withdrawal
    | Reply
    | Failure
    | Handover
    | ReceiptsWanted
    | MailboxMoved
    | MoveEnvelope
    | MoveAnswer
)
