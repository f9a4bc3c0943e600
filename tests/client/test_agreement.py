"""The clients of browsers and of Python make the same of the same server, whatever it says."""

import json
import random
import shutil
from collections import deque
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs, urlsplit

import anyio
import pytest
from anyio.abc import ByteStream
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from consumers.client import Client, ClientError, Closed

from ..support.clock import ManualClock
from ..support.pages import ROOT
from ..support.slow import left_to_ci

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["trio"])]

STEP = 0.25
"""Seconds: a whole number of them is in each time that a client waits for."""

TYPES = ["said", "said", "said", "joined", "joined", "gap", "error", "ack", "pong", "expires", 5, None]
LABELS = ["room", "room", "hall", 5, None]
POSITIONS = ["e.1", "e.2", "e.3", "f.1", None, 5]
CUT = 1006
CODES = [1000, 1001, 1006, 1008, 1009, 1011, 1012, 1013, 3000, 4000, 4008, 4011, 4012, 4401, 4401, 4999]
REASONS = ["", "", "retry=1-3", "retry=3-1", "retry=x", "retry=2-2 please"]
NO_MESSAGES = ["no JSON", "[1]", "5", "null", '"at"', "{}"]


class Even(random.Random):
    """Gives the middle of all."""

    def random(self) -> float:
        return 0.5


class Line(ByteStream):
    """A connection to a server that takes every handshake, and says what a script says."""

    def __init__(self, subprotocol: str) -> None:
        self._protocol = ServerProtocol(subprotocols=[Subprotocol(subprotocol)])
        self._chunks: deque[bytes] = deque()
        self._changed = anyio.Event()
        self.asked: list[str] = []

    def tell(self, text: str) -> None:
        self._protocol.send_text(text.encode())
        self._flush()

    def leave(self, code: int, reason: str) -> None:
        if code == CUT:
            self._chunks.append(b"")
        else:
            self._protocol.send_close(code, reason)
        self._flush()

    def _flush(self) -> None:
        self._chunks += filter(None, self._protocol.data_to_send())
        self._changed.set()

    async def send(self, item: bytes) -> None:
        self._protocol.receive_data(item)
        for event in self._protocol.events_received():
            if isinstance(event, Request):
                self.asked = parse_qs(urlsplit(event.path).query).get("since", [])
                self._protocol.send_response(self._protocol.accept(event))
        self._flush()

    async def receive(self, max_bytes: int = 65536) -> bytes:
        while not self._chunks:
            self._changed = anyio.Event()
            await self._changed.wait()
        chunk = self._chunks.popleft()
        if not chunk:
            raise anyio.EndOfStream
        return chunk

    async def send_eof(self) -> None: ...

    async def aclose(self) -> None: ...


def script(chance: random.Random) -> dict[str, Any]:
    """Return what a server does with a client."""

    def message() -> str:
        if chance.random() < 0.1:
            return chance.choice(NO_MESSAGES)
        found: dict[str, Any] = {"type": chance.choice(TYPES)}
        if found["type"] in ("joined", "gap"):
            found["label"] = chance.choice(LABELS)
        if found["type"] == "joined":
            found |= {"position": chance.choice(POSITIONS), "missed": chance.choice([0, 0, 1, 2])}
            found["recovered"] = chance.choice([True, True, False, None])
            for key in ("position", "missed", "recovered"):
                if chance.random() < 0.05:
                    del found[key]
        if found["type"] == "expires":
            found["in"] = 5
        if chance.random() < 0.5:
            found["at"] = chance.choice([[chance.choice(LABELS), chance.choice(POSITIONS)], "room", ["room"], 5])
        if chance.random() < 0.2:
            found["to"] = chance.choice(["1", 1, "bob", None])
        return json.dumps(found)

    def step() -> list[Any]:
        kind = chance.random()
        if kind < 0.7:
            return ["tell", message()]
        if kind < 0.85:
            code = chance.choice(CODES)
            return ["leave", code, "" if code == CUT else chance.choice(REASONS)]
        return ["pass", chance.choice([0.5, 1, 3, 6, 24, 36])]

    return {
        "subprotocol": chance.choice(["consumers.v1"] * 4 + ["consumers.any"]),
        "since": chance.choice([{}, {"room": "e.1"}, {"room": "e.1", "hall": "f.1"}]),
        "steps": [step() for _ in range(30)],
    }


async def play(script: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what Python's client makes of a script, after each of its steps."""
    clock, lines, records = ManualClock(), list[Line](), list[dict[str, Any]]()
    heard: list[Any] = []
    answer: Any = None

    async def connect(host: str, port: int) -> ByteStream:
        lines.append(Line(script["subprotocol"]))
        return lines[-1]

    async def read() -> None:
        with suppress(Closed):
            async for message in client:
                heard.append(["message", message])

    async def ask() -> None:
        nonlocal answer
        try:
            found = await client.request({"type": "ask"}, timeout=None)
            answer = "ack" if found is None else found
        except ClientError as error:
            answer = error.code

    client = Client(
        "ws://server/",
        since=script["since"],
        clock=clock,
        chance=Even(),
        connect=connect,
        on_gap=lambda label: heard.append(["gap", label]),
    )
    async with client, anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        tasks.start_soon(ask)
        for kind, *what in script["steps"]:
            await anyio.wait_all_tasks_blocked()
            if kind == "pass":
                for _ in range(int(what[0] / STEP)):
                    clock.advance(STEP)
                    await anyio.wait_all_tasks_blocked()
            elif client.state not in ("open", "recovering"):
                continue
            elif kind == "tell":
                lines[-1].tell(what[0])
            else:
                lines[-1].leave(*what)
            await anyio.wait_all_tasks_blocked()
            asked = [line.asked for line in lines]
            records.append({"state": client.state, "positions": client.positions, "asked": asked})
            records[-1] |= {"heard": heard[:], "answer": answer}
            heard.clear()
        tasks.cancel_scope.cancel()
    return records


@pytest.mark.parametrize("seed", [1, *left_to_ci(2, 3, 4)])
async def test_both_clients_make_the_same_of_the_same_server(seed: int) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node")
    chance = random.Random(seed)
    scripts = [script(chance) for _ in range(50)]
    words = [node, str(ROOT / "tests/browser/agreement.mjs"), str(ROOT / "consumers/client/consumers.js")]
    done = await anyio.run_process(words, input=json.dumps(scripts).encode())
    for each, of_browser in zip(scripts, json.loads(done.stdout), strict=True):
        of_python = await play(each)
        for number, (one, other) in enumerate(zip(of_browser, of_python, strict=True)):
            assert one == other, (each["subprotocol"], each["since"], each["steps"][: number + 1])
