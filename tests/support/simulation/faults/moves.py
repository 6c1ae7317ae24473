"""Of moves: the cut, the freeze, the commit, what was not sent, and who runs what where."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import msgspec

from tests.support.simulation.faults.replacements import Faults, never
from tests.support.simulation.outside.processes.forwarder import BusEnd
from wspulse.actors.limits.places import Places
from wspulse.actors.mesh.placing.moves import BatchBuilt
from wspulse.actors.moving import batch as batches
from wspulse.actors.moving import landing as landings
from wspulse.actors.moving import moving as movings
from wspulse.actors.moving.arrival import Arrival
from wspulse.actors.moving.batch import Batch
from wspulse.actors.moving.departure import Departure
from wspulse.actors.sessions.exact import recording as exact_recording
from wspulse.actors.sessions.room import Room
from wspulse.actors.sessions.session import Session
from wspulse.actors.sessions.transfer import places, recording
from wspulse.actors.sessions.transfer.halting import Halting
from wspulse.actors.transport.compression.compressing import CompressingTransport
from wspulse.actors.transport.transfer import departure as departures
from wspulse.actors.transport.transfer.arrival import Arrival as ArrivingSocket
from wspulse.actors.transport.transfer.record import TransportRecord

__all__ = ["FAULTS"]


# The cut.


def _take_cut_early(end: BusEnd, what: Any) -> None:
    """`take` of the source's bus, to which its own cut comes one message early."""
    items = end.incoming.items
    following = items[0].arrives.args[0] if items and isinstance(items[0].arrives, partial) else None
    if isinstance(following, tuple) and following[0] == end.process.incarnation and not isinstance(what, tuple):
        items.popleft()
        _take_frames(end, following)
    _take_frames(end, what)


def _freeze_later(departure: Departure, number: int) -> None:
    """`Departure._cut` that freezes one turn late."""
    batch = departure._batch
    if batch is not None and batch.number == number:
        departure._shard.loop.call_soon(batch.freeze)


def _keep_what_came_before(room: Room[Session], keeper: Any) -> None:
    """`Room.add_keeper` that does not flush first."""
    room._slow[keeper] = None
    room.keepers += 1


def _build_before_the_cut(arrival: Arrival, number: int) -> None:
    """`Arrival._build` that does not wait for the cut."""
    batch = arrival._batches[number]
    if batch.comes is not None and not batch.cut_passed:
        arrival._cut(number)
        return
    _build(arrival, number)


# The commit.


async def _commit_before_built(departure: Departure, *_args: Any) -> BatchBuilt:
    """`Departure._built` that waits for nothing."""
    assert departure._batch is not None
    return BatchBuilt(departure._batch.number, [])


def _let_go_and_take_back(batch: Batch) -> list[Any]:
    """`Batch.let_go` that takes back what it has committed."""
    batch.take_back(never)
    return []


def _commit_without_late(arrival: Arrival, number: int, _late: Any) -> None:
    _commit(arrival, number, {})


def _commit_and_land_at_once(arrival: Arrival, number: int) -> None:
    """`Arrival._build` that lands what the source has not committed."""
    _build(arrival, number)
    batch = arrival._batches.get(number)
    if batch is not None and batch.landers is not None:
        _commit(arrival, number, {})


# The socket.


def _take_with_size(departure: departures.Departure) -> None:
    """`Departure.take` that asks at once how much is not sent."""
    unsent_bytes = departure._client.get_write_buffer_size()
    if unsent_bytes:
        departure._record = msgspec.structs.replace(departure._record, unsent=departure._written[-unsent_bytes:])
        departure._written = b""
    _take(departure)


def _lost_with_that_size(departure: departures.Departure, _exc: BaseException | None) -> None:
    departure._shard.transport_gone(departure)
    departure._left(departure._record, departure._descriptor)


def _arriving(change: Callable[[TransportRecord], TransportRecord]) -> Callable[..., None]:
    """`transport.transfer.Arrival` of another record."""

    def begin(arriving: ArrivingSocket, shard: Any, record: TransportRecord, arrived: Any) -> None:
        _begin_arriving(arriving, shard, change(record), arrived)

    return begin


def _without_agreement(record: TransportRecord) -> TransportRecord:
    return msgspec.structs.replace(record, window_bits=0)


def _write_unnoted(transport: CompressingTransport, wire: bytes) -> None:
    """`CompressingTransport._write_compressed` that leaves noted what it was given."""
    transport._write(transport._deflater.compressed(wire))


def _without_unsent(record: TransportRecord) -> TransportRecord:
    return msgspec.structs.replace(record, unsent=b"")


def _with_unsent_twice(record: TransportRecord) -> TransportRecord:
    return msgspec.structs.replace(record, unsent=record.unsent * 2)


def _without_read(record: TransportRecord) -> TransportRecord:
    return msgspec.structs.replace(record, parser=msgspec.structs.replace(record.parser, rest=b""))


# What is kept meanwhile, and what waits.


def _catch_up_without(session: Session, _kept: Any, late: Any) -> None:
    _catch_up(session, (), late)


