"""The WebSocket protocol of `consumers.server` on a real uvicorn: what its clients get, byte by byte."""

import asyncio
import gc
import inspect
import ssl
import weakref
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
import uvicorn
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.protocol import State

from consumers import AsyncWebsocketConsumer, InMemoryChannelLayer, relay
from consumers.server import WebSocketProtocol
from consumers.server.joined import AT_ONCE, JoinedTransport
from consumers.types import Message, Receive, Scope, Send

from ..support import tls
from ..support.serving import Server, serving
from ..support.slow import left_to_ci
from ..support.strict import PATIENCE, StrictClient, dialing, opening

pytestmark = pytest.mark.anyio

OURS = WebSocketProtocol
WIDE = "x" * 50_000


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """Run every test on both event loops that uvicorn has."""
    return "asyncio", {"use_uvloop": request.param == "uvloop"}


class Member(AsyncWebsocketConsumer):
    groups = ["room"]
    raw_frames = True
    chat_message = relay("text")

    async def receive(self, text_data: str) -> None:
        match text_data.split():
            case ["close", code]:
                await self.close(int(code))
            case ["fail"]:
                raise RuntimeError("as asked")
            case ["send", number, size]:
                for each in range(int(number)):
                    await self.send(f"own:{each}:" + "x" * int(size))
            case _:
                await self.send(text_data)

    async def note(self, event: Message) -> None:
        await self.send(event["text"])


def shared(text: str) -> Message:
    return {"type": "chat.message", "text": text}


def handled(text: str) -> Message:
    return {"type": "note", "text": text}


def raw(text: str) -> Message:
    return {"type": "websocket.send", "text": text}


KINDS = (shared, handled, raw)


