"""One part of a session by itself, and around it what only notes what is done to it."""
