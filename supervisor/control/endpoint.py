"""Where the control socket and the events are: from the setting to two addresses that nobody else uses.

Used by the control plane before it opens anything. It opens no ZeroMQ socket itself, and binds those that it is given.
`ipc://` sockets live in the runtime directory, or at a path in a folder of ours; a lock file beside such a path makes it
one server's, since ZeroMQ's bind silently takes over. `tcp://` is for loopback, or needs CURVE keys.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import stat
from dataclasses import dataclass
from pathlib import Path

import zmq

from wspulse.supervisor.errors import SettingError, StartError
from wspulse.supervisor.premises.listeners.listen_socket import AddressTakenError, open_listener
from wspulse.supervisor.premises.lock import LockContestedError, LockHeldError, is_at, take_lock
from wspulse.supervisor.premises.runtime_dir import MAX_SOCKET_PATH_BYTES, RuntimeDir
from wspulse.supervisor.protocol.address import absence
from wspulse.supervisor.protocol.endpoint import DEFAULT_SOCKET_NAME, split_tcp

__all__ = ["IPC", "ControlEndpoint", "bind_private", "check_reach", "claim_endpoint", "is_taken", "remove_stale"]

IPC = "ipc://"
EVENTS_SUFFIX = ".events"
LOCK_SUFFIX = ".lock"


@dataclass(slots=True)
class ControlEndpoint:
    """Two addresses to bind, and the lock that makes them ours, where they are no addresses of the runtime directory."""

    control: str
    events: str
    lock: int | None = None
    lock_path: Path | None = None

    @property
    def paths(self) -> tuple[str, ...]:
        """The files of the two sockets; none on tcp."""
        return tuple(endpoint.removeprefix(IPC) for endpoint in (self.control, self.events) if endpoint.startswith(IPC))

    def restore(self) -> None:
        """Lock the file beside the sockets again, where somebody has removed it. Raises StartError when it is another server's
        now, or cannot be had."""
        if self.lock is None or self.lock_path is None or is_at(self.lock, self.lock_path):
            return
        lock = _take(self.lock_path, self.control.removeprefix(IPC))
        os.close(self.lock)
        self.lock = lock

    def release(self) -> None:
        """Remove what is there: nobody else's, as long as the lock is held."""
        if self.lock is not None and self.lock_path is not None:
            try:
                if is_at(self.lock, self.lock_path):
                    for path in self.paths:
                        Path(path).unlink(missing_ok=True)
            finally:
                _release_lock(self.lock, self.lock_path)


def claim_endpoint(text: str | None, runtime_dir: RuntimeDir, *, has_keys: bool) -> ControlEndpoint:
    """The addresses for a setting (None: in the runtime directory). Raises StartError when they are not ours to use."""
    if text is None:
        path = runtime_dir.path / DEFAULT_SOCKET_NAME
        return ControlEndpoint(f"ipc://{path}", f"ipc://{runtime_dir.socket_path('events')}")
    check_reach(text, has_keys=has_keys)
    if text.startswith(IPC):
        return _claim_path(text.removeprefix(IPC))
    host_port = split_tcp(text)
    assert host_port is not None
    host = host_port[0]
    port = 0 if host_port[1] == "*" else int(host_port[1])
    if host == "localhost":
        host = "127.0.0.1"
    if port == 0:
        return ControlEndpoint(f"tcp://{host}:*", f"tcp://{host}:*")
    return ControlEndpoint(f"tcp://{host}:{port}", f"tcp://{host}:{port + 1}")


def check_reach(text: str | None, *, has_keys: bool) -> None:
    """Make sure that only our own user, or clients with a key, can reach the address of a setting. Raises SettingError."""
    if text is None:
        return
    if text.startswith(IPC):
        _check_folder(_folder_of(text.removeprefix(IPC)))
        return
    host_port = split_tcp(text)
    assert host_port is not None
    if not has_keys and not _is_loopback(host_port[0]):
        raise SettingError(
            "--control",
            f"{text} can be reached from other machines, which requires CURVE keys: give --control-server-key and "
            "--control-client-keys (wspulse keygen makes them)",
        )


