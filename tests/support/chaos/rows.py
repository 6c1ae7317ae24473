"""`ROWS`: all that is done to a server, by its name, with what is promised."""

from __future__ import annotations

import signal
from functools import partial

from tests.support.chaos.row import Row, alone, under_crowd
from tests.support.chaos.stage import Scene
from tests.support.chaos.strikes import load, premises, processes, shortages, signals, standing_still

__all__ = ["ROWS"]

_ONLY_ITS_CLIENTS = (
    "Only its clients are cut off, and all of them come back to its replacement; to the others nothing happens."
)
_NOTHING = "No client notices."
_NOT_A_FRAME = "Nobody is closed, no frame is lost, and the order stays; frames may be late."
_MENDED = "The server makes it again. No client notices, and a worker that is killed afterwards comes back."
_TOLD_1001 = "Every client is closed with 1001, the exit code is 0, and no process is left."


def _ending(name: str, number: signal.Signals) -> Row:
    run = under_crowd(partial(processes.ends_by, number=number))
    return Row(f"end-{name}", f"the supervisor gets {number.name}", _TOLD_1001, run)


def _group_ending(name: str, number: signal.Signals) -> Row:
    run = under_crowd(partial(processes.group_ends_by, number=number))
    return Row(f"end-all-{name}", f"all processes get {number.name}, as from a terminal", _TOLD_1001, run)


