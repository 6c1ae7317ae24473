"""`Bucket`: keys and values that the hosts of a cluster share, each changed by compare-and-swap.

It is a JetStream key-value bucket ("nats kv" shows it), written by hand: nats-py cannot purge by expected revision with a time to
live, renew a key that has one, or read from the leader. Made by `Membership`.

Revisions of one key rise. They do so in a bucket that was lost and made anew, too: it begins with the time in µs.
"""

from __future__ import annotations

import asyncio
import logging
import time
from base64 import b64decode
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
import nats.errors
from nats.aio.client import Client

from wspulse.actors.values.log_limit import LogLimit
from wspulse.supervisor.cluster.errors import ClusterError, NotYetError
from wspulse.supervisor.cluster.hosts.records import HOSTS

__all__ = ["ATTEMPT_S", "Bucket", "BucketUnavailableError", "Found", "NotSentError", "WrongRevisionError"]

_logger = logging.getLogger("wspulse.supervisor")

ATTEMPT_S = 1.0
"""One request: a server that has not answered by then has died with it, or has no leader."""

_OPENED_WITHIN_S = 20.0
"""Three servers that were started just now need some seconds until they have leaders."""

_AGAIN_S = 0.2

_WRONG_REVISION = (10071, 10164)
_NO_MESSAGE = 10037
_NO_STREAM = 10059
_NAME_IN_USE = 10058
_NOT_NOW = (10005, 10008, 10009, 10118)
"""No leader of JetStream, of the stream; servers that do not know of each other yet."""

_NS = 1_000_000_000


class BucketUnavailableError(Exception):
    """NATS, or its leader for this bucket, did not answer. What was asked for may have happened."""


class NotSentError(BucketUnavailableError):
    """NATS is not there: what was asked for has not happened and will not."""


class WrongRevisionError(Exception):
    """The key is at another revision than was expected: nothing was changed."""


class Found(NamedTuple):
    data: bytes | None
    """None where there is nothing, or what marks that something was purged."""
    revision: int
    """What a change of the key must expect."""