def is_taken(text: str) -> bool:
    """Whether somebody is at the address of a setting at this moment."""
    host_port = split_tcp(text)
    if host_port is None:
        return not absence(text)
    if host_port[1] == "*":
        return False
    try:
        open_listener(host_port[0].strip("[]"), int(host_port[1])).close()
    except AddressTakenError:
        return True
    except StartError:
        pass  # whoever binds it says what is wrong
    return False


def bind_private(bound: zmq.Socket[bytes], endpoint: str) -> str:
    """Bind; an ipc socket is made for this user alone. Returns the address with its real port. Raises StartError."""
    mask = os.umask(0o177)
    try:
        bound.bind(endpoint)
    except zmq.ZMQError as error:
        raise StartError(
            f"the control socket {endpoint} cannot be bound: {os.strerror(error.errno or 0)}; choose another --control"
        ) from None
    finally:
        os.umask(mask)
    last = bound.getsockopt(zmq.LAST_ENDPOINT)
    assert isinstance(last, bytes)
    return last.rstrip(b"\0").decode()


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _claim_path(text: str) -> ControlEndpoint:
    given = Path(text)
    folder = _folder_of(text)
    path = folder / given.name
    length = len(os.fsencode(path)) + len(EVENTS_SUFFIX)
    if length > MAX_SOCKET_PATH_BYTES:
        raise SettingError(
            "--control", f"{path} makes socket paths {length} bytes long; the limit is {MAX_SOCKET_PATH_BYTES}"
        )
    lock_path = folder / f"{given.name}{LOCK_SUFFIX}"
    lock = _take(lock_path, path)
    try:
        for stale in (path, folder / f"{given.name}{EVENTS_SUFFIX}"):
            remove_stale(stale)
    except BaseException:
        _release_lock(lock, lock_path)
        raise
    return ControlEndpoint(f"ipc://{path}", f"ipc://{path}{EVENTS_SUFFIX}", lock, lock_path)


def _take(lock_path: Path, path: Path | str) -> int:
    try:
        return take_lock(lock_path)
    except LockHeldError:
        raise StartError(f"another wspulse server has its control socket at {path}; choose another --control") from None
    except LockContestedError:
        raise StartError(f"{lock_path} could not be locked: other servers keep starting and stopping there") from None


def _release_lock(lock: int, path: Path) -> None:
    """The file goes while the lock is held: who has opened it by then sees that it is no longer there. Another's stays."""
    with contextlib.suppress(OSError):
        if is_at(lock, path):
            path.unlink()
    os.close(lock)


def _folder_of(path: str) -> Path:
    return Path(os.path.realpath(Path(path).parent))


def _check_folder(folder: Path) -> None:
    try:
        status = folder.stat()
    except OSError as error:
        raise SettingError("--control", f"its folder {folder}: {error.strerror}") from None
    if not stat.S_ISDIR(status.st_mode):
        raise SettingError("--control", f"{folder} is not a folder")
    if status.st_uid != os.geteuid():
        raise SettingError(
            "--control", f"its folder {folder} belongs to user {status.st_uid}, not to user {os.geteuid()}"
        )
    if status.st_mode & 0o022:
        raise SettingError(
            "--control",
            f"other users can write to its folder {folder}; make a folder of your own: mkdir -m 700 ~/wspulse",
        )


def remove_stale(path: Path) -> None:
    """A socket at which nobody listens, as that of a crashed server, goes; anything else stays and is in the way, which is a
    StartError."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise StartError(f"{path} cannot be examined: {error.strerror}; choose another --control") from None
    if not stat.S_ISSOCK(mode):
        raise StartError(f"{path} exists and is not a socket; remove it or choose another --control")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        # Whoever accepts nobody for now would have us wait.
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            _remove(path)
            return
        except FileNotFoundError:
            return
        except BlockingIOError:
            pass
        except OSError as error:
            raise StartError(
                f"{path} is another program's socket: {error.strerror}; choose another --control"
            ) from None
    raise StartError(f"another program listens at {path}; choose another --control")


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StartError(f"{path} cannot be removed: {error.strerror}; choose another --control") from None
