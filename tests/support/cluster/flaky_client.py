"""`FlakyClient`: a connection to NATS on which what is sent, and what is answered, may be lost, come twice or come late."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

__all__ = ["FlakyClient"]

_LATE_S = 0.3


class FlakyClient(Client):
    """A client that is connected already goes on in this one: `of` makes it so. `share` of what is sent has one of the faults."""

    draw: Random
    share: float
    fault_s: float
    """How long a request waits for an answer that is lost."""
    late: set[asyncio.Task[Any]]
    faults: int

    @staticmethod
    def of(client: Client, draw: Random, share: float) -> FlakyClient:
        client.__class__ = FlakyClient
        assert isinstance(client, FlakyClient)
        client.draw, client.share, client.fault_s, client.late, client.faults = draw, share, 0.02, set(), 0
        return client

    def _has_fault(self) -> bool:
        found = self.draw.random() < self.share
        self.faults += found
        return found

    async def request(self, subject: str, *args: Any, **options: Any) -> Msg:
        if not subject.startswith("$KV.") or not self._has_fault():
            return await super().request(subject, *args, **options)
        kind = self.draw.choice(("lost", "answer lost", "late"))
        if kind == "answer lost":
            await super().request(subject, *args, **options)
        elif kind == "late":
            self._later(super().request(subject, *args, **options))
        await asyncio.sleep(self.fault_s)
        raise nats.errors.TimeoutError

    async def publish(self, subject: str, *args: Any, **options: Any) -> None:
        if (".calls." not in subject and "_INBOX" not in subject) or "$" in options.get("reply", ""):
            return await super().publish(subject, *args, **options)
        if not self._has_fault():
            return await super().publish(subject, *args, **options)
        kind = self.draw.choice(("lost", "twice", "late"))
        if kind == "late":
            self._later(super().publish(subject, *args, **options))
        elif kind == "twice":
            await super().publish(subject, *args, **options)
            await super().publish(subject, *args, **options)
        return None

    def _later(self, sending: Any) -> None:
        async def send() -> None:
            await asyncio.sleep(self.draw.random() * _LATE_S)
            await sending

        task = asyncio.create_task(send())
        self.late.add(task)
        task.add_done_callback(self.late.discard)

    async def settled(self) -> None:
        """Until what is late has been sent."""
        self.share = 0.0
        while self.late:
            await asyncio.gather(*self.late, return_exceptions=True)