class Counting:
    """A transport that counts what is written to it."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Watched(WebSocketProtocol):
    """Tells a test of its connections."""

    all: list["Watched"]
    counting: Counting

    def connection_made(self, transport: Any) -> None:
        self.all.append(self)
        self.counting = Counting(transport)
        super().connection_made(self.counting)  # type: ignore[arg-type]


@pytest.fixture
def watched() -> type[Watched]:
    Watched.all = []
    return Watched


def waiting(protocol: Any) -> list[bytes]:
    """Return what waits to be written to a connection."""
    batch = protocol.transport._batch
    return [*protocol.transport._pending, *([] if batch is None else batch._frames)]


@asynccontextmanager
async def members(
    server: Server, count: int, *, compressed: bool = False, context: ssl.SSLContext | None = None
) -> AsyncIterator[list[StrictClient]]:
    """Connect clients to `Member`, each of which has got an echo."""
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(opening(server.port, compressed=compressed, tls=context))
            for _ in range(count)
        ]
        for client in clients:
            client.send("hello")
            assert await client.next() == "hello"
        await asyncio.sleep(0.01)  # until the workers wait
        yield clients


# uvicorn underneath


async def test_uvicorn_has_what_this_relies_on() -> None:
    """With the next test, this tells when uvicorn changes underneath."""
    config = uvicorn.Config(Member.as_asgi(), ws=OURS, log_config=None)
    config.load()
    protocol = WebSocketsSansIOProtocol(config, ServerState(), {})
    assert protocol.loop is asyncio.get_running_loop()
    assert isinstance(protocol.writable, asyncio.Event) and protocol.writable.is_set()
    assert protocol.conn.state is State.CONNECTING
    assert inspect.iscoroutinefunction(protocol.run_asgi)
    assert protocol.transport is None
    assert list(inspect.signature(WebSocketsSansIOProtocol.run_asgi).parameters) == ["self"]
    for name in ("shutdown", "pause_writing", "resume_writing"):  # the latter of asyncio.Protocol, before uvicorn 0.53
        assert list(inspect.signature(getattr(WebSocketsSansIOProtocol, name)).parameters) == ["self"]


async def test_all_that_is_written_in_one_step_leaves_at_once_in_order(
    layer: InMemoryChannelLayer, watched: type[Watched]
) -> None:
    async with serving(Member.as_asgi(), watched) as server, members(server, 2) as clients:
        for protocol in watched.all:
            assert isinstance(protocol.transport, JoinedTransport), "uvicorn has put another one there"
            protocol.counting.writes.clear()
        for number in range(8):
            layer._local.group_send("room", shared(f"1:{number}"))
        clients[0].send("send 3 1")
        for client in clients:
            assert [await client.next() for _ in range(8)] == [f"1:{number}" for number in range(8)]
        assert [await clients[0].next() for _ in range(3)] == ["own:0:x", "own:1:x", "own:2:x"]
        one, two = (len(protocol.counting.writes) for protocol in watched.all)
        assert one in (1, 2) and two == 1


async def test_a_shared_frame_needs_no_step_of_a_task(layer: InMemoryChannelLayer, watched: type[Watched]) -> None:
    async with serving(Member.as_asgi(), watched) as server, members(server, 3) as clients:
        for protocol in watched.all:
            protocol.counting.writes.clear()
        layer._local.group_send("room", shared("hello"))
        assert [waiting(protocol) for protocol in watched.all] == [[b"\x81\x05hello"]] * 3
        for client in clients:
            assert await client.next() == "hello"
        [one], [two], [three] = (protocol.counting.writes for protocol in watched.all)
        assert one is two is three


async def test_what_uvicorn_has_closed_takes_no_frame(layer: InMemoryChannelLayer, watched: type[Watched]) -> None:
    async with serving(Member.as_asgi(), watched) as server, members(server, 1):
        [protocol] = watched.all
        assert protocol.transport.takes_frames
        protocol.shutdown()
        assert not protocol.transport.takes_frames


async def test_the_servers_end_is_not_held_up_by_what_is_being_closed(
    layer: InMemoryChannelLayer, watched: type[Watched]
) -> None:
    async with serving(Member.as_asgi(), watched) as server, members(server, 2) as clients:
        protocol = watched.all[0]
        protocol.conn.send_close(4001)
        protocol.transport.write(b"".join(protocol.conn.data_to_send()))
        for each in watched.all:
            each.shutdown()
        for client in clients:
            await client.rest()
        assert [client.close_code for client in clients] == [4001, 1012]


# Order


@pytest.mark.parametrize(
    ("compressed", "is_tls"), [(False, False), (True, False), (False, True), *left_to_ci((True, True))]
)
async def test_every_client_gets_what_each_sender_sends_in_order(
    layer: InMemoryChannelLayer, compressed: bool, is_tls: bool
) -> None:
    settings: dict[str, Any] = tls.server_options() if is_tls else {}
    context = tls.client_context() if is_tls else None
    messages, senders = 150, 4

    async def send(sender: int) -> None:
        for number in range(messages):
            text = f"{sender}:{number}:{'y' * (number % 7 * 40)}"
            await layer.group_send("room", KINDS[(number * (sender + 3) // 2) % 3](text))

    async def expect(client: StrictClient) -> None:
        seen: dict[str, int] = {}
        for _ in range(messages * (senders + 1)):
            sender, number, *_ = str(await client.next()).split(":")
            assert int(number) == seen.get(sender, 0)
            seen[sender] = int(number) + 1

    async with (
        serving(Member.as_asgi(), OURS, ws_per_message_deflate=compressed, **settings) as server,
        members(server, 4, compressed=compressed, context=context) as clients,
    ):
        for client in clients:
            client.send(f"send {messages} 30")
        await asyncio.gather(*map(expect, clients), *map(send, range(senders)))
    assert layer.dropped == 0


async def test_bytes_and_text_of_every_length_arrive_as_they_are(layer: InMemoryChannelLayer) -> None:
    async with serving(Member.as_asgi(), OURS) as server, members(server, 1) as (client,):
        for size in (0, 1, 125, 126, 65_535, 65_536, 200_000):
            for content in ("é" * size, b"\xff" * size):
                await layer.group_send("room", {"type": "chat.message", "text": content})
                assert await client.next() == content


# Clients that do not read


async def fill(layer: InMemoryChannelLayer, protocol: Any, first: int = 0) -> int:
    """Send shared frames until a client's transport is paused; return how many were sent."""
    async with asyncio.timeout(PATIENCE):
        while protocol.transport.takes_frames:
            layer._local.group_send("room", shared(f"1:{first}:{WIDE}"))
            first += 1
            await asyncio.sleep(0)
    return first


