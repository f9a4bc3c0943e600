"""What an exception and the log tell about where something went wrong, and what they keep to themselves."""

import ast
import logging
import traceback
from typing import Any

import anyio
import pytest
from starlette.websockets import WebSocket
from websockets.asyncio.client import connect

from consumers import (
    AsyncJsonWebsocketConsumer,
    AsyncWebsocketConsumer,
    BaseWSEndpoint,
    InMemoryChannelLayer,
    InvalidFrame,
    JsonWebsocketConsumer,
)
from consumers.layers.codec import Codec

from ..support.pages import ROOT
from ..support.serving import close_of, serving
from ..support.wire import connected, connecting

pytestmark = pytest.mark.anyio

SOURCES = [file for package in ("consumers", "compat") for file in (ROOT / package).rglob("*.py")]
CLIENT = ("192.0.2.1", 5)
PLACE = "at '/ws' from 192.0.2.1:5"
SECRET = "attack at dawn"


class Failing(AsyncJsonWebsocketConsumer):
    groups = ["everyone"]
    fails_in = ""

    async def connect(self) -> None:
        if self.fails_in == "connect":
            raise RuntimeError("boom")
        await self.accept()

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        match content:
            case "background":
                self.start_background_task(self.push)
            case [_, "boom"]:
                raise RuntimeError("boom")

    async def chat_message(self, event: Any) -> None:
        raise KeyError("boom")

    async def push(self) -> None:
        raise RuntimeError("boom")

    async def disconnect(self, code: int) -> None:
        if self.fails_in == "disconnect":
            raise RuntimeError("boom")


def notes(error: BaseException | None) -> list[str]:
    """Return the notes that stand beneath the traceback of what has left the application."""
    assert error is not None
    shown = "".join(traceback.format_exception(error))
    found: list[str] = getattr(error, "__notes__", [])
    assert all(note in shown for note in found)
    return found


async def failure_of(app: Any, *messages: Any, **scope: Any) -> BaseException | None:
    """Return what leaves the application after these messages of a client's."""
    async with connected(app, client=CLIENT, **scope) as wire:
        for text in messages:
            wire.text(text)
        await wire.end()
    return wire.error


async def test_a_frames_error_says_where_it_was_raised_and_is_what_it_was(layer: InMemoryChannelLayer) -> None:
    error = await failure_of(Failing.as_asgi(), f'["{SECRET}", "boom"]')
    assert type(error) is RuntimeError
    assert str(error) == "boom"
    assert notes(error) == [f"Failing.websocket_receive() {PLACE}, message type 'websocket.receive'"]


async def test_the_content_is_shown_if_asked_for_and_cut(layer: InMemoryChannelLayer) -> None:
    class Open(Failing):
        show_content = True

    error = await failure_of(Open.as_asgi(), f'["{SECRET}", "boom"]')
    assert SECRET in notes(error)[0]
    error = await failure_of(Open.as_asgi(), f'["{SECRET * 10_000}", "boom"]')
    assert len(notes(error)[0]) < 1200


async def test_a_layers_message_names_its_handler_and_type(layer: InMemoryChannelLayer) -> None:
    async with connected(Failing.as_asgi(), client=CLIENT) as wire:
        await layer.group_send("everyone", {"type": "chat.message", "text": SECRET})
        await wire.end()
    assert type(wire.error) is KeyError
    assert notes(wire.error) == [f"Failing.chat_message() {PLACE}, message type 'chat.message'"]


async def test_a_background_task_is_named(layer: InMemoryChannelLayer) -> None:
    error = await failure_of(Failing.as_asgi(), '"background"')
    assert notes(error) == [f"Failing {PLACE}, background task Failing.push()"]


@pytest.mark.parametrize("where", ["connect", "disconnect"])
async def test_connect_and_disconnect_are_named(where: str, layer: InMemoryChannelLayer) -> None:
    class There(Failing):
        fails_in = where

    async with connecting(There.as_asgi(), client=CLIENT) as wire:
        wire.disconnect()
        await wire.end()
    assert notes(wire.error) == [f"There.websocket_{where}() {PLACE}, message type 'websocket.{where}'"]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_sync_consumers_error_says_it_too(layer: InMemoryChannelLayer) -> None:
    class Sync(JsonWebsocketConsumer):
        def receive_json(self, content: Any, **kwargs: Any) -> None:
            raise RuntimeError("boom")

    error = await failure_of(Sync.as_asgi(), "1")
    assert notes(error) == [f"Sync.websocket_receive() {PLACE}, message type 'websocket.receive'"]


