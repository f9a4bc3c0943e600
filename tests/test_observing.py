"""The moments at which an observer is called, in their order; those that OpenTelemetry counts are in `telemetry`."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.websockets import WebSocket

from consumers import (
    AsyncWebsocketConsumer,
    BaseWSEndpoint,
    ChannelFull,
    InMemoryChannelLayer,
    _observing,
    channel_layers,
)
from consumers.layers import _observed
from consumers.types import DropReason, Ends, MessageSource, Receive, Scope, Send

from .support.wire import connected, connecting, eventually

pytestmark = pytest.mark.anyio

OPERATIONS = ("send", "group_send", "group_add", "group_discard", "close_group")


class Recorder:
    """An observer of all, which writes down what it sees."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []
        self.waiting: Callable[[], int] = int

    def connection(self, owner: type, scope: Scope) -> "Recorder":
        self.seen.append(("connection", owner.__name__, scope["type"]))
        return self

    def layer(self, layer: Any) -> None:
        self.seen.append(("layer", type(layer).__name__))
        _observed.observe(layer, self)

    def opened(self, waiting: Callable[[], int]) -> None:
        self.waiting = waiting
        self.seen.append(("opened",))

    def closed(self, code: int | None, is_rejected: bool = False) -> None:
        self.seen.append(("closed", code, is_rejected))

    def received(self, source: MessageSource) -> None:
        self.seen.append(("received", source))

    def sent(self) -> None:
        self.seen.append(("sent",))

    def dropped(self, reason: DropReason, count: int = 1) -> None:
        if count:
            self.seen.append(("dropped", reason, count))

    def begins(self, name: str | None) -> Ends:
        self.seen.append(("begins", name))
        return lambda error: self.seen.append(("ends", name, type(error).__name__))

    def of(self, *kinds: str) -> list[tuple[Any, ...]]:
        """Return what was seen of these kinds."""
        return [moment for moment in self.seen if moment[0] in kinds]


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """Have everything observed during the test."""
    recorder = Recorder()
    _observing.observe(recorder)
    try:
        yield recorder
    finally:
        _observing.observe(None)


class Member(AsyncWebsocketConsumer):
    groups = ["g"]
    disconnect_timeout = 0.05

    async def receive(self, text_data: str) -> None:
        if text_data == "hang":
            await anyio.sleep_forever()
        await self.send(text_data)

    async def news(self, event: dict[str, Any]) -> None:
        raise KeyError("news")


class Endpoint(BaseWSEndpoint):
    encoding = "text"

    async def _background_handler(self, task_id: str, websocket: WebSocket, data: str) -> None:
        await websocket.send_text(data)


async def test_a_consumers_life_is_seen_in_its_order(recorder: Recorder, layer: InMemoryChannelLayer) -> None:
    async with connecting(Member.as_asgi()) as wire:
        await wire.accepted()
        wire.text("hello")
        assert await wire.next_text() == "hello"
        await layer.group_send("g", {"type": "unknown"})
        await eventually(lambda: bool(recorder.of("dropped")))
        await layer.group_send("g", {"type": "news"})
        await wire.end()
    assert isinstance(wire.error, KeyError)
    assert recorder.seen == [
        ("connection", "Member", "websocket"),
        ("opened",),
        ("begins", "websocket_connect"),
        ("ends", "websocket_connect", "NoneType"),
        ("received", "client"),
        ("begins", "websocket_receive"),
        ("sent",),
        ("ends", "websocket_receive", "NoneType"),
        ("received", "layer"),
        ("dropped", "no_handler", 1),
        ("received", "layer"),
        ("begins", "news"),
        ("ends", "news", "KeyError"),
        ("begins", "websocket_disconnect"),
        ("ends", "websocket_disconnect", "StopConsumer"),
        ("closed", 1011, False),
    ]


