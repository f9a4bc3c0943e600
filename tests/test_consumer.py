"""`as_asgi()`: what it returns, and what it refuses."""

import inspect
from typing import Any

import pytest

import consumers
from consumers import AsyncConsumer, AsyncWebsocketConsumer, InMemoryChannelLayer, WebsocketConsumer

from .support.wire import Wire, connected, connecting, run_app, websocket_scope

pytestmark = pytest.mark.anyio


async def test_the_application_is_an_object_with_the_class_and_its_arguments() -> None:
    class Named(AsyncConsumer):
        """What it does."""

        def __init__(self, name: str) -> None:
            self.name = name

        async def websocket_connect(self, message: Any) -> None:
            seen.append((self, self.name))

    seen: list[tuple[Any, str]] = []
    app = Named.as_asgi(name="x")
    assert app.consumer_class is Named
    assert app.consumer_initkwargs == {"name": "x"}
    assert app.__name__ == "Named"  # type: ignore[attr-defined]
    assert app.__doc__ == "What it does."
    assert not inspect.isfunction(app)
    assert inspect.iscoroutinefunction(app.__call__)
    for _ in range(2):
        wire = Wire()
        wire.client("connect")
        wire.disconnect()
        await run_app(wire, app, websocket_scope())
        assert wire.error is None
    assert [name for _, name in seen] == ["x", "x"]
    assert seen[0][0] is not seen[1][0]


async def test_a_class_called_as_an_application_says_what_to_write() -> None:
    with pytest.raises(TypeError, match=r"write AsyncWebsocketConsumer\.as_asgi\(\)"):
        AsyncWebsocketConsumer(websocket_scope(), None, None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_tasks", 0),
        ("max_tasks", "4"),
        ("inbox_limit", 0),
        ("disconnect_timeout", -1),
        ("cleanup_timeout", None),
        ("stall_timeout", float("nan")),
        ("overflow", "dorp"),
        ("groups", "chat"),
    ],
)
async def test_an_attribute_that_cannot_work_is_refused_at_once(name: str, value: Any) -> None:
    consumer: Any = type("Misspelt", (AsyncWebsocketConsumer,), {name: value})
    with pytest.raises(ValueError, match=rf"Misspelt\.{name} must be .* not .*{value}"):
        consumer.as_asgi()


