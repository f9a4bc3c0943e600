"""`drain()`: WebSockets end in batches, after the handlers that run, and new ones are refused."""

import gc
import logging
from typing import Any, cast
from weakref import ref

import anyio
import pytest

from consumers import AsyncWebsocketConsumer, InMemoryChannelLayer, WebsocketConsumer
from consumers._aio.loops import running_loop
from consumers._connection import open_connections
from consumers.endpoint import BaseWSEndpoint
from consumers.server import drain

from ..support.closeable import Noted, expect_close
from ..support.endpoints import Noted as NotedEndpoint
from ..support.endpoints import accepted
from ..support.recorder import Recorder, disconnects, nothing_left
from ..support.wire import Wire, connected, connecting, eventually, start

pytestmark = pytest.mark.anyio

CLOSED = {"type": "websocket.close", "code": 1012, "reason": "retry=5-20"}
CAN_DENY: dict[str, Any] = {"extensions": {"websocket.http.response": {}}}


class Member(Noted, AsyncWebsocketConsumer):
    """Answers when its gate opens."""

    groups = ["everyone"]
    gate: anyio.Event
    began: anyio.Event

    async def receive(self, text_data: str) -> None:
        self.began.set()
        await self.gate.wait()
        await self.send(text_data)

    async def disconnect(self, code: int) -> None:
        self.codes.append(code)


def a_member(**attributes: Any) -> type[Member]:
    member: Any = type("AMember", (Member,), attributes)
    member.gate, member.began = anyio.Event(), anyio.Event()
    return cast(type[Member], member)


async def test_a_client_is_asked_to_come_back_and_nothing_is_left(
    layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "consumers")
    member = a_member()
    async with connected(member.as_asgi()) as wire:
        assert await drain() == 0
        assert wire.finished.is_set()
        await expect_close(wire, CLOSED)
    assert member.codes == [1012]
    assert nothing_left(layer)
    assert len(open_connections.here()) == 0
    assert [record.getMessage() for record in caplog.records] == ["1 WebSockets are told to come back in 5 to 20 s"]


@pytest.mark.parametrize("max_tasks", [1, 3])
async def test_a_handler_finishes_and_its_answer_leaves_before_the_close(
    max_tasks: int, layer: InMemoryChannelLayer
) -> None:
    member = a_member(max_tasks=max_tasks)
    async with connected(member.as_asgi()) as wire, anyio.create_task_group() as tasks:
        wire.text("one")
        wire.text("two")
        await member.began.wait()
        tasks.start_soon(drain)
        await eventually(lambda: open_connections.here().reason)
        await anyio.lowlevel.checkpoint()
        assert not wire.close_code
        member.gate.set()
        assert {await wire.next_text(), await wire.next_text()} == {"one", "two"}
        await expect_close(wire, CLOSED)
    assert member.codes == [1012]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_sync_handler_finishes_too(layer: InMemoryChannelLayer) -> None:
    class Echo(WebsocketConsumer):
        def receive(self, text_data: str) -> None:
            self.send(text_data)

    async with connected(Echo.as_asgi()) as wire:
        wire.text("one")
        assert await drain() == 0
        assert await wire.next_text() == "one"
        await expect_close(wire, CLOSED)


async def test_what_a_group_sends_meanwhile_is_for_the_next_connection(layer: InMemoryChannelLayer) -> None:
    """A client with a position gets it there: nothing is handled that the client would not be told."""
    heard: list[str] = []
    listeners: list[Any] = []

    class Listener(Member):
        async def connect(self) -> None:
            listeners.append(self)
            await self.accept()

        async def said(self, event: Any) -> None:
            heard.append(event["text"])

    Listener.gate, Listener.began = anyio.Event(), anyio.Event()
    async with connected(Listener.as_asgi()) as wire, anyio.create_task_group() as tasks:
        wire.text("wait")
        await Listener.began.wait()
        await layer.group_send("everyone", {"type": "said", "text": "before"})
        tasks.start_soon(drain)
        await eventually(lambda: listeners[0]._connection.is_ending)
        await layer.group_send("everyone", {"type": "said", "text": "after"})
        Listener.gate.set()
        await eventually(wire.finished.is_set)
    assert heard == ["before"]