async def test_an_endpoints_life_is_seen_in_its_order(recorder: Recorder) -> None:
    async with connected(Endpoint) as wire:
        wire.text("hello")
        assert await wire.next_text() == "hello"
    assert recorder.seen == [
        ("connection", "Endpoint", "websocket"),
        ("opened",),
        ("begins", "on_connect"),
        ("ends", "on_connect", "NoneType"),
        ("received", "client"),
        ("begins", "_background_handler"),
        ("sent",),
        ("ends", "_background_handler", "NoneType"),
        ("begins", "on_disconnect"),
        ("ends", "on_disconnect", "NoneType"),
        ("closed", 1000, False),
    ]
    assert recorder.waiting() == 0


@pytest.mark.parametrize("members", [1, 5])
async def test_each_member_of_a_group_sees_its_message(
    recorder: Recorder, layer: InMemoryChannelLayer, members: int
) -> None:
    async with anyio.create_task_group() as tasks:
        for _ in range(members):
            tasks.start_soon(_live_until_error, Member)
        await eventually(lambda: len(layer.groups.get("g", ())) == members)
        await layer.group_send("g", {"type": "news"})
    assert recorder.of("received") == [("received", "layer")] * members
    assert recorder.of("closed") == [("closed", 1011, False)] * members


async def _live_until_error(consumer: type[AsyncWebsocketConsumer]) -> None:
    async with connecting(consumer.as_asgi()) as wire:
        await wire.end()


async def test_what_is_dropped_is_seen_with_its_reason(recorder: Recorder) -> None:
    layer = InMemoryChannelLayer(capacity=2)
    channel_layers.set("default", layer)
    recorder.seen.clear()
    async with connected(Member.as_asgi()) as wire:
        for _ in range(2):
            wire.text("hang")
        await eventually(lambda: recorder.waiting() == 1)
        for _ in range(3):
            await layer.group_send("g", {"type": "news"})
        with pytest.raises(ChannelFull):
            await layer.send(next(iter(layer.groups["g"])), {"type": "news"})
        assert recorder.waiting() == 3
        wire.disconnect()
        await eventually(lambda: wire.everything_is_read)
        await layer.group_send("g", {"type": "news"})
    assert recorder.of("dropped") == [
        ("dropped", "mailbox_full", 1),
        ("dropped", "mailbox_full", 1),
        ("dropped", "ending", 1),  # what came after the disconnect
        ("dropped", "ending", 3),  # what waited
        ("dropped", "handler_cancelled", 1),
    ]


@pytest.mark.parametrize("send_timeout", [None, 5.0])
@pytest.mark.parametrize("base", [Member, Endpoint])
async def test_only_what_the_server_took_is_seen_as_sent(
    recorder: Recorder, layer: InMemoryChannelLayer, base: Any, send_timeout: float | None
) -> None:
    limited: Any = type("Limited", (base,), {"send_timeout": send_timeout})
    async with connected(limited if base is Endpoint else limited.as_asgi()) as wire:
        wire.text("hello")
        await wire.next()
        assert recorder.of("sent") == [("sent",)]
        wire.gone = True
        wire.text("hello")
        await eventually(lambda: wire.everything_is_read)
    assert recorder.of("sent") == [("sent",)]


@pytest.mark.parametrize("base", [Member, Endpoint])
async def test_a_message_beyond_a_limit_is_seen_and_then_dropped(
    recorder: Recorder, layer: InMemoryChannelLayer, base: Any
) -> None:
    limited: Any = type("Limited", (base,), {"max_message_size": 3})
    async with connected(limited if base is Endpoint else limited.as_asgi()) as wire:
        wire.text("four")
        await wire.end()
    assert recorder.of("received", "dropped") == [("received", "client"), ("dropped", "limit", 1)]
    assert recorder.of("closed") == [("closed", 1009, False)]


async def test_a_type_that_names_no_method_is_seen_as_none(
    recorder: Recorder, unchecked_layer: InMemoryChannelLayer
) -> None:
    class Strict(Member):
        strict_types = True

    async with connecting(Strict.as_asgi()) as wire:
        await wire.accepted()
        await unchecked_layer.group_send("g", {"type": "_private"})
        await wire.end()
    assert isinstance(wire.error, ValueError)
    assert recorder.of("begins", "ends")[2:4] == [("begins", None), ("ends", None, "ValueError")]


