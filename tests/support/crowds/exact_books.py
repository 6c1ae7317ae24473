"""What exact sessions promise, held against the books of all clients and the notes of all workers of `scripts/exact-crowd`.

A *stream* is what has numbers without a gap where nothing is lost: what one sender says in one room, whispers to one other,
floods itself with, or is answered. `judged` knows of each frame of each stream whether and when the server has passed it on, and
of each session of each client what it heard and how much it was told that it has missed. No I/O.

What came right before a session began, or when it ended, may or may not have been for it: of what was told there two bounds are
known. Of all else it is one number.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

__all__ = ["Findings", "judged"]

_JOINED_S = 0.2
"""So long before a session's on_connect it may have been in its rooms."""

_LONGEST_OPENING_S = 3.0

_NEVER = frozenset({"ConnectionNotFoundError", "SendBufferFullError", "ConnectionClosedError"})
"""A call that raised one of these has passed nothing on."""


@dataclass
class Findings:
    faults: list[str] = field(default_factory=list)
    said: int = 0
    """By clients, each frame once."""
    handled: int = 0
    heard: int = 0
    sessions: int = 0
    resumed: int = 0
    lost_living: int = 0
    lost_away: int = 0
    lost_exactly: int = 0
    """Of both, in sessions of which the number is known exactly."""
    handed_back: int = 0
    handed_back_unhandled: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """What calls of the server's raised, which is told to the application."""


class Handled(NamedTuple):
    session: str
    began: float
    ended: float
    outcome: str
    """ "", or what passing it on raised; "unknown" where its handler has not ended."""
    answer: str


class Passed(NamedTuple):
    """A frame of a stream: `was` is "yes", "no" or "maybe"."""

    was: str
    began: float
    ended: float


NOT_PASSED = Passed("no", 0.0, 0.0)


class Server:
    """What the workers have noted."""

    def __init__(self, notes: Iterable[list[Any]], findings: Findings) -> None:
        self.handled: dict[str, dict[int, Handled]] = {}
        self.created: dict[str, float] = {}
        newest: dict[str, int] = {}
        for what, client, *rest in notes:
            frames = self.handled.setdefault(client, {})
            match what:
                case "begin":
                    self.created[rest[0]] = rest[1]
                case "taken":
                    session, number, began = rest
                    if number in frames:
                        findings.faults.append(f"{client}: the server has taken {number} twice")
                    if session in newest and number != newest[session] + 1:
                        findings.faults.append(f"{client}: the server has taken {number} behind {newest[session]}")
                    newest[session] = number
                    frames[number] = Handled(session, began, math.inf, "unknown", "unknown")
                case "handled":
                    number, ended, outcome, answer = rest
                    frames[number] = frames[number]._replace(ended=ended, outcome=outcome, answer=answer)
                    findings.refused.update(name for name in (outcome, answer) if name)
        findings.handled = sum(map(len, self.handled.values()))

    def created_at(self, client: str, session: dict[str, Any]) -> float:
        """When the server has made a session that the client knows; where it was never answered, the earliest that may be."""
        for number, _, _ in session["heard"].get(f"answer<{client}", ()):
            if number in self.handled[client]:
                return self.created[self.handled[client][number].session]
        return float(session["opened"]) - _LONGEST_OPENING_S

    def passed(self, client: str, number: int, *, is_answer: bool = False) -> Passed:
        handled = self.handled.get(client, {}).get(number)
        if handled is None:
            return NOT_PASSED
        outcome = handled.answer if is_answer else handled.outcome
        was = "yes" if not outcome else "no" if outcome in _NEVER else "maybe"
        return Passed(was, handled.began, handled.ended)


def judged(books: list[dict[str, Any]], notes: Iterable[list[Any]], *, buffer_frames: int) -> Findings:
    """`notes` are those of each worker in their order, and of one client's sessions in that of time. `buffer_frames` is the
    server's `send_buffer_size`."""
    findings = Findings()
    server = Server(notes, findings)
    streams = _streams(books, server)
    members: dict[str, list[str]] = {}
    for book in books:
        for room in book["rooms"]:
            members.setdefault(room, []).append(book["id"])
    for book in books:
        findings.faults += [f"{book['id']}: {fault}" for fault in book["faults"]]
        findings.said += len(book["sent"])
        findings.sessions += len(book["sessions"])
        findings.resumed += book["connected"] - len(book["sessions"])
        _hold_taken(book, server, findings)
        mine = {f"{room}<{each}" for room in book["rooms"] for each in members[room]}
        mine |= {f"flood<{book['id']}", f"answer<{book['id']}"}
        mine |= {name for name in streams if name.startswith(f"@{book['id']}<")}
        for place, session in enumerate(book["sessions"]):
            for name in set(session["heard"]) - mine:
                findings.faults.append(f"{book['id']}: heard {name}, which is not for it")
            created = server.created_at(book["id"], session)
            ended = book["sessions"][place + 1]["opened"] if place + 1 < len(book["sessions"]) else None
            mine_streams = {name: streams.get(name, []) for name in mine}
            _hold_heard(book["id"], place, session, created, ended, mine_streams, buffer_frames, findings)
    return findings