async def test_a_client_that_does_not_read_gets_frames_through_its_mailbox(
    layer: InMemoryChannelLayer, watched: type[Watched]
) -> None:
    async with serving(Member.as_asgi(), watched) as server, members(server, 1) as (client,):
        [protocol] = watched.all
        sent = await fill(layer, protocol)
        layer._local.group_send("room", shared(f"1:{sent}:{WIDE}"))
        assert waiting(protocol) == []
        sent += 1
        for number in range(sent, sent + 20):
            layer._local.group_send("room", KINDS[number % 3](f"1:{number}:{WIDE}"))
        await asyncio.sleep(0.05)
        size = protocol.counting.get_write_buffer_size()
        for number in range(sent + 20, sent + 40):
            layer._local.group_send("room", KINDS[number % 3](f"1:{number}:{WIDE}"))
        await asyncio.sleep(0.05)
        assert protocol.counting.get_write_buffer_size() == size  # it holds no more
        numbers = [int(str(await client.next()).split(":")[1]) for _ in range(sent + 40)]
        assert numbers == list(range(sent + 40))
        await asyncio.sleep(0.05)
        assert protocol.transport.takes_frames
        layer._local.group_send("room", shared("1:last"))
        assert waiting(protocol) != []  # the short way again
        assert await client.next() == "1:last"


async def test_its_mailbox_has_the_layers_capacity(layer: InMemoryChannelLayer, watched: type[Watched]) -> None:
    async with serving(Member.as_asgi(), watched) as server, members(server, 1) as (client,):
        sent = await fill(layer, watched.all[0])
        for number in range(sent, sent + 300):
            layer._local.group_send("room", shared(f"1:{number}:{WIDE}"))
        assert layer.dropped >= 190
        client.send("after")
        numbers = []
        while (content := str(await client.next())) != "after":
            numbers.append(int(content.split(":")[1]))
        assert numbers == list(range(sent + 300 - layer.dropped))


@pytest.mark.slow
async def test_a_slow_client_delays_no_other(layer: InMemoryChannelLayer, watched: type[Watched]) -> None:
    async with serving(Member.as_asgi(), watched) as server, members(server, 2) as (_, quick):
        for number in range(200):
            layer._local.group_send("room", shared(f"1:{number}:{WIDE}"))
            assert str(await quick.next()).startswith(f"1:{number}:")
        assert [protocol.transport.takes_frames for protocol in watched.all] == [False, True]


@pytest.mark.parametrize("limit", [{"overflow": "close"}, {"send_timeout": 0.3}])
async def test_a_limit_ends_it(layer: InMemoryChannelLayer, watched: type[Watched], limit: dict[str, Any]) -> None:
    limited: Any = type("Limited", (Member,), {"__module__": __name__, "cleanup_timeout": 8.0, **limit})
    async with serving(limited.as_asgi(), watched) as server, members(server, 1) as (client,):
        sent = await fill(layer, watched.all[0])
        for number in range(sent, sent + 150):
            layer._local.group_send("room", shared(f"1:{number}:{WIDE}"))
        await asyncio.sleep(0.5)
        numbers = [int(str(content).split(":")[1]) for content in await client.rest()]
        assert numbers == list(range(len(numbers))) and len(numbers) >= sent
        assert client.close_code == 1013


async def test_a_client_that_vanishes_while_it_does_not_read_ends_at_once(
    layer: InMemoryChannelLayer, watched: type[Watched]
) -> None:
    ended = asyncio.Event()

    class Ending(Member):
        async def disconnect(self, code: int) -> None:
            ended.set()

    async with serving(Ending.as_asgi(), watched) as server, members(server, 1) as (client,):
        sent = await fill(layer, watched.all[0])
        for number in range(sent, sent + 20):
            layer._local.group_send("room", shared(f"1:{number}:{WIDE}"))
        client.abort()
        await asyncio.wait_for(ended.wait(), PATIENCE / 2)


