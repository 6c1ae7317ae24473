"""Plays the client's part of a scenario with `wspulse.client`, against the scripted server in the same loop.

What the steps mean is in README.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from tests.clients.scripted_server import ScriptedServer
from wspulse.actors.client.clock import Clock
from wspulse.client import (
    Frame,
    Line,
    LineClosedError,
    ReplyError,
    Retry,
    SendBufferFullError,
    SessionLostError,
    connect,
)

__all__ = ["PythonRunner"]

_PATIENCE_S = 5.0

_OWN_EVENTS = ("wspulse.state", "wspulse.lost", "wspulse.refused", "wspulse.error")


class PythonRunner:
    """`await PythonRunner(scenario, server).run()`, then `seen`, `results` and `line`."""

    def __init__(self, scenario: dict[str, Any], server: ScriptedServer) -> None:
        self._scenario = scenario
        self._server = server
        self._news = asyncio.Event()
        self._waited_for = 0
        self._calls: dict[str, asyncio.Task[None]] = {}
        self._handlers: dict[str, list[Any]] = {}
        self.seen: list[tuple[str, Any]] = []
        self.results: dict[str, Any] = {}
        self.line: Line

    async def run(self) -> None:
        first, *steps = self._scenario["client"]
        self.line = self._connect(**first["connect"])
        for event in _OWN_EVENTS:
            self._on(event)
        async with self.line:
            for step in steps:
                async with asyncio.timeout(_PATIENCE_S):
                    await self._step(step)
            self.ends = {"state": self.line.state, "exact": self.line.exact}
            self.report = await self._server.report()
        await asyncio.gather(*self._calls.values())

    def _connect(
        self,
        protocols: list[str] = [],  # noqa: B006
        exact: bool = True,
        retry: dict[str, Any] | None = None,
        buffer: int = 4096,
        should_retry: list[int] | None = None,
    ) -> Line:
        def wanted(code: int, _reason: str) -> bool | None:
            return True if should_retry is not None and code in should_retry else None

        return connect(
            f"ws://127.0.0.1:{self._server.port}/ws",
            subprotocols=protocols,
            exact=exact,
            retry=Retry(**{"base_s": 0.02, "max_s": 0.04, **(retry or {})}),
            should_retry=wanted,
            buffer=buffer,
            clock=Clock(self._scenario.get("clock", 1), draw=lambda: 0.0),
        )

    async def _step(self, step: dict[str, Any]) -> None:
        match step:
            case {"on": event}:
                self._on(event, step)
            case {"off": event}:
                self.line.off(event, self._handlers[event].pop())
            case {"send": [event, payload], **rest}:
                self._send(event, payload, rest.get("raises"))
            case {"call": [event, payload], "as": name, **rest}:
                self._calls[name] = asyncio.create_task(self._call(event, payload, name, rest.get("timeout_s", 10.0)))
                await asyncio.sleep(0)  # it is sent before the next step
            case {"abort": name}:
                self._calls[name].cancel()
            case {"await": "ready"}:
                await self.line.ready
            case {"await": "closed"}:
                await self.line.closed
                await self._handled_all()
            case {"await": {"result": name}}:
                await self._until(lambda: name in self.results)
            case {"await": {"event": event, **rest}}:
                await self._until(lambda: self._has_come(event, rest))
            case {"open": gate}:
                self._server._gate(gate).set()
            case {"close": []}:
                await self.line.close()
            case {"close": [code, reason]}:
                await self._close_soon(code, reason)
            case _:
                raise AssertionError(f"an unknown step: {step}")

    async def _close_soon(self, code: int, reason: str) -> None:
        """What the next steps do is done while it closes."""
        self._calls["$close"] = asyncio.create_task(self.line.close(code, reason))
        await asyncio.sleep(0)

    async def _handled_all(self) -> None:
        handling = self.line._handling
        assert handling is not None
        await asyncio.wait([handling])

    def _on(self, event: str, step: dict[str, Any] | None = None) -> None:
        step = step or {}

        async def handler(payload: Any, frame: Frame) -> Any:
            self.seen.append((event, payload))
            self._tell()
            if "raises" in step:
                raise RuntimeError(step["raises"])
            if "calls" in step:
                called, asked = step["calls"]
                await self._call(called, asked, step["as"])
            answer = step.get("answers")
            return object() if answer == {"$": "unsendable"} else answer

        self.line.on(event)(handler)
        self._handlers.setdefault(event, []).append(handler)

    def _send(self, event: str, payload: Any, kind: str | None) -> None:
        raised: str | None = None
        try:
            self.line.send(event, object() if payload == {"$": "unsendable"} else payload)
        except Exception as error:
            raised = kind_of(error)
        assert raised == kind

    async def _call(self, event: str, payload: Any, name: str, timeout_s: float = 10.0) -> None:
        try:
            self.results[name] = {"value": await self.line.call(event, payload, timeout_s=timeout_s)}
        except ReplyError as error:
            self.results[name] = {"error": "answer", "payload": error.payload}
        except asyncio.CancelledError:
            self.results[name] = {"error": "aborted"}
        except Exception as error:
            self.results[name] = {"error": kind_of(error)}
        self._tell()

    def _has_come(self, event: str, rest: Mapping[Any, Any]) -> bool:
        for place in range(self._waited_for, len(self.seen)):
            name, payload = self.seen[place]
            if name == event and ("payload" not in rest or matches(rest["payload"], payload)):
                self._waited_for = place + 1
                return True
        return False

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._news.clear()
            await self._news.wait()

    def _tell(self) -> None:
        self._news.set()


def kind_of(error: BaseException) -> str:
    """What README.md calls an error."""
    kinds: list[tuple[type[BaseException], str]] = [
        (LineClosedError, "closed"),
        (SessionLostError, "lost"),
        (SendBufferFullError, "full"),
        (TypeError, "unsendable"),
        (ValueError, "reserved"),
        (TimeoutError, "timeout"),
    ]
    return next((kind for each, kind in kinds if isinstance(error, each)), repr(error))


def matches(expected: Any, came: Any) -> bool:
    """Objects may have more members, lists may not."""
    if isinstance(came, Frame):
        came = {"event": came.event, "payload": came.payload, "id": came.id}
    if isinstance(expected, dict):
        return isinstance(came, dict) and all(
            name in came and matches(value, came[name]) for name, value in expected.items()
        )
    if isinstance(expected, list):
        return isinstance(came, list) and len(expected) == len(came) and all(map(matches, expected, came))
    return bool(expected == came)
