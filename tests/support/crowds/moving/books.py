"""What all clients of the moving crowd have heard, held against each other and against what the server's processes have noted.

No I/O. `judged` gives what was wrong; `Findings` counts it by kind, since of one fault many others follow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Findings", "Notes", "judged"]

Book = dict[str, Any]

ANY_END = "any"

OWN = ("room", "pulse", "answer", "visit", "big")
"""What comes of broadcasts and of a client's own handlers: who lives has all of it. Not so what was sent to it from elsewhere,
when the process that it was with has died."""


@dataclass
class Findings:
    clients: int = 0
    closed: int = 0
    """Connections that ended and were not to."""
    lost: int = 0
    doubled: int = 0
    disordered: int = 0
    sent: int = 0
    """By clients, numbered frames."""
    heard: int = 0
    stories: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return not (self.closed or self.lost or self.doubled or self.disordered or self.stories)


class Notes:
    """What the server's processes have noted, of all in any order."""

    def __init__(self, lines: Iterable[list[Any]]) -> None:
        self.begun: set[str] = set()
        self.connects: Counter[str] = Counter()
        self.disconnects: dict[str, list[str]] = {}
        self.moved_out: Counter[str] = Counter()
        self.moved_in: Counter[str] = Counter()
        self.faults: list[tuple[str, str]] = []
        self.errors: list[tuple[str, str, str, str]] = []
        self.totals: dict[str, dict[str, dict[str, int]]] = {}
        """By key of a process: of "rooms", "direct" and "told", how long each stream became."""
        for what, *rest in lines:
            match what:
                case "begin":
                    self.begun.add(rest[0])
                case "connect":
                    self.connects[rest[0]] += 1
                case "disconnect":
                    self.disconnects.setdefault(rest[0], []).append(rest[1])
                case "out":
                    self.moved_out[rest[0]] += 1
                case "in":
                    self.moved_in[rest[0]] += 1
                case "fault":
                    self.faults.append((rest[0], rest[1]))
                case "error":
                    self.errors.append((rest[0], rest[1], rest[2], rest[3]))
                case "totals":
                    key, rooms, direct, told = rest
                    self.totals[key] = {"rooms": rooms, "direct": direct, "told": told}


def judged(
    books: list[Book],
    notes: Notes,
    *,
    ends: dict[str, Any],
    is_over: bool = False,
    has_unfinished: bool = False,
    has_killed: bool = False,
) -> Findings:
    """`ends` has the clients that may have ended, with how (ANY_END: as they will).

    `is_over`: the server was told to end while the crowd talked. `has_unfinished`: there are processes that have not noted how
    much they have sent. `has_killed`: one of them had connections that waited for its answer, and took those with it.
    """
    findings = Findings(clients=len(books))
    # Those that come back, and the session had died with its process, begin anew.
    anew = {book["id"] for book in books if ends.get(book["id"]) == ANY_END and book["kind"] in ("away", "exact")}
    for book in books:
        me = book["id"]
        end = None if book["end"] is None else tuple(book["end"])
        expected = ends.get(me)
        if expected == ANY_END:
            if end is None and me not in anew and (torn := set(book["torn"]) & set(OWN)):
                findings.lost += 1
                findings.stories.append(f"{me}: its session lives, but {', '.join(sorted(torn))} of it are not whole")
            continue
        if book["cut_off"] and not has_killed:
            findings.closed += book["cut_off"]
            findings.stories.append(f"{me} ({book['kind']}): it was cut off before the 101, {book['cut_off']} times")
        if not _is_as(end, expected):
            findings.closed += 1
            findings.stories.append(f"{me} ({book['kind']}): its socket ended with {end}, not {expected}")
        findings.lost += book["lost"]
        findings.doubled += book["doubled"]
        findings.disordered += book["disordered"]
        findings.sent += book["sent"]
        findings.heard += sum(order["count"] for order in book["order"].values())
        findings.stories += [f"{me} ({book['kind']}): {story}" for story in book["stories"]]
    whole = [book for book in books if book["end"] is None and ends.get(book["id"]) is None]
    for book in whole:
        _hold_lengths(book, notes, findings)
    living = [book for book in books if book["end"] is None and ends.get(book["id"]) in (None, ANY_END)]
    living = [book for book in living if book["id"] not in anew]
    for story in [*_relays(whole), *_orders(living)]:
        findings.lost += 1
        findings.stories.append(story)
    findings.stories += [f"{whom}: {fault}" for whom, fault in notes.faults if whom not in anew]
    # Of a call to one that was away its client may have known nothing.
    away = {book["id"] for book in books if book["kind"] == "away"}
    excused = {book["id"] for book in books if book["end"] is not None or ends.get(book["id"]) == ANY_END}
    for what, whom, error, key in notes.errors:
        if has_unfinished and key not in notes.totals:
            # A process that failed in its start, or was killed, is held to nothing.
            continue
        if not is_over and whom not in excused and not (what == "call" and whom in away):
            findings.stories.append(f"{what} to {whom} raised {error}")
    if not has_unfinished and (silent := notes.begun - notes.totals.keys()):
        findings.stories.append(f"{len(silent)} processes have not noted how they ended")
    _hold_callbacks(books, notes, findings, ends)
    return findings


