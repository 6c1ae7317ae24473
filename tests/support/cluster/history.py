"""`History`: what happens on several pretended hosts, drawn from a seed, held against what is promised of sessions.

Clients connect, lose their lines and come back anywhere; frames go in all directions; sessions are kicked; answers are late or
lost, the directory is away, hosts die, and lose their leases for a while. Then all is well again, and what was promised must have
come about.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from random import Random
from typing import Any

from tests.support.cluster.client import Client
from tests.support.cluster.stage import ClusterStage, cluster_stage
from wspulse.actors.mesh.placing.yields import YieldOver
from wspulse.actors.sessions.connections.connection import Connection
from wspulse.actors.values.errors import WspulseError
from wspulse.actors.values.frame import Frame

__all__ = ["History", "Violation"]

_STEPS = 60

_WEIGHTS = {
    "dial": 6,
    "cut": 3,
    "say": 5,
    "send": 5,
    "send_by_connection": 2,
    "broadcast": 5,
    "kick": 1,
    "wait": 1,
    "hiccup": 2,
}
"""How often each step is drawn."""

_OWN = "'s connection"

_silent = logging.getLogger("cluster histories")
_silent.setLevel(logging.CRITICAL + 1)


class Violation(AssertionError):
    """Something that was promised is not so."""


class History:
    """See the module. `run` raises Violation."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = random = Random(seed)
        self.trace: list[str] = []
        self.names = random.choice(("AB", "ABC"))
        self.options: dict[str, Any] = {
            "on_duplicate": random.choice(("kick", "resume", "reject")),
            "resume_window": random.choice((20, 60)),
            "send_buffer_size": 4096,
            "logger": _silent,
        }
        self._apart = apart = Random(f"{seed} apart")
        if apart.random() < 0.15:
            self.options["resume_window"] = 0
            if self.options["on_duplicate"] == "resume":
                self.options["on_duplicate"] = "kick"
        slow_s = random.choice((0.0005, 0.003, 0.05))
        self.delays_s = 0.0002, slow_s
        self.pauses_s = random.choice(((0.0,), (0.0, 0.0, 0.001), (0.0, 0.01, 0.1)))
        self.dies = random.random() < 0.3
        self.loses_leases = random.random() < 0.2
        self.clients = [
            Client(f"c{number}", f"room{number % 2}", is_exact=random.random() < 0.7, named=random.random() < 0.8)
            for number in range(random.randint(1, 3))
        ]
        for client in self.clients:
            client.is_named = client.is_named or not client.is_exact
        self.violation: Violation | None = None
        self.stage: ClusterStage
        self._numbers = 0
        self._running: dict[str, tuple[str, str]] = {}
        """By id, whose callback runs, and which."""
        self._callbacks: dict[tuple[int, int], list[str]] = defaultdict(list)
        self._handled: dict[tuple[int, int], list[int]] = defaultdict(list)
        self._said: dict[Client, list[int]] = defaultdict(list)
        """By client, what it has said since its session began."""
        self._sent: dict[tuple[str, Client], list[tuple[int, int]]] = defaultdict(list)
        """What was sent from a host to a client and taken: the session, as the client counts them, and the number."""
        self._broadcasts: list[tuple[int, str]] = []
        self._first_broadcast: dict[Client, int] = {}
        """The number of the first broadcast that was issued after a client's session had begun."""
        self._sessions: dict[Client, int] = defaultdict(int)
        self._connections: dict[str, tuple[str, Connection]] = {}
        """As the application has kept them, by id: that of the process in which a callback ran last."""

    # What is watched.

    def _watch(self, host: str, kind: str, connection: Connection, given: Any) -> None:
        connection_id = connection.id
        if not kind:
            self._running.pop(connection_id, None)
            return
        if self.stage[host].is_dead:
            return
        if kind == "message" and host in self.stage.unsure and self._is_anothers(host, connection_id):
            self._fail(f"{given} of {connection_id} is handled on {host}, and its session is another host's")
        if host not in self.stage.unsure:
            running = self._running.get(connection_id)
            if running is not None and running[0] not in self.stage.unsure:
                self._fail(f"{kind} of {connection_id} on {host} while {running[1]} runs on {running[0]}")
            self._running[connection_id] = host, kind
        key = connection._session.key  # type: ignore[attr-defined]
        told = self._callbacks[key]
        if kind == "connect" and told:
            self._fail(f"{connection_id}: connect behind {told}")
        if kind not in ("connect", "disconnect") and not told:
            self._fail(f"{connection_id}: {kind} comes first")
        if "disconnect" in told:
            self._fail(f"{connection_id}: {kind} behind its end")
        if told and told[-1] == "transfer_out" and kind not in ("transfer_in", "disconnect"):
            self._fail(f"{connection_id}: {kind} behind its transfer")
        told.append(kind)
        self._connections[connection_id] = host, connection
        if kind == "message":
            self._handled[key].append(given)

    def _is_anothers(self, host: str, connection_id: str) -> bool:
        entry = self.stage.directory.entries.get(connection_id)
        return entry is not None and entry.host != host and entry.host in self.stage.network.alive

    def _fail(self, text: str) -> None:
        # In a callback nobody hears what it raises but the log.
        self.violation = self.violation or Violation(f"seed {self.seed}: {text}")
        raise self.violation

    def _note(self, text: str) -> None:
        self.trace.append(f"{self.stage.loop.now:.4f} {text}")

    # What happens.

    def run(self) -> None:
        with cluster_stage(self.names, seed=self.seed, delays_s=self.delays_s, **self.options) as self.stage:
            stage = self.stage
            stage.watch = self._watch
            stage.pause_s = lambda: self.random.choice(self.pauses_s)
            for client in self.clients:
                client.began = self._began
            for _ in range(_STEPS):
                getattr(self, f"_{self._draw()}")()
                self._run(self.random.choice((0.0, 0.0005, 0.002, 0.02, 0.3)))
            self._heal()
            self._look_at_end()
        if self.violation is not None:
            raise self.violation

    def _run(self, seconds: float) -> None:
        self.stage.run(seconds)
        if self.violation is not None:
            raise self.violation

    def _draw(self) -> str:
        steps = [step for step, weight in _WEIGHTS.items() for _ in range(weight)]
        if self.dies:
            steps.append("kill")
        if self.loses_leases:
            steps.append("lease")
        return self.random.choice(steps)

    def _living(self) -> list[str]:
        return [name for name, host in self.stage.hosts.items() if not host.is_dead]

    def _client(self) -> Client:
        return self.random.choice(self.clients)

    def _began(self, client: Client) -> None:
        self._sessions[client] += 1
        self._said[client] = []
        self._first_broadcast[client] = len(self._broadcasts)

    def _dial(self) -> None:
        client, name = self._client(), self.random.choice(self._living())
        self._note(f"{client.id} dials {name}")
        client.dial(self.stage[name])

    def _cut(self) -> None:
        client = self._client()
        if client.line is not None and not client.line.is_over:
            self._note(f"{client.id} is cut off")
            client.line.cut()

    def _say(self) -> None:
        self._says(self._client())

    def _says(self, client: Client) -> None:
        if client.line is not None and client.line.is_open and client.has_begun:
            self._numbers += 1
            self._note(f"{client.id} says {self._numbers}")
            self._said[client].append(self._numbers)
            client.say("say", self._numbers)

    def _send(self) -> None:
        client, name = self._client(), self.random.choice(self._living())
        self._numbers += 1
        self._note(f"{name} sends {self._numbers} to {client.id}")
        self.stage.start(self._sending(name, client, self._sessions[client], self._numbers))

    async def _sending(self, name: str, client: Client, session: int, number: int) -> None:
        try:
            await self.stage.send(name, client.current_id, number)
        except WspulseError as error:
            self._note(f"{number} was not sent: {error}")
        else:
            if name not in self.stage.unsure:
                # A host without a lease may have a session that is none any more.
                self._sent[name, client].append((session, number))

    def _send_by_connection(self) -> None:
        """The application sends by the connection that it has kept, which may be one of another host by now."""
        client = self._client()
        host, connection = self._connections.get(client.current_id, ("", None))
        if connection is None or self.stage[host].is_dead:
            return
        self._numbers += 1
        self._note(f"{self._numbers} is sent by the connection of {client.id}")
        try:
            connection.send_nowait(Frame("direct", self._numbers))
        except WspulseError:
            return
        self._sent[host + _OWN, client].append((self._sessions[client], self._numbers))

    def _broadcast(self) -> None:
        name, room_id = self.random.choice(self._living()), self.random.choice(("room0", "room1"))
        number = len(self._broadcasts)
        self._broadcasts.append((number, room_id))
        self._note(f"{name} broadcasts {number} to {room_id}")
        self.stage.broadcast(name, number, room_id)

    def _kick(self) -> None:
        client, name = self._client(), self.random.choice(self._living())
        self._note(f"{name} kicks {client.id}")
        self.stage.start(self._kicking(name, client.current_id))

    async def _kicking(self, name: str, connection_id: str) -> None:
        try:
            await self.stage.kick(name, connection_id)
        except WspulseError:
            pass

    def _wait(self) -> None:
        self._run(self.random.choice((1.0, 5.0)))

    def _hiccup(self) -> None:
        """Something does not answer for a while."""
        stage, loop = self.stage, self.stage.loop
        match self.random.randrange(4):
            case 0:
                self._note("the directory is away")
                stage.directory.is_away = True
                loop.call_later(self.random.choice((0.01, 1.0, 4.0)), setattr, stage.directory, "is_away", False)
            case 1:
                self._note("answers of the directory are lost")
                stage.directory.loses_answers = self.random.randint(1, 3)
            case 2:
                name = self.random.choice(self._living())
                self._note(f"{name} does not say what has become of sessions")
                gateway = stage[name].gateway
                gateway.drops = lambda message: isinstance(message, YieldOver)
                loop.call_later(self.random.choice((0.1, 3.0)), setattr, gateway, "drops", _nothing)
            case 3:
                name = self.random.choice(self._living())
                self._note(f"{name} gets broadcasts late")
                stage[name].bus.late_s = self.random.choice((0.05, 0.5))
                loop.call_later(self.random.choice((0.1, 3.0)), setattr, stage[name].bus, "late_s", 0.0)

    def _kill(self) -> None:
        if len(self._living()) > 1:
            name = self.random.choice(self._living())
            self._note(f"{name} dies")
            self.stage.kill(name)
            self._running = {key: each for key, each in self._running.items() if each[0] != name}
            for client in self.clients:
                if client.line is not None and client.line.host.name == name:
                    client.line.cut()

    def _lease(self) -> None:
        """A host loses its lease, and gets it back."""
        stage = self.stage
        name = self.random.choice(self._living())
        if name in stage.unsure or len(self._living()) == 1:
            return
        self._note(f"{name} loses its lease")
        stage.unsure.add(name)
        stage.has_lost_leases = True
        stage.network.alive.discard(name)
        for client in self.clients:
            line = client.line
            if line is not None and line.host.name == name and line.is_open:
                # By then its client may have gone elsewhere.
                line.late_s = self._apart.choice((0.0, 0.03, 0.3, 1.0))
                self._says(client)
                if self._apart.random() < 0.8:
                    stage.loop.call_later(self._apart.choice((0.0, 0.02)), self._goes_elsewhere, client, name)
        stage.start(self._regain(name, self.random.choice((0.05, 2.0))))

    def _goes_elsewhere(self, client: Client, name: str) -> None:
        others = [other for other in self._living() if other != name]
        if others:
            other = self._apart.choice(others)
            self._note(f"{client.id} gives {name} up, and dials {other}")
            client.dial(self.stage[other])

    async def _regain(self, name: str, seconds: float) -> None:
        stage = self.stage
        await asyncio.sleep(seconds)
        if not stage[name].is_dead:
            stage.network.alive.add(name)
            self._note(f"{name} has its lease again")
            await stage[name].cluster.claim_anew()
            self._note(f"{name} has claimed its ids anew")
        stage.unsure.discard(name)

    # The end.

    def _heal(self) -> None:
        stage = self.stage
        self._note("all is well")
        self._run(6.0)
        stage.directory.is_away, stage.directory.loses_answers = False, 0
        self._run(30.0 if stage.unsure else 1.0)
        for client in self.clients:
            for _ in range(60):
                if client.line is not None and client.line.is_open and client.has_begun:
                    break
                client.dial(stage[self.random.choice(self._living())])
                self._run(2.0)
            else:
                self._fail(f"{client.id} cannot come back: {client.line}")
        for _ in range(3):
            for client in self.clients:
                self._numbers += 1
                client.say("say", self._numbers)
                self._said[client].append(self._numbers)
                for name in self._living():
                    self._numbers += 1
                    stage.start(self._sending(name, client, self._sessions[client], self._numbers))
            self._broadcast()
            self._run(0.01)
        self._run(10.0)
        for task in stage.tasks:
            if not task.done():
                self._fail(f"{task} does not end")
            task.result()

    def _senders(self) -> list[str]:
        """Those who are there: what a connection was given of a host that died may have died with it."""
        return [*self.stage.hosts, *(name + _OWN for name in self._living())]

    def _look_at_end(self) -> None:
        for client in self.clients:
            assert client.line is not None
            if not client.line.is_open:
                # A kick that was late.
                continue
            self._look_at(client)

    def _look_at(self, client: Client) -> None:
        where = self.stage.where(client.current_id)
        if len(where) != 1:
            self._fail(f"{client.id} is connected, and its session is on {where}")
        session = self.stage[where[0]].shard.sessions[client.current_id]
        order = self.stage.published(client.room_id)
        for key in {key for key, _ in client.frames}:
            # What was broadcast before a session began may have come to the one before it.
            rooms = client.payloads("room", key)
            places = [order.index(number) for number in rooms]
            if places != sorted(set(places)):
                self._fail(f"{client.id} got broadcasts twice or out of order: {rooms}, and not as {order}")
        direct = client.payloads("direct")
        if len(set(direct)) != len(direct):
            self._fail(f"{client.id} was sent frames twice: {direct}")
        for name in self._senders():
            sent = [number for _, number in self._sent[name, client]]
            for key in {key for key, _ in client.frames}:
                got = [number for number in client.payloads("direct", key) if number in sent]
                if got != sorted(got):
                    self._fail(f"{client.id} got what {name} had sent out of order: {got}")
        if not client.is_exact:
            return
        begun, rooms = self._first_broadcast[client], client.payloads("room")
        due = [number for number in order if number >= begun]
        missing = [number for number in due if number not in rooms]
        if missing:
            self._fail(f"{client.id} has not got the broadcasts {missing}")
        for name in self._senders():
            lost = [
                number
                for at, number in self._sent[name, client]
                if at == self._sessions[client] and number not in direct
            ]
            if lost and not self.stage.has_lost_leases:
                # Of two sessions that were on two hosts without a lease one is lost with what it had.
                self._fail(f"{client.id} has not got {lost}, which {name} has sent it")
        handled = self._handled[session.key]
        if handled != self._said[client]:
            self._fail(f"{client.id} has said {self._said[client]}, and {handled} were handled")


def _nothing(_message: object) -> bool:
    return False