async def test_a_handler_that_does_not_end_is_cancelled_in_time(layer: InMemoryChannelLayer) -> None:
    class Patient(Recorder):
        disconnect_timeout = 60

    log: list[Any] = []
    async with connected(Patient.as_asgi(log=log)) as wire:
        wire.text("sleep")
        await eventually(lambda: "sleep" in log)
        began = anyio.current_time()
        assert await drain(timeout=0.4, spread=0) == 0
        assert anyio.current_time() - began < 2
        await expect_close(wire, CLOSED)
    assert disconnects(log) == [("disconnect", 1012)]


async def test_it_goes_on_without_a_client_that_does_not_read(
    layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture
) -> None:
    member = a_member(cleanup_timeout=2)
    async with connected(member.as_asgi()) as wire:
        wire.hold_sends = anyio.Event()
        began = anyio.current_time()
        assert await drain(timeout=0.2, spread=0) == 1
        assert anyio.current_time() - began < 0.5
        assert "1 WebSockets have not ended within 0.2 s" in caplog.text
        await eventually(wire.finished.is_set)
    assert member.codes == [1012]


async def test_they_are_told_in_batches_within_the_spread(layer: InMemoryChannelLayer) -> None:
    member, wires, ended = a_member(), [Wire() for _ in range(30)], []

    async def note_end(wire: Wire) -> None:
        await wire.finished.wait()
        ended.append(anyio.current_time())

    async with anyio.create_task_group() as tasks:
        for wire in wires:
            start(tasks, wire, member.as_asgi())
            await wire.accepted()
            tasks.start_soon(note_end, wire)
        began = anyio.current_time()
        await drain(batch=5, spread=0.3, timeout=5)  # three batches of ten: in six they would be told too late
        took = anyio.current_time() - began
    assert 0.2 <= took < 3
    assert sum(time - began < 0.1 for time in ended) <= 10
    assert len(ended) == 30


async def test_ten_thousand_are_told_in_equal_parts_within_the_spread() -> None:
    class Stub:
        def _drain(self, reason: str, at_once: bool) -> None:
            times.append(anyio.current_time())
            open_connections.here().discard(self)

    times: list[float] = []
    for _ in range(10_000):
        open_connections.here().add(Stub())
    began = anyio.current_time()
    assert await drain(spread=0.5) == 0
    batches = [times[start : start + 2000] for start in range(0, 10_000, 2000)]
    for number, batch in enumerate(batches):
        assert batch[0] - began >= 0.1 * number
    assert times[-1] - began < 0.5 + 4  # which a busy machine may need


async def test_all_are_told_at_once_without_a_spread(layer: InMemoryChannelLayer) -> None:
    member, wires = a_member(), [Wire() for _ in range(30)]
    async with anyio.create_task_group() as tasks:
        for wire in wires:
            start(tasks, wire, member.as_asgi())
            await wire.accepted()
        began = anyio.current_time()
        await drain(batch=1, spread=0)
        assert anyio.current_time() - began < 2.9


# Handshakes


@pytest.mark.parametrize("scope", [{}, CAN_DENY])
async def test_a_pending_handshake_is_refused_at_once(scope: dict[str, Any], layer: InMemoryChannelLayer) -> None:
    class Asking(Member):
        async def connect(self) -> None:
            self.began.set()
            await anyio.sleep_forever()

    Asking.began = anyio.Event()
    async with connecting(Asking.as_asgi(), **scope) as wire:
        await Asking.began.wait()
        assert await drain(retry=(7, 7)) == 0
        await wire.end()
        expect_refusal(wire, "7")
    assert Asking.codes == [1012]


@pytest.mark.parametrize("scope", [{}, CAN_DENY])
@pytest.mark.parametrize("kind", ["consumer", "endpoint"])
async def test_a_new_handshake_is_refused(scope: dict[str, Any], kind: str, layer: InMemoryChannelLayer) -> None:
    app: Any = a_member().as_asgi() if kind == "consumer" else BaseWSEndpoint
    await drain(retry=(7, 7))
    async with connecting(app, **scope) as wire:
        await wire.end()
        assert wire.error is None
        expect_refusal(wire, "7")
    assert len(open_connections.here()) == 0