def _is_as(end: tuple[int, str] | None, expected: tuple[int, str] | None) -> bool:
    """Of the reason the beginning counts: it may say when to come back."""
    if end is None or expected is None:
        return end is expected
    return end[0] == expected[0] and end[1].startswith(expected[1])


def _hold_lengths(book: Book, notes: Notes, findings: Findings) -> None:
    """What came last may be missing, which no gap tells."""
    me, newest = book["id"], book["newest"]
    wanted = {
        ("answer", ""): book["sent"],
        ("visit", ""): book["visits"],
        ("big", ""): book["flooded"],
    }
    for key, totals in notes.totals.items():
        wanted["room", key] = totals["rooms"].get(book["rooms"][0], 0)
        wanted["pulse", key] = totals["rooms"].get("pulse", 0) if "pulse" in book["rooms"] else 0
        wanted["direct", key] = totals["direct"].get(me, 0)
        wanted["told", key] = totals["told"].get(me, 0)
    for (event, key), count in wanted.items():
        came = newest.get(event, {}).get(key, -1) + 1
        if came != count:
            findings.lost += abs(count - came)
            findings.stories.append(f"{me} ({book['kind']}): of {event} {key} {came} came, not {count}")


def _relays(books: list[Book]) -> Iterator[str]:
    """Each client's broadcasts, as many as it asked for, at each member."""
    by_room: dict[str, list[Book]] = {}
    for book in books:
        by_room.setdefault(book["rooms"][0], []).append(book)
    for members in by_room.values():
        for member in members:
            counts: Counter[str] = Counter()
            for key, newest in member["newest"].get("room", {}).items():
                counts[key.partition(".")[0]] += newest + 1
            for speaker in members:
                came = counts[speaker["id"]]
                if came != speaker["relayed"]:
                    yield f"{member['id']}: of {speaker['id']}'s broadcasts {came} came, not {speaker['relayed']}"


def _orders(books: list[Book]) -> Iterator[str]:
    """One and the same order for all members."""
    first: dict[str, Book] = {}
    for book in books:
        for event, room in (("room", book["rooms"][0]), ("pulse", "pulse")):
            if room not in book["rooms"]:
                continue
            other = first.setdefault(room, book)
            mine, others = book["order"][event], other["order"][event]
            if (mine["count"], mine["chain"]) != (others["count"], others["chain"]):
                pairs = zip(mine["blocks"], others["blocks"], strict=False)
                place = next((place for place, (one, two) in enumerate(pairs) if one != two), "the last")
                yield (
                    f"{room}: {book['id']} heard {mine['count']}, {other['id']} {others['count']}, or in another order, "
                    f"from block {place} on"
                )


def _hold_callbacks(books: list[Book], notes: Notes, findings: Findings, ends: dict[str, Any]) -> None:
    for book in books:
        me = book["id"]
        if ends.get(me) == ANY_END:
            continue
        counts = notes.connects[me], len(notes.disconnects.get(me, ()))
        wanted = 1, 1
        # One that has ended and was not to is a story of its own.
        if counts != wanted and (book["end"] is None or me in ends):
            findings.stories.append(f"{me}: {counts[0]} on_connect and {counts[1]} on_disconnect, not {wanted}")
        if notes.moved_out[me] != notes.moved_in[me]:
            findings.stories.append(f"{me}: {notes.moved_out[me]} on_transfer_out, {notes.moved_in[me]} on_transfer_in")
