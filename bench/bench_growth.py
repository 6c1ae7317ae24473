"""Does a member, a room, a join or a leave cost the same however many there are?

What one more member costs a broadcast: the cost of a broadcast to N less that of one to a single member, by N - 1. The
floor shows what the kernel makes of more sockets.
"""

from __future__ import annotations

from typing import Any

from bench.support.rounds import Case, Measure, arguments, load, measure_cases
from bench.support.subjects import Running, floor, wspulse


def _broadcast_us(running: Running, members: int, rooms: int) -> float:
    options = ["--connections", members, "--background", rooms, "--in-flight", 16, "--measure-s", 1]
    (line,) = load(running, "fanout", *options)
    return float(line["us_per_message"]) * members


def member(members: int, rooms: int = 0) -> Measure:
    """One more member of a room, while `rooms` others of one member each are there."""

    def measure(running: Running) -> dict[str, Any]:
        alone = _broadcast_us(running, 1, 0)
        return {"figure": (_broadcast_us(running, members, rooms) - alone) / (members - 1), "alone_us": alone}

    return measure


def coming_and_going(members: int) -> Measure:
    """500 connections that join a room of `members` and leave it."""

    def measure(running: Running) -> dict[str, Any]:
        options = ["--connections", 500, "--background", members, "--background-path", "/ws?id=b{n}"]
        joining, leaving = load(running, "connect", *options, "--leave")
        return {"figure": joining["us_per_message"], "leaving_us": leaving["us_per_message"]}

    return measure


def main() -> None:
    chosen = arguments(__doc__)
    relay, coalesce = wspulse("relay"), floor("coalesce")
    sizes = (10, 100, 1000, 9_800)
    cases = [Case(f"floor, {members} members", coalesce, member(members)) for members in sizes]
    cases += [Case(f"{members} members", relay, member(members), f"floor, {members} members") for members in sizes]
    cases += [Case(f"100 members, {rooms} rooms besides", relay, member(100, rooms)) for rooms in (1, 100, 9_800)]
    measure_cases("growth_of_deliveries", __doc__ or "", "µs/member", cases, chosen)
    cases = [Case(f"{members} members", relay, coming_and_going(members)) for members in (10, 100, 1000, 9_000)]
    measure_cases("growth_of_rooms", __doc__ or "", "µs/join", cases, chosen)


if __name__ == "__main__":
    main()
