"""wspulse.testing: servers that run inside a test, and clients to talk to them.

    from wspulse.testing import serve

    async def test_everybody_hears_it() -> None:
        async with serve(server) as running:  # or serve("chat:server", workers=2), in processes of its own
            ann, bob = await running.connect("ann", "tea"), await running.connect("bob", "tea")
            await ann.send("said", "hello")
            assert (await bob.expect("said")).payload == "hello"

A test that is not async writes `with serve(server) as running:` and leaves out each await. Every wait has a deadline, 5 s unless
`timeout` says otherwise; a frame that does not come fails the test with an AssertionError that shows what came instead.

For pytest, the package brings the fixtures `wspulse_serve` and `wspulse_server`; nothing in this module needs pytest.
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
