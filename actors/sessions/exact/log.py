"""`SendLog`: what was sent to an exact session's client and is not acknowledged, and what is yet to be sent. No I/O.

Made by each exact session for itself. Frames have numbers, from 0 on, in the order in which they are sent; the client's count
is that of the next one. The log holds those from `first` on: the older part was written to the transport, the newer, `unsent`,
was not. Both together are bounded, and the oldest are pushed out.
"""

from __future__ import annotations

from wspulse.actors.sessions.rooms.backlog import Backlog, Batch

__all__ = ["SendLog"]


class SendLog:
    """At most `limit_frames` frames and `limit_bytes`, but always the newest frame. It holds batches as it got them, which
    members of a room share, and cuts them where it must."""

    __slots__ = (
        "_backlog",
        "_batches",
        "_bytes",
        "_follower",
        "_limit_bytes",
        "_limit_frames",
        "_own",
        "_sent_before",
        "_skipped",
        "_unsent_bytes",
        "acknowledged",
        "first",
        "gap",
        "position",
        "unsent",
    )

    def __init__(self, limit_frames: int, limit_bytes: int) -> None:
        self._limit_frames = limit_frames
        self._limit_bytes = limit_bytes
        self._batches: list[Batch] = []
        self._skipped = 0
        """Of the first batch, how many frames are held no more."""
        self._bytes = 0
        self._unsent_bytes = 0
        self._own = 0
        """How many frames the batches are."""
        self._backlog: Backlog | None = None
        self._follower = ""
        """Who we are there."""
        self.position = 0
        """How many of the backlog's frames are not ours, or are acknowledged."""
        self._sent_before = 0
        """What `sent` was when the transport of now was taken."""
        self.first = 0
        """The number of the oldest frame that is held."""
        self.unsent = 0
        """How many of them, the newest, are not written to the transport."""
        self.gap = 0
        """How many were pushed out before they were written, and the transport has yet to be told of."""
        self.acknowledged = 0
        """The highest count that the client has told."""

    @classmethod
    def of(
        cls,
        limit_frames: int,
        limit_bytes: int,
        frames: list[bytes],
        *,
        first: int,
        unsent: int,
        gap: int,
        acknowledged: int,
        sent_before: int,
    ) -> SendLog:
        """One that holds these frames, the newest `unsent` of which were not written, and has these counts."""
        log = cls(limit_frames, limit_bytes)
        if frames:
            log._batches.append((frames, sum(map(len, frames))))
            log._own, log._bytes = len(frames), log._batches[0][1]
        log.first, log.unsent, log.gap, log.acknowledged = first, unsent, gap, acknowledged
        log._sent_before = sent_before
        log._unsent_bytes = sum(map(len, frames[len(frames) - unsent :]))
        return log

    @property
    def sent_before(self) -> int:
        """What `sent` was when the transport of now was taken."""
        return self._sent_before

    def held(self) -> list[bytes]:
        """All frames that are held, the oldest first. A room's backlog is followed no more."""
        self.unfollow()
        frames = [wire for batch, _ in self._batches for wire in batch]
        return frames[self._skipped :]

    @property
    def frames(self) -> int:
        """How many are held."""
        backlog = self._backlog
        return self._own if backlog is None else self._own + backlog.frames - self.position

    @property
    def size_bytes(self) -> int:
        """Of its own frames, those of a room's backlog not counted."""
        return self._bytes

    @property
    def written(self) -> int:
        """The count of a client that has got everything that was written to its transport, and was told of the gap before it."""
        return self.first + self.frames - self.unsent - self.gap

    @property
    def sent(self) -> int:
        """The highest count that a client can have, over whichever transport: a late dial of its own may have taken the session
        from the one that brought it more."""
        return max(self._sent_before, self.written)

    # A room's.

    def follow(self, backlog: Backlog, connection_id: str) -> None:
        """What a room writes from now on stands in its backlog. Nothing may be unsent."""
        self.unfollow()
        self._backlog, self._follower = backlog, connection_id
        backlog.follow(connection_id, self)

    def unfollow(self) -> None:
        """The backlog is followed no more, if it was."""
        self.settle()
        if self._backlog is not None:
            self._backlog.unfollow(self._follower)
            self._backlog = None

    @property
    def follows(self) -> bool:
        """Whether a room's frames are noted elsewhere."""
        return self._backlog is not None

    def settle(self) -> None:
        """Take over what was written and stands in the backlog alone."""
        backlog = self._backlog
        if backlog is None or self.position == backlog.frames:
            return
        batches = backlog.since(self.position)
        missing = backlog.frames - self.position
        self.position = backlog.frames
        backlog.caught_up()
        count = sum([len(frames) for frames, _ in batches])
        if count < missing:
            # The bounds have pushed them out there, and so all that is older.
            self._batches.clear()
            self.first += self._own + missing - count
            self._own = self._bytes = self._skipped = 0
        self._batches += batches
        self._own += count
        self._bytes += sum([size for _, size in batches])
        if self._own > self._limit_frames or self._bytes > self._limit_bytes:
            self._push_out()

    # What is sent.

    def keep(self, batch: Batch) -> None:
        """Frames that are written now."""
        if self._backlog is not None:
            self.settle()
        self._batches.append(batch)
        frames = self._own = self._own + len(batch[0])
        size = self._bytes = self._bytes + batch[1]
        if frames > self._limit_frames or size > self._limit_bytes:
            self._push_out()

    def put(self, batch: Batch) -> int:
        """Frames that cannot be written now. Returns how many were pushed out that never were."""
        self.settle()
        self.unsent += len(batch[0])
        self._unsent_bytes += batch[1]
        gap = self.gap
        self.keep(batch)
        return self.gap - gap

    def has_room(self, size_bytes: int) -> bool:
        """Whether a frame that cannot be written now pushes out none that was not written."""
        return not self.unsent or (
            self.unsent < self._limit_frames and self._unsent_bytes + size_bytes <= self._limit_bytes
        )

    @property
    def full(self) -> bool:
        """Whether there is no room even for an empty frame."""
        return self.unsent >= self._limit_frames or self._unsent_bytes >= self._limit_bytes

    def take(self, most_bytes: int) -> tuple[bytes, int]:
        """The oldest frames that are not written, at least one, up to about `most_bytes`, joined; and how many they are. They are
        written now, and stay here."""
        skip = self._own - self.unsent + self._skipped
        pieces: list[bytes] = []
        size = 0
        for frames, _ in self._batches:
            count = len(frames)
            if skip >= count:
                skip -= count
                continue
            for wire in frames[skip:] if skip else frames:
                if pieces and size + len(wire) > most_bytes:
                    break
                pieces.append(wire)
                size += len(wire)
            else:
                skip = 0
                continue
            break
        self.unsent -= len(pieces)
        self._unsent_bytes -= size
        return (pieces[0] if len(pieces) == 1 else b"".join(pieces)), len(pieces)

    def take_gap(self) -> int:
        """What the transport is to be told of now."""
        gap, self.gap = self.gap, 0
        return gap

    # What is acknowledged.

    def acknowledge(self, count: int) -> bool:
        """The client has got so many. Returns whether that is something new. Raises ValueError for fewer than it had before, and
        for more than were written."""
        backlog = self._backlog
        first, own = self.first, self._own
        behind = 0 if backlog is None else backlog.frames - self.position
        if not self.acknowledged <= count <= first + own - self.unsent - self.gap + behind:
            raise ValueError(f"{count} frames acknowledged; possible are {self.acknowledged} to {self.written}")
        is_new = count > self.acknowledged
        self.acknowledged = count
        further = count - first - own
        if further > 0:
            assert backlog is not None
            if own:
                self._drop(own)
            self.first = count
            self.position += further
            if further == behind:
                backlog.caught_up()
        elif count > first:
            self._drop(count - first)
        return is_new

    def resume(self, count: int) -> int:
        """The client comes back, and has got so many: what is held behind them is to be written again. Returns how many it will
        miss, which were pushed out."""
        self.settle()
        lost = max(0, self.first - count)
        self._sent_before = self.sent
        if count > self.acknowledged:
            self.acknowledged = count
        if count > self.first:
            self._drop(count - self.first)
        self.unsent = self._own
        self._unsent_bytes = self._bytes
        self.gap = 0
        return lost

    def clear(self) -> None:
        """The session has ended."""
        backlog, self._backlog = self._backlog, None
        if backlog is not None:
            self.first += backlog.frames - self.position
            backlog.unfollow(self._follower)
        self._batches.clear()
        self.first += self._own
        self._own = self.unsent = self._bytes = self._unsent_bytes = self._skipped = self.gap = 0

    def _push_out(self) -> None:
        batches = self._batches
        while self._own > 1 and (self._own > self._limit_frames or self._bytes > self._limit_bytes):
            frames, _ = batches[0]
            size = len(frames[self._skipped])
            self._skipped += 1
            if self._skipped == len(frames):
                del batches[0]
                self._skipped = 0
            self._bytes -= size
            self.first += 1
            self._own -= 1
            if self.unsent > self._own:
                self.unsent -= 1
                self._unsent_bytes -= size
                self.gap += 1

    def _drop(self, count: int) -> None:
        """Hold the oldest so many, which were written, no more."""
        self.first += count
        self._own -= count
        if not self._own:
            self._batches.clear()
            self._bytes = self._skipped = 0
            return
        batches = self._batches
        skipped = self._skipped
        count += skipped
        done = 0
        size_bytes = 0
        for frames, size in batches:
            if len(frames) > count:
                break
            count -= len(frames)
            size_bytes += size
            done += 1
        if skipped:
            size_bytes -= sum(map(len, batches[0][0][:skipped]))
        del batches[:done]
        if count:
            # Of a batch that was cut before, only what is cut now.
            frames = batches[0][0]
            size_bytes += sum(map(len, frames[:count]))
        self._bytes -= size_bytes
        self._skipped = count
