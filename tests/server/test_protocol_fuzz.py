"""The WebSocket protocol of `consumers.server`, with whatever may happen in whatever order.

A seeded machine has handlers send, groups get shared, raw and handled messages, clients ping, stop to read, close and
vanish. One group has a history, and its clients are told where they are. A strict parser reads what clients get: whole
frames, each sender's in order, those of the history without a hole, and nothing after the close frame.
"""

import asyncio
import json
import random
from contextlib import AsyncExitStack
from typing import Any

import pytest
from websockets.frames import Opcode

from consumers import AsyncWebsocketConsumer, InMemoryChannelLayer, channel_layers, relay, relay_json
from consumers.server import WebSocketProtocol
from consumers.types import Message

from ..support.serving import serving
from ..support.slow import left_to_ci
from ..support.strict import StrictClient, opening

pytestmark = pytest.mark.anyio

CLIENTS = 4
STEPS = 120
SENDERS = 3
KEPT = "kept"
"""The group that has a history."""


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """Run on both event loops that uvicorn has."""
    return "asyncio", {"use_uvloop": request.param == "uvloop"}


@pytest.fixture
def layer(monkeypatch: pytest.MonkeyPatch) -> InMemoryChannelLayer:
    layer = InMemoryChannelLayer(history={KEPT: {"size": 10_000, "ttl": 60}})
    monkeypatch.setitem(channel_layers.backends, "default", layer)
    return layer


class Member(AsyncWebsocketConsumer):
    groups = ["room", KEPT]
    raw_frames = True
    shared_text = relay("text")
    shared_json = relay_json("content")
    own = 0

    async def receive(self, text_data: str) -> None:
        match text_data.split():
            case ["own", number, size]:
                for _ in range(int(number)):
                    await self.send(f"own:{self.own}:{'o' * int(size)}")
                    self.own += 1
            case ["wait"]:
                await asyncio.sleep(0.002)
            case ["close", code]:
                await self.close(int(code), "as asked")
            case ["fail"]:
                raise RuntimeError("as asked")

    async def handled(self, event: Message) -> None:
        await self.send(event["text"])

    async def background(self, event: Message) -> None:
        self.start_background_task(self.send, event["text"])

    async def leave(self, event: Message) -> None:
        await self.close(4009)


class Reader:
    """Reads one client's frames, but for its pauses, and checks them."""

    def __init__(self, client: StrictClient) -> None:
        self.client = client
        self.reads = asyncio.Event()
        self.reads.set()
        self.pings: list[bytes] = []
        self.next_of: dict[str, int] = {}
        self.next_kept = 1
        self.is_gone = False

    async def run(self) -> None:
        try:
            while True:
                await self.reads.wait()
                frame = await self.client.read()
                if frame is None:
                    return
                if frame.opcode is Opcode.CLOSE:
                    self.client.send(bytes(frame.data), Opcode.CLOSE)
                elif frame.opcode is Opcode.PING:
                    self.client.send(bytes(frame.data), Opcode.PONG)
                elif frame.opcode is Opcode.TEXT:
                    self.check(bytes(frame.data).decode())
        except ConnectionError:  # it has vanished, or has sent something after the server's end: that is a reset
            self.is_gone = True

    def check(self, text: str) -> None:
        if text.startswith("{"):
            kept = json.loads(text)
            assert int(kept["position"].rpartition(".")[2]) == self.next_kept
            self.next_kept += 1
            text = kept["text"]
        sender, number, filling = text.strip('"').split(":")
        assert int(number) >= self.next_of.get(sender, 0), f"{text[:20]} after {self.next_of}"
        if sender == "own":
            assert int(number) == self.next_of.get(sender, 0), "a handler's frame is missing"
        assert len(set(filling)) <= 1
        self.next_of[sender] = int(number) + 1