def _catch_up_twice(session: Session, kept: list[bytes], late: Any) -> None:
    _catch_up(session, [*kept, *kept[-1:]], late)


def _catch_up_late_first(session: Session, kept: Any, late: Any) -> None:
    _catch_up(session, (), late)
    _catch_up(session, kept, ())


def _sent_meanwhile_lost(session: Session) -> list[bytes]:
    session._turn = None
    return []


def _recorded(change: Callable[[list[Any]], list[Any]]) -> Callable[..., Any]:
    """`record_of` with other waiting frames."""

    def record_of(session: Session, transport: TransportRecord | None) -> Any:
        record, unsaid = _record_of(session, transport)
        return msgspec.structs.replace(record, waiting=change(record.waiting)), unsaid

    return record_of


def _exact_record(session: Any) -> Any:
    """`exact_record_of` that counts one more as written."""
    record = _exact_record_of(session)
    return msgspec.structs.replace(record, unsent=max(0, record.unsent - 1))


def _exact_record_forgetting(session: Any) -> Any:
    record = _exact_record_of(session)
    return msgspec.structs.replace(record, received=max(0, record.received - 1))


# Timers, handlers, asks.


def _let_go_unfenced(session: Session) -> None:
    epoch = session.epoch
    _let_go(session)
    session.epoch = epoch


def _take_back_unthawed(batch: Batch, landed: Callable[[Session], object], only: Iterable[str] | None = None) -> None:
    """`Batch.take_back` that forgets what its rooms got meanwhile."""
    for each in batch._frozen.values():
        each.keeper.frames.clear()
    _take_back(batch, landed, only)


def _is_at_rest_when_busy(halting: Halting, session: Session) -> str:
    """`what_runs` that does not look whether a callback does."""
    found = _what_runs(halting, session)
    return "" if found == "a handler is running" else found


def _land_and_run_first(inbox: Any, kind: str) -> None:
    """`call_first` that puts the callback last."""
    inbox.post(kind)


_take_frames, _build, _commit = BusEnd.take, Arrival._build, Arrival._commit
_take, _begin_arriving, _catch_up = departures.Departure.take, ArrivingSocket.__init__, landings._catch_up
_record_of, _exact_record_of = recording.record_of, exact_recording.exact_record_of
_let_go, _take_back, _what_runs = places.let_go, Batch.take_back, Halting.what_runs

FAULTS: Faults = {
    "session has no place on its way to another process": ((Places, "pass_on", never),),
    "cut that comes one message early": ((BusEnd, "take", _take_cut_early),),
    "sessions are frozen one turn late": ((Departure, "_cut", _freeze_later),),
    "room is not flushed before somebody keeps what it gets": ((Room, "add_keeper", _keep_what_came_before),),
    "target does not wait for the cut": ((Arrival, "_build", _build_before_the_cut),),
    "commit before the target has built": ((Departure, "_built", _commit_before_built),),
    "batch is taken back after its commit": ((Batch, "let_go", _let_go_and_take_back),),
    "target lands what is not committed": ((Arrival, "_build", _commit_and_land_at_once),),
    "what was sent meanwhile does not go with the commit": ((Arrival, "_commit", _commit_without_late),),
    "what was sent meanwhile is lost": ((batches, "sent_meanwhile", _sent_meanwhile_lost),),
    "size of what is not sent is taken too early": (
        (departures.Departure, "take", _take_with_size),
        (departures.Departure, "connection_lost", _lost_with_that_size),
    ),
    "what was agreed on does not go with the socket": ((ArrivingSocket, "__init__", _arriving(_without_agreement)),),
    "what was written is taken for what it was before it was compressed": (
        (CompressingTransport, "_write_compressed", _write_unnoted),
    ),
    "what was not sent is dropped": ((ArrivingSocket, "__init__", _arriving(_without_unsent)),),
    "what was not sent is written twice": ((ArrivingSocket, "__init__", _arriving(_with_unsent_twice)),),
    "what was read and not handled is dropped": ((ArrivingSocket, "__init__", _arriving(_without_read)),),
    "what the rooms got meanwhile is dropped": ((landings, "_catch_up", _catch_up_without),),
    "what the rooms got meanwhile is dropped when a batch is taken back": ((Batch, "take_back", _take_back_unthawed),),
    "what the rooms got last is written twice": ((landings, "_catch_up", _catch_up_twice),),
    "window that is not fenced against a move": ((batches, "let_go", _let_go_unfenced),),
    "frames that wait for a handler are lost": ((batches, "record_of", _recorded(lambda _waiting: [])),),
    "frame that waits for a handler comes twice": ((batches, "record_of", _recorded(lambda each: [*each[:1], *each])),),
    "exact log takes one frame more for written": ((recording, "exact_record_of", _exact_record),),
    "exact session forgets what it took last": ((recording, "exact_record_of", _exact_record_forgetting),),
    "session with a running handler is at rest": ((Halting, "what_runs", _is_at_rest_when_busy),),
    "on_transfer_in comes behind what waits": ((movings, "call_first", _land_and_run_first),),
}
