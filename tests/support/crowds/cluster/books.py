"""What the clients of the cluster's crowd have heard, held against what the hosts' processes have noted. No I/O.

`judged` gives what was wrong. A session is known by its token, a broadcast and a sent frame by its sender's token and a number.
Times are of CLOCK_MONOTONIC.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from math import inf
from typing import Any

__all__ = ["Deeds", "Findings", "Notes", "Session", "Stay", "judged", "missing"]

Said = tuple[str, int]


@dataclass
class Stay:
    """One connection of a client, from its 101 on."""

    client: str
    room: str
    host: str
    opened_at: float
    session: str = ""
    """As the server has told; empty if it has not."""
    ended_at: float | None = None
    """None: it was open to the last."""
    heard: list[Said] = field(default_factory=list)
    """Of its room, in order."""
    told: list[Said] = field(default_factory=list)


@dataclass
class Session:
    """By the server's callbacks."""

    id: str
    token: str
    host: str
    pid: int
    began_at: float
    ended_at: float | None = None
    last_act_at: float = 0.0


@dataclass
class Deeds:
    """What was done to the hosts, as far as it excuses anything."""

    died_at: dict[int, float] = field(default_factory=dict)
    """By pid, when a process was certainly dead."""
    apart: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    """By host, from when to when it was stopped, or cut off from the others."""
    may_lose: bool = False
    """The only NATS server has lost its memory."""
    told: set[str] = field(default_factory=set)
    """The hosts that have logged and counted that something is lost."""
    may_fail: bool = False
    """Broadcasts may fail."""


class Notes:
    """What all processes have noted. `files` are the lines of each."""

    def __init__(self, files: Iterable[list[list[Any]]]) -> None:
        self.sessions: dict[str, Session] = {}
        self.issued: dict[Said, tuple[str, float]] = {}
        """The room, and when."""
        self.kept: dict[Said, float] = {}
        """When the broadcast had returned."""
        self.asked: dict[Said, tuple[str, float]] = {}
        """To whom it is to be sent, and when."""
        self.sent: set[Said] = set()
        """Those of which the call returned."""
        self.failed: Counter[tuple[str, str]] = Counter()
        for lines in files:
            host, pid = "", 0
            for at, what, *rest in lines:
                match what:
                    case "process":
                        host, pid = rest
                    case "begin":
                        self.sessions[rest[1]] = Session(rest[0], rest[1], host, pid, at)
                    case "end":
                        self.sessions[rest[1]].ended_at = at
                    case "act":
                        self.sessions[rest[1]].last_act_at = at
                    case "issued":
                        self.issued[rest[1], rest[2]] = rest[0], at
                    case "kept":
                        self.kept[rest[1], rest[2]] = at
                    case "asked":
                        self.asked[rest[1], rest[2]] = rest[0], at
                    case "sent":
                        self.sent.add((rest[1], rest[2]))
                    case "failed":
                        self.failed[rest[0], rest[3]] += 1


@dataclass
class Findings:
    stories: list[str] = field(default_factory=list)
    kept: int = 0
    """Broadcasts that were acknowledged."""
    heard: int = 0
    sent: int = 0
    sessions: int = 0
    lost: int = 0
    """Of what was acknowledged, counted for each client that had to hear it and did not."""
    failed: dict[str, int] = field(default_factory=dict)
    longest_broadcast_s: float = 0.0


def judged(stays: list[Stay], notes: Notes, deeds: Deeds) -> Findings:
    waits = [at - notes.issued[said][1] for said, at in notes.kept.items()]
    findings = Findings(
        kept=len(notes.kept),
        heard=sum(len(stay.heard) for stay in stays),
        sent=len(notes.sent),
        sessions=len(notes.sessions),
        failed={f"{what} {error}": count for (what, error), count in sorted(notes.failed.items())},
        longest_broadcast_s=max(waits, default=0.0),
    )
    stories = findings.stories
    for stay in stays:
        stories += _doubles(stay)
    stories += _disorder(stays)
    for stay, lost in missing(stays, notes):
        findings.lost += len(lost)
        if not deeds.may_lose or stay.host not in deeds.told:
            what = "which it has not told" if deeds.may_lose else f"{lost[0]} among them"
            stories.append(f"{_name(stay)}: {len(lost)} broadcasts of its room are missing, {what}")
    stories += _untold(stays, notes)
    stories += _overlaps(notes, deeds)
    if not deeds.may_fail:
        stories += [
            f"{count} broadcasts raised {error}" for (what, error), count in notes.failed.items() if what == "say"
        ]
    return findings


