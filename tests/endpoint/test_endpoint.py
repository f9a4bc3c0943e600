"""`BaseWSEndpoint` on a server of two memory streams, on Starlette's TestClient and on a real uvicorn."""

import itertools
import logging
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import websockets.sync.client
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.exceptions import ConnectionClosed

from consumers.endpoint import BaseWSEndpoint
from consumers.server import WebSocketProtocol
from consumers.types import Message

from ..support.endpoints import Noted, accepted, served, uvicorn_serving, wait_for
from ..support.slow import left_to_ci

asynchronous = pytest.mark.anyio


@asynchronous
async def test_a_message_is_handled_while_another_one_is() -> None:
    class Endpoint(Noted):
        pass

    async with accepted(Endpoint) as server:
        server.text("wait")
        server.text("hello")
        assert await server.event() == {"type": "websocket.send", "text": "hello"}
        assert Endpoint.seen in ([], [("unregistered", "hello")])


@asynchronous
async def test_a_handler_that_returns_ends_alone() -> None:
    class Endpoint(Noted):
        pass

    async with accepted(Endpoint) as server:
        for text in ("one", "two"):
            server.text(text)
            assert (await server.event())["text"] == text
        assert not server.ended.is_set()
        server.disconnect()
        await server.end()
    assert ("unregistered", "one") in Endpoint.seen
    assert ("disconnected", 1001) in Endpoint.seen


@asynchronous
async def test_a_disconnect_cancels_every_task_and_on_disconnect_comes_last() -> None:
    class Endpoint(Noted):
        pass

    async with accepted(Endpoint) as server:
        for _ in range(3):
            server.text("wait")
            await Endpoint.started.wait()
            Endpoint.started = anyio.Event()
        server.disconnect(1001)
        assert await server.end() == []
    assert server.error is None
    assert Endpoint.seen.count("cancelled") == Endpoint.seen.count(("unregistered", None)) == 3
    assert Endpoint.seen[-1] == ("disconnected", 1001)
    assert len(Endpoint.seen) == 7


@asynchronous
async def test_tasks_are_registered_in_order_of_arrival_under_unique_ids() -> None:
    registered: list[tuple[str, str]] = []

    class Endpoint(Noted):
        async def _register_background_task(self, task_id: str, websocket: WebSocket, data: Any) -> None:
            await anyio.lowlevel.checkpoint()
            registered.append((task_id, data))

    texts = [str(number) for number in range(50)]
    for _ in range(2):
        async with accepted(Endpoint) as server:
            for text in texts:
                server.text(text)
            assert sorted([(await server.event())["text"] for _ in texts]) == sorted(texts)
    assert [data for _, data in registered] == texts * 2
    assert len({task_id for task_id, _ in registered}) == 100


@asynchronous
@pytest.mark.parametrize("swallow", [True, False])
async def test_an_exception_while_registering_refuses_the_task(swallow: bool) -> None:
    class Endpoint(Noted):
        async def _register_background_task(self, task_id: str, websocket: WebSocket, data: Any) -> None:
            if data == "refused":
                raise PermissionError

        async def _handle_background_task_exception(self, task_id: str, websocket: WebSocket, exc: Exception) -> None:
            if not swallow:
                raise exc

    async with accepted(Endpoint) as server:
        server.text("refused")
        if swallow:
            server.text("taken")
            assert (await server.event())["text"] == "taken"
            server.disconnect(1011)
        await server.end()
    assert isinstance(server.error, PermissionError) is not swallow
    assert Endpoint.seen == [("unregistered", "taken")] * swallow + [("disconnected", 1011)]


@asynchronous
async def test_unregistering_and_on_disconnect_are_cut_off_after_their_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Endpoint(Noted):
        EXIT_MAX_DELAY = 0.01

        async def _unregister_background_task(self, task_id: str, websocket: WebSocket, task_result: Any) -> None:
            await anyio.sleep_forever()

        async def on_disconnect(self, websocket: WebSocket, close_code: int) -> None:
            self.seen.append("disconnecting")
            await anyio.sleep_forever()

    async with accepted(Endpoint) as server:
        server.text("wait")
        await Endpoint.started.wait()
        server.disconnect()
        await server.end()
    assert Endpoint.seen == ["cancelled", "disconnecting"]
    assert [(record.name, record.message) for record in caplog.records] == [
        ("consumers.endpoint", "Endpoint._unregister_background_task was cut off after 0.01 s"),
        ("consumers.endpoint", "Endpoint.on_disconnect was cut off after 0.01 s"),
    ]


@asynchronous
async def test_no_more_than_max_tasks_run_and_reading_stops() -> None:
    class Endpoint(BaseWSEndpoint):
        max_tasks = 2
        gate = anyio.Event()
        running = peak = 0

        async def _background_handler(self, task_id: str, websocket: WebSocket, data: Any) -> None:
            Endpoint.running += 1
            Endpoint.peak = max(Endpoint.peak, Endpoint.running)
            await self.gate.wait()
            Endpoint.running -= 1
            await websocket.send_text(data)

    async with accepted(Endpoint) as server:
        texts = [str(number) for number in range(10)]
        for text in texts:
            server.text(text)
        await anyio.wait_all_tasks_blocked()
        assert server.receive.statistics().current_buffer_used == 7  # two are running, one waits
        Endpoint.gate.set()
        assert sorted([(await server.event())["text"] for _ in texts]) == texts
    assert Endpoint.peak == 2