@pytest.mark.parametrize("size", [1, AT_ONCE])
@pytest.mark.filterwarnings("ignore")
async def test_a_client_that_cannot_be_written_to_is_reset_and_the_others_get_everything(
    layer: InMemoryChannelLayer, watched: type[Watched], size: int
) -> None:
    def fail(data: bytes) -> None:
        raise MemoryError

    async with serving(Member.as_asgi(), watched) as server, members(server, 3) as clients:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        watched.all[1].counting.write = fail  # type: ignore[method-assign]
        for number in range(3):
            await layer.group_send("room", shared(f"{number}:{'x' * size}"))
        for client in (clients[0], clients[2]):
            assert [str(await client.next())[0] for _ in range(3)] == list("012")
        with pytest.raises((ConnectionError, AssertionError)):
            await clients[1].next()
        assert clients[1].frames[1:] == []


# Endings


@pytest.mark.parametrize("how", ["close 4001", "fail"])
async def test_nothing_follows_the_close_frame(layer: InMemoryChannelLayer, how: str) -> None:
    async with serving(Member.as_asgi(), OURS) as server, members(server, 1) as (client,):
        client.send(how)
        contents = asyncio.create_task(client.rest())
        number = 0
        while not contents.done():
            layer._local.group_send("room", shared(f"1:{number}"))
            number += 1
            await asyncio.sleep(0)
        texts = await contents
        assert texts == [f"1:{number}" for number in range(len(texts))]
        assert client.close_code == (4001 if how.startswith("close") else 1011)


async def test_what_waits_leaves_before_the_close_frame(layer: InMemoryChannelLayer) -> None:
    class Leaving(Member):
        async def leave(self, event: Message) -> None:
            await self.close(4002)

    async with serving(Leaving.as_asgi(), OURS) as server, members(server, 2) as clients:
        for number in range(5):
            layer._local.group_send("room", shared(f"1:{number}"))
        layer._local.group_send("room", {"type": "leave"})
        for number in range(5, 10):
            layer._local.group_send("room", shared(f"1:{number}"))
        for client in clients:
            assert await client.rest() == [f"1:{number}" for number in range(5)]
            assert client.close_code == 4002


async def test_a_clients_close_is_answered_and_nothing_follows(layer: InMemoryChannelLayer) -> None:
    async with serving(Member.as_asgi(), OURS) as server, members(server, 1) as (client,):
        client.close(4003)
        for number in range(500):
            layer._local.group_send("room", shared(f"1:{number}"))
            await asyncio.sleep(0)
        texts = await client.rest()
        assert texts == [f"1:{number}" for number in range(len(texts))]
        assert client.close_code == 4003


async def test_nothing_follows_the_close_frame_for_what_is_too_large(layer: InMemoryChannelLayer) -> None:
    async with serving(Member.as_asgi(), OURS, ws_max_size=100) as server, members(server, 1) as (client,):
        contents = asyncio.create_task(client.rest())
        client.send("x" * 101)
        number = 0
        while not contents.done():
            layer._local.group_send("room", shared(f"1:{number}"))
            number += 1
            await asyncio.sleep(0)
        texts = await contents
        assert texts == [f"1:{number}" for number in range(len(texts))]
        assert client.close_code == 1009


async def test_nothing_follows_a_close_frame_that_the_consumer_knows_nothing_of(layer: InMemoryChannelLayer) -> None:
    async def closing(scope: Scope, receive: Receive, send: Send) -> None:
        async def receiving() -> Message:
            while (event := await receive()).get("text") == "close":
                await send({"type": "websocket.close", "code": 4005})
                layer._local.group_send("room", shared("after"))
            return event

        await Member.as_asgi()(scope, receiving, send)

    async with serving(closing, OURS) as server, members(server, 1) as (client,):
        layer._local.group_send("room", shared("before"))
        client.send("close")
        assert await client.rest() == ["before"]
        assert client.close_code == 4005


async def test_the_servers_end_lets_what_waits_leave_first(layer: InMemoryChannelLayer) -> None:
    async with AsyncExitStack() as stack:
        async with serving(Member.as_asgi(), OURS) as server:
            clients = await stack.enter_async_context(members(server, 3))
            for number in range(5):
                layer._local.group_send("room", shared(f"1:{number}"))
        for client in clients:
            assert await client.rest() == [f"1:{number}" for number in range(5)]
            assert client.close_code == 1012


