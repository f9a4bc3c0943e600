"""How long a handshake, a silence and a send may take."""

from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from starlette.websockets import WebSocket

from consumers import AsyncHttpConsumer, AsyncWebsocketConsumer, BaseWSEndpoint, InMemoryChannelLayer

from ..support.limited import CLIENT, DENIAL, Counter, Endpoint, Lines, closed, kinds, limited
from ..support.serving import PATIENCE
from ..support.wire import Wire, connected, connecting

pytestmark = pytest.mark.anyio


# The handshake


@kinds
@pytest.mark.parametrize("hangs", [True, False])
@pytest.mark.parametrize("can_deny", [True, False])
async def test_a_handshake_that_is_never_answered_is_rejected(
    kind: type, hangs: bool, can_deny: bool, lines: Lines
) -> None:
    async def undecided(self: Any, *args: Any) -> None:
        if hangs:
            await anyio.sleep_forever()

    hook = "on_connect" if issubclass(kind, BaseWSEndpoint) else "connect"
    made, app = limited(kind, handshake_timeout=0.05, **{hook: undecided})
    async with connecting(app, client=CLIENT, **(DENIAL if can_deny else {})) as wire:
        await wire.end()
    assert wire.error is None
    if can_deny:
        assert [event["type"] for event in wire.sent] == [
            "websocket.http.response.start",
            "websocket.http.response.body",
        ]
        assert wire.sent[0]["status"] == 503
    else:
        assert [event["type"] for event in wire.sent] == ["websocket.close"]
    assert made.codes == [1013]
    line = lines.only()
    assert "192.0.2.1:5 is closed with 1013: the handshake was not answered within handshake_timeout (0.05 s)" in line


@kinds
async def test_an_error_that_comes_after_the_deadline_changes_no_answer(kind: type) -> None:
    async def late_to_fail(self: Any, *args: Any) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            raise LookupError("too late")

    hook = "on_connect" if issubclass(kind, BaseWSEndpoint) else "connect"
    made, app = limited(kind, handshake_timeout=0.05, **{hook: late_to_fail})
    async with connecting(app, client=CLIENT, **DENIAL) as wire:
        await wire.end()
    assert isinstance(wire.error, LookupError)
    assert [event.get("status") for event in wire.sent] == [503, None]
    assert made.codes == [1013]


@kinds
async def test_an_answered_handshake_has_no_deadline_any_more(kind: type, clock: Iterator[list[float]]) -> None:
    now = next(clock)
    _, app = limited(kind, handshake_timeout=0.02)
    async with connected(app) as wire:
        now[0] += 0.1
        await anyio.sleep(0.05)  # the alarm that was set for the handshake rings
        wire.text("still here")
        assert await wire.next_text() == "still here"


# Idle time


@kinds
async def test_a_client_that_says_nothing_is_closed_with_1001(kind: type, lines: Lines) -> None:
    made, app = limited(kind, idle_timeout=0.1)
    started = anyio.current_time()
    async with connected(app, client=CLIENT) as wire:
        assert await closed(wire) == (1001, "no message within 0.1 s")
        assert anyio.current_time() - started >= 0.09
    assert made.codes == [1001]
    assert "from 192.0.2.1:5 is closed with 1001: no message came within idle_timeout (0.1 s)" in lines.only()


@kinds
async def test_a_client_that_speaks_in_time_is_not_idle(kind: type, clock: Iterator[list[float]]) -> None:
    now = next(clock)
    made, app = limited(kind, idle_timeout=0.1)
    async with connected(app) as wire:
        for _ in range(4):
            now[0] += 0.06
            await anyio.sleep(0.12)  # the alarm rings
            wire.text("here")
            assert await wire.next_text() == "here"
        now[0] += 0.1
        assert (await closed(wire))[0] == 1001
    assert made.codes == [1001]


async def test_idle_time_begins_with_the_accept_and_not_before(clock: Iterator[list[float]]) -> None:
    now = next(clock)
    accepted = anyio.Event()

    class Late(Counter):
        idle_timeout = 0.05

        async def connect(self) -> None:
            await accepted.wait()
            await self.accept()

    async with connecting(Late.as_asgi()) as wire:
        now[0] += 60
        await anyio.sleep(0.1)
        accepted.set()
        await wire.accepted()
        wire.text("first")
        assert await wire.next_text() == "first"
        now[0] += 0.05
        assert (await closed(wire))[0] == 1001


async def test_a_client_whose_messages_are_not_read_is_not_idle() -> None:
    go_on = anyio.Event()

    class Slow(Counter):
        idle_timeout = 0.05
        inbox_limit = 2

        async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
            await go_on.wait()
            await self.send(text_data)

    async with connected(Slow.as_asgi()) as wire:
        for number in range(5):
            wire.text(str(number))
        await anyio.sleep(0.2)
        assert not wire.everything_is_read
        go_on.set()
        for number in range(5):
            assert await wire.next_text() == str(number)


