"""The steps of a simulated history in which clients of exact sessions dial, come back, acknowledge, and cheat."""

from __future__ import annotations

from tests.support.simulation.call_steps import CallSteps
from tests.support.simulation.model.frames import CONNECTED
from tests.support.simulation.outside.client import SimClient
from wspulse.actors.values.text.exact import Claim

__all__ = ["ExactSteps"]

_MORE_THAN_WAS_SENT = 1_000_000


class ExactSteps(CallSteps):
    """See the module."""

    def _dial(self) -> None:
        """A client of an exact session dials, a new one or one that comes back, honestly or not."""
        draw = self._random
        if not self._exactness:
            return
        world = self.world
        if not world.clients or draw() < 0.15:
            client = SimClient(world.model, len(world.clients) + 1, self._ids[int(draw() * len(self._ids))])
            world.clients.append(client)
        else:
            client = world.clients[int(draw() * len(world.clients))]
        if draw() < 0.15 and client.is_open and client.peer is not None and client.peer.claim is not None:
            # The dial before the one that has come through was only slow.
            self._dial_with(client, client.peer.claim, is_late=True)
            if draw() < 0.5:
                # It was cut off by that, and is back at once.
                self._dial_with(client, self._claim(client))
            return
        self._abandon(client)
        claim = self._claim(client)
        is_honest = claim is None or draw() < 0.8
        if claim is not None and not is_honest:
            claim = self._dishonest(client, claim)
        self._dial_with(client, claim, is_nameless=is_honest and draw() < 0.15)

    def _abandon(self, client: SimClient) -> None:
        """Its connection is of no interest any more; the server may hear of that, or not."""
        draw = self._random
        old = client.peer
        if old is None or draw() < 0.4:
            return
        if draw() < 0.5:
            old.drop()
        elif draw() < 0.5 or not old.can_send:
            old.eof = True
        else:
            old.send("close", (0, 1001, 4001)[int(draw() * 3)])
        if draw() < 0.6:
            old.socket.poll()
            old.socket.poll()

    def _claim(self, client: SimClient) -> Claim | None:
        return Claim(client.token, client.received) if client.token else None

    def _dishonest(self, client: SimClient, claim: Claim) -> Claim | None:
        which = self._random()
        if which < 0.3:
            return None
        if which < 0.6:
            return Claim("x" * 22 + claim.token[22:], claim.received)
        if which < 0.8:
            return Claim(claim.token, _MORE_THAN_WAS_SENT)
        others = [
            other.token for other in self.world.clients if other.connection_id != client.connection_id and other.token
        ]
        return Claim(others[int(self._random() * len(others))], 0) if others else None

    def _dial_with(
        self, client: SimClient, claim: Claim | None, *, is_nameless: bool = False, is_late: bool = False
    ) -> None:
        draw = self._random
        connection_id = client.connection_id
        if claim is not None and is_nameless:
            claim = claim._replace(is_nameless=True)
            connection_id = f"n{len(self.world.all_peers)}"
        room_id = self._room()
        self._say(
            "%s dials as %s to %s with %s: p%d", client, connection_id, room_id, claim, len(self.world.all_peers) + 1
        )
        scripts = {}
        for kind in ("on_connect", "on_transport_restore"):
            if draw() < 0.2 and (script := self._script()) is not None:
                scripts[kind] = script
        peer = self.world.connect(
            connection_id,
            room_id,
            capacity_bytes=30 + int(draw() * 70),
            reads=draw() < 0.8,
            scripts=scripts,
            client=client,
            claim=claim,
            is_late=is_late,
        )
        peer.pongs = draw() < 0.9
        peer.polite = draw() < 0.8

    def _client(self) -> SimClient | None:
        clients = self.world.clients
        return clients[int(self._random() * len(clients))] if clients else None

    def _acknowledge(self) -> None:
        """A client tells what has come, or asks whether we are there, or tells what cannot be."""
        draw = self._random
        client = self._client()
        if client is None or client.peer is None or not client.peer.can_send:
            return
        peer = client.peer
        which = draw()
        if which < 0.8:
            self._say("%s acknowledges %s", client, client.received)
            for _ in range(1 + int(draw() * 2)):
                client.acknowledge(peer)
        elif which < 0.9:
            self._say("%s sends a frame of the protocol that means nothing", client)
            peer.write_frame(b"wspulse")
        else:
            count = (b"x", b"-1", b"%d" % _MORE_THAN_WAS_SENT, b"%d" % (client.acknowledged - 1))[int(draw() * 4)]
            self._say("%s acknowledges %s, which cannot be", client, count)
            peer.send("bad ack", payload=b"k" + count)
        if draw() < 0.7:
            peer.socket.poll()

    def _say_away(self) -> None:
        """A client has something to say, wherever it is."""
        client = self._client()
        if client is not None:
            number = self.world.model.new_number()
            self._say("%s says %s, open %s", client, number, client.is_open)
            script = self._script()
            if script is not None:
                self.world.app.scripts[number] = script
            client.say("message", number)

    def _recover_exactly(self) -> None:
        """Every client is back, and all that it had to say is taken."""
        for client in self.world.clients:
            session = client.session
            peer = client.peer
            is_well = session is not None and peer is not None and peer.can_send and session.is_live(peer)
            if not is_well and client.token:
                self._dial_with(client, self._claim(client))

    def _check_recovered(self) -> None:
        """Everything flows: nothing of a client that has its session is missing anywhere."""
        model = self.world.model
        for client in self.world.clients:
            session, peer = client.session, client.peer
            if session is None or peer is None or not session.is_live(peer) or not peer.can_send or peer.held:
                continue
            if peer.session is None or peer.session.state is not CONNECTED or peer.socket.closing:
                continue
            if peer.session.is_between or peer.session.halted_at is not None:
                continue
            taken = peer.session.real.inbox.received  # type: ignore[attr-defined]
            if taken != len(client.said):
                model.fail(f"{client}: {taken} of {len(client.said)} messages are taken, and all flows")
            if client.received != len(session.order):
                model.fail(f"{client}: has {client.received} of {len(session.order)} frames, and all flows")
            if "on_message" in model.callbacks and model.running(peer.session) is None:
                session.check_handled("all flows", taken)
