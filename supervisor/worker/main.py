"""A worker's entry: what runs in the new process, from its first line to its exit code.

Started by `WorkerProcess` with multiprocessing's spawn. It loads the application, runs one shard on a uvloop, tells the
supervisor how it is, and obeys:

    TakeOver             accept, where it is prepared beside others that serve
    Drain, SIGTERM       end all sessions, answer Drained, stay (others may still ask this shard) until Exit
    Exit                 stop the shard and end
    channel ends         the supervisor is dead: close the listener first, so that a new server can have the port,
                         then drain and end; a thread ends the process when that takes too long
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import gc
import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING

import uvloop

from wspulse.actors.accept.proxies.trust import TrustedProxies
from wspulse.actors.mesh.lifecycle import (
    Alive,
    BootFailed,
    Drain,
    Drained,
    Draining,
    EventsTaken,
    Exit,
    HostOptions,
    LivingHosts,
    Prepared,
    Ready,
    TakeOver,
    WatchEvents,
)
from wspulse.actors.mesh.message import Envelope, MailboxMoved, Message, Tell
from wspulse.actors.mesh.stream import Stream
from wspulse.actors.runtime.event_feed import EventFeed
from wspulse.actors.runtime.runtime import ShardRuntime
from wspulse.actors.server import Server
from wspulse.actors.values.options.texts import seen_by_clients
from wspulse.supervisor.host.descriptor_limit import raise_descriptor_limit
from wspulse.supervisor.host.process_title import set_process_title
from wspulse.supervisor.logs.configuration import configure_logs
from wspulse.supervisor.worker.application import BootError, failure_text, load_application
from wspulse.supervisor.worker.child_spec import ChildSpec, Start
from wspulse.supervisor.worker.forked_child import keep_descriptors_from_children, keep_loop_from_children
from wspulse.supervisor.worker.signal_stack import enlarge_signal_stack
from wspulse.supervisor.worker.stray_signals import PASSED_OVER, pass_over_signals

if TYPE_CHECKING:
    from wspulse.supervisor.worker.cluster_member import ClusterMember

__all__ = ["DUMP_SIGNAL", "main"]

DUMP_SIGNAL = signal.SIGUSR2
"""Makes a worker write the stacks of its threads to stderr, even while its loop is stuck."""

ORPHAN_S = 4.0
"""contract §6: 5 s after the supervisor's death no worker is left."""

BOOT_FAILURE_S = 2.0
"""How long a worker that cannot boot waits to be told to end."""

_logger = logging.getLogger("wspulse.supervisor")


def main(spec: ChildSpec, start: Start) -> None:
    """Run one worker to its end; ends by SystemExit with its exit code."""
    _prepare_process(spec, start)
    # Before the application, which may know better. A connection leaves about 12 objects that stay; with Python's 700 the
    # collector looks at them again and again, for 8 of 87 µs per upgrade. Looking at 20,000 takes under 1 ms.
    gc.set_threshold(20_000, 10, 10)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            server = load_application(spec.app, spec.overrides, spec.desk_path)
        except BootError as error:
            runner.run(_report(start, BootFailed(error.text, error.is_usage)))
            sys.exit(1)
        # What was imported stays. A full collection that walks it (26,000 objects) stops the loop for 9 ms.
        gc.collect()
        gc.freeze()
        try:
            code = runner.run(Worker(spec, start, server).run())
        except Exception:
            # Multiprocessing would print it, and wait for somebody to read it.
            _logger.critical("a worker failed", exc_info=True)
            code = 1
    sys.exit(code)


def _prepare_process(spec: ChildSpec, start: Start) -> None:
    pass_over_signals()
    threading.Thread(target=_end_with_supervisor, name="wspulse parent watch", daemon=True).start()
    for name in os.listdir("/dev/fd"):  # noqa: PTH208 - a program that the application starts must not keep our port open
        with contextlib.suppress(OSError):
            if int(name) > 2:
                os.set_inheritable(int(name), False)
    keep_descriptors_from_children(spec, start.place)
    # The supervisor's ready line is the only one on stdout: programs read it.
    os.dup2(2, 1)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    set_process_title(f"worker {start.place.shard}")
    configure_logs(spec.log_level, spec.log_format, f"worker {start.place.shard}")
    faulthandler.enable()
    faulthandler.register(DUMP_SIGNAL, all_threads=True, chain=False)
    enlarge_signal_stack()
    # They were blocked across the start; and stay so in the threads that were started here.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_OVER | {signal.SIGTERM})
    raise_descriptor_limit()


def _end_with_supervisor() -> None:
    """In a thread of its own: a stuck loop does not see the channel's end."""
    supervisor = multiprocessing.parent_process()
    assert supervisor is not None
    supervisor.join()
    time.sleep(ORPHAN_S)
    os._exit(1)


async def _report(start: Start, message: Message) -> None:
    """Tell the supervisor one thing, and wait for its order to end."""
    ended = asyncio.Event()

    def on_envelope(envelope: Envelope, _fd: int | None) -> None:
        if isinstance(envelope, Tell) and isinstance(envelope.message, Exit):
            ended.set()

    stream = Stream(start.channel, on_envelope, ended.set)
    stream.send(Tell(message))
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(BOOT_FAILURE_S):
            await ended.wait()
    stream.close()


