"""Which handler a layer's message reaches."""

import gc
from collections.abc import Awaitable, Generator
from functools import partial
from typing import Any
from weakref import ref

import anyio
import anyio.lowlevel
import pytest

from consumers import (
    AsyncConsumer,
    AsyncJsonWebsocketConsumer,
    AsyncWebsocketConsumer,
    InMemoryChannelLayer,
    InvalidChannelLayerError,
)
from consumers._checks.classes import takes
from consumers._connection.dispatch import HandlerNames
from consumers.types import Message

from ..support.recorder import Recorder
from ..support.slow import left_to_ci
from ..support.wire import Wire, connected, connecting, eventually, run_app, start

pytestmark = pytest.mark.anyio


async def test_unknown_and_framework_types_are_logged_once_and_dropped(
    unchecked_layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture
) -> None:
    types: list[Any] = [
        "send",
        "close",
        "accept",
        "deny",
        "dispatch",
        "as.asgi",
        "as_asgi",
        "connect",
        "disconnect",
        "receive",
        "on_error",
        "base_send",
        "scope",
        "groups",
        "channel_layer",
        "start_background_task",
        "websocket.disconnect",
        "websocket.connect",
        "websocket.receive",
        "websocket.send",
        "http.request",
        "nobody.knows",
        "_private",
        "__init__",
    ]
    types += ["", "a\nb", 7, None, ["x"]]

    class Guarded(Recorder):
        pass  # a class of its own: what was logged is remembered by class

    log: list[Any] = []
    async with connected(Guarded.as_asgi(log=log)) as wire:
        for _ in range(2):
            for kind in types:
                await unchecked_layer.group_send("everyone", {"type": kind, "code": 1000, "text": "x"})
            await unchecked_layer.group_send("everyone", {"no": "type"})
            wire.text("echo alive")
            assert await wire.next_text() == "echo alive"
    assert log == ["connect", "echo alive", "echo alive", ("disconnect", 1000)]
    lines = [record.getMessage() for record in caplog.records if record.name == "consumers.connection"]
    assert (
        len(lines) == len(set(lines)) == len(types)
    )  # as.asgi and as_asgi are one; the message without a type is another
    assert not any("\n" in line for line in lines)


async def test_types_invented_by_a_client_do_not_flood_the_log(
    layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture
) -> None:
    class Flooded(Recorder):
        pass

    async with connected(Flooded.as_asgi(log=[])) as wire:
        for number in range(1_000):
            await layer.group_send("everyone", {"type": f"invented.{number}"})
        wire.text("echo")
        await wire.next_text()
    assert len([r for r in caplog.records if "invented" in r.getMessage()]) == 101


async def test_strict_types_raise_for_an_unknown_type(layer: InMemoryChannelLayer) -> None:
    class Strict(Recorder):
        strict_types = True

    async with connected(Strict.as_asgi(log=[])) as wire:
        await layer.group_send("everyone", {"type": "nobody.knows"})
        await wire.end()
    assert isinstance(wire.error, ValueError)
    assert "No handler for message type nobody.knows" in str(wire.error)
    async with connected(Strict.as_asgi(log=[])) as wire:
        await layer.group_send("everyone", {"type": "close"})
        wire.text("echo")
        assert await wire.next_text() == "echo"


async def test_a_handler_of_the_applications_is_reached(layer: InMemoryChannelLayer) -> None:
    class Own(AsyncJsonWebsocketConsumer):
        groups = ["everyone"]

        async def websocket_send(self, event: Any) -> None:
            await self.send(event["text"])

    async with connected(Own.as_asgi()) as wire:
        await layer.group_send("everyone", {"type": "websocket.send", "text": "mine"})
        assert await wire.next_text() == "mine"


@pytest.mark.parametrize("tasks", [1, 3])
async def test_a_property_is_never_read_for_a_layer_message(layer: InMemoryChannelLayer, tasks: int) -> None:
    class Guarded(Recorder):
        max_tasks = tasks

        @property
        def current(self) -> None:
            raise LookupError("read")

    async with connected(Guarded.as_asgi(log=[])) as wire:
        await layer.group_send("everyone", {"type": "current"})
        wire.text("echo")
        assert await wire.next_text() == "echo"
    assert wire.error is None


async def test_groups_without_a_layer_say_what_to_configure(no_layer: None) -> None:
    async with connecting(Recorder.as_asgi(log=[])) as wire:
        await wire.end()
    assert isinstance(wire.error, InvalidChannelLayerError)
    assert "groups = ['everyone']" in str(wire.error)
    assert "there is no channel layer 'default'" in str(wire.error)


@pytest.mark.parametrize("anyio_backend", ["asyncio", *left_to_ci("trio")])
@pytest.mark.parametrize("max_tasks", [1, 4])
async def test_300_group_sends_in_a_row_reach_20_healthy_members(layer: InMemoryChannelLayer, max_tasks: int) -> None:
    received: list[int] = []

    class Member(Recorder):
        async def note(self, event: Any) -> None:
            await anyio.lowlevel.checkpoint()
            received.append(event["number"])

    Member.max_tasks = max_tasks
    wires = [Wire() for _ in range(20)]
    async with anyio.create_task_group() as tasks:
        for wire in wires:
            start(tasks, wire, Member.as_asgi(log=[]))
        for wire in wires:
            await wire.accepted()
        for number in range(300):
            await layer.group_send("everyone", {"type": "note", "number": number})
        await eventually(lambda: len(received) == 6_000)
        for wire in wires:
            wire.disconnect()
    assert layer.dropped == 0


