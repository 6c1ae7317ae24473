"""A server that plays the script of one scenario of `clients.json`, and says whether its client kept to it.

    python -m tests.clients.scripted_server "name of the scenario"

It listens on a free port of the loopback interface and prints `{"port": N}`. `GET /open/NAME` opens a gate of the script;
`GET /report` waits until the script is played (5 s at most), answers with `{"ok": true, "failures": []}`, and ends the
program, which prints the same and exits with 0 or 1. It ends too when its standard input does. `ScriptedServer` is the same
inside a process. What the steps mean is in README.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from threading import Thread
from typing import Any

from tests.clients.raw_socket import Closed, RawSocket
from tests.clients.script import FIRST_FRAME, Mismatch, Script

__all__ = ["ScriptedServer", "scenarios"]

_PATIENCE_S = 5.0
"""For what the script expects: long, since it only passes where a test fails."""


def scenarios() -> list[dict[str, Any]]:
    """All scenarios, in their order."""
    found: list[dict[str, Any]] = json.loads(Path(__file__).with_name("clients.json").read_text("utf-8"))
    return found


class ScriptedServer:
    """Plays one scenario: `async with ScriptedServer(scenario) as server`, then `server.port`, and `await server.report()`."""

    def __init__(self, scenario: dict[str, Any]) -> None:
        self._script = Script(scenario)
        self._accepted = 0
        self._gates: dict[str, asyncio.Event] = {}
        self._left = len(self._script.connections)
        self._played = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self.reported = asyncio.Event()
        self.port = 0
        if not self._left:
            self._played.set()

    async def __aenter__(self) -> ScriptedServer:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=1 << 22)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def report(self) -> dict[str, Any]:
        """What was played: `{"ok": ..., "failures": [...]}`. Waits until all is, 5 s at most."""
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self._played.wait()
        except TimeoutError:
            self._script.failures.append(f"{self._left} of {len(self._script.connections)} connections are not played")
        return {"ok": not self._script.failures, "failures": self._script.failures}

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(RawSocket(reader, writer)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, peer: RawSocket) -> None:
        try:
            await peer.read_head()
        except (asyncio.IncompleteReadError, OSError):
            peer.close()  # a browser opens connections in advance
            return
        if peer.path.startswith("/open/"):
            self._gate(peer.path.removeprefix("/open/")).set()
            peer.answer(200, b"{}")
        elif peer.path == "/report":
            peer.answer(200, json.dumps(await self.report()).encode())
            self.reported.set()
        elif self._accepted >= len(self._script.connections):
            self._script.failures.append("one connection more than the script has")
            peer.reset()
        else:
            number, self._accepted = self._accepted, self._accepted + 1
            await self._play(number, peer)

    async def _play(self, number: int, peer: RawSocket) -> None:
        player = _Player(self._script, peer, self._gate)
        try:
            try:
                await player.play(self._script.connections[number])
            finally:
                self._left -= 1
                if not self._left:
                    self._played.set()
            await player.watch_rest()
        except (Mismatch, Closed, TimeoutError) as error:
            self._script.failures.append(f"connection {number}, step {player.step}: {str(error) or 'nothing came'}")
            peer.reset()
        finally:
            peer.close()

    def _gate(self, name: str) -> asyncio.Event:
        return self._gates.setdefault(name, asyncio.Event())


class _Player:
    """Plays the steps of one connection."""

    def __init__(self, script: Script, peer: RawSocket, gate: Any) -> None:
        self._script = script
        self._peer = peer
        self._gate = gate
        self._is_open = False
        self._subprotocol: str | None = None
        self._is_over = False
        self._acknowledged = 0
        self.step: Any = "before the first"

    async def play(self, steps: list[dict[str, Any]]) -> None:
        self._subprotocol = "wspulse.1" if "wspulse.1" in self._peer.offers else None
        for step in steps:
            self.step = json.dumps(step)
            ((verb, value),) = step.items()
            if not self._is_open and verb not in ("offers", "subprotocol", "http", "gate", "silence_s", "reset"):
                self._is_open = True
                self._peer.upgrade(self._subprotocol)
            async with asyncio.timeout(_PATIENCE_S + (value if verb.endswith("_s") else 0)):
                await _VERBS[verb](self, value)
        if not self._is_open and not self._is_over:
            self._is_open = True
            self._peer.upgrade(self._subprotocol)

    async def watch_rest(self) -> None:
        """Until the client ends this connection: nothing may come but acknowledgements."""
        self.step = "behind the last"
        if self._is_over:
            return
        try:
            frame = await self._receive(skip_acknowledgements=True)
        except Closed as end:
            self._answer_close(end)
        else:
            raise Mismatch(f"a frame came that the script does not expect: {json.dumps(frame)}")

    async def _offers(self, names: list[str]) -> None:
        self._script.check(names, self._peer.offers)

    async def _choose(self, name: str | None) -> None:
        self._subprotocol = name

    async def _http(self, status: int) -> None:
        self._peer.answer(status, b"refused")
        self._is_over = True

    async def _accept(self, _: bool) -> None:
        pass  # the upgrade is what it is for

    async def _session(self, fields: dict[str, Any]) -> None:
        await self._send({"event": "wspulse.session", "payload": {**FIRST_FRAME, **fields}})

    async def _send(self, frame: Any) -> None:
        self._peer.send_text(frame if isinstance(frame, str) else json.dumps(self._script.filled(frame)))

    async def _binary(self, hexadecimal: str) -> None:
        self._peer.send_binary(bytes.fromhex(hexadecimal))

    async def _expect(self, expected: dict[str, Any]) -> None:
        is_acknowledgement = expected.get("event") == "wspulse.ack"
        while True:
            frame = await self._receive(skip_acknowledgements=not is_acknowledgement)
            if is_acknowledgement and frame["event"] == "wspulse.ack" and frame["payload"] < expected["payload"]:
                continue
            self._script.check(expected, frame)
            return

    async def _expect_close(self, codes: list[int] | None) -> None:
        try:
            frame = await self._receive(skip_acknowledgements=True)
        except Closed as end:
            if codes is not None and end.code not in codes:
                raise Mismatch(f"expected to be closed with one of {codes}, {end}") from None
            self._answer_close(end)
        else:
            raise Mismatch(f"expected the end, came {json.dumps(frame)}")

    async def _close(self, code_and_reason: list[Any]) -> None:
        code, reason = code_and_reason
        self._peer.send_close(code, reason)
        self._is_over = True
        with contextlib.suppress(Closed):
            while True:
                await self._peer.receive()  # what was on its way
        self._peer.close()

    async def _reset(self, _: bool) -> None:
        self._peer.reset()
        self._is_over = True

    async def _silence_s(self, duration_s: float) -> None:
        await asyncio.sleep(duration_s)

    async def _quiet_s(self, duration_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(duration_s):
                frame = await self._receive(skip_acknowledgements=True)
                raise Mismatch(f"expected nothing, came {json.dumps(frame)}")

    async def _mute_s(self, duration_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(duration_s):
                frame = await self._receive(skip_acknowledgements=False)
                raise Mismatch(f"expected nothing at all, came {json.dumps(frame)}")

    async def _await_gate(self, name: str) -> None:
        await self._gate(name).wait()

    def _answer_close(self, end: Closed) -> None:
        if end.code != 1006:
            self._peer.send_close(1000 if end.code == 1005 else end.code, end.reason)
        self._peer.close()
        self._is_over = True

    async def _check_acknowledged(self, count: int) -> None:
        if self._acknowledged != count:
            raise Mismatch(f"{self._acknowledged} frames are acknowledged")

    async def _receive(self, *, skip_acknowledgements: bool) -> dict[str, Any]:
        """The next frame. What acknowledges is an integer that never falls, whoever looks at it."""
        while True:
            message = await self._peer.receive()
            frame: dict[str, Any] = json.loads(message)
            if frame.get("event") == "wspulse.ack":
                count = frame.get("payload")
                if type(count) is not int or count < self._acknowledged:
                    raise Mismatch(f"a bad acknowledgement: {count}, after {self._acknowledged}")
                self._acknowledged = count
                if skip_acknowledgements:
                    continue
            return frame


_VERBS: dict[str, Callable[[_Player, Any], Awaitable[None]]] = {
    "acknowledged": _Player._check_acknowledged,
    "offers": _Player._offers,
    "subprotocol": _Player._choose,
    "http": _Player._http,
    "accept": _Player._accept,
    "session": _Player._session,
    "send": _Player._send,
    "binary": _Player._binary,
    "expect": _Player._expect,
    "expect_close": _Player._expect_close,
    "close": _Player._close,
    "reset": _Player._reset,
    "silence_s": _Player._silence_s,
    "quiet_s": _Player._quiet_s,
    "mute_s": _Player._mute_s,
    "gate": _Player._await_gate,
}


async def _main(name: str) -> int:
    (scenario,) = [found for found in scenarios() if found["name"] == name]
    async with ScriptedServer(scenario) as server:
        print(json.dumps({"port": server.port}), flush=True)
        loop = asyncio.get_running_loop()
        Thread(target=lambda: (sys.stdin.read(), loop.call_soon_threadsafe(server.reported.set)), daemon=True).start()
        await server.reported.wait()
        report = await server.report()
        print(json.dumps(report), flush=True)
    return 0 if report["ok"] else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(_main(sys.argv[1])))