ROWS = (
    # Processes that die.
    Row(
        "kill-worker",
        "`kill -9` of each worker, one by one",
        _ONLY_ITS_CLIENTS,
        under_crowd(processes.each_worker_is_killed),
    ),
    Row(
        "kill-supervisor",
        "`kill -9` of the supervisor",
        "Every worker closes its sessions with 1001 and exits within 5 s; no process is left.",
        under_crowd(processes.supervisor_is_killed),
    ),
    Row(
        "kill-tls",
        "`kill -9` of one of two TLS terminators",
        "Only its clients are cut off, and all of them come back; it is replaced, and no worker is touched.",
        under_crowd(processes.terminator_is_killed, Scene(is_tls=True, options=("--tls-terminators", "2"))),
    ),
    Row(
        "kill-admin",
        "`kill -9` of the admin process",
        "No client notices, and the admin address answers again.",
        under_crowd(processes.admin_is_killed, Scene(options=("--admin", "127.0.0.1:0"))),
    ),
    Row(
        "kill-helper",
        "`kill -9` of Python's resource tracker",
        "No client notices, and a worker that is killed afterwards comes back.",
        under_crowd(processes.each_helper_is_killed),
    ),
    Row(
        "deadly-signals",
        "workers get each deadly signal, from SIGKILL to SIGTRAP",
        _ONLY_ITS_CLIENTS,
        under_crowd(signals.worker_gets_each_deadly_signal),
    ),
    Row(
        "term-worker",
        "each worker gets SIGTERM, one by one",
        "As when one is killed, but its clients are told 1001, and it does not count as a crash.",
        under_crowd(signals.each_worker_is_told_to_go),
    ),
    # Processes that stand still.
    Row(
        "stop-worker",
        "a worker takes no broadcasts: SIGSTOP, then SIGCONT",
        "Nobody is closed and no frame is lost. Rooms that have members in it wait; others do not.",
        under_crowd(standing_still.worker_is_stopped),
    ),
    Row(
        "stop-supervisor",
        "the supervisor, in which the bus runs, gets SIGSTOP, then SIGCONT",
        "Health turns 503; nobody is closed, and no frame is lost.",
        under_crowd(standing_still.supervisor_is_stopped),
    ),
    Row(
        "stop-tls",
        "one of two TLS terminators gets SIGSTOP, then SIGCONT",
        "Nobody is closed and no frame is lost; newcomers come in through the other one.",
        under_crowd(standing_still.terminator_is_stopped, Scene(is_tls=True, options=("--tls-terminators", "2"))),
    ),
    Row(
        "stop-helper",
        "Python's resource tracker gets SIGSTOP, then SIGCONT",
        _NOTHING,
        under_crowd(standing_still.each_helper_is_stopped),
    ),
    Row(
        "stop-all", "all processes get SIGSTOP, then SIGCONT", _NOT_A_FRAME, under_crowd(standing_still.all_are_stopped)
    ),
    Row("slow-bus", "the bus gets a fifth of its time", _NOT_A_FRAME, under_crowd(standing_still.bus_is_slow)),
    # Shortages.
    Row(
        "descriptors",
        "a worker can open no descriptor, and newcomers come",
        "Clients that are connected notice nothing. Newcomers come in through others or get 503; all come in afterwards.",
        under_crowd(shortages.no_descriptors_are_left),
    ),
    Row(
        "memory",
        "workers hold more memory than `--max-memory`, and newcomers come",
        "Clients that are connected notice nothing. Newcomers get 503, and come in once there is memory again.",
        under_crowd(
            shortages.memory_is_above_its_mark, Scene(options=("--max-memory", str(shortages.MAX_MEMORY_BYTES)))
        ),
    ),
    Row(
        "memory-refused",
        "the kernel gives a worker no more memory, and a handler wants it",
        "The client whose handler raised is closed with 1011; the worker lives, and its other clients notice nothing.",
        under_crowd(shortages.no_memory_is_given),
    ),
    Row(
        "log-full",
        "the disk of the log is full (`/dev/full`)",
        "No client notices, and the server ends as it should.",
        under_crowd(shortages.log_cannot_be_written, Scene(log="full")),
    ),
    Row(
        "log-unread",
        "the log is a pipe that nobody reads",
        "No client notices, and the server ends as it should.",
        under_crowd(shortages.log_cannot_be_written, Scene(log="unread")),
    ),
    # Load.
    Row(
        "storm",
        f"{load.STORM_CLIENTS:,} clients are cut off and dial again at once, beside others that stay",
        "All of them come back, and nobody who stayed is lost.",
        alone(load.reconnect_storm),
    ),
    Row(
        "reload",
        "`reload`, time and again, while everybody talks",
        "Every session moves to the new workers: nobody is closed, no frame is lost, and the order stays.",
        under_crowd(load.reloads_under_load),
    ),
    # Folders and files.
    Row(
        "runtime-directory",
        "the runtime directory is removed",
        _MENDED,
        under_crowd(premises.runtime_directory_is_removed),
    ),
    Row(
        "runtime-parent",
        "the runtime directory and its parent are removed",
        _MENDED,
        under_crowd(premises.runtime_directory_of_all_is_removed),
    ),
    Row(
        "runtime-other",
        "another directory is where the runtime directory was",
        _MENDED,
        under_crowd(premises.another_directory_is_in_its_place),
    ),
    Row(
        "runtime-files",
        "all files of the runtime directory are removed, and somebody starts a second server on the port",
        _MENDED,
        under_crowd(premises.files_of_the_runtime_directory_are_removed),
    ),
    Row(
        "working-directory",
        "the working directory is removed and a worker killed; it is put back later",
        "The other workers serve on; the missing one starts once the directory is back.",
        under_crowd(premises.working_directory_is_removed),
    ),
    Row(
        "working-symlink",
        "the symlink that is the working directory is switched, the old release removed; `reload`",
        "The new workers run the new release, and no client notices.",
        under_crowd(premises.symlink_is_switched),
    ),
    # Signals.
    Row(
        "signals-supervisor",
        "the supervisor gets each harmless signal",
        _NOTHING,
        under_crowd(signals.supervisor_gets_each_harmless_signal),
    ),
    Row(
        "signals-worker",
        "a worker gets each harmless signal",
        _NOTHING,
        under_crowd(signals.worker_gets_each_harmless_signal),
    ),
    Row(
        "signals-helper",
        "Python's resource tracker gets each signal",
        _NOTHING,
        under_crowd(signals.helper_gets_each_signal),
    ),
    Row(
        "hangup",
        "the supervisor gets SIGHUP",
        "It reloads, and no client notices.",
        under_crowd(signals.supervisor_hangs_up),
    ),
    Row(
        "hangup-all",
        "all processes get SIGHUP, as from a terminal",
        "It reloads, and no client notices.",
        under_crowd(signals.group_hangs_up),
    ),
    _ending("term", signal.SIGTERM),
    _ending("int", signal.SIGINT),
    _ending("quit", signal.SIGQUIT),
    _group_ending("term", signal.SIGTERM),
    _group_ending("int", signal.SIGINT),
    _group_ending("quit", signal.SIGQUIT),
)
