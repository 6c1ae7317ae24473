"""`Watcher`: a client of the relay that asked who is in its room, and what it was told."""

from __future__ import annotations

from typing import Any

from tests.support.contract.client import Client

__all__ = ["Watcher"]


class Watcher:
    """A client that asked, and the room as it was told: id → state."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.room: dict[str, str] = {}
        self.told: list[tuple[str, str]] = []
        self.host: str | None = None

    async def read(self) -> None:
        frame = await self.client.receive()
        payload: Any = frame["payload"]
        if frame["event"] == "presence.you":
            self.host = payload.get("host")
        elif frame["event"] == "presence.room":
            self.room = {each["id"]: each["state"] for each in payload["members"]}
        else:
            for change in payload["changes"]:
                self.told.append((change["what"], change["id"]))
                match change["what"]:
                    case "went":
                        del self.room[change["id"]]
                    case "dropped":
                        self.room[change["id"]] = "suspended"
                    case "moved":
                        self.room[change["id"]] = change["state"]
                    case _:
                        self.room[change["id"]] = "connected"

    async def sees(self, **states: str) -> None:
        while self.room != states:
            await self.read()