@asynchronous
async def test_a_message_that_waits_too_long_for_a_place_ends_the_connection_with_1013(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Endpoint(Noted):
        max_tasks = 1
        stall_timeout = 0.01

    async with accepted(Endpoint) as server:
        server.text("wait")
        server.text("wait")
        server.disconnect()  # stays unread
        [close] = await server.end()
    assert (close["code"], close["reason"]) == (1013, "Too many messages")
    assert Endpoint.seen == ["cancelled", ("unregistered", None), ("disconnected", 1013)]
    assert len(caplog.records) == 1
    assert server.error is None


@asynchronous
async def test_a_disconnect_is_seen_while_max_tasks_are_running_and_nothing_waits() -> None:
    class Endpoint(Noted):
        max_tasks = 1

    async with accepted(Endpoint) as server:
        server.text("wait")
        await Endpoint.started.wait()
        server.disconnect(1001)
        await server.end()
    assert Endpoint.seen[-1] == ("disconnected", 1001)


WHERE = ["on_connect", "register", "handler", "unregister", "idle", "on_disconnect"]


@asynchronous
@pytest.mark.parametrize("native", [False, True], ids=["anyio", "native"])
@pytest.mark.parametrize("where", WHERE)
async def test_on_disconnect_runs_once_whatever_the_server_cancels(
    where: str, native: bool, anyio_backend: str
) -> None:
    if native and anyio_backend == "trio":
        return  # trio's only cancellation is anyio's
    reached = anyio.Event()

    async def pause(here: str) -> None:
        if here == where:
            reached.set()
            await (anyio.sleep_forever() if here in ("on_connect", "register", "handler") else gate.wait())

    class Endpoint(Noted):
        async def on_connect(self, websocket: WebSocket) -> None:
            await pause("on_connect")
            await websocket.accept()

        async def _register_background_task(self, task_id: str, websocket: WebSocket, data: Any) -> None:
            await pause("register")

        async def _background_handler(self, task_id: str, websocket: WebSocket, data: Any) -> None:
            await pause("handler")

        async def _unregister_background_task(self, task_id: str, websocket: WebSocket, task_result: Any) -> None:
            await pause("unregister")
            self.seen.append("unregistered")

        async def on_disconnect(self, websocket: WebSocket, close_code: int) -> None:
            await pause("on_disconnect")
            await super().on_disconnect(websocket, close_code)

    gate = anyio.Event()
    async with served(Endpoint, native) as server:
        if where != "idle":
            server.text("anything")
        if where == "on_disconnect":
            server.disconnect(1001)
        if where == "idle":
            await server.event()
            await anyio.wait_all_tasks_blocked()
        else:
            await reached.wait()
        if native:
            server.native_cancel()
        else:
            server.scope.cancel()
        for _ in range(20):  # let the cancellation go wherever it gets before the gates open
            await anyio.lowlevel.checkpoint()
        gate.set()
        events = await server.end()
    code = 1001 if where == "on_disconnect" else 1012
    assert Endpoint.seen[-1] == ("disconnected", code)
    assert [entry for entry in Endpoint.seen if entry != "unregistered"] == [("disconnected", code)]
    assert Endpoint.seen.count("unregistered") == (where in ("handler", "unregister", "on_disconnect"))
    closes = [event["code"] for event in events if event["type"] == "websocket.close"]
    assert closes == ([] if where in ("on_connect", "on_disconnect") else [1012])


@asynchronous
@pytest.mark.parametrize("native", [False, True], ids=["anyio", "native"])
@pytest.mark.parametrize("steps", range(12))
async def test_on_disconnect_runs_once_at_whatever_step_of_on_connect_the_server_cancels(
    steps: int, native: bool, anyio_backend: str
) -> None:
    if native and anyio_backend == "trio":
        return  # trio's only cancellation is anyio's

    class Endpoint(Noted):
        async def on_connect(self, websocket: WebSocket) -> None:
            self.seen.append("connecting")
            async with anyio.create_task_group() as group:
                group.start_soon(anyio.sleep_forever)
                await websocket.accept()
                await anyio.sleep_forever()

    async with served(Endpoint, native) as server:
        for _ in range(steps):
            await anyio.lowlevel.checkpoint()
        for _ in range(3):  # a server that is in a hurry
            if native:
                server.native_cancel()
            else:
                server.scope.cancel()
            await anyio.lowlevel.checkpoint()
        events = await server.end()
    assert server.error is None
    assert Endpoint.seen == (["connecting", ("disconnected", 1012)] if Endpoint.seen else [])
    assert Endpoint.seen or steps < 6
    # An accept that is cancelled on its way out leaves a close alone, which rejects.
    assert [event["type"] for event in events] in ([], ["websocket.close"], ["websocket.accept", "websocket.close"])


@asynchronous
@pytest.mark.parametrize(
    ("encoding", "frame", "code"),
    [
        ("json", {"text": "{"}, 1007),
        ("json", {"text": ""}, 1007),
        ("json", {"bytes": b"\xff"}, 1007),
        ("json", {"text": "[" * 100_000}, 1007),
        ("text", {"bytes": b"binary"}, 1003),
        ("bytes", {"text": "text", "bytes": None}, 1003),
    ],
)
async def test_data_that_is_not_taken_closes_with_its_code_and_one_line(
    encoding: Any, frame: Message, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    class Endpoint(Noted):
        pass

    Endpoint.encoding = encoding
    async with accepted(Endpoint) as server:
        server.to_app.send_nowait({"type": "websocket.receive", **frame})
        [close] = await server.end()
    assert close["code"] == code
    assert close["reason"]
    assert server.error is None
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert record.exc_info is None
    assert "\n" not in record.message
    assert Endpoint.seen == [("disconnected", code)]


@asynchronous
@pytest.mark.parametrize(
    ("encoding", "frame", "data"),
    [
        (None, {"text": "", "bytes": None}, ""),
        (None, {"bytes": b"x"}, b"x"),
        ("text", {"text": ""}, ""),
        ("bytes", {"bytes": b"", "text": None}, b""),
        ("json", {"text": '{"a": [1]}'}, {"a": [1]}),
        ("json", {"bytes": b"null"}, None),
    ],
)
async def test_the_handler_gets_data_as_encoding_says(encoding: Any, frame: Message, data: Any) -> None:
    class Endpoint(BaseWSEndpoint):
        async def _background_handler(self, task_id: str, websocket: WebSocket, data: Any) -> None:
            await websocket.send_text(repr(data))

    Endpoint.encoding = encoding
    async with accepted(Endpoint) as server:
        server.to_app.send_nowait({"type": "websocket.receive", **frame})
        assert (await server.event())["text"] == repr(data)


@pytest.mark.parametrize("encoding", ["JSON", "", [], "str"])
def test_an_unknown_encoding_is_refused_when_the_endpoint_is_made(encoding: Any) -> None:
    class Endpoint(Noted):
        pass

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        raise AssertionError

    Endpoint.encoding = encoding
    with pytest.raises(ValueError, match="Endpoint") as refused:
        Endpoint({"type": "websocket"}, receive, send)
    assert str(refused.value) == f"Endpoint.encoding is {encoding!r}: use one of 'text', 'bytes', 'json', None"


@asynchronous
async def test_a_class_without_a_handler_says_what_is_missing() -> None:
    async with accepted(BaseWSEndpoint) as server:
        server.text("x")
        await server.end()
    assert isinstance(server.error, NotImplementedError)
    assert "BaseWSEndpoint needs a method `_background_handler`" in str(server.error)


@pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient`")
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_starlettes_test_client_raises_the_original_error_in_the_with_block(backend: Any) -> None:
    from starlette.testclient import TestClient

    class Endpoint(Noted):
        pass

    client = TestClient(Starlette(routes=[WebSocketRoute("/", Endpoint)]), backend=backend)

    def talk() -> None:
        with client.websocket_connect("/") as session:
            session.send_text("hello")
            assert session.receive_text() == "hello"
            session.send_text("raise")
            with pytest.raises(WebSocketDisconnect) as closed:
                session.receive_text()
            assert closed.value.code == 1011

    with pytest.raises(LookupError, match="raise"):
        talk()
    assert Endpoint.seen[-1] == ("disconnected", 1011)


@pytest.mark.parametrize("protocol", ["wsproto", "websockets-sansio", *left_to_ci(WebSocketProtocol)])
def test_a_real_server_and_client(protocol: Any, caplog: pytest.LogCaptureFixture) -> None:
    class Endpoint(Noted):
        pass

    ended = itertools.count(1)

    def disconnected(*codes: int) -> None:
        number = next(ended)
        wait_for(lambda: sum(entry[0] == "disconnected" for entry in Endpoint.seen) == number)
        assert Endpoint.seen[-1] in [("disconnected", code) for code in codes]

    @contextmanager
    def busy_client(url: str) -> Iterator[websockets.sync.client.ClientConnection]:
        with websockets.sync.client.connect(url) as client:
            client.send("wait")
            client.send("hello")
            assert client.recv(5) == "hello"
            yield client

    with uvicorn_serving(Endpoint, protocol) as url:
        with busy_client(url) as client:
            client.close(4000)
        disconnected(4000)

        with busy_client(url) as client:
            client.socket.shutdown(socket.SHUT_RDWR)
            disconnected(1005, 1006)  # servers differ in how they call a lost connection
        assert not [record for record in caplog.records if record.levelno >= logging.ERROR]

        with busy_client(url) as client:
            client.send("raise")
            with pytest.raises(ConnectionClosed) as closed:
                client.recv(5)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1011
        disconnected(1011)
        wait_for(lambda: any(r.exc_info and r.exc_info[0] is LookupError for r in caplog.records))

    with ExitStack() as stack:
        with uvicorn_serving(Endpoint, protocol) as url:
            stack.enter_context(busy_client(url))
        disconnected(1012)