@pytest.mark.parametrize("ends", ["before the accept", "after a close"])
async def test_the_code_is_the_sockets_or_else_that_of_the_end(
    recorder: Recorder, layer: InMemoryChannelLayer, ends: str
) -> None:
    async def fail(websocket: Any) -> None:
        if ends == "after a close":
            await websocket.accept()
            await websocket.close(4001)
        raise KeyError(ends)

    class Failing(Member):
        connect = fail

    class FailingEndpoint(Endpoint):
        async def on_connect(self, websocket: WebSocket) -> None:
            await fail(websocket)

    for app in (Failing.as_asgi(), FailingEndpoint):
        async with connecting(app) as wire:
            await wire.end()
        assert isinstance(wire.error, KeyError)
    assert recorder.of("closed") == [("closed", 4001 if ends == "after a close" else 1011, False)] * 2


async def test_an_event_that_nobody_handled_is_no_message_that_is_dropped(recorder: Recorder) -> None:
    class Late(InMemoryChannelLayer):
        async def new_channel(self, prefix: str = "") -> str:
            await anyio.wait_all_tasks_blocked()
            raise ConnectionError("no channel")

    channel_layers.set("default", Late())
    async with connecting(Member.as_asgi()) as wire:
        await wire.end()
    assert isinstance(wire.error, ConnectionError)
    assert recorder.waiting() == 1  # `websocket.connect`
    assert recorder.of("received", "dropped") == []


async def test_a_refused_handshake_is_seen_as_that(recorder: Recorder, layer: InMemoryChannelLayer) -> None:
    class Refusing(Member):
        async def connect(self) -> None:
            await self.close()

    class RefusingEndpoint(Endpoint):
        async def on_connect(self, websocket: WebSocket) -> None:
            await websocket.close()

    for app in (Refusing.as_asgi(), RefusingEndpoint):
        async with connecting(app) as wire:
            await wire.next()
    assert [is_rejected for _, _, is_rejected in recorder.of("closed")] == [True, True]


