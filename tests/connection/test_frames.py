"""Raw frames: a layer's message that goes to the client without a handler."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from typing import Any
from weakref import WeakSet

import anyio
import pytest

from consumers import (
    AsyncJsonWebsocketConsumer,
    AsyncWebsocketConsumer,
    InMemoryChannelLayer,
    InvalidChannelLayerError,
    JsonWebsocketConsumer,
    WebsocketConsumer,
    channel_layers,
)
from consumers.types import ASGIApp, Message, Receive, Scope, Send

from ..support.shared import SharingWire
from ..support.slow import left_to_ci
from ..support.wire import Wire, connected, connecting, eventually

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["handlers", *left_to_ci("shared")])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run on a server that shares frames, too."""
    if request.param == "shared":
        monkeypatch.setattr("tests.support.wire.Wire", SharingWire)


both_ways = pytest.mark.usefixtures("way")


class Listener(AsyncWebsocketConsumer):
    groups = ["room"]
    raw_frames = True

    async def receive(self, text_data: str) -> None:
        await self.send(text_data)

    async def note(self, event: Message) -> None:
        await self.send(event["text"])


def frame(text: str) -> Message:
    return {"type": "websocket.send", "text": text}


@asynccontextmanager
async def listening(count: int) -> AsyncIterator[list[Wire]]:
    """Connect some clients."""
    async with AsyncExitStack() as stack:
        wires = [await stack.enter_async_context(connected(Listener.as_asgi())) for _ in range(count)]
        await anyio.wait_all_tasks_blocked()
        yield wires


@both_ways
async def test_a_frame_reaches_every_client_without_a_handler(layer: InMemoryChannelLayer) -> None:
    async with listening(3) as wires:
        await layer.group_send("room", frame("hello"))
        await layer.group_send("room", {"type": "websocket.send", "bytes": b"\0"})
        for wire in wires:
            assert await wire.next_text() == "hello"
            assert (await wire.next())["bytes"] == b"\0"


async def test_a_frame_is_sent_by_the_members_own_task(layer: InMemoryChannelLayer) -> None:
    async with listening(1) as (wire,):
        layer._local.group_send("room", frame("hello"))  # not awaited: nothing else runs
        assert len(wire.sent) == 1
        assert await wire.next_text() == "hello"


@both_ways
async def test_frames_and_handled_messages_keep_their_order(layer: InMemoryChannelLayer) -> None:
    async with listening(1) as (wire,):
        expected = [str(number) for number in range(20)]
        for number, text in enumerate(expected):
            await layer.group_send("room", frame(text) if number % 3 else {"type": "note", "text": text})
        assert [await wire.next_text() for _ in expected] == expected


@both_ways
async def test_frames_behind_a_busy_handler_wait_for_it(layer: InMemoryChannelLayer) -> None:
    async with listening(1) as (wire,):
        wire.hold_sends = anyio.Event()
        wire.text("first")
        await eventually(lambda: wire.sends == 2)
        for text in ("second", "third"):
            await layer.group_send("room", frame(text))
        assert wire.sends == 2
        wire.hold_sends.set()
        assert [await wire.next_text() for _ in range(3)] == ["first", "second", "third"]


@both_ways
async def test_a_slow_client_delays_no_other_and_gets_its_frames_in_order(layer: InMemoryChannelLayer) -> None:
    async with listening(2) as (slow, quick):
        slow.hold_sends = anyio.Event()
        for number in range(5):
            await layer.group_send("room", frame(str(number)))
            assert await quick.next_text() == str(number)
        assert slow.sends == 2  # the accept, and the frame that the server has not taken yet
        slow.hold_sends.set()
        assert [await slow.next_text() for _ in range(5)] == list("01234")


@both_ways
async def test_a_client_that_does_not_read_misses_frames_and_they_are_counted(layer: InMemoryChannelLayer) -> None:
    async with listening(1) as (wire,):
        wire.hold_sends = anyio.Event()
        for number in range(150):
            await layer.group_send("room", frame(str(number)))
        assert layer.dropped >= 48
        wire.hold_sends.set()
        assert await wire.next_text() == "0"