async def test_nothing_of_a_connection_is_kept(layer: InMemoryChannelLayer, watched: type[Watched]) -> None:
    async with serving(Member.as_asgi(), watched) as server:
        async with members(server, 1) as (client,):
            kept = weakref.ref(watched.all.pop())
            layer._local.group_send("room", shared("hello"))
            assert await client.next() == "hello"
            client.close()
            await client.rest()
        async with asyncio.timeout(PATIENCE):
            while server.server_state.connections or server.server_state.tasks:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.01)
        gc.collect()
        assert kept() is None


# Pings


async def test_pings_are_answered_in_between(layer: InMemoryChannelLayer) -> None:
    async with serving(Member.as_asgi(), OURS) as server, members(server, 1) as (client,):
        for number in range(50):
            client.ping(b"%d" % number)
            await layer.group_send("room", KINDS[number % 3](f"1:{number}"))
            assert await client.next() == f"1:{number}"
        client.send("last")
        assert await client.next() == "last"
        assert client.pongs == [b"%d" % number for number in range(50)]


async def test_a_client_that_answers_no_ping_is_closed(layer: InMemoryChannelLayer) -> None:
    if not hasattr(WebSocketsSansIOProtocol, "start_keepalive"):
        return  # uvicorn 0.35 sends none
    settings = {"ws_ping_interval": 0.05, "ws_ping_timeout": 0.2}
    async with serving(Member.as_asgi(), OURS, **settings) as server, members(server, 1) as (client,):
        contents = asyncio.create_task(client.rest())
        number = 0
        while not contents.done():
            await layer.group_send("room", shared(f"1:{number}"))
            number += 1
            await asyncio.sleep(0.005)
        texts = await contents
        assert texts == [f"1:{number}" for number in range(len(texts))]
        assert client.close_code == 1011


# As the base does


async def app_of_all(scope: Scope, receive: Receive, send: Send) -> None:
    """Do as the path says, in plain ASGI."""
    if scope["type"] != "websocket":
        raise RuntimeError("as asked")
    await receive()
    match scope["path"]:
        case "/deny":
            start = {"type": "websocket.http.response.start", "status": 401, "headers": [(b"x-why", b"none")]}
            await send(start)
            await send({"type": "websocket.http.response.body", "body": b"who ", "more_body": True})
            await send({"type": "websocket.http.response.body", "body": b"are you?"})
        case "/reject":
            await send({"type": "websocket.close"})
        case "/fail":
            raise RuntimeError("as asked")
        case "/nothing":
            return
        case "/fail-later":
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.send", "text": "begun"})
            raise RuntimeError("as asked")
        case "/close":
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.send", "bytes": b"begun"})
            await send({"type": "websocket.close", "code": 4001, "reason": "because"})


async def seen_by_a_client(port: int, path: str) -> tuple[Any, ...]:
    async with dialing(port) as client:
        response = await client.shake_hands(f"ws://localhost:{port}{path}", compressed=False)
        if response.status_code != 101:
            return response.status_code, response.headers.get("x-why"), bytes(response.body or b"")
        return response.status_code, await client.rest(), client.close_code


async def seen_without_an_upgrade(port: int, request: bytes) -> tuple[bytes, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    try:
        answer = await asyncio.wait_for(reader.read(), 1)
    except TimeoutError:  # with uvicorn 0.35 the connection stays open
        answer = b""
    writer.transport.abort()
    return answer.split(b"\r\n")[0], answer.partition(b"\r\n\r\n")[2]


REQUESTS = [
    b"GET / HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 12\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n",
]


@pytest.mark.filterwarnings("ignore")
async def test_handshakes_and_failures_are_as_the_bases() -> None:
    seen = []
    for protocol in ("websockets-sansio", OURS):
        async with serving(app_of_all, protocol, lifespan="off") as server:
            paths = ("/deny", "/reject", "/fail", "/nothing", "/fail-later", "/close")
            answers: list[Any] = [await seen_by_a_client(server.port, path) for path in paths]
            answers += [await seen_without_an_upgrade(server.port, request) for request in REQUESTS]
            seen.append(answers)
    assert seen[0] == seen[1]
    assert [answer[0] for answer in seen[1][:6]] == [401, 403, 500, 500, 101, 101]
