"""A table of states: which events each state can have, what state follows, and what is then done, in order.

Sessions and transports have one each. What is not in the table cannot happen: an attempt raises and changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TypeVar

__all__ = ["IllegalTransitionError", "Named", "Transitions", "row_of"]


class Named(Enum):
    """A state, an event or an effect. Its hash is the object's: Enum's own is a Python function, 0.1 µs in each look-up."""

    __hash__ = object.__hash__


State = TypeVar("State", bound=Named)
Event = TypeVar("Event", bound=Named)
Effect = TypeVar("Effect", bound=Named)

Transitions = Mapping[tuple[State, Event], tuple[State, tuple[Effect, ...]]]
"""(state, event) → (next state, effects). The values of all three are what documents and errors say of them."""


class IllegalTransitionError(Exception):
    """The table has no such row: a fault in the caller. Nothing was changed."""

    def __init__(self, owner: str, state: Named, event: Named) -> None:
        super().__init__(f"a {owner} that is {state.value} cannot have: {event.value}")
        self.owner = owner
        self.state = state
        self.event = event


def row_of(
    table: Transitions[State, Event, Effect], owner: str, state: State, event: Event
) -> tuple[State, tuple[Effect, ...]]:
    """The next state and what to do. `owner` is what has the state, in a word. Raises IllegalTransitionError."""
    row = table.get((state, event))
    if row is None:
        raise IllegalTransitionError(owner, state, event)
    return row