class Worker:
    """The life of one worker once its application is loaded."""

    def __init__(self, spec: ChildSpec, start: Start, server: Server) -> None:
        self._spec = spec
        self._start = start
        self._server = server
        self._drain = asyncio.Event()
        self._order = Drain()
        self._exit = asyncio.Event()
        self._turn = asyncio.Event()
        self._is_in_order = True
        self._member: ClusterMember | None = None

    async def run(self) -> int:
        """Returns the exit code: 1 when something of the end has failed, and was logged."""
        spec, place = self._spec, self._start.place
        loop = asyncio.get_running_loop()
        self._stream = Stream(self._start.channel, self._on_envelope, self._on_end)
        self._runtime = ShardRuntime(
            self._server,
            shard=place.shard,
            seat=place.seat,
            workers=1 if place.table is None else place.table.workers,
            table=place.table,
            incarnation=place.incarnation,
            listeners=place.listeners,
            path=spec.path,
            mailbox=place.mailbox,
            mailbox_paths=place.mailbox_paths,
            bus=place.bus,
            tell_supervisor=self._tell,
            drain_s=spec.drain_s,
            trust=TrustedProxies(spec.trusted_proxies, reads_headers=spec.reads_proxy_headers),
            measures=spec.measures,
            cluster=place.cluster,
            counts=None if place.counts is None else place.counts.descriptor,
        )
        if place.cluster is not None and place.lease is not None:
            from wspulse.supervisor.worker.cluster_member import ClusterMember

            self._member = member = ClusterMember(self._runtime, place.cluster, place.lease.descriptor)
            member.open()
        host = "" if place.cluster is None else place.cluster.host
        self._feed = EventFeed(self._runtime.shard, self._tell, lambda: self._stream.backlogged, host)
        if self._runtime.movement is not None:
            self._runtime.movement.settle_events = self._feed.settled
        loop.add_signal_handler(signal.SIGTERM, self._terminate)
        keep_loop_from_children(loop)
        self._say_alive()
        if await self._boot():
            await self._drain.wait()
            try:
                self._stop_accepting()
                order = self._order
                await self._runtime.drain(
                    server_closes=order.server_closes, restarts=order.restarts, spread_s=order.spread_s
                )
            except Exception:  # the rest of the end, on_stop with it, is not its to prevent
                _logger.exception("not all sessions of a worker could be ended cleanly")
                self._is_in_order = False
        self._tell(Drained())
        await self._exit.wait()
        try:
            await self._runtime.stop()
        except Exception:  # each of its stages has ended by now
            _logger.exception("a part of a worker did not stop cleanly")
            self._is_in_order = False
        finally:
            if self._member is not None:
                await self._member.close()
            self._tell_counters()
            self._feed.close()
            self._alive.cancel()
            self._stream.flush()  # what it said last, which is otherwise written when the turn ends
            self._stream.close()
        return 0 if self._is_in_order else 1

    async def _boot(self) -> bool:
        """Start the shard, unless the order to end comes first. Returns whether it is up."""
        booting = asyncio.create_task(self._start_shard())
        draining = asyncio.create_task(self._drain.wait())
        await asyncio.wait({booting, draining}, return_when=asyncio.FIRST_COMPLETED)
        if not booting.done():
            booting.cancel()
            await asyncio.gather(booting, return_exceptions=True)
            return False
        draining.cancel()
        error = booting.result()
        if error is None:
            if self._member is not None:
                self._tell(HostOptions(seen_by_clients(self._server.options)))
            self._tell(Ready(self._start.place.seat, self._start.place.incarnation))
            return True
        self._tell(BootFailed(failure_text(error)))
        return False

    async def _start_shard(self) -> BaseException | None:
        """Returns what the start raised, sys.exit() in an on_start too, which out of a task would end the loop."""
        try:
            await self._runtime.start(self._await_turn if self._start.place.stands_by else None)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            return error
        return None

    def _terminate(self) -> None:
        """SIGTERM: how long the drain may take is the supervisor's to say, as of any other."""
        self._tell(Draining())
        self._drain.set()

    async def _await_turn(self) -> None:
        self._tell(Prepared())
        await self._turn.wait()

    def _on_envelope(self, envelope: Envelope, fd: int | None) -> None:
        if isinstance(envelope, MailboxMoved):
            self._runtime.move_mailbox(socket.socket(fileno=fd))
            return
        if not isinstance(envelope, Tell):
            _logger.error("the supervisor sent an unexpected message", extra={"envelope": type(envelope).__name__})
            return
        match envelope.message:
            case Drain():
                self._order = envelope.message
                self._drain.set()
            case TakeOver():
                self._turn.set()
            case LivingHosts() as message:
                if self._member is not None:
                    self._member.hear(message)
            case WatchEvents():
                self._feed.watch(envelope.message.prefixes)
            case EventsTaken():
                self._feed.taken(envelope.message.number)
            case Exit():
                self._drain.set()
                self._exit.set()
            case message:
                self._runtime.handle(message)

    def _on_end(self) -> None:
        if self._exit.is_set():
            return
        _logger.error("the supervisor is gone; this worker ends")
        self._stop_accepting()
        self._drain.set()
        self._exit.set()

    def _stop_accepting(self) -> None:
        self._runtime.stop_accepting()
        for listener in self._start.place.listeners:
            listener.sock.close()

    def _tell(self, message: Message) -> None:
        self._stream.send(Tell(message))

    def _tell_counters(self) -> None:
        metrics = self._runtime.shard.metrics
        self._tell(Alive(self._runtime.connections, metrics.counted(), metrics.histograms.told()))

    def _say_alive(self) -> None:
        self._tell_counters()
        loop = asyncio.get_running_loop()
        self._alive = loop.call_later(self._spec.alive_period_s, self._say_alive)
