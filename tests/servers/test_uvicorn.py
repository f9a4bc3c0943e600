"""Consumers under a real uvicorn, with real sockets."""

import asyncio
import logging
import socket
import struct
import threading
from contextlib import AsyncExitStack
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from consumers import (
    AsyncJsonWebsocketConsumer,
    AsyncWebsocketConsumer,
    InMemoryChannelLayer,
    JsonWebsocketConsumer,
    channel_layers,
    lifespan,
)
from consumers.server import WebSocketProtocol

from ..support.serving import PATIENCE, close_of, serving
from ..support.slow import left_to_ci
from ..support.wire import eventually

pytestmark = pytest.mark.anyio

RESERVED_OPCODE = b"\x83\x80\0\0\0\0"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # uvicorn's loop


@pytest.fixture(
    params=[
        WebSocketProtocol,
        *left_to_ci("websockets-sansio"),
        "wsproto",
        pytest.param("websockets", marks=pytest.mark.filterwarnings("ignore")),  # deprecated, and in use
    ]
)
def protocol(request: pytest.FixtureRequest) -> Any:
    return request.param


class Member(AsyncJsonWebsocketConsumer):
    groups = ["everyone"]
    codes: "asyncio.Queue[int]"

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        match content:
            case "fail":
                raise RuntimeError("as asked")
            case ["close", code]:
                await self.close(code, "as asked")
            case _:
                await self.send_json(content)

    async def note(self, event: Any) -> None:
        await self.send_json(event["text"])

    async def disconnect(self, code: int) -> None:
        self.codes.put_nowait(code)


class SyncMember(JsonWebsocketConsumer):
    groups = ["everyone"]
    codes: "asyncio.Queue[int]"
    loop: asyncio.AbstractEventLoop

    def receive_json(self, content: Any, **kwargs: Any) -> None:
        match content:
            case "fail":
                raise RuntimeError("as asked")
            case ["close", code]:
                self.close(code, "as asked")
            case _:
                self.send_json(content)

    def disconnect(self, code: int) -> None:
        self.loop.call_soon_threadsafe(self.codes.put_nowait, code)


@pytest.fixture(params=[Member, SyncMember])
async def member(request: pytest.FixtureRequest, layer: InMemoryChannelLayer) -> Any:
    request.param.codes = asyncio.Queue()
    request.param.loop = asyncio.get_running_loop()
    return request.param


async def ended(member: Any, layer: InMemoryChannelLayer) -> int:
    """Return the code that disconnect() got, when nothing of the connection is left."""
    code: int = await asyncio.wait_for(member.codes.get(), PATIENCE)
    async with asyncio.timeout(PATIENCE):
        while layer.channels or layer.groups:
            await asyncio.sleep(0)
    assert member.codes.empty()
    return code


