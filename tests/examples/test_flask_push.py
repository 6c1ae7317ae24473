"""examples/flask_push.py, beside a server with two workers; also in a child that was forked after the client was made."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.examples.support import EXAMPLES
from tests.support.contract.server import contract_server

PROGRAM = """
import os, flask_push
web = flask_push.app.test_client()
def say(text):
    assert web.post("/rooms/tea", data={"text": text}).status_code == 204
say("from the parent")
child = os.fork()
say("from the child" if child == 0 else "from the parent again")
if child == 0:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print([member["id"] for member in web.get("/rooms/tea").json])
"""


async def test_views_push_to_rooms_before_and_after_a_fork() -> None:
    with contract_server(2) as server:
        async with await server.client("ann", "tea") as ann:
            finished = push(str(server.process.control))
            assert finished.returncode == 0, finished.stderr
            assert finished.stdout == "['ann']\n"
            texts = [(await ann.expect("said"))["text"] for _ in range(3)]
            assert texts[0] == "from the parent"
            assert sorted(texts[1:]) == ["from the child", "from the parent again"]


def test_view_says_503_while_the_server_is_away() -> None:
    program = "import flask_push; print(flask_push.app.test_client().get('/rooms/tea').status)"
    finished = push("ipc:///tmp/wspulse-nobody.sock", program)
    assert finished.stdout == "503 SERVICE UNAVAILABLE\n"


def push(endpoint: str, program: str = PROGRAM) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "WSPULSE_CONTROL": endpoint}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, cwd=EXAMPLES, env=env, capture_output=True, text=True, timeout=60, check=False)
