"""Of handlers that are cancelled, late, or wait for nobody."""

from __future__ import annotations

from typing import Any

from tests.support.simulation.faults.replacements import Faults, never
from wspulse.actors.sessions import session as sessions
from wspulse.actors.sessions.patience import cancellations as patience
from wspulse.actors.sessions.patience.cancellations import Cancellations
from wspulse.actors.sessions.patience.handler_timeouts import HandlerTimeouts
from wspulse.actors.sessions.session import Session
from wspulse.actors.sessions.state import SessionEvent
from wspulse.actors.values.timing.running_handler import RunningHandler

__all__ = ["FAULTS"]


def _cancel_another(cancellations: Cancellations, inbox: Any, mark: RunningHandler) -> None:
    """`Cancellations._cancel` that hits another session's handler, where there is one."""
    others = [other for other in cancellations._working if other is not inbox]
    if others and inbox.handling is mark:
        cancellations._working[others[0]].cancel()
    else:
        _cancel(cancellations, inbox, mark)


def _cancel_whatever_runs(cancellations: Cancellations, inbox: Any, mark: RunningHandler) -> None:
    """`Cancellations._cancel` that does not look whether it is still the same handler."""
    if inbox.handling is not mark and inbox in cancellations._working:
        cancellations._working[inbox].cancel()
    else:
        _cancel(cancellations, inbox, mark)


def _cancel_callbacks_too(mark: RunningHandler) -> str:
    return "on_message"


def _cancel_own(session: Session, _event: SessionEvent) -> None:
    """`Session._cancel_handler` that does not look who ends the session."""
    if session.shard.options.cancel_on_disconnect:
        session.shard.cancellations.cancel(session.inbox)


def _as_it_raised(_cancellations: Cancellations, mark: RunningHandler, raised: BaseException | None) -> Any:
    """`Cancellations.outcome` that counts what the handler makes of its cancellation."""
    mark.inbox = None
    return raised


def _in_half_the_time(
    timeouts: HandlerTimeouts, loop: Any, context: Any, working: Any, timeout_s: float, cancel: Any
) -> None:
    _init_timeouts(timeouts, loop, context, working, timeout_s / 2, cancel)


def _go_on_beside(cancellations: Cancellations, mark: RunningHandler) -> None:
    """`Cancellations._insist` that lets the session of a handler that refuses go on beside it."""
    inbox = mark.inbox
    if inbox is not None and inbox.handling is mark:
        inbox.handling = None
        del cancellations._working[inbox]
        inbox._pump()


_cancel = Cancellations._cancel
_init_timeouts = HandlerTimeouts.__init__

FAULTS: Faults = {
    "cancellation hits another session's handler": ((Cancellations, "_cancel", _cancel_another),),
    "cancellation hits the next handler": ((Cancellations, "_cancel", _cancel_whatever_runs),),
    "callback that is no message's is cancelled": ((RunningHandler, "callback", property(_cancel_callbacks_too)),),
    "handler that ends its own session is cancelled": ((Session, "_cancel_handler", _cancel_own),),
    "handler of a client that is only cut off is cancelled": ((sessions, "PeerClosedError", BaseException),),
    "handler of those who have left goes on": ((Session, "_cancel_handler", never),),
    "handler that is late goes on": ((HandlerTimeouts, "_look", never),),
    "handler that is late is cancelled too early": ((HandlerTimeouts, "__init__", _in_half_the_time),),
    "handler that is late has not raised": ((Cancellations, "outcome", _as_it_raised),),
    "handler that refuses its cancellation is not cancelled again": ((Cancellations, "_insist", never),),
    "handler that refuses its cancellation is cancelled again at once": ((patience, "INSIST_S", 1.0),),
    "handler that refuses its cancellation has others beside it": ((Cancellations, "_insist", _go_on_beside),),
}
