"""A client's messages are bounded by bytes, too, and none is kept after it was handled."""

import weakref
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from starlette.websockets import WebSocket

from consumers import AsyncHttpConsumer, AsyncWebsocketConsumer, BaseWSEndpoint
from consumers.types import ASGIApp, Message

from ..support.wire import Wire, connected, connecting, eventually, run_app

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024


class Blocked(AsyncWebsocketConsumer):
    """Its handlers wait for the gate."""

    gate: anyio.Event
    handled: list[int]

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.gate.wait()
        self.handled.append(len(text_data or bytes_data or ""))


class BlockedEndpoint(BaseWSEndpoint):
    gate: anyio.Event
    handled: list[int]

    async def _background_handler(self, task_id: str, websocket: WebSocket, data: Any) -> None:
        await self.gate.wait()
        self.handled.append(len(data))


def blocked(kind: str, **attributes: Any) -> tuple[Any, ASGIApp]:
    """Return a class whose handlers wait, and the application to serve."""
    base = BlockedEndpoint if kind == "endpoint" else Blocked
    if kind == "consumer, tasks":
        attributes["max_tasks"] = 8
    cls: Any = type("Holding", (base,), {"gate": anyio.Event(), "handled": [], **attributes})
    return cls, cls if kind == "endpoint" else cls.as_asgi()


KINDS = pytest.mark.parametrize("kind", ["consumer", "consumer, tasks", "endpoint"])


def read(wire: Wire, sent: int) -> int:
    """Return how many of the frames that were sent have been read."""
    return sent - len(wire._to_app)