async def test_a_type_that_a_client_chose_adds_no_lines(unchecked_layer: InMemoryChannelLayer) -> None:
    class Strict(Failing):
        strict_types = True

    for kind in ("a\nb", "x" * 10_000):
        async with connected(Strict.as_asgi()) as wire:
            await unchecked_layer.group_send("everyone", {"type": kind})
            await wire.end()
        assert isinstance(wire.error, ValueError)
        (note,) = notes(wire.error)
        assert "\n" not in note
        assert len(note) < 600


async def test_on_error_sees_the_note_and_what_it_raises_instead_has_one_too(layer: InMemoryChannelLayer) -> None:
    seen: list[list[str]] = []

    class Translating(Failing):
        async def on_error(self, exc: Exception, message: Any) -> None:
            seen.append(notes(exc))
            raise LookupError("instead") from exc

    error = await failure_of(Translating.as_asgi(), '["", "boom"]')
    assert type(error) is LookupError
    assert notes(error) == seen[0] == [f"Translating.websocket_receive() {PLACE}, message type 'websocket.receive'"]


async def test_an_exception_that_is_raised_again_and_again_has_one_note_and_keeps_the_applications(
    layer: InMemoryChannelLayer,
) -> None:
    always = RuntimeError("boom")
    always.add_note("the application's own")

    class Repeating(Failing):
        async def receive_json(self, content: Any, **kwargs: Any) -> None:
            raise always

    for path in ("/one", "/two", "/three"):
        error = await failure_of(Repeating.as_asgi(), "1", path=path)
    assert error is always
    assert [note.partition(" from ")[0] for note in notes(error)] == [
        "the application's own",
        "Repeating.websocket_receive() at '/three'",
    ]


async def test_an_exception_that_allows_no_attributes_leaves_as_it_is(layer: InMemoryChannelLayer) -> None:
    class Frozen(Exception):
        def __setattr__(self, name: str, value: object) -> None:
            if not name.startswith("__trace"):
                raise TypeError("frozen")

    class Raising(Failing):
        async def receive_json(self, content: Any, **kwargs: Any) -> None:
            raise Frozen("boom")

    assert type(await failure_of(Raising.as_asgi(), "1")) is Frozen


async def test_an_exception_that_makes_up_its_attributes_leaves_as_it_is(layer: InMemoryChannelLayer) -> None:
    class Answering(Exception):
        def __getattr__(self, name: str) -> Any:
            return 5

    class Raising(Failing):
        async def receive_json(self, content: Any, **kwargs: Any) -> None:
            raise Answering("boom")

    assert type(await failure_of(Raising.as_asgi(), "1")) is Answering


async def test_content_whose_repr_fails_hides_no_error(layer: InMemoryChannelLayer) -> None:
    class Mute:
        def __repr__(self) -> str:
            raise LookupError("no repr")

    class Open(Failing):
        show_content = True

    async with connected(Open.as_asgi()) as wire:
        await layer.group_send("everyone", {"type": "chat.message", "text": Mute()})
        await wire.end()
    assert type(wire.error) is KeyError
    assert "message <dict, whose repr() fails>" in notes(wire.error)[0]


async def test_what_cannot_be_sent_is_not_quoted(layer: InMemoryChannelLayer) -> None:
    wrong: Any = SECRET
    with pytest.raises(TypeError, match=r"not str$"):
        await layer.group_send("everyone", wrong)
    for format in ("json", "msgpack"):
        with pytest.raises(TypeError, match=r"cannot be sent.*its type is 'chat.message'$") as caught:
            Codec(format).encode({"type": "chat.message", "text": SECRET, "value": object()})
        assert SECRET not in "".join(traceback.format_exception(caught.value))


# Endpoints