class Bucket:
    """See the module. `name` is one of letters, digits, "-" and "_"."""

    def __init__(
        self, client: Client, name: str, *, replicas: int, republished: str, takes_any_replicas: bool = False
    ) -> None:
        """Changes of hosts' keys are republished under the subject `republished`, followed by the key. `takes_any_replicas`:
        one that is there may have others."""
        self._client = client
        self.name = name
        self._stream = f"KV_{name}"
        self._prefix = f"$KV.{name}."
        self._replicas = replicas
        self._unchecked = {"description", "duplicate_window"} | ({"num_replicas"} if takes_any_replicas else set())
        self._republished = republished
        self._making: asyncio.Task[None] | None = None
        self._limit = LogLimit(1)

    async def open(self) -> float:
        """Make it, or check what is there. The time of the servers' clock, in seconds since 1970. ClusterError."""
        deadline = time.monotonic() + _OPENED_WITHIN_S
        while True:
            try:
                info = await self._info() or await self._make()
            except BucketUnavailableError as error:
                if time.monotonic() > deadline:
                    raise NotYetError(
                        f"JetStream did not answer within {_OPENED_WITHIN_S:g} s ({error}): see that most of the NATS "
                        f"servers of the cluster run, with JetStream"
                    ) from error
                await asyncio.sleep(_AGAIN_S)
            else:
                self._check(info["config"])
                return _seconds(info["ts"])

    def make_anew(self) -> None:
        """Have it made where it is gone: its servers lost it, or a person deleted it. To be called when it does not answer; it
        does not wait."""
        if self._making is None or self._making.done():
            self._making = asyncio.create_task(self._make_if_gone(), name=f"look whether {self._stream} is gone")

    async def close(self) -> None:
        if self._making is not None:
            self._making.cancel()
            await asyncio.gather(self._making, return_exceptions=True)

    async def put(self, key: str, data: bytes, revision: int, *, ttl_s: float = 0.0) -> int:
        """The new revision. 0 expects that there is nothing. WrongRevisionError, BucketUnavailableError."""
        headers = {"Nats-Expected-Last-Subject-Sequence": str(revision)}
        if ttl_s:
            headers["Nats-TTL"] = f"{ttl_s:g}s"
        return await self._change(key, data, headers)

    async def purge(self, key: str, revision: int, *, ttl_s: float) -> int:
        """What marks that it was purged stays for `ttl_s`, at least 1: until then, late changes of the key find it. As `put`."""
        headers = {
            "Nats-Expected-Last-Subject-Sequence": str(revision),
            "KV-Operation": "PURGE",
            "Nats-Rollup": "sub",
            "Nats-TTL": f"{ttl_s:g}s",
        }
        return await self._change(key, b"", headers)

    async def read(self, key: str) -> Found:
        """From the leader. BucketUnavailableError."""
        answer = await self._ask(
            f"STREAM.MSG.GET.{self._stream}", {"last_by_subj": self._prefix + key}, none=_NO_MESSAGE
        )
        if answer is None:
            return Found(None, 0)
        message = answer["message"]
        return Found(b64decode(message["data"]) if message.get("data") else None, message["seq"])

    async def keys(self, first: str) -> list[str]:
        """Those that begin with `first` and a dot, with what is marked as purged. BucketUnavailableError."""
        filtered = {"subjects_filter": f"{self._prefix}{first}.>"}
        answer = await self._ask(f"STREAM.INFO.{self._stream}", filtered)
        return [subject.removeprefix(self._prefix) for subject in answer["state"].get("subjects") or ()]

    async def _info(self) -> dict[str, Any] | None:
        found: dict[str, Any] | None = await self._ask(f"STREAM.INFO.{self._stream}", None, none=_NO_STREAM)
        return found

    async def _make(self) -> dict[str, Any]:
        config = self._wanted() | {"name": self._stream, "first_seq": time.time_ns() // 1000}
        made: dict[str, Any] | None = await self._ask(f"STREAM.CREATE.{self._stream}", config, none=_NAME_IN_USE)
        if made is None:  # another host was faster
            raise BucketUnavailableError(f"{self._stream} was made at the same time")
        return made

    async def _make_if_gone(self) -> None:
        try:
            if await self._info() is None and await self._make() is not None:
                _logger.warning("the cluster's bucket was gone, and is made anew", extra={"stream": self._stream})
        except BucketUnavailableError:
            pass  # as it was
        except ClusterError as error:
            if (not_logged := self._limit.admit(time.monotonic())) is not None:
                _logger.warning(
                    "the cluster's bucket cannot be made anew", extra={"reason": str(error), "not_logged": not_logged}
                )

    def _wanted(self) -> dict[str, Any]:
        return {
            "description": "wspulse: the hosts of a cluster, and who has which connection id",
            "subjects": [f"{self._prefix}>"],
            "storage": "file",
            "num_replicas": self._replicas,
            "max_msgs_per_subject": 1,
            "discard": "new",
            "allow_rollup_hdrs": True,
            "deny_delete": True,
            "allow_direct": True,
            "allow_msg_ttl": True,
            "max_age": 0,
            "duplicate_window": 2 * _NS,  # no message here has an id
            "republish": {"src": f"{self._prefix}{HOSTS}.>", "dest": f"{self._republished}.{HOSTS}.>"},
        }

    def _check(self, found: dict[str, Any]) -> None:
        wanted = self._wanted()
        wrong = [
            f"{name} is {_shown(found.get(name))}, not {_shown(value)}"
            for name, value in wanted.items()
            if name not in self._unchecked and found.get(name) != value
        ]
        if wrong:
            raise ClusterError(
                f"JetStream has a stream {self._stream} with other settings ({'; '.join(wrong)}): delete it while no host of "
                f"the cluster runs (nats stream rm {self._stream}), or give this cluster another name"
            )

    async def _change(self, key: str, data: bytes, headers: dict[str, str]) -> int:
        answer = await self._request(self._prefix + key, data, headers)
        if "error" in answer:
            if answer["error"].get("err_code") in _WRONG_REVISION:
                raise WrongRevisionError
            raise BucketUnavailableError(answer["error"].get("description", "an error"))
        if not isinstance(revision := answer.get("seq"), int):
            raise BucketUnavailableError("an answer that is not JetStream's")
        return revision

    async def _ask(self, call: str, argument: dict[str, Any] | None, none: int = 0) -> Any:
        """The answer; None for the error `none`. ClusterError for what no waiting mends."""
        answer = await self._request(f"$JS.API.{call}", b"" if argument is None else msgspec.json.encode(argument))
        error = answer.get("error")
        if error is None:
            return answer
        code, text = error.get("err_code"), error.get("description", "an error")
        if code == none:
            return None
        if call.startswith("STREAM.CREATE") and code not in _NOT_NOW:
            raise ClusterError(f"JetStream does not make {self._stream}: {text}")
        raise BucketUnavailableError(text)

    async def _request(self, subject: str, data: bytes, headers: dict[str, str] | None = None) -> dict[str, Any]:
        if not self._client.is_connected:  # the client would keep it, and send it when nobody waits for it any more
            raise NotSentError("not connected to NATS")
        task = asyncio.current_task()
        cancelled_before = 0 if task is None else task.cancelling()
        try:
            message = await self._client.request(subject, data, timeout=ATTEMPT_S, headers=headers)
        except (nats.errors.Error, OSError) as error:
            raise BucketUnavailableError(str(error)) from error
        finally:
            # `asyncio.wait_for` of Python 3.11, in that request, swallows a cancellation that comes together with the answer.
            if task is not None and task.cancelling() > cancelled_before:
                raise asyncio.CancelledError
        try:
            return msgspec.json.decode(message.data, type=dict[str, Any])
        except msgspec.DecodeError:
            raise BucketUnavailableError("an answer that is not JetStream's") from None


def _seconds(stamp: str) -> float:
    return msgspec.convert(stamp, datetime).timestamp()


def _shown(value: Any) -> str:
    return msgspec.json.encode(value).decode()
