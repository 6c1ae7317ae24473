"""`Streams`: the 16 streams of a cluster: made by the first host that comes, checked by all others.

They are in memory, keep 5 minutes or 12 MiB each, and republish what they store. A stream's sequences begin at the microseconds
of the clock: where it had to be made anew, because the servers' memory is gone, its sequences are higher than all before. Where
one began anew without us, with the same first sequence, it is lifted there (`lift`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any

import msgspec
import nats.errors
from nats.aio.client import Client

from wspulse.supervisor.cluster.asking import ask
from wspulse.supervisor.cluster.errors import ClusterError, NotYetError
from wspulse.supervisor.cluster.feed.names import PARTITIONS, Names

__all__ = ["API", "APIError", "Info", "Streams"]

API = "$JS.API"

KEPT_S = 5 * 60
DOUBLES_S = 2 * 60
"""A message that is published again within this is stored once. Publishers give up long before."""
PARTITION_BYTES = 12 * 1024 * 1024
"""192 MiB in each server with a replica of all. A server reserves it; at 5,000 messages of 1.5 kB a second it lasts for 25 s,
which is longer than what needs it: a gateway that starts again, a session that changes hosts, a connection that comes back."""

_FORM = {"wspulse.form": "1"}
_MADE_WITHIN_S = 20.0
"""Servers that have just started elect first."""
_TAKES_QUESTIONS_S = 2.0
_ANSWER_S = 2.0
_AGAIN_S = 0.25

_NO_SUCH_STREAM = 10059
_OTHER_SETTINGS = 10058
_OVERLAP = 10065
_NOT_ENABLED = (10039, 10076)
_NO_PEERS = 10005
_NO_MEMORY = (10023, 10028, 10047)
_ONE_SERVER = 10074

_SAFE_REPLICAS = 3
_PEERS_WITHIN_S = 10.0
"""Servers that have just started do not know of each other at once."""

_logger = logging.getLogger("wspulse.cluster")


class APIError(msgspec.Struct):
    """What JetStream answers instead."""

    code: int
    err_code: int = 0
    description: str = ""


class _State(msgspec.Struct):
    first_seq: int = 0
    last_seq: int = 0
    subjects: dict[str, int] | None = None


class _Cluster(msgspec.Struct):
    leader: str = ""


class Info(msgspec.Struct):
    """What is known of a stream, from its leader."""

    error: APIError | None = None
    config: dict[str, Any] = {}
    created: str = ""
    state: _State = msgspec.field(default_factory=_State)
    cluster: _Cluster | None = None

    @property
    def leader(self) -> str:
        """ "" while there is none, and for a server alone."""
        return "" if self.cluster is None else self.cluster.leader

    @property
    def is_led(self) -> bool:
        return self.error is None and (self.cluster is None or self.cluster.leader != "")

    @property
    def is_gone(self) -> bool:
        return self.error is not None and self.error.err_code == _NO_SUCH_STREAM

    @property
    def counts(self) -> Mapping[str, int]:
        """Stored messages by subject, where they were asked for."""
        return self.state.subjects or {}


_info = msgspec.json.Decoder(Info)


class Streams:
    """See the module."""

    def __init__(self, client: Client, names: Names, replicas: int | None) -> None:
        """`replicas`: None for what the streams have; where there are none yet 3, or 1 with fewer servers."""
        self._client = client
        self._names = names
        self._asked = replicas
        self.replicas = replicas or 1
        """Known when they are open."""

    async def open(self) -> None:
        """Make those that are missing, and check the others. Raises ClusterError."""
        await self._check_enabled()
        deadline = time.monotonic() + _MADE_WITHIN_S
        if self._asked is None:
            await self._choose_replicas(deadline)
        async with asyncio.TaskGroup() as group:
            made = [group.create_task(self._open(partition, deadline)) for partition in range(PARTITIONS)]
        if errors := [error for task in made if (error := task.result()) is not None]:
            raise errors[0]

    async def info(self, partition: int, *, with_counts: bool = False) -> Info | None:
        """None: nobody answers, or says that it has no leader."""
        question = {"subjects_filter": self._names.stored_buckets(partition)} if with_counts else {}
        return await self._ask(f"STREAM.INFO.{self._names.stream(partition)}", question)

    async def make(self, partition: int, above: int) -> str:
        """Make a stream that is gone, with sequences above `above`. Returns why it could not be; the next look tries again."""
        made = await self._ask(f"STREAM.CREATE.{self._names.stream(partition)}", self._config(partition, above))
        return "" if made is None or made.error is None else made.error.description

    def other_than_ours(self, partition: int, info: Info) -> str:
        """What somebody has made of a stream; empty where it is as it was made. It may have other replicas by now."""
        wanted = self._config(partition, 0)
        del wanted["num_replicas"]
        error = self._difference(self._names.stream(partition), info.config, wanted)
        return "" if error is None else str(error).removeprefix("wspulse: ")

    async def lift(self, partition: int, above: int) -> bool:
        """Have what is stored next get a sequence above `above`, and above all that the clock ever gave. Idempotent: hosts that
        do it at once do no harm. Returns whether it is done."""
        info = await self._ask(f"STREAM.PURGE.{self._names.stream(partition)}", {"seq": _first_sequence(above)})
        return info is not None and info.error is None

    async def purge(self, partition: int, subject: str) -> None:
        """Take away what is stored under a subject."""
        await self._ask(f"STREAM.PURGE.{self._names.stream(partition)}", {"filter": subject})

    async def _check_enabled(self) -> None:
        """A server with JetStream takes questions even while it elects."""
        deadline = time.monotonic() + _TAKES_QUESTIONS_S
        while True:
            try:
                await self._client.request(f"{API}.INFO", b"", timeout=_ANSWER_S)
            except nats.errors.NoRespondersError:
                if time.monotonic() > deadline:
                    raise ClusterError(
                        "JetStream is off in NATS: enable it in its configuration, or with nats-server -js"
                    ) from None
                await asyncio.sleep(_AGAIN_S)
            except nats.errors.Error:
                return  # nobody answers in time: the streams are tried for longer
            else:
                return

    async def _choose_replicas(self, deadline: float) -> None:
        """The first stream has them: whoever makes it decides for all hosts."""
        name = self._names.stream(0)
        peers_until = min(deadline, time.monotonic() + _PEERS_WITHIN_S)
        self.replicas = _SAFE_REPLICAS
        while time.monotonic() < deadline:
            info = await self.info(0)
            if info is not None and info.is_gone:
                info = await self._ask(f"STREAM.CREATE.{name}", self._config(0, 0))
                if info is not None and info.error is None:
                    _logger.info("the cluster's streams are made", extra={"replicas": self.replicas})
            if info is not None and info.error is None:
                self.replicas = info.config.get("num_replicas", 1)
                return
            code = None if info is None or info.error is None else info.error.err_code
            if code == _ONE_SERVER or (code == _NO_PEERS and time.monotonic() > peers_until):
                if self.replicas == 1:
                    return  # what is wrong is said of all streams
                self.replicas = 1
                if code == _NO_PEERS:
                    _logger.warning(
                        "the cluster's streams get 1 replica: of the NATS servers too few are there, or have room, for 3. For 3, "
                        "remove the streams, and start with --cluster-replicas 3"
                    )
            elif code is not None and code not in (_NO_PEERS, _OTHER_SETTINGS):
                return  # as above
            else:
                await asyncio.sleep(_AGAIN_S)

    async def _open(self, partition: int, deadline: float) -> ClusterError | None:
        """The error, where there is one: of 16 that are raised at once, one is enough."""
        name = self._names.stream(partition)
        peers_until = min(deadline, time.monotonic() + _PEERS_WITHIN_S)
        while True:
            info = await self.info(partition)
            if info is not None and info.is_gone:
                info = await self._ask(f"STREAM.CREATE.{name}", self._config(partition, 0))
                if info is not None and info.error is not None and info.error.err_code == _OTHER_SETTINGS:
                    continue  # another host was faster: look at what it made
            if info is not None and info.error is None:
                return self._difference(name, info.config, self._config(partition, 0))
            if info is not None and info.error is not None:
                passes = info.error.err_code == _NO_PEERS and time.monotonic() < peers_until
                if not passes and (error := self._told(name, info.error)) is not None:
                    return error
            if time.monotonic() > deadline:
                return NotYetError(
                    f"NATS is there, but JetStream does not answer for {_MADE_WITHIN_S:.0f} s: is it enabled (nats-server -js) "
                    "in all servers, and do more than half of them run?"
                )
            await asyncio.sleep(_AGAIN_S)

    async def _ask(self, what: str, question: Mapping[str, object]) -> Info | None:
        payload = msgspec.json.encode(question) if question else b""
        answer = await ask(self._client, f"{API}.{what}", payload, _ANSWER_S)
        return None if answer is None else _info.decode(answer)

    def _config(self, partition: int, above: int) -> dict[str, Any]:
        return {
            "name": self._names.stream(partition),
            "subjects": [self._names.all_stored(partition)],
            "republish": {"src": self._names.all_stored(partition), "dest": self._names.all_republished(partition)},
            "retention": "limits",
            "storage": "memory",
            "num_replicas": self.replicas,
            "discard": "old",
            "max_age": KEPT_S * 10**9,
            "max_bytes": PARTITION_BYTES,
            "max_msgs": -1,
            "max_msgs_per_subject": -1,
            "duplicate_window": DOUBLES_S * 10**9,
            "allow_msg_ttl": True,
            "first_seq": _first_sequence(above),
            "metadata": _FORM,
        }

    @staticmethod
    def _difference(name: str, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> ClusterError | None:
        if found.get("metadata", {}).get("wspulse.form") != _FORM["wspulse.form"]:
            return ClusterError(
                f"NATS has a stream {name} that this version of wspulse did not make: remove it (nats stream rm {name}), or "
                "choose another name for the cluster"
            )
        if "num_replicas" in wanted and (there := found.get("num_replicas")) != wanted["num_replicas"]:
            return ClusterError(
                f"the streams of this cluster have {there} replica(s), and this host asks for {wanted['num_replicas']}: leave "
                f"--cluster-replicas out to take what they have, or change them all first (nats stream edit --replicas; {name})"
            )
        for key, value in wanted.items():
            if key not in ("first_seq", "metadata") and found.get(key) != value:
                return ClusterError(
                    f"the stream {name} has {key} {found.get(key)!r}, and this host asks for {value!r}: start all hosts "
                    f"with the same settings and version, or stop them all and remove the stream (nats stream rm {name})"
                )
        return None

    def _told(self, name: str, error: APIError) -> ClusterError | None:
        """What a person can do about it; None for what passes by itself."""
        if error.err_code in _NOT_ENABLED:
            return ClusterError(
                f"JetStream is off in NATS ({error.description}): enable it, for this account too (nats-server -js)"
            )
        size = PARTITIONS * PARTITION_BYTES // 2**20
        if error.err_code == _NO_PEERS:
            return ClusterError(
                f"there are not {self.replicas} NATS servers with room for the streams ({error.description}): start more, raise "
                f"max_mem in jetstream {{}} of each by {size} MiB, or ask for fewer with --cluster-replicas"
            )
        if error.err_code in _NO_MEMORY:
            return ClusterError(
                f"NATS has too little memory for the streams ({error.description}): they take {size} MiB, with {self.replicas} "
                "replica(s) in as many servers; raise max_mem in jetstream {} of the servers, or the account's limit"
            )
        if error.err_code == _ONE_SERVER:
            return ClusterError(
                f"{self.replicas} replicas need a cluster of as many NATS servers, and there is one: ask for 1"
            )
        if error.err_code == _OVERLAP:
            return ClusterError(
                f"another stream in NATS takes the subjects of {name} already: choose another name for the cluster, or remove it"
            )
        if error.code in (400, 403):
            return ClusterError(f"NATS does not make the stream {name}: {error.description}")
        return None


def _first_sequence(above: int) -> int:
    return max(time.time_ns() // 1000, above + 1_000_000)