class Endpoint(BaseWSEndpoint):
    fails_in = ""

    async def on_connect(self, websocket: WebSocket) -> None:
        await websocket.accept()
        self.fail("on_connect")

    async def _background_handler(self, task_id: str, websocket: WebSocket, data: Any) -> None:
        self.fail("handler")

    async def _unregister_background_task(self, task_id: str, websocket: WebSocket, task_result: Any) -> None:
        self.fail("_unregister_background_task")

    async def on_disconnect(self, websocket: WebSocket, close_code: int) -> None:
        self.fail("on_disconnect")

    def fail(self, where: str) -> None:
        if where == self.fails_in:
            raise RuntimeError("boom")


@pytest.mark.parametrize("where", ["on_connect", "handler", "_unregister_background_task", "on_disconnect"])
async def test_an_endpoints_error_names_the_endpoint_its_path_and_the_hook(where: str) -> None:
    app: Any = type("Limited", (Endpoint,), {"fails_in": where})
    async with connected(app, client=CLIENT) as wire:
        wire.text(SECRET)
        wire.disconnect()
        await wire.end()
    (note,) = notes(wire.error)
    expected = "background task " if where == "handler" else f"{where}()"
    assert note.startswith(f"Limited {PLACE}, {expected}")


async def test_bad_messages_of_an_endpoint_that_are_found_at_once_are_one_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Strict(Endpoint):
        encoding = "text"

        async def on_connect(self, websocket: WebSocket) -> None:
            self.go = anyio.Event()
            await websocket.accept()

        async def _background_handler(self, task_id: str, websocket: WebSocket, data: Any) -> None:
            if data == "go":
                self.go.set()
            await self.go.wait()
            raise InvalidFrame(1008, "bad")

    async with connected(Strict) as wire:
        for text in ("1", "2", "go"):
            wire.text(text)
        await wire.end()
    assert wire.close_code == 1008
    assert len(caplog.messages) == 1


# The log


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_servers_log_has_the_error_once_with_its_place_and_no_log_the_messages_content(
    unchecked_layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture, ws: Any
) -> None:
    class Slow(AsyncWebsocketConsumer):
        disconnect_timeout = 0.01

        async def receive(self, text_data: str) -> None:
            await anyio.sleep_forever()

    caplog.set_level(logging.DEBUG, "consumers")
    caplog.set_level(logging.INFO, "uvicorn")
    async with serving(Failing.as_asgi(), ws) as server:
        async with connect(server.url("/chat")) as client:
            await client.send(f'["{SECRET}", "boom"]')
            assert (await close_of(client))[0] == 1011
        async with connect(server.url("/chat")) as client:
            await client.send(f"no JSON: {SECRET}")
            assert (await close_of(client))[0] == 1007
        async with connect(server.url("/chat")):
            await unchecked_layer.group_send("everyone", {"type": "unknown", "text": SECRET})
            await unchecked_layer.group_send("everyone", {"type": 5, "text": SECRET})
            await unchecked_layer.group_send("everyone", {"text": SECRET})
    async with serving(Slow.as_asgi(), ws) as server, connect(server.url("/chat")) as client:
        await client.send(SECRET)
        await client.send(SECRET)
    formatter = logging.Formatter()
    lines = [formatter.format(record) for record in caplog.records]
    assert [record.name for record in caplog.records if record.exc_info] == ["uvicorn.error"]
    assert sum("Failing.websocket_receive() at '/chat' from 127.0.0.1:" in line for line in lines) == 1
    assert any("waiting messages dropped: 1" in line for line in lines)
    assert not any(SECRET in line for line in lines)


def test_nothing_is_printed_but_by_the_command_line() -> None:
    for file in SOURCES:
        if file.name == "__main__.py":
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("print", "pprint"), f"{file}:{node.lineno}"


def test_the_documentation_names_every_logger() -> None:
    page = (ROOT / "docs/reference/logging.md").read_text(encoding="utf-8")
    names = set()
    for file in SOURCES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "getLogger":
                (name,) = node.args
                assert isinstance(name, ast.Constant), f"{file}:{node.lineno}: a logger's name is written out"
                names.add(str(name.value))
    assert len(names) >= 7
    assert [name for name in sorted(names) if f"`{name}`" not in page] == []