def missing(stays: list[Stay], notes: Notes) -> Iterator[tuple[Stay, list[Said]]]:
    """Who has not heard what it had to hear: everything of its room that was issued since it was open and acknowledged, or heard
    by anybody; of one that has ended, what others heard before the last that it heard."""
    certain: dict[str, dict[Said, float]] = {}
    heard_somewhere = {said for stay in stays for said in stay.heard}
    for said, (room, at) in notes.issued.items():
        if said in notes.kept or said in heard_somewhere:
            certain.setdefault(room, {})[said] = at
    longest: dict[str, dict[Said, int]] = {}
    for stay in sorted(stays, key=lambda stay: len(stay.heard)):
        if stay.ended_at is None:
            longest[stay.room] = {said: place for place, said in enumerate(stay.heard)}
    for stay in stays:
        wanted = {said for said, at in certain.get(stay.room, {}).items() if at > stay.opened_at}
        places = longest.get(stay.room, {})
        if stay.ended_at is not None:
            last = max((places[said] for said in stay.heard if said in places), default=-1)
            wanted = {said for said in wanted if places.get(said, inf) < last}
        if lost := wanted - set(stay.heard):
            yield stay, sorted(lost, key=lambda said: notes.issued[said][1])


def _name(stay: Stay) -> str:
    return f"{stay.client} on {stay.host}"


def _doubles(stay: Stay) -> Iterator[str]:
    for what, came in (("broadcast", stay.heard), ("told", stay.told)):
        for said, count in Counter(came).items():
            if count > 1:
                yield f"{_name(stay)}: {what} {said} came {count} times"


def _disorder(stays: list[Stay]) -> Iterator[str]:
    """There is an order of the room that all its members heard: what follows what has no circle."""
    behind: dict[str, dict[Said, set[Said]]] = {}
    for stay in stays:
        room = behind.setdefault(stay.room, {})
        for before, said in pairwise(stay.heard):
            if before != said:
                room.setdefault(said, set()).add(before)
        newest: dict[str, int] = {}
        for sender, number in stay.told:
            if number < newest.get(sender, -1):
                yield f"{_name(stay)}: told {number} of {sender} came behind {newest[sender]}"
            newest[sender] = number
    for name, room in behind.items():
        try:
            TopologicalSorter(room).prepare()
        except CycleError as error:
            yield f"{name}: its members heard no one order: {error.args[1][:6]}"


def _untold(stays: list[Stay], notes: Notes) -> Iterator[str]:
    """What was sent by id to one that was there from before until the end."""
    there = {stay.client: stay for stay in stays if stay.ended_at is None and stay.session in notes.sessions}
    told = {stay.client: set(stay.told) for stay in there.values()}
    for said in notes.sent:
        to, asked_at = notes.asked[said]
        stay = there.get(to)
        if stay is not None and stay.opened_at < asked_at and said not in told[to]:
            yield f"{to}: what {said} sent it did not come"


def _overlaps(notes: Notes, deeds: Deeds) -> Iterator[str]:
    """No id is on two hosts, or twice on one. A session of a host that stood still or was cut off may end late, when another has
    begun elsewhere, but does nothing until then."""
    by_id: dict[str, list[Session]] = {}
    for session in notes.sessions.values():
        by_id.setdefault(session.id, []).append(session)
    for sessions in by_id.values():
        sessions.sort(key=lambda session: session.began_at)
        for first, second in pairwise(sessions):
            ended_at = inf if first.ended_at is None else first.ended_at
            ended_at = min(ended_at, deeds.died_at.get(first.pid, inf))
            if ended_at <= second.began_at:
                continue
            where = f"{first.host} and {second.host}"
            was_apart = any(since < second.began_at for since, _ in deeds.apart.get(first.host, ()))
            if first.host == second.host or not was_apart:
                yield f"{first.id} was on {where} for {ended_at - second.began_at:.3f} s"
            elif first.last_act_at > second.began_at:
                yield f"{first.id} on {first.host} acted when it was on {second.host}"
            elif first.ended_at is None:
                yield f"{first.id} has not ended on {first.host}, and is on {second.host}"