def _streams(books: list[dict[str, Any]], server: Server) -> dict[str, list[Passed]]:
    """Of each stream its frames, each at the place that is its number."""
    streams: dict[str, list[Passed]] = {}
    for book in books:
        me = book["id"]
        answers = streams[f"answer<{me}"] = []
        for number, (event, to, _) in enumerate(book["sent"]):
            name = {"say": f"{to}<{me}", "whisper": f"@{to}<{me}", "flood": f"flood<{me}"}[event]
            frames = streams.setdefault(name, [])
            frames.extend([server.passed(me, number)] * (to if event == "flood" else 1))
            answers.append(server.passed(me, number, is_answer=True))
    return streams


def _hold_taken(book: dict[str, Any], server: Server, findings: Findings) -> None:
    """Hold what the server has taken of one client against what the client knows of it."""
    me, handled = book["id"], server.handled.get(book["id"], {})
    faults = findings.faults
    start, last_session = 0, len(book["sessions"]) - 1
    for place, session in enumerate(book["sessions"]):
        back = session["unacknowledged"]
        # The numbers of this session are from `start` up to `end`; those from `sure` on may have been taken.
        end = back[-1] + 1 if back else None
        if back and back != list(range(back[0], back[-1] + 1)):
            faults.append(f"{me}: handed back {back}")
        if end is None:
            end = len(book["sent"]) if place == last_session else _first_of_next(handled, start, book)
        sure = back[0] if back else end
        keys = {handled[number].session for number in range(start, end) if number in handled}
        if len(keys) > 1:
            faults.append(f"{me}: frames {start} to {end - 1} of one session were taken by {len(keys)} of the server's")
        missing = [number for number in range(start, sure) if number not in handled]
        if missing:
            faults.append(f"{me}: {len(missing)} of {start} to {sure - 1} were never handled: {missing[:10]}")
        findings.handed_back += len(back)
        findings.handed_back_unhandled += sum(number not in handled for number in back)
        start = end


def _first_of_next(handled: dict[int, Handled], start: int, book: dict[str, Any]) -> int:
    """Where the next session begins, when all of this one was acknowledged: the server says so."""
    number, session = start, handled[start].session if start in handled else ""
    while number < len(book["sent"]) and number in handled and handled[number].session == session:
        number += 1
    return number


def _hold_heard(
    client: str,
    place: int,
    session: dict[str, Any],
    created: float,
    ended: float | None,
    streams: dict[str, list[Passed]],
    buffer_frames: int,
    findings: Findings,
) -> None:
    """Hold what one session heard against what was passed on to it. `ended` is None for the last one, which has heard the end."""
    told = session["lost_living"] + session["lost_away"]
    missing = perhaps = 0
    for name, frames in streams.items():
        story = f"{client}, session {place}, {name}"
        ranges = session["heard"].get(name, [])
        must_from = bisect_right([frame.began for frame in _in_time(frames)], session["opened"])
        first = ranges[0][0] if ranges else len(frames)
        behind, tellings = min(first, must_from), 0
        perhaps += sum(frame.was != "no" and frame.ended > created - _JOINED_S for frame in frames[:behind])
        for begin, end, told_before in ranges:
            if begin < behind:
                findings.faults.append(f"{story}: {begin} behind {behind - 1}: doubled or out of order")
            if end >= len(frames) or any(frame.was == "no" for frame in frames[begin : end + 1]):
                findings.faults.append(f"{story}: {begin} to {end} were not all passed on")
            gap = sum(frame.was == "yes" for frame in frames[behind:begin])
            if gap and told_before == tellings:
                findings.faults.append(f"{story}: {behind} to {begin - 1} are missing, and nothing was told there")
            missing += gap
            perhaps += sum(frame.was == "maybe" for frame in frames[behind:begin])
            findings.heard += end - begin + 1
            behind, tellings = end + 1, told_before
        rest = frames[behind:]
        if ended is not None:
            perhaps += sum(frame.was != "no" and frame.began < ended for frame in rest)
            continue
        gap = sum(frame.was == "yes" for frame in rest)
        if gap and tellings == len(session["tellings"]):
            findings.faults.append(f"{story}: {behind} to {len(frames) - 1} are missing at the end")
        missing += gap
        perhaps += sum(frame.was == "maybe" for frame in rest)
    if not missing <= told <= missing + perhaps:
        findings.faults.append(
            f"{client}, session {place}: told that {told} are lost; {missing} to {missing + perhaps} are missing"
        )
    if ended is None:
        _hold_bound(f"{client}, session {place}", session, buffer_frames, findings)
    findings.lost_living += session["lost_living"]
    findings.lost_away += session["lost_away"]
    if not perhaps:
        findings.lost_exactly += told


def _hold_bound(story: str, session: dict[str, Any], buffer_frames: int, findings: Findings) -> None:
    """What is pushed out has a whole buffer behind it, which comes, or is told as lost in turn."""
    behind = session["count"]
    told_later = 0
    for heard, lost in reversed(session["tellings"]):
        if behind - heard + told_later < buffer_frames:
            findings.faults.append(
                f"{story}: told that {lost} are lost, and only {behind - heard} came then, and {told_later} were lost later"
            )
        told_later += lost


def _in_time(frames: list[Passed]) -> Iterator[Passed]:
    """With those that were not passed on at the time of what came before them."""
    newest = NOT_PASSED
    for frame in frames:
        if frame.began:
            newest = frame
        yield newest
