"""`Supervisor`: the parent process. It starts the parts of a server in one order, keeps the workers alive, and stops the
parts in reverse.

Created by `cli`, run once. It owns the listening socket, the runtime directory, the mailbox listeners, the bus forwarder
and the workers, and has plans carried out by its `Conductor`. It never imports the application and touches no session.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from wspulse.actors.mesh.lifecycle import BootFailed, Events, EventsMark, HealthChanged, HostOptions, ShardDown, ShardUp
from wspulse.actors.mesh.message import Message
from wspulse.actors.mesh.placement import SLOTS
from wspulse.actors.values.awaitable import result_of
from wspulse.actors.values.health import Health
from wspulse.supervisor.admin.service import AdminService
from wspulse.supervisor.cluster.host_bus import HostBus
from wspulse.supervisor.cluster.service import ClusterService
from wspulse.supervisor.control.plane import ControlPlane
from wspulse.supervisor.host.descriptor_limit import check_descriptors, check_workers
from wspulse.supervisor.logs.configuration import tell
from wspulse.supervisor.moving.conductor import Conductor
from wspulse.supervisor.moving.handovers import Patience
from wspulse.supervisor.moving.rescaling import Rescaling
from wspulse.supervisor.moving.scaling import Scaled
from wspulse.supervisor.moving.turn import Moved
from wspulse.supervisor.premises.mailbox_listeners import MailboxListeners
from wspulse.supervisor.premises.runtime_dir import RuntimeDir
from wspulse.supervisor.premises.service_manager import ServiceManager
from wspulse.supervisor.premises.upkeep import KeptFiles, Upkeep
from wspulse.supervisor.process.child import Child
from wspulse.supervisor.process.ending.drain_delay import DrainDelay
from wspulse.supervisor.process.ready_line import print_ready_line
from wspulse.supervisor.process.reloading import Reloading
from wspulse.supervisor.process.restart.history import History
from wspulse.supervisor.process.seating import Seating
from wspulse.supervisor.process.signals import install_signals, remove_signals
from wspulse.supervisor.process.started_parts import Part, PartFailure, StartedParts, nothing
from wspulse.supervisor.process.watching.memory import MemoryWatch
from wspulse.supervisor.process.workers import Workers
from wspulse.supervisor.settings.layers import Settings
from wspulse.supervisor.source_files.watch import SourceWatch
from wspulse.supervisor.tls.frontend import Frontend
from wspulse.supervisor.worker.specs import child_spec

__all__ = ["Supervisor"]

_logger = logging.getLogger("wspulse.supervisor")


class _Ending(NamedTuple):
    exit_code: int
    reason: str


class Supervisor:
    """One server. `await run()` returns its exit code, or raises StartError when it cannot start. A part that fails to stop is
    logged and keeps no other from being stopped; the exit code is then not 0. A reload asks `reread()` for what the settings
    have come to since, and gives the workers the application's options of them.
    """

    def __init__(self, settings: Settings, reread: Callable[[], Settings] | None = None) -> None:
        self.settings = settings
        self.port = settings.port
        self.is_ready = False
        """Whether all workers have been ready at once."""
        self._signals: list[signal.Signals] = []
        self.runtime_dir: RuntimeDir | None = None
        """From the start on."""
        self._frontend = Frontend(
            settings, self._tell_health, self._look_if_ready, partial(self._fail, "TLS cannot be served")
        )
        self._mailboxes: MailboxListeners | None = None
        self._control: ControlPlane | None = None
        self._conductor: Conductor | None = None
        self._admin = AdminService(settings, self)
        self._kept: list[KeptFiles] = []
        self._upkeep: Upkeep | None = None
        self.health = Health()
        """What is amiss with the server as a whole: the workers' health checks and `stats` tell it."""
        self._workers = Workers(
            self,
            self._on_outage,
            stall_timeout_s=settings.stall_timeout,
            shutdown_timeout_s=settings.shutdown_timeout,
            give_up_after_s=settings.give_up_after,
            drain_spread_s=settings.drain_spread,
            reread=None if reread is None else lambda: reread().overrides,
        )
        self._cluster = ClusterService(
            settings,
            self._tell_health,
            self._look_if_ready,
            partial(self._fail, "the cluster cannot be joined"),
            lambda: sum(child.connections for child in self.everybody()),
            self._workers.tell_all,
        )
        self._workers.overhear = self._cluster.hear
        self._bus = HostBus(self._cluster, self._socket_path, self._kept)
        self._service_manager = ServiceManager(lambda: self._workers.readiness)
        self._reloading = Reloading(partial(self.reload, joins=False))
        self._sources = SourceWatch(
            settings.reload or (), partial(self._reloading.request, "source files have changed")
        )
        self._rescaling = Rescaling(lambda more: self.conductor.scale(lambda now: min(max(now + more, 1), SLOTS)))
        self._drain_delay = DrainDelay(settings.drain_delay, self._tell_health, partial(self._end, 0))
        self._memory = MemoryWatch(settings.max_memory, self._workers.pids, self._tell_health)
        self.children = self._workers.children
        """By name. Their states, pids, restarts and connections may be read at any time."""

    async def run(self) -> int:
        """Start, supervise until something asks for the end, stop."""
        self._ending: asyncio.Future[_Ending] = asyncio.get_running_loop().create_future()
        order = (
            Part("signals", self._install_signals, remove_signals),
            Part("port", self._claim_port, self._release_port),
            Part("mailboxes", self._open_mailboxes, self._close_mailboxes),
            Part("bus", lambda: self._bus.start(self._seating), self._bus.stop),
            Part("control", self._start_control, lambda: self.control.stop()),  # noqa: PLW0108 - made later
            Part("admin", self._admin.start, self._admin.stop),
            Part("source files", self._sources.start, self._sources.stop),
            Part("terminators", nothing, self._frontend.stop),
            Part("workers", self._start_workers, self._stop_workers),
            Part("watch", self._workers.watch, self._workers.unwatch),
            Part("upkeep", self._start_upkeep, self._stop_upkeep),
            Part("memory", self._memory.start, self._memory.stop),
            Part("reloads", nothing, self._reloading.stop),
            Part("scalings", nothing, self._rescaling.stop),
            Part("service manager", self._service_manager.start, self._service_manager.stop),
            Part("drain delay", nothing, self._drain_delay.stop),
        )
        started = StartedParts()
        failures: list[PartFailure] = []
        try:
            for part in order:
                if self._ending.done():
                    break
                started.add(part.name, part.stop)
                await result_of(part.start())
            ending = await self._ending
        finally:
            failures = await started.stop()
            for failure in failures:
                _logger.error(
                    "a part of the server did not stop cleanly", exc_info=failure.error, extra={"part": failure.part}
                )
        if len(self._signals) > 1:
            return 128 + self._signals[-1]
        return ending.exit_code or (1 if failures else 0)

    @property
    def is_ending(self) -> bool:
        """Whether the server stops, or has stopped."""
        return self._ending.done()

    def request_shutdown(self, reason: str) -> None:
        """End the server in order, with exit code 0, after --drain-delay; returns at once. Only the first reason counts."""
        self._drain_delay.begin(reason, serves=self.is_ready)

    def hosts(self) -> list[dict[str, Any]]:
        """Those of the cluster that are alive, as the control socket lists them; without one, this host."""
        return self._cluster.listed()

    # Plans, each when it is its turn.

    async def restart(self, shard: int, *, drain: bool = False) -> Moved:
        """Replace a worker, whose sessions move (with `drain`, are closed). Raises as the conductor does."""
        return await self.conductor.restart(shard, drain=drain)

    async def reload(self, *, drain: bool = False, joins: bool = True) -> list[Moved]:
        """The same of all workers, one after another; a reload that is under way is joined, unless it is not to be.
        Certificates are read first."""
        with self._service_manager.reloading():
            self._frontend.reread()
            return await self.conductor.reload(drain=drain, joins=joins)

    async def scale(self, workers: int) -> Scaled:
        """Have so many workers. Raises ValueError for a number that is none, or needs too many descriptors; else as `restart`."""
        check_workers(workers, SLOTS)
        return await self.conductor.scale(lambda _present: workers)

    def everybody(self) -> list[Child]:
        """The children, and those beside them while sessions move."""
        return self._workers.everybody

    def histories(self) -> Mapping[int, History]:
        return self._workers.histories

    def moving(self, shard: int) -> int | None:
        """How many sessions of a worker have yet to move; None when it is not its turn."""
        return None if self._conductor is None else self._conductor.left(shard)

    @property
    def conductor(self) -> Conductor:
        assert self._conductor is not None
        return self._conductor

    @property
    def control(self) -> ControlPlane:
        """From its start on."""
        assert self._control is not None
        return self._control

    # What children tell.

    def on_started(self, child: Child) -> None:
        self.control.worker_started(child)

    def on_ready(self, child: Child) -> None:
        assert child.incarnation is not None
        self._workers.tell_others(child.seat, ShardUp(child.seat, child.incarnation))
        self.control.worker_ready(child)
        for reason in self.health.reasons:
            child.tell(HealthChanged(reason, is_well=False))
        if self.is_ready:
            _logger.info(
                "a worker is ready", extra={"shard": child.shard, "pid": child.pid, "restarts": child.restarts}
            )
        else:
            self._look_if_ready()
        self.conductor.on_ready()

    def _look_if_ready(self) -> None:
        if self._workers.are_ready and self._frontend.is_up and self._cluster.is_up and not self._ending.done():
            self.is_ready = True
            self._announce()
            self._reloading.allow()
            self._rescaling.allow()

    def _fail(self, what: str, reason: str) -> None:
        """Something of the start will not be."""
        if not self._ending.done():
            _logger.critical(f"{what}; the server stops", extra={"reason": reason})
            self._end(1, what)

    def on_down(self, child: Child, incarnation: int) -> None:
        self._workers.tell_others(child.seat, ShardDown(child.seat, incarnation))
        self.control.worker_down(child)
        self.conductor.on_down(child)

    def on_drained(self, child: Child) -> None:
        self._workers.child_changed()

    def on_stopped(self, child: Child) -> None:
        self._workers.child_changed()
        self.conductor.on_stopped(child)

    def on_boot_failed(self, child: Child, failure: BootFailed) -> None:
        self.conductor.on_boot_failed(child, failure)
        if self.is_ready or self._ending.done():
            return  # another start may succeed, and others serve; or the first of several equal ones was told
        if failure.is_usage:
            tell(self.settings.with_source(failure.text))
            self._end(2, "a wrong option")
        else:
            _logger.critical(
                "the application failed to start", extra={"app": self.settings.app, "traceback": failure.text}
            )
            self._end(1, "the application failed to start")

    def _on_outage(self, reason: str) -> None:
        if self._ending.done():
            return
        _logger.critical(
            "no worker has been ready for --give-up-after; the server stops",
            extra={"give_up_after_s": self.settings.give_up_after, "last_failure": reason},
        )
        self._end(1, "no worker became ready")

    def on_silence(self, child: Child, silence_s: float, *, is_over: bool) -> None:
        self._workers.tell_silence(child, silence_s, is_over=is_over)

    def on_close_requested(self, child: Child) -> None:
        self._end(0, "the application closed the server")

    def on_message(self, child: Child, message: Message) -> None:
        if isinstance(message, (Events, EventsMark)):
            self.control.take_events(child, message)
        elif isinstance(message, HostOptions):
            self._cluster.describe(message)
        elif not self.conductor.take(child, message):
            _logger.error(
                "a worker sent an unexpected message", extra={"shard": child.shard, "said": type(message).__name__}
            )

    # What the conductor tells.

    def on_moving(self, child: Child, result: Moved, *, is_over: bool) -> None:
        self.control.worker_moving(child, result, is_over=is_over)

    def on_replaced(self, child: Child) -> None:
        self.control.worker_replaced(child)

    def on_standby_closes(self) -> None:
        self._end(0, "the application closed the server")

    def _tell_all(self, message: Message) -> None:
        self._workers.tell_all(message)
        if self._control is not None:
            self._control.hear(message)

    # The parts, in the order of their start.

    def _install_signals(self) -> None:
        install_signals(self._on_signal, self._reloading.request, self._rescaling.request)

    def _on_signal(self, number: signal.Signals) -> None:
        self._signals.append(number)
        if len(self._signals) == 1:
            self.request_shutdown(number.name)
        else:
            self._end(0, number.name)
            self._workers.kill()

    async def _claim_port(self) -> None:
        """The port first: who does not get it has touched nothing of who has it."""
        check_descriptors(self.settings.workers)
        if await self._frontend.open(self._ending.done):
            self.port = self._frontend.port
            self.runtime_dir = RuntimeDir.claim(self.port, address=self._frontend.address)
            self._cluster.introduce(self._frontend.urls[0], self.port)

    def _release_port(self) -> None:
        self._frontend.close()
        if self.runtime_dir is not None:
            self.runtime_dir.release()

    def _open_mailboxes(self) -> None:
        self._mailboxes = MailboxListeners("socket to the workers", self._workers.move_mailbox)
        self._seating = Seating(self._mailboxes, lambda seat: self._socket_path(f"mailbox-{seat}"), self._tell_all)
        self._seating.begin(self.settings.workers)
        self._kept.append(self._mailboxes.kept)

    def _socket_path(self, name: str) -> str:
        assert self.runtime_dir is not None
        return self.runtime_dir.socket_path(name)

    def _close_mailboxes(self) -> None:
        if self._mailboxes is not None:
            self._mailboxes.close()

    @property
    def mailbox_paths(self) -> Mapping[int, str]:
        return {} if self._mailboxes is None else self._mailboxes.paths

    def _start_control(self) -> None:
        assert self.runtime_dir is not None
        paths = dict(self.mailbox_paths)
        self._control = control = ControlPlane(self.settings, self, self.runtime_dir, paths, self._cluster.others())
        control.start()
        self._kept += control.kept
        self.runtime_dir.tell(control.endpoint, self._frontend.urls)

    def _start_workers(self) -> None:
        spec = child_spec(self.settings, alive_period_s=self._workers.period_s, desk_path=self.control.desk_path)
        assert self.runtime_dir is not None
        patience = Patience.of(self.settings)
        self._conductor = Conductor(self._workers, self._seating, self, patience, self._bus.forwarded)
        listeners = self._frontend.start(self._socket_path("tls"))
        self._workers.start(spec, listeners, self._seating, self.runtime_dir.last_incarnation)

    async def _stop_workers(self) -> None:
        if self.is_ready:
            reason = self._ending.result().reason if self._ending.done() else "an error"
            _logger.info("the server is stopping", extra={"reason": reason})
        self._frontend.close()
        if self._conductor is not None:
            await self._conductor.stop()
        await self._workers.stop()

    def _start_upkeep(self) -> None:
        assert self.runtime_dir is not None
        files = [*self._kept, *self._frontend.kept]
        self._upkeep = Upkeep(self.runtime_dir.path, self.runtime_dir.restore, files, self._tell_health)
        self._upkeep.open()

    def _stop_upkeep(self) -> None:
        if self._upkeep is not None:
            self._upkeep.close()

    def _tell_health(self, reason: str, is_amiss: bool) -> None:
        (self.health.fail if is_amiss else self.health.mend)(reason)
        self._workers.tell_all(HealthChanged(reason, is_well=not is_amiss))

    # The end, and what is printed.

    def _end(self, exit_code: int, reason: str) -> None:
        if not self._ending.done():
            self._ending.set_result(_Ending(exit_code, reason))

    def _announce(self) -> None:
        urls = self._frontend.urls
        print_ready_line(urls, self.settings.workers, self.control.endpoint)
        self._service_manager.ready(" and ".join(urls))