@KINDS
@pytest.mark.parametrize("payload", [{"bytes": b"x" * MIB}, {"text": "x" * MIB}, {"text": "é" * (MIB // 2)}], ids=str)
async def test_reading_stops_when_the_messages_have_so_many_bytes(kind: str, payload: Message) -> None:
    cls, app = blocked(kind, inbox_bytes=4 * MIB)
    async with connected(app) as wire:
        for _ in range(12):
            wire.client("receive", **payload)
        await anyio.wait_all_tasks_blocked()
        held = read(wire, 12)
        assert 4 <= held <= 9  # "é" takes one byte in memory, and two in UTF-8
        cls.gate.set()
        await eventually(lambda: len(cls.handled) == 12)


@KINDS
async def test_one_message_is_read_however_large_it_is_and_so_is_the_disconnect_behind_it(kind: str) -> None:
    _, app = blocked(kind, inbox_bytes=MIB, disconnect_timeout=0.01)
    async with connected(app) as wire:
        wire.client("receive", bytes=b"x" * (16 * MIB))
        wire.disconnect()
        await wire.end()
        assert wire.error is None
        assert wire.everything_is_read


@KINDS
async def test_small_messages_are_counted_only(kind: str) -> None:
    cls, app = blocked(kind, inbox_limit=10, max_tasks=10, inbox_bytes=10_000)
    async with connected(app) as wire:
        for _ in range(30):
            wire.client("receive", bytes=b"x" * 900)
        await anyio.wait_all_tasks_blocked()
        assert read(wire, 30) >= 10
        cls.gate.set()
        await eventually(lambda: len(cls.handled) == 30)


async def test_an_endpoints_task_may_wait_for_the_next_large_message() -> None:
    class Endpoint(BaseWSEndpoint):
        inbox_bytes = 4 * MIB
        stall_timeout = 1.0
        second = anyio.Event()

        async def _background_handler(self, task_id: str, websocket: WebSocket, data: Any) -> None:
            if len(data) == 3 * MIB:
                await self.second.wait()
                await websocket.send_text("both")
            self.second.set()

    async with connected(Endpoint) as wire:
        for size in (3, 5):
            wire.client("receive", bytes=b"x" * (size * MIB))
        assert await wire.next_text() == "both"


async def test_an_overridden_on_receive_leaves_the_count_right() -> None:
    class Endpoint(BaseWSEndpoint):
        inbox_bytes = 4 * MIB
        gate = anyio.Event()
        running = 0

        async def on_receive(self, websocket: WebSocket, data: Any) -> None:
            if data != b"drop" * MIB:
                await super().on_receive(websocket, data)

        async def _background_handler(self, task_id: str, websocket: WebSocket, data: Any) -> None:
            Endpoint.running += 1
            await self.gate.wait()

    async with connected(Endpoint) as wire:
        for _ in range(10):
            wire.client("receive", bytes=b"drop" * MIB)
        for _ in range(12):
            wire.client("receive", bytes=b"x" * MIB)
        await anyio.wait_all_tasks_blocked()
        assert 4 <= Endpoint.running <= 6
        Endpoint.gate.set()


@KINDS
async def test_a_connection_that_is_stalled_by_bytes_ends_with_1013(kind: str) -> None:
    _, app = blocked(kind, inbox_bytes=MIB, stall_timeout=0.05, cleanup_timeout=1.0)
    async with connected(app) as wire:
        for _ in range(5):
            wire.client("receive", bytes=b"x" * MIB)
        await wire.end()
    assert wire.close_code == 1013
    assert wire.error is None


async def test_a_requests_body_is_bounded_too() -> None:
    class Uploading(AsyncHttpConsumer):
        inbox_bytes = 4 * MIB
        gate = anyio.Event()

        async def http_request(self, message: Message) -> None:
            await self.gate.wait()
            await super().http_request(message)

        async def handle(self, body: bytes) -> None:
            await self.send_response(200, str(len(body)).encode())

    wire = Wire()
    for number in range(12):
        wire.event({"type": "http.request", "body": b"x" * MIB, "more_body": number < 11})
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run_app, wire, Uploading.as_asgi(), {"type": "http", "path": "/", "headers": []})
        await anyio.wait_all_tasks_blocked()
        assert 4 <= read(wire, 12) <= 6
        Uploading.gate.set()
        await wire.end()
    assert wire.sent[-1]["body"] == str(12 * MIB).encode()


@pytest.mark.parametrize("value", [0, -1, None, 1.5, "4 MiB"])
async def test_a_budget_that_cannot_work_is_refused(value: Any) -> None:
    class Consumer(AsyncWebsocketConsumer):
        inbox_bytes = value

    with pytest.raises(ValueError, match="inbox_bytes must be an int of 1 or more"):
        Consumer.as_asgi()


class Event(dict[str, Any]):
    """An event that can be referred to weakly."""


@pytest.mark.parametrize("kind", ["consumer", "consumer, tasks", "endpoint", "layer"])
@pytest.mark.parametrize("limits", [{}, {"idle_timeout": 60.0, "rate_limit": 1000.0}], ids=["", "limits"])
async def test_an_idle_connection_keeps_no_message(kind: str, limits: dict[str, float]) -> None:
    handled: list[int] = []

    class Consumer(AsyncWebsocketConsumer):
        async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
            handled.append(1)

    class Endpoint(BaseWSEndpoint):
        async def _background_handler(self, task_id: str, websocket: WebSocket, data: Any) -> None:
            handled.append(1)

    base: Any = Endpoint if kind == "endpoint" else Consumer
    cls: Any = type("Limited", (base,), {"max_tasks": 8 if kind == "consumer, tasks" else base.max_tasks, **limits})
    async with connected(cls if kind == "endpoint" else cls.as_asgi()) as wire:
        event = Event(type="websocket.receive", bytes=b"x" * MIB)
        kept: Callable[[], Any] = weakref.ref(event)
        wire.event(event)
        del event
        await eventually(lambda: handled)
        await anyio.wait_all_tasks_blocked()
        assert kept() is None
        assert handled == [1]


async def test_a_connection_that_is_not_accepted_yet_keeps_its_connect_event_only() -> None:
    class Slow(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            await anyio.sleep_forever()

    async with connecting(Slow.as_asgi()) as wire:
        await anyio.wait_all_tasks_blocked()
        assert wire.everything_is_read
        assert wire.scope is not None
        wire.scope.cancel()