@pytest.mark.parametrize("max_tasks", [1, 3])
async def test_a_plain_handler_that_is_put_in_place_later_says_what_to_write(
    layer: InMemoryChannelLayer, monkeypatch: pytest.MonkeyPatch, max_tasks: int
) -> None:
    class Room(Recorder):
        async def note(self, event: Any) -> None: ...

    Room.max_tasks = max_tasks
    async with connected(Room.as_asgi(log=[])) as wire:
        monkeypatch.setattr(Room, "note", lambda self, event: None)
        await layer.group_send("everyone", {"type": "note"})
        await wire.end()
    assert "must be `async def`: this is an async consumer" in str(wire.error)


async def test_a_descriptor_that_needs_an_instance_may_be_a_handler(layer: InMemoryChannelLayer) -> None:
    seen: list[Any] = []

    class Counted:
        def __init__(self, function: Any) -> None:
            self.function = function

        def __call__(self, consumer: Any, event: Any) -> Any:
            return self.function(consumer, event)

        def __get__(self, consumer: Any, owner: Any = None) -> Any:
            consumer.looked_up += 1
            return partial(self.function, consumer)

    class Room(AsyncWebsocketConsumer):
        groups = ["everyone"]
        looked_up = 0

        @Counted
        async def note(self, event: Any) -> None:
            seen.append(event["number"])

    async with connected(Room.as_asgi()):
        await layer.group_send("everyone", {"type": "note", "number": 1})
        await eventually(lambda: seen == [1])


async def test_what_replaces_websocket_receive_before_the_first_frame_is_called() -> None:
    frames: list[Any] = []

    async def receive(message: Any) -> None:
        frames.append(message["text"])

    class Room(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            await super().connect()
            self.websocket_receive = receive  # type: ignore[method-assign]

    async with connected(Room.as_asgi()) as wire:
        wire.text("hello")
        await eventually(lambda: frames == ["hello"])


async def test_an_event_of_the_servers_own_goes_to_its_own_method_whatever_is_in_it() -> None:
    log: list[Any] = []

    class Room(AsyncWebsocketConsumer):
        async def server_event(self, message: Any) -> None:
            log.append(message["text"])

    async with connected(Room.as_asgi()) as wire:
        wire.event({"type": "server.event", "text": "hello"})
        await eventually(lambda: log == ["hello"])


def test_of_the_types_that_clients_may_choose_only_spellings_of_handlers_are_kept() -> None:
    names = HandlerNames(frozenset({"chat_user_joined"}))
    for kind in ("chat.user.joined", "chat.user_joined", "chat_user_joined"):
        assert names[kind] == "chat_user_joined"
    for number in range(1000):
        assert names[f"chat.{number}"] is None
    assert len(names) == 3


async def test_what_replaces_websocket_receive_before_the_first_text_is_called(layer: InMemoryChannelLayer) -> None:
    got: list[str] = []

    class Member(AsyncWebsocketConsumer):
        groups = ["room"]

        async def replace(self, event: dict[str, Any]) -> None:
            self.websocket_receive = self.other  # type: ignore[assignment, method-assign]
            await self.send("replaced")

        async def other(self, message: dict[str, Any]) -> None:
            got.append(f"other {message['text']}")

        async def receive(self, text_data: str) -> None:
            got.append(text_data)

    async with connected(Member.as_asgi()) as wire:
        await layer.group_send("room", {"type": "replace"})
        assert await wire.next_text() == "replaced"
        wire.text("hello")
        await eventually(lambda: got == ["other hello"])


class FalsyAwaitable:
    """To be awaited, and false as an empty list is."""

    def __init__(self, awaited: Awaitable[None]) -> None:
        self.awaited = awaited

    def __len__(self) -> int:
        return 0

    def __await__(self) -> Generator[Any, Any, None]:
        return self.awaited.__await__()


async def test_what_a_handler_returns_may_be_false_if_it_can_be_awaited(layer: InMemoryChannelLayer) -> None:
    class Member(AsyncWebsocketConsumer):
        groups = ["room"]

        async def _answer(self, text: str) -> None:
            await self.send(text)

        def dispatch(self, message: Message) -> Awaitable[None]:
            return FalsyAwaitable(super().dispatch(message))

        def note(self, event: dict[str, Any]) -> Awaitable[None]:
            return FalsyAwaitable(self._answer(event["text"]))

    async with connected(Member.as_asgi()) as wire:
        await layer.group_send("room", {"type": "note", "text": "hello"})
        assert await wire.next_text() == "hello"


async def test_the_content_of_a_protocol_of_ones_own_may_be_anything() -> None:
    class Sensor(AsyncConsumer):
        async def sensor_value(self, message: dict[str, Any]) -> None:
            await self.send({"type": "sensor.answer", "body": message["body"] + 1})

    wire = Wire()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run_app, wire, Sensor.as_asgi(), {"type": "sensor"})
        for body in (21, 0.5):
            wire.event({"type": "sensor.value", "body": body})
            assert await wire.next() == {"type": "sensor.answer", "body": body + 1}
        tasks.cancel_scope.cancel()


def test_a_class_that_nobody_uses_any_more_is_freed() -> None:
    def make_application() -> ref[type]:
        class Member(AsyncWebsocketConsumer):
            async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
                await super().receive(text_data, bytes_data)  # so this refers to the class

        Member.as_asgi()
        return ref(Member)

    freed = make_application()
    takes.cache_clear()  # which keeps a thousand functions at most
    gc.collect()
    assert freed() is None