@pytest.mark.slow
async def test_every_ending_runs_disconnect_once_and_leaves_nothing(
    member: Any, layer: InMemoryChannelLayer, protocol: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(member.as_asgi(), protocol) as server:
        tasks = len(asyncio.all_tasks())

        async with connect(server.url("/")) as client:
            await client.send('"echo"')
            assert await client.recv() == '"echo"'
        assert await ended(member, layer) == 1000

        async with connect(server.url("/")) as client:
            await client.close(4999, "bye")
        assert await ended(member, layer) == 4999

        async with connect(server.url("/")) as client:
            await client.send('["close", 4001]')
            assert await close_of(client) == (4001, "as asked")
        assert await ended(member, layer) == 4001

        async with connect(server.url("/")) as client:
            caplog.clear()
            await client.send('"fail"')
            assert await close_of(client) == (1011, "internal error")
        assert await ended(member, layer) == 1011
        await no_more_tasks_than(tasks)
        assert [r.exc_info[0] for r in caplog.records if r.exc_info] == [RuntimeError]

        client = await connect(server.url("/"))
        reset(client)
        assert await ended(member, layer) in (1005, 1006)
        await client.close()

        await no_more_tasks_than(tasks)


async def no_more_tasks_than(count: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while len(asyncio.all_tasks()) > count:
            await asyncio.sleep(0)


def reset(client: ClientConnection) -> None:
    """Cut the TCP connection without a closing handshake."""
    raw: socket.socket = client.transport.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.transport.abort()


@pytest.mark.slow
async def test_the_shutdown_with_200_open_sockets_disconnects_them_all(
    member: Any, layer: InMemoryChannelLayer
) -> None:
    closed: list[int] = []
    tasks = len(asyncio.all_tasks())

    class Closing(InMemoryChannelLayer):
        async def close(self) -> None:
            closed.append(member.codes.qsize())

    closing = Closing()
    channel_layers.set("default", closing)
    app = Starlette(routes=[WebSocketRoute("/", member.as_asgi())], lifespan=lifespan)
    async with AsyncExitStack() as stack:
        async with serving(app) as server:
            clients = [await stack.enter_async_context(connect(server.url("/"))) for _ in range(200)]
        for client in clients:
            assert (await close_of(client))[0] == 1012
    assert [member.codes.get_nowait() for _ in range(200)] == [1012] * 200
    assert member.codes.empty()
    assert closed == [200]  # the layer is closed last
    await no_more_tasks_than(tasks)
    assert not closing.channels
    assert not closing.groups


async def test_bad_input_is_answered_with_one_line_and_the_server_goes_on(
    layer: InMemoryChannelLayer, protocol: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Text(AsyncWebsocketConsumer):
        async def receive(self, text_data: str) -> None:
            await self.send(text_data)

    class Versioned(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            await self.accept("v2")

    Member.codes = asyncio.Queue()
    app = Starlette(
        routes=[
            WebSocketRoute("/json", Member.as_asgi()),
            WebSocketRoute("/text", Text.as_asgi()),
            WebSocketRoute("/v2", Versioned.as_asgi()),
        ]
    )
    frames: list[tuple[str, str | bytes, int]] = [
        ("/json", "{", 1007),
        ("/json", "", 1007),
        ("/json", b"{}", 1003),
        ("/json", "[" * 50_000, 1007),
        ("/text", b"\xff", 1003),
    ]
    async with serving(app, protocol) as server:
        for path, frame, code in frames:
            caplog.clear()
            async with connect(server.url(path)) as client:
                await client.send(frame)
                assert (await close_of(client))[0] == code
            await eventually(lambda: bool(own_lines(caplog)))
            lines = own_lines(caplog)
            assert len(lines) == 1, lines
            assert f"is closed with {code}" in lines[0].getMessage()
        async with connect(server.url("/text")) as client:
            await client.send("")
            assert await client.recv() == ""
        for path, offered in (("/nowhere", None), ("/v2", ["v1"]), ("/v2", None)):
            caplog.clear()
            with pytest.raises(InvalidStatus) as caught:
                await connect(server.url(path), subprotocols=offered)  # type: ignore[arg-type]
            assert caught.value.response.status_code == 403
            assert len(own_lines(caplog)) <= 1
        async with connect(server.url("/json")) as client:
            await client.send('"still here"')
            assert await client.recv() == '"still here"'


def own_lines(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """The warnings and errors; uvicorn's access log is at level INFO."""
    assert not any(record.exc_info for record in caplog.records)
    return [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_client_that_floods_and_then_vanishes_is_gone_within_stall_timeout(layer: InMemoryChannelLayer) -> None:
    class Slow(AsyncWebsocketConsumer):
        inbox_limit = 5
        stall_timeout = 0.2
        disconnect_timeout = 0.2
        codes: "asyncio.Queue[int]" = asyncio.Queue()

        async def receive(self, text_data: str) -> None:
            await asyncio.sleep(60)

        async def disconnect(self, code: int) -> None:
            self.codes.put_nowait(code)

    async with serving(Slow.as_asgi()) as server:
        client = await connect(server.url("/"))
        for _ in range(100):
            await client.send("x")
        reset(client)
        assert await ended(Slow, layer) == 1013
        await client.close()


@pytest.mark.slow
async def test_a_client_that_never_reads_costs_bounded_memory_and_delays_nobody(layer: InMemoryChannelLayer) -> None:
    Member.codes = asyncio.Queue()
    text = "x" * 100_000
    async with serving(Member.as_asgi()) as server:
        stuck = await connect(server.url("/"), max_queue=1, compression=None)
        async with connect(server.url("/"), compression=None) as healthy:
            for _ in range(300):
                await layer.group_send("everyone", {"type": "note", "text": text})
                assert len(await asyncio.wait_for(healthy.recv(), PATIENCE)) == len(text) + 2
        # Its share of 30 MB: what fits into the sockets' buffers, the layer's capacity, and nothing more.
        assert layer.dropped > 100
        stuck.transport.abort()
        await stuck.close()


async def test_a_send_to_a_client_that_the_server_has_closed_for_a_bad_frame_is_no_error(
    protocol: Any, caplog: pytest.LogCaptureFixture
) -> None:
    codes: asyncio.Queue[int] = asyncio.Queue()

    class Pushing(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            await self.accept()
            self.start_background_task(self.push)

        async def push(self) -> None:
            while True:  # also at the moment between the server's close and its disconnect event
                await self.send("news")
                await asyncio.sleep(0)

        async def disconnect(self, code: int) -> None:
            codes.put_nowait(code)

    async with serving(Pushing.as_asgi(), protocol) as server:
        client = await connect(server.url("/"))
        await client.recv()
        client.transport.write(RESERVED_OPCODE)
        await asyncio.wait_for(codes.get(), PATIENCE)
        await client.close()
    assert [record for record in caplog.records if record.name.startswith("consumers") or record.exc_info] == []


async def test_the_consumer_sees_its_disconnect_while_a_thread_sends(layer: InMemoryChannelLayer) -> None:
    Member.codes = asyncio.Queue()
    stop = threading.Event()

    def flood() -> None:
        async def send() -> None:
            while not stop.is_set():
                await layer.group_send("everyone", {"type": "note", "text": "from a thread"})

        asyncio.run(send())

    async with serving(Member.as_asgi()) as server:
        async with connect(server.url("/"), max_queue=None) as client:  # else it stops to read, and its close waits
            thread = threading.Thread(target=flood)
            thread.start()
            for _ in range(50):
                assert await asyncio.wait_for(client.recv(), PATIENCE) == '"from a thread"'
        assert await asyncio.wait_for(Member.codes.get(), PATIENCE) == 1000
        stop.set()
        await asyncio.to_thread(thread.join)