class Machine:
    """Takes random steps.

    Args:
        random: where they come from.
        layer: the layer.
        readers: the clients.
    """

    def __init__(self, random: random.Random, layer: InMemoryChannelLayer, readers: list[Reader]) -> None:
        self.random, self.layer, self.readers = random, layer, readers
        self.sent = dict.fromkeys([str(number) for number in range(SENDERS)] + [KEPT], 0)

    async def run(self) -> None:
        weights = {
            self.send: 40,
            self.burst: 12,
            self.keep: 20,
            self.own: 12,
            self.ping: 8,
            self.pause: 4,
            self.resume: 6,
            self.yields: 30,
            self.wait: 3,
            self.close: 1,
            self.client_closes: 1,
            self.fail: 0.5,
            self.vanish: 0.5,
            self.leave: 0.15,
        }
        steps = self.random.choices([*weights], [*weights.values()], k=STEPS)
        for step in steps:
            result: Any = step()
            if result is not None:
                await result

    def client(self) -> Reader:
        return self.random.choice(self.readers)

    def message(self) -> Message:
        kind = self.random.choice(["shared.text", "shared.text", "shared.json", "websocket.send", "handled"])
        text = self.text(str(self.random.randrange(SENDERS)))
        return {"type": kind, "content" if kind == "shared.json" else "text": text}

    def text(self, sender: str) -> str:
        size = self.random.choice([0, 3, 120, 126, 3000, 70_000 if self.random.random() < 0.3 else 5])
        text = f"{sender}:{self.sent[sender]}:{'m' * size}"
        self.sent[sender] += 1
        return text

    def send(self) -> None:
        self.layer._local.group_send("room", self.message())

    async def burst(self) -> None:
        for _ in range(self.random.randrange(2, 20)):
            await self.layer.group_send("room", self.message())

    async def keep(self) -> None:
        for _ in range(self.random.randrange(1, 5)):
            text = json.dumps({"text": self.text(KEPT)})
            await self.layer.group_send(KEPT, {"type": "websocket.send", "text": text, "takes_position": True})

    def own(self) -> None:
        self.tell(f"own {self.random.randrange(1, 6)} {self.random.choice([1, 200, 5000])}")

    def wait(self) -> None:
        self.tell("wait")

    def fail(self) -> None:
        self.tell("fail")

    def close(self) -> None:
        self.tell(f"close {self.random.choice([1000, 4001])}")

    def leave(self) -> None:
        self.layer._local.group_send("room", {"type": "leave"})

    def tell(self, text: str) -> None:
        self.client().client.send(text)

    def ping(self) -> None:
        reader, payload = self.client(), self.random.randbytes(3)
        reader.pings.append(payload)
        reader.client.ping(payload)

    def pause(self) -> None:
        self.client().reads.clear()

    def resume(self) -> None:
        self.client().reads.set()

    async def yields(self) -> None:
        for _ in range(self.random.randrange(1, 4)):
            await asyncio.sleep(0)

    def client_closes(self) -> None:
        self.client().client.close(4002)

    def vanish(self) -> None:
        reader = self.client()
        reader.is_gone = True
        reader.client.abort()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", [0, *left_to_ci(*range(1, 60))])
@pytest.mark.parametrize("compressed", [False, True])
async def test_whatever_happens_clients_get_whole_frames_in_order(
    layer: InMemoryChannelLayer, seed: int, compressed: bool
) -> None:
    settings = {"ws_ping_interval": 0.02, "ws_ping_timeout": 5, "ws_per_message_deflate": compressed}
    async with (
        AsyncExitStack() as stack,
        serving(Member.as_asgi(), WebSocketProtocol, **settings) as server,
    ):
        clients = [await stack.enter_async_context(opening(server.port, compressed=compressed)) for _ in range(CLIENTS)]
        readers = [Reader(client) for client in clients]
        running = [asyncio.create_task(reader.run()) for reader in readers]
        machine = Machine(random.Random(seed), layer, readers)
        await machine.run()
        for reader in readers:
            reader.reads.set()
        await layer.group_send("room", {"type": "leave"})
        await asyncio.wait_for(asyncio.gather(*running), 20)
        for reader in readers:
            if not reader.is_gone:
                assert reader.client.close_code in (1000, 4001, 4002, 4009, 1011), reader.client.frames[-3:]
            assert reader.client.pongs == reader.pings[: len(reader.client.pongs)]
    assert not layer.groups