def expect_refusal(wire: Wire, seconds: str) -> None:
    if len(wire.sent) == 2:
        start, body = wire.sent
        assert (start["type"], start["status"]) == ("websocket.http.response.start", 503)
        assert start["headers"] == [(b"retry-after", seconds.encode())]
        assert body == {"type": "websocket.http.response.body", "body": b""}
    else:
        assert wire.sent == [{"type": "websocket.close", "code": 1012, "reason": f"retry={seconds}-{seconds}"}]


async def test_each_refused_client_gets_a_time_of_its_own_between_the_bounds(layer: InMemoryChannelLayer) -> None:
    await drain(retry=(2.5, 60))
    seconds = []
    for _ in range(30):
        async with connecting(a_member().as_asgi(), **CAN_DENY) as wire:
            await wire.end()
            seconds.append(int(dict(wire.sent[0]["headers"])[b"retry-after"]))
    assert min(seconds) >= 3 and max(seconds) <= 60
    assert len(set(seconds)) > 5


# Who is drained


async def test_an_endpoint_ends_as_after_its_clients_disconnect() -> None:
    class Endpoint(NotedEndpoint):
        def __eq__(self, other: object) -> bool:  # which makes it unhashable
            return self is other

    async with accepted(Endpoint) as server:
        server.text("wait")
        await Endpoint.started.wait()
        assert await drain() == 0
        assert await server.end() == [CLOSED]
        assert server.error is None
    assert Endpoint.seen == ["cancelled", ("unregistered", None), ("disconnected", 1012)]
    assert len(open_connections.here()) == 0


async def test_what_has_ended_is_not_known_any_more(layer: InMemoryChannelLayer) -> None:
    class Endpoint(NotedEndpoint):
        pass

    async with connected(a_member().as_asgi()), accepted(Endpoint) as server:
        assert len(open_connections.here()) == 2
        server.disconnect()
        await server.end()
        assert len(open_connections.here()) == 1
    assert len(open_connections.here()) == 0


@pytest.mark.parametrize("by_drain", [True, False])
async def test_what_has_closed_itself_hears_its_own_code(by_drain: bool, layer: InMemoryChannelLayer) -> None:
    class Closing(Member):
        async def receive(self, text_data: str) -> None:
            await self.close(4001)

    async with connected(Closing.as_asgi()) as wire:
        wire.text("close")
        assert (await wire.next())["code"] == 4001
        await (drain() if by_drain else layer.close_group("everyone", 4002, "bye"))
        await wire.end()
    assert Closing.codes == [4001]


async def test_a_connection_that_ends_already_is_waited_for(layer: InMemoryChannelLayer) -> None:
    log: list[Any] = []
    async with connected(Recorder.as_asgi(log=log)) as wire:
        wire.text("sleep")
        await eventually(lambda: "sleep" in log)
        wire.disconnect(1001)
        await eventually(lambda: wire.everything_is_read)
        assert await drain() == 0
        assert wire.finished.is_set()
    assert disconnects(log) == [("disconnect", 1001)]


async def test_a_second_drain_waits_for_the_same_connections(layer: InMemoryChannelLayer) -> None:
    member = a_member()
    async with connected(member.as_asgi()) as wire, anyio.create_task_group() as tasks:
        wire.text("one")
        await member.began.wait()
        tasks.start_soon(drain)
        tasks.start_soon(drain)
        await eventually(lambda: open_connections.here().reason)
        member.gate.set()
    assert member.codes == [1012]


def test_an_event_loop_that_has_ended_is_not_kept(anyio_backend: str) -> None:
    async def main() -> Any:
        await drain()
        return ref(running_loop())

    loop = anyio.run(main, backend=anyio_backend)
    gc.collect()
    assert loop() is None


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("retry", (20, 5)),
        ("retry", (-1, 5)),
        ("batch", 0),
        ("batch", 1.5),
        ("timeout", 0),
        ("spread", -1),
        ("spread", 16),
    ],
)
async def test_an_argument_that_cannot_work_is_refused_before_anything_happens(argument: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{argument} is "):
        await drain(**{argument: value})
    assert open_connections.here().reason is None