@both_ways
async def test_a_connection_that_is_not_accepted_gets_no_frame(layer: InMemoryChannelLayer) -> None:
    class Undecided(Listener):
        async def connect(self) -> None:
            """Leave the handshake pending."""

    async with connecting(Undecided.as_asgi()) as wire:
        await eventually(lambda: "room" in layer.groups)
        await anyio.wait_all_tasks_blocked()
        await layer.group_send("room", frame("too early"))
        await anyio.wait_all_tasks_blocked()
        assert wire.sent == []


@both_ways
async def test_a_closed_socket_gets_no_frame(layer: InMemoryChannelLayer) -> None:
    class Closing(Listener):
        async def receive(self, text_data: str) -> None:
            await self.close()

    async with connected(Closing.as_asgi()) as wire:
        wire.text("close")
        assert (await wire.next())["type"] == "websocket.close"
        await layer.group_send("room", frame("too late"))
        await anyio.wait_all_tasks_blocked()
        assert [event["type"] for event in wire.sent] == ["websocket.accept", "websocket.close"]


@both_ways
async def test_it_has_to_be_switched_on(layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture) -> None:
    class Careful(Listener):
        raw_frames = False

    async with connected(Careful.as_asgi()) as wire:
        await layer.group_send("room", frame("chosen by a client"))
        await layer.group_send("room", {"type": "note", "text": "after"})
        assert await wire.next_text() == "after"
    assert (
        "no handler for type 'websocket_send': define `websocket_send(self, event)`, or set raw_frames" in caplog.text
    )


@both_ways
async def test_a_handler_of_the_class_goes_first(layer: InMemoryChannelLayer) -> None:
    class Handling(Listener):
        async def websocket_send(self, event: Message) -> None:
            await self.send(event["text"].upper())

    async with connected(Handling.as_asgi()) as wire:
        await layer.group_send("room", frame("hello"))
        assert await wire.next_text() == "HELLO"


@both_ways
@pytest.mark.parametrize("content", [{}, {"text": 1}, {"text": None, "bytes": "no bytes"}])
async def test_what_is_no_frame_is_dropped_and_logged_once(
    layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture, content: dict[str, Any]
) -> None:
    class Fresh(Listener):
        """A class of its own, whose log is empty."""

    async with connected(Fresh.as_asgi()) as wire:
        for _ in range(2):
            await layer.group_send("room", {"type": "websocket.send", **content})
        await layer.group_send("room", frame("after"))
        assert await wire.next_text() == "after"
    assert caplog.text.count("a raw frame needs a str as its 'text' or bytes as its 'bytes'") == 1


@both_ways
async def test_several_handlers_at_once_and_frames(layer: InMemoryChannelLayer) -> None:
    class Concurrent(Listener):
        max_tasks = 4

    async with connected(Concurrent.as_asgi()) as wire:
        for number in range(10):
            await layer.group_send("room", frame(str(number)) if number % 2 else {"type": "note", "text": str(number)})
        assert sorted([await wire.next_text() for _ in range(10)]) == list("0123456789")