async def test_url_route_is_always_there_and_has_starlettes_path_parameters() -> None:
    class Route(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            routes.append(self.scope["url_route"])
            await super().connect()

    routes: list[Any] = []
    for scope in (
        {},
        {"path_params": {"room": "a"}},
        {"path_params": {"room": "a"}, "url_route": {"args": ("b",), "kwargs": {"c": 1}}},
    ):
        async with connected(Route.as_asgi(), **scope):
            pass
    assert routes == [
        {"args": (), "kwargs": {}},
        {"args": (), "kwargs": {"room": "a"}},
        {"args": ("b",), "kwargs": {"room": "a", "c": 1}},
    ]


async def test_every_public_name_exists() -> None:
    for name in consumers.__all__:
        assert getattr(consumers, name)


class AsyncMistakes:
    class Positional(AsyncWebsocketConsumer):
        async def receive(self, text_data: str, /) -> None: ...

    class NoDefaults(AsyncWebsocketConsumer):
        async def receive(self, text_data: str, bytes_data: bytes) -> None: ...

    class Receive(AsyncWebsocketConsumer):
        async def receive(self, data: str) -> None: ...


class SyncMistakes:
    class OnError(WebsocketConsumer):
        async def on_error(self, exc: Exception, message: Any) -> None: ...  # type: ignore[override]

    class Receive(WebsocketConsumer):
        async def receive(self, text_data: str) -> None: ...  # type: ignore[override]


@pytest.mark.parametrize(
    ("consumer", "advice"),
    [
        (AsyncMistakes.Positional, r"Positional\.receive\(.*\) is called with text_data"),
        (AsyncMistakes.NoDefaults, r"NoDefaults\.receive\(.*\) is called with text_data=\.\.\. or .*: write receive"),
        (SyncMistakes.OnError, r"OnError\.on_error\(\) must be a plain `def`"),
        (AsyncMistakes.Receive, r"Receive\.receive\(.*\) is called with text_data"),
        (SyncMistakes.Receive, r"Receive\.receive\(\) must be a plain `def`"),
    ],
)
async def test_a_method_that_cannot_be_called_is_refused_at_once(consumer: Any, advice: str) -> None:
    with pytest.raises(TypeError, match=advice):
        consumer.as_asgi()


async def test_names_that_are_the_applications_own_are_not_checked() -> None:
    class Worker(AsyncConsumer):
        async def receive(self, message: Any) -> None: ...

        def handle(self, thing: Any) -> None: ...

    class Returning(AsyncWebsocketConsumer):
        def connect(self) -> Any:
            return super().connect()

    Worker.as_asgi()
    async with connected(Returning.as_asgi()):
        pass


async def test_a_plain_hook_of_an_async_consumer_says_what_to_write() -> None:
    class Plain(AsyncWebsocketConsumer):
        def connect(self) -> Any:
            return answer

    answer = None  # which could be a coroutine, for all that `as_asgi()` can see
    async with connecting(Plain.as_asgi()) as wire:
        await wire.end()
    assert "Plain.connect() must be `async def`" in str(wire.error)


async def test_a_plain_handler_of_an_async_consumer_says_what_to_write(layer: InMemoryChannelLayer) -> None:
    class Plain(AsyncWebsocketConsumer):
        groups = ["room"]

        def note(self, event: Any) -> None: ...

    async with connected(Plain.as_asgi()) as wire:
        await layer.group_send("room", {"type": "note"})
        await wire.end()
    assert "Plain.note() must be `async def`" in str(wire.error)


async def test_a_background_task_that_was_called_already_says_what_to_write() -> None:
    class Calling(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            self.start_background_task(self.push())  # type: ignore[arg-type]

        async def push(self) -> None: ...

    async with connecting(Calling.as_asgi()) as wire:
        await wire.end()
    assert "start_background_task(self.push, 'news')" in str(wire.error)


async def test_one_instance_serves_one_connection() -> None:
    consumer = AsyncWebsocketConsumer()
    async with connected(consumer), connecting(consumer) as second:
        await second.end()
    assert "write AsyncWebsocketConsumer.as_asgi()" in str(second.error)


async def test_a_forgotten_answer_to_the_handshake_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    class Silent(AsyncWebsocketConsumer):
        async def connect(self) -> None: ...

    async with connecting(Silent.as_asgi()):
        pass
    assert "connect() had not called accept(), close() or deny()" in caplog.text


async def test_text_that_is_no_str_says_so() -> None:
    class Sending(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            await self.accept()
            await self.send({"a": 1})  # type: ignore[arg-type]

    async with connected(Sending.as_asgi()) as wire:
        await wire.end()
    assert str(wire.error) == "text_data must be a str, not dict; JSON consumers have send_json()"


async def test_a_dispatch_that_is_replaced_later_sees_every_message(
    layer: InMemoryChannelLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Room(AsyncWebsocketConsumer):
        groups = ["room"]

        async def receive(self, text_data: str) -> None:
            await self.send("received")

        async def note(self, event: Any) -> None:
            await self.send("noted")

    class Wrapped(Room):
        """Replaces the method of its instance alone."""

        def __init__(self) -> None:
            super().__init__()
            own = self.dispatch

            async def dispatch(message: Any) -> None:
                seen.append(message["type"])
                await own(message)

            self.dispatch = dispatch  # type: ignore[method-assign]

    async def converse(consumer_class: type[AsyncWebsocketConsumer]) -> list[str]:
        seen.clear()
        async with connected(consumer_class.as_asgi()) as wire:
            wire.text("hello")
            assert await wire.next_text() == "received"
            for _ in range(2):
                await layer.group_send("room", {"type": "note"})
                assert await wire.next_text() == "noted"
        return seen

    seen: list[str] = []
    everything = ["websocket.connect", "websocket.receive", "note", "note", "websocket.disconnect"]
    own = Room.dispatch

    async def dispatch(self: Room, message: Any) -> None:
        seen.append(message["type"])
        await own(self, message)

    assert await converse(Room) == []
    assert await converse(Wrapped) == everything
    with monkeypatch.context() as patch:
        patch.setattr(Room, "dispatch", dispatch)
        assert await converse(Room) == everything
        patch.setattr(Room, "dispatch", own)
    assert await converse(Room) == []
