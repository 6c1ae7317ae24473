"""wspulse.testing: a server that runs in the test, and clients to talk to it. doc/howto/testing.md shows how.

pytest gets the fixtures `wspulse_serve` and `wspulse_server` from a plugin of this package; nothing here needs pytest.
"""

from wspulse.actors.testing.address import UpgradeRefusedError
from wspulse.actors.testing.blocking import BlockingClient, BlockingServer
from wspulse.actors.testing.client import Client, Closed
from wspulse.actors.testing.running import RunningServer
from wspulse.actors.testing.serving import serve

__all__ = [
    "BlockingClient",
    "BlockingServer",
    "Client",
    "Closed",
    "RunningServer",
    "UpgradeRefusedError",
    "serve",
]