async def test_an_endpoint_that_does_not_read_yet_makes_no_client_idle() -> None:
    go_on = anyio.Event()

    class Pushing(Endpoint):
        idle_timeout = 0.05

        async def on_connect(self, websocket: WebSocket) -> None:
            await websocket.accept()
            await go_on.wait()

    async with connected(Pushing) as wire:
        await anyio.sleep(0.2)
        wire.text("early")
        go_on.set()
        assert await wire.next_text() == "early"


async def test_what_is_no_websocket_has_no_handshake_and_is_never_idle(lines: Lines) -> None:
    class Stream(AsyncHttpConsumer):
        handshake_timeout = idle_timeout = 0.02

        async def handle(self, body: bytes) -> None:
            await anyio.sleep(0.2)
            await self.send_response(200, b"done")

    wire = Wire()
    wire.event({"type": "http.request", "body": b""})
    with anyio.fail_after(PATIENCE):
        await Stream.as_asgi()({"type": "http", "path": "/"}, wire.app_receive, wire.app_send)
    assert [event["type"] for event in wire.sent] == ["http.response.start", "http.response.body"]


async def test_a_late_alarm_lets_the_messages_be_read_that_have_come_meanwhile(clock: Iterator[list[float]]) -> None:
    now = next(clock)

    class Brief(Counter):
        idle_timeout = 0.05

    async with connected(Brief.as_asgi()) as wire:
        now[0] += 60  # as if the event loop had been blocked for so long
        await anyio.sleep(0.1)  # the alarm has rung, and judged nobody
        wire.text("was under way")
        assert await wire.next_text() == "was under way"


class Pusher(AsyncWebsocketConsumer):
    """Pushes as fast as the client reads."""

    send_timeout = 0.1
    cleanup_timeout = 0.4  # a close frame has a quarter of it
    codes: list[int]

    async def connect(self) -> None:
        type(self).codes = []
        await self.accept()
        self.start_background_task(self.push)

    async def push(self) -> None:
        while True:
            await self.send("x")
            await anyio.lowlevel.checkpoint()

    async def disconnect(self, code: int) -> None:
        self.codes.append(code)


class PushingEndpoint(Endpoint):
    send_timeout = 0.1
    stall_timeout = 0.1

    async def on_connect(self, websocket: WebSocket) -> None:
        await websocket.accept()
        while True:
            await websocket.send_text("x")
            await anyio.lowlevel.checkpoint()


# A client that does not read


@pytest.mark.parametrize(("kind", "app"), [(Pusher, Pusher.as_asgi()), (PushingEndpoint, PushingEndpoint)])
async def test_a_send_that_waits_too_long_ends_the_connection_even_if_no_frame_can_leave(
    kind: Any, app: Any, lines: Lines
) -> None:
    kind.codes = []
    async with connected(app, client=CLIENT) as wire:
        await wire.next_text()
        wire.hold_sends = anyio.Event()
        await wire.end()
    assert wire.error is None
    assert wire.close_code is None
    assert kind.codes == [1013]
    assert "192.0.2.1:5 is closed with 1013: the client did not read for send_timeout (0.1 s)" in lines.only()


async def test_a_client_that_reads_slowly_but_in_time_stays() -> None:
    class Patient(Pusher):
        send_timeout = 0.3

    async with connected(Patient.as_asgi()) as wire:
        for _ in range(6):
            wire.hold_sends = anyio.Event()
            await anyio.sleep(0.1)
            wire.hold_sends.set()
            await wire.next_text()
        wire.hold_sends = None
        assert Patient.codes == []


async def test_a_raw_frame_that_waits_too_long_ends_the_connection(layer: InMemoryChannelLayer, lines: Lines) -> None:
    class Raw(Pusher):
        groups = ["everyone"]
        raw_frames = True

        async def push(self) -> None:
            pass

    async with connected(Raw.as_asgi(), client=CLIENT) as wire:
        await layer.group_send("everyone", {"type": "websocket.send", "text": "1"})
        assert await wire.next_text() == "1"
        wire.hold_sends = anyio.Event()
        await layer.group_send("everyone", {"type": "websocket.send", "text": "2"})
        await wire.end()
    assert Raw.codes == [1013]
    assert "send_timeout (0.1 s)" in lines.only()


async def test_a_response_that_nobody_reads_ends_too(lines: Lines) -> None:
    class Stream(AsyncHttpConsumer):
        send_timeout = 0.05

        async def handle(self, body: bytes) -> None:
            await self.send_headers()
            while True:
                await self.send_body(b"x", more_body=True)

    wire = Wire()
    wire.hold_sends = anyio.Event()
    wire.event({"type": "http.request", "body": b""})
    with anyio.fail_after(PATIENCE):
        await Stream.as_asgi()({"type": "http", "path": "/"}, wire.app_receive, wire.app_send)
    assert "Stream at '/' is closed with 1013: the client did not read" in lines.only()