async def test_a_frame_takes_no_turn_before_it_has_a_place_among_the_handlers(layer: InMemoryChannelLayer) -> None:
    class Concurrent(Listener):
        max_tasks = 2

        async def note(self, event: Message) -> None:
            for part in "abc":
                await self.send(event["text"] + part)

    app = Concurrent.as_asgi()
    turns, opened = anyio.Lock(), anyio.Event()

    async def in_turns(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_in_turn(event: Message) -> None:
            async with turns:
                if event["type"] == "websocket.send":
                    await opened.wait()
                await send(event)

        await app(scope, receive, send_in_turn)

    async with connected(in_turns) as wire:
        for text in "12":
            await layer.group_send("room", {"type": "note", "text": text})
        await anyio.wait_all_tasks_blocked()
        await layer.group_send("room", frame("raw"))
        opened.set()
        texts = [await wire.next_text() for _ in range(7)]
    assert sorted(texts[:6]) == ["1a", "1b", "1c", "2a", "2b", "2c"]
    assert texts[6] == "raw"


variable: ContextVar[str] = ContextVar("variable", default="unset")


async def test_the_senders_context_does_not_reach_the_receivers_server(layer: InMemoryChannelLayer) -> None:
    seen = []

    async def watch(scope: Scope, receive: Receive, send: Send) -> None:
        async def watched(event: Message) -> None:
            seen.append(variable.get())
            await send(event)

        await Listener.as_asgi()(scope, receive, watched)

    async with connected(watch) as wire:
        await anyio.wait_all_tasks_blocked()
        token = variable.set("the sender's")
        await layer.group_send("room", frame("hello"))
        assert await wire.next_text() == "hello"
        variable.reset(token)
    assert seen == ["unset", "unset"]


@pytest.mark.parametrize("max_tasks", [1, 2])
async def test_middleware_may_bound_a_send_by_a_cancel_scope(layer: InMemoryChannelLayer, max_tasks: int) -> None:
    """The scope is opened while the sender runs and closed while the receiver's worker does."""

    class Bound(Listener):
        pass

    Bound.max_tasks = max_tasks

    async def bound(scope: Scope, receive: Receive, send: Send) -> None:
        async def bounded(event: Message) -> None:
            with anyio.fail_after(5):
                await send(event)
                await anyio.lowlevel.checkpoint()

        await Bound.as_asgi()(scope, receive, bounded)

    async with connected(bound) as wire:
        await anyio.wait_all_tasks_blocked()
        with anyio.fail_after(5):
            for number in range(5):
                await layer.group_send("room", frame(str(number)))
        texts = [await wire.next_text() for _ in range(5)]
    assert (texts if max_tasks == 1 else sorted(texts)) == list("01234")
    assert wire.error is None


async def test_a_send_runs_as_a_task_of_the_receivers(layer: InMemoryChannelLayer, anyio_backend: str) -> None:
    if anyio_backend == "trio":  # frames are always sent by the worker there
        return
    tasks = []

    async def watch(scope: Scope, receive: Receive, send: Send) -> None:
        async def watched(event: Message) -> None:
            tasks.append(asyncio.current_task())
            await send(event)

        await Listener.as_asgi()(scope, receive, watched)

    async with connected(watch) as wire:
        await anyio.wait_all_tasks_blocked()
        await layer.group_send("room", frame("hello"))
        assert await wire.next_text() == "hello"
        assert tasks[0] is tasks[1] is not asyncio.current_task()


def failing(at_once: bool = False) -> ASGIApp:
    """Return listeners whose server fails at the text "boom": `at_once`, or when what `send` returns is awaited."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        def check(event: Message) -> None:
            if event.get("text") == "boom":
                raise ValueError("the server failed")

        async def later(event: Message) -> None:
            check(event)
            await send(event)

        def now(event: Message) -> Awaitable[None]:
            check(event)
            return send(event)

        await Listener.as_asgi()(scope, receive, now if at_once else later)

    return app


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_server_that_fails_ends_that_connection_alone(layer: InMemoryChannelLayer, at_once: bool) -> None:
    async with connected(Listener.as_asgi()) as other, connected(failing(at_once)) as wire:
        await anyio.wait_all_tasks_blocked()
        await layer.group_send("room", frame("boom"))
        assert await other.next_text() == "boom"
        assert (await wire.next())["code"] == 1011
        await wire.end()
        assert isinstance(wire.error, ValueError)


@both_ways
@pytest.mark.parametrize("raw_first", [True, False])
async def test_a_group_of_several_kinds_of_members_gets_it(layer: InMemoryChannelLayer, raw_first: bool) -> None:
    class Handling(Listener):
        raw_frames = False

        async def websocket_send(self, event: Message) -> None:
            await self.send(f"handled {event['text']}")

    kinds = [Listener, Handling] if raw_first else [Handling, Listener]
    stored = await layer.new_channel()
    async with connected(kinds[0].as_asgi()) as one, connected(kinds[1].as_asgi()) as two:
        await layer.group_add("room", stored)
        await anyio.wait_all_tasks_blocked()
        await layer.group_send("room", frame("hello"))
        texts = {await one.next_text(), await two.next_text()}
        assert texts == {"hello", "handled hello"}
        assert await layer.receive(stored) == frame("hello")


async def test_frames_that_are_sent_while_one_is_sent_reach_everyone(layer: InMemoryChannelLayer) -> None:
    async def repeat(scope: Scope, receive: Receive, send: Send) -> None:
        async def repeating(event: Message) -> None:
            if event.get("text") == "hello":
                await layer.group_send("room", frame("again"))
            await send(event)

        await Listener.as_asgi()(scope, receive, repeating)

    async with connected(Listener.as_asgi()) as first, connected(repeat) as wire, connected(Listener.as_asgi()) as last:
        await anyio.wait_all_tasks_blocked()
        await layer.group_send("room", frame("hello"))
        assert [await wire.next_text(), await wire.next_text()] == ["hello", "again"]
        for member in (first, last):
            assert sorted([await member.next_text(), await member.next_text()]) == ["again", "hello"]
    assert wire.error is None


async def test_a_frame_too_many_while_one_is_sent_is_counted_and_the_one_is_not_lost(
    layer: InMemoryChannelLayer,
) -> None:
    async def repeat(scope: Scope, receive: Receive, send: Send) -> None:
        async def repeating(event: Message) -> None:
            if event.get("text") == "hello":
                for number in range(200):
                    layer._local.group_send("room", frame(str(number)))
                await anyio.lowlevel.checkpoint()
            await send(event)

        await Listener.as_asgi()(scope, receive, repeating)

    async with connected(repeat) as wire:
        await anyio.wait_all_tasks_blocked()
        await layer.group_send("room", frame("hello"))
        await anyio.wait_all_tasks_blocked()
        texts = [event["text"] for event in wire.sent[1:]]
        assert texts == ["hello", *map(str, range(100))]
        assert layer.dropped == 100


@pytest.mark.parametrize("capacity", [1, 100])
async def test_what_a_send_sends_after_it_has_closed_the_socket_waits_for_the_rest_of_the_frame(
    monkeypatch: pytest.MonkeyPatch, capacity: int
) -> None:
    layer = InMemoryChannelLayer(capacity=capacity)
    monkeypatch.setitem(channel_layers.backends, "default", layer)
    steps = []

    class Last(Listener):
        async def note(self, event: Message) -> None:
            steps.append("note")

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            async def close_after(event: Message) -> None:
                await send(event)
                if event.get("text") == "last":
                    await self.close(4000)
                    layer._local.group_send("room", {"type": "note"})
                    await anyio.lowlevel.checkpoint()
                    steps.append("frame")

            await super().__call__(scope, receive, close_after)

    async with connected(Last.as_asgi()) as wire:
        await anyio.wait_all_tasks_blocked()
        await layer.group_send("room", frame("last"))
        await anyio.wait_all_tasks_blocked()
    assert steps[0] == "frame"
    assert wire.error is None
    assert [event.get("text") for event in wire.sent[1:]] == ["last", None]


async def test_no_frame_leaves_once_the_ending_has_begun(layer: InMemoryChannelLayer) -> None:
    class Late(Listener):
        async def connect(self) -> None:
            self.start_background_task(self.accept_late)

        async def accept_late(self) -> None:
            try:
                await anyio.sleep_forever()
            finally:
                with anyio.CancelScope(shield=True):
                    await self.accept()
                    await layer.group_send("room", frame("too late"))

    async with connecting(Late.as_asgi()) as wire:
        await eventually(lambda: "room" in layer.groups)
        await anyio.wait_all_tasks_blocked()
        assert wire.scope is not None
        wire.scope.cancel()
        await wire.end()
    assert [event["type"] for event in wire.sent] == ["websocket.accept", "websocket.close"]


async def test_a_failed_send_keeps_no_other_connection_alive(layer: InMemoryChannelLayer) -> None:
    connections: WeakSet[object] = WeakSet()
    names: list[str] = []

    class Counted(Listener):
        async def connect(self) -> None:
            connections.add(self._connection)
            names.append(self.channel_name)
            await self.accept()

    async with connected(Counted.as_asgi()) as other, connected(failing()) as wire:
        await anyio.wait_all_tasks_blocked()
        await layer.group_discard("room", names[0])
        await layer.group_add("room", names[0])  # as the last of them
        layer._local.group_send("room", frame("boom"))
        assert await other.next_text() == "boom"
        await wire.end()
    assert isinstance(wire.error, ValueError)  # as an error tracker would keep it
    gc.collect()
    assert not connections


@both_ways
async def test_a_client_that_has_gone_is_no_error(
    layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with listening(2) as (gone, other):
        gone.gone = True
        for text in ("first", "second"):
            await layer.group_send("room", frame(text))
            assert await other.next_text() == text
        await anyio.wait_all_tasks_blocked()
        gone.gone = False
    assert gone.error is None
    assert caplog.text == ""


async def test_a_frame_that_is_half_sent_is_given_up_with_its_connection(
    layer: InMemoryChannelLayer, anyio_backend: str
) -> None:
    started, ended = [], []

    async def hang(scope: Scope, receive: Receive, send: Send) -> None:
        async def hanging(event: Message) -> None:
            if event["type"] != "websocket.send":
                return await send(event)
            started.append(event)
            try:
                await anyio.sleep_forever()
            finally:
                ended.append(event)

        await Listener.as_asgi()(scope, receive, hanging)

    async with connected(hang) as wire:
        await anyio.wait_all_tasks_blocked()
        layer._local.group_send("room", frame("hello"))
        assert wire.scope is not None
        wire.scope.cancel()  # before the worker gets to it
        await wire.end()
    assert started == ended
    assert started or anyio_backend == "trio"


@both_ways
async def test_sync_consumers_take_them_too(layer: InMemoryChannelLayer, anyio_backend: str) -> None:
    if anyio_backend == "trio":  # sync consumers need asyncio
        return

    class Plain(WebsocketConsumer):
        groups = ["room"]
        raw_frames = True

    async with connected(Plain.as_asgi()) as wire:
        await eventually(lambda: "room" in layer.groups)
        await layer.group_send("room", frame("hello"))
        assert await wire.next_text() == "hello"


encoded: list[Any] = []


class Board(AsyncJsonWebsocketConsumer):
    groups = ["room"]
    raw_frames = True

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        await self.group_send_json("room", content)

    @classmethod
    async def encode_json(cls, content: Any) -> str:
        encoded.append(content)
        return await super().encode_json(content)


class PlainBoard(JsonWebsocketConsumer):
    groups = ["room"]
    raw_frames = True

    def receive_json(self, content: Any, **kwargs: Any) -> None:
        self.group_send_json("room", content)

    @classmethod
    def encode_json(cls, content: Any) -> str:
        encoded.append(content)
        return super().encode_json(content)


@both_ways
@pytest.mark.parametrize("board", [Board, PlainBoard])
async def test_a_group_gets_json_that_was_encoded_once(
    layer: InMemoryChannelLayer, anyio_backend: str, board: type[Board]
) -> None:
    if board is PlainBoard and anyio_backend == "trio":  # sync consumers need asyncio
        return
    encoded.clear()
    async with AsyncExitStack() as stack:
        wires = [await stack.enter_async_context(connected(board.as_asgi())) for _ in range(5)]
        await eventually(lambda: len(layer.groups["room"]) == 5)
        wires[0].text('{"a": [1, 2]}')
        for wire in wires:
            assert await wire.next_text() == '{"a": [1, 2]}'
    assert encoded == [{"a": [1, 2]}]


async def test_sending_to_a_group_without_a_layer_says_so(no_layer: None) -> None:
    class Alone(Board):
        groups = []

    async with connected(Alone.as_asgi()) as wire:
        wire.text("{}")
        assert (await wire.next())["code"] == 1011
        await wire.end()
        assert isinstance(wire.error, InvalidChannelLayerError)
        assert "Alone.group_send_json() needs a channel layer with groups" in str(wire.error)