async def test_a_handshake_that_an_http_exception_answers_is_seen_as_refused(recorder: Recorder) -> None:
    class Refusing(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            raise HTTPException(401)

    async def within_starlette(scope: Scope, receive: Receive, send: Send) -> None:
        await Refusing.as_asgi()({**scope, "app": Starlette()}, receive, send)

    denials: dict[str, Any] = {"websocket.http.response": {}}
    for app, extensions in ((within_starlette, denials), (Refusing.as_asgi(), denials), (Refusing.as_asgi(), {})):
        async with connecting(app, extensions=extensions) as wire:
            await wire.end()
        assert isinstance(wire.error, HTTPException) == (app is within_starlette)
    assert recorder.of("closed") == [("closed", 1006, True), ("closed", 1006, True), ("closed", 1008, True)]


async def test_an_endpoints_methods_are_seen_under_their_own_names(recorder: Recorder) -> None:
    def decorated(method: Callable[..., Any]) -> Callable[..., Any]:
        async def wrapper(*args: Any) -> Any:
            return await method(*args)

        return wrapper

    class Decorated(Endpoint):
        on_connect = decorated(BaseWSEndpoint.on_connect)
        _background_handler = decorated(Endpoint._background_handler)
        on_disconnect = decorated(BaseWSEndpoint.on_disconnect)

    async with connected(Decorated) as wire:
        wire.text("hello")
        await wire.next_text()
    assert [name for _, name in recorder.of("begins")] == ["on_connect", "_background_handler", "on_disconnect"]


async def test_a_cut_off_disconnect_of_an_endpoint_is_logged_by_its_name(
    recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    class Slow(Endpoint):
        EXIT_MAX_DELAY = 0.05

        async def on_disconnect(self, websocket: WebSocket, close_code: int) -> None:
            await anyio.sleep_forever()

    async with connected(Slow):
        pass
    assert [record.getMessage() for record in caplog.records] == ["Slow.on_disconnect was cut off after 0.05 s"]
    assert [moment[1] for moment in recorder.of("ends")] == ["on_connect", "on_disconnect"]
    assert recorder.of("closed") == [("closed", 1000, False)]


async def test_a_connection_that_begins_without_an_observer_is_not_seen(layer: InMemoryChannelLayer) -> None:
    recorder = Recorder()
    for app in (Member.as_asgi(), Endpoint):
        async with connected(app) as wire:
            _observing.observe(recorder)
            wire.text("hello")
            assert await wire.next_text() == "hello"
            _observing.observe(None)
    assert recorder.seen == []


async def test_a_layer_calls_its_observer_and_stays_what_it_was(recorder: Recorder) -> None:
    layer = InMemoryChannelLayer()
    before = dict(vars(layer))
    channel_layers.set("default", layer)
    await layer.group_add("g", "c")
    await layer.group_send("g", {"type": "x"})
    with pytest.raises(TypeError):
        await layer.send("no name at all", {"type": "x"})
    assert recorder.seen == [
        ("layer", "InMemoryChannelLayer"),
        ("begins", "group_add"),
        ("ends", "group_add", "NoneType"),
        ("begins", "group_send"),
        ("ends", "group_send", "NoneType"),
        ("begins", "send"),
        ("ends", "send", "TypeError"),
    ]
    assert not vars(layer).keys() & set(OPERATIONS)
    _observed.release(layer)
    assert vars(layer) == before


async def test_a_subclass_with_an_operation_of_its_own_is_seen_once(recorder: Recorder) -> None:
    class Own(InMemoryChannelLayer):
        async def group_send(self, group: str, message: Any) -> None:  # type: ignore[override]  # as Channels has it
            await anyio.lowlevel.checkpoint()
            await super().group_send(group, message)

    layer = Own()
    before = dict(vars(layer))
    channel_layers.set("default", layer)
    await layer.group_send("g", {"type": "x"})
    await layer.group_add("g", "c")
    assert [name for _, name in recorder.of("begins")] == ["group_send", "group_add"]
    _observed.release(layer)
    assert vars(layer) == before


async def test_an_operation_that_was_put_on_the_object_is_seen_and_stays(recorder: Recorder) -> None:
    layer: Any = InMemoryChannelLayer()

    async def own(channel: str, message: Any) -> None: ...

    layer.send = own
    channel_layers.set("default", layer)
    await layer.send("c", {"type": "x"})
    await layer.group_add("g", "c")
    assert [name for _, name in recorder.of("begins")] == ["send", "group_add"]
    _observed.release(layer)
    assert layer.send is own and "group_add" not in vars(layer)


@pytest.mark.parametrize("name", OPERATIONS)
async def test_an_operation_that_nobody_observes_is_the_method_itself(name: str) -> None:
    layer = InMemoryChannelLayer()
    method = getattr(layer, name)
    assert method.__func__ is getattr(InMemoryChannelLayer, name)
    assert inspect.iscoroutinefunction(method)
    _observed.observe(layer, Recorder())
    seen = getattr(layer, name)
    assert inspect.iscoroutinefunction(seen)
    assert seen.__name__ == name and inspect.signature(seen) == inspect.signature(method)


async def test_a_handler_that_nobody_observes_is_called_by_the_connection_itself(layer: InMemoryChannelLayer) -> None:
    callers: list[str] = []

    class Direct(Member):
        async def receive(self, text_data: str) -> None:
            frame = inspect.currentframe()
            assert frame is not None and frame.f_back is not None
            callers.append(frame.f_back.f_code.co_name)
            await self.send("done")

    async with connected(Direct.as_asgi()) as wire:
        wire.text("hello")
        await wire.next_text()
    assert callers == ["serve_in_turn"]
    method = Endpoint.on_connect
    assert _observing.observed(None, "on_connect", method) is method
