"""Everything inside one worker: what serves its clients, and what joins it to the other workers.

Each folder may be imported by what stands to its right, and nothing is imported the other way:

    values → wire → mesh → bus → transport → sessions → accept → events → runtime → calls → asgi → declaration → server →
    apps → testing → client

Begin with `server.py`, which is what users hold, then `sessions/`, which is what the server exists for. `public/` is what users
import, `pytest_plugin/` their fixtures; both may use the other half of the package, `supervisor/`, too. `client/` runs in
programs that are not servers: it imports `values` alone, and nothing imports it.
"""
