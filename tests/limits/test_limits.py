"""The limits of a connection: what a client gets that goes beyond one, and what stands in the log then."""

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from compat.channels.generic.websocket import AsyncWebsocketConsumer as ChannelsConsumer
from consumers import (
    AsyncHttpConsumer,
    AsyncJsonWebsocketConsumer,
    AsyncWebsocketConsumer,
    BaseWSEndpoint,
    InMemoryChannelLayer,
    TooManyGroups,
    WebsocketConsumer,
    limits,
)
from consumers._connection import enforce

from ..support.serving import PATIENCE, close_of, serving
from ..support.wire import Wire, connected, connecting, eventually

pytestmark = pytest.mark.anyio

CLIENT = ("192.0.2.1", 5)
DENIAL: dict[str, Any] = {"extensions": {"websocket.http.response": {}}}


class Counter(AsyncWebsocketConsumer):
    """Echoes, and notes the codes of its endings."""

    codes: list[int]

    def __init_subclass__(cls) -> None:
        cls.codes = []

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.send(text_data, bytes_data)

    async def disconnect(self, code: int) -> None:
        self.codes.append(code)


class Endpoint(BaseWSEndpoint):
    """Echoes, and notes the codes of its endings."""

    codes: list[int]

    def __init_subclass__(cls) -> None:
        cls.codes = []

    async def on_connect(self, websocket: WebSocket) -> None:
        await websocket.accept()

    async def _background_handler(self, task_id: str, websocket: WebSocket, data: Any) -> None:
        await (websocket.send_text(data) if isinstance(data, str) else websocket.send_bytes(data))

    async def on_disconnect(self, websocket: WebSocket, close_code: int) -> None:
        self.codes.append(close_code)


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> "Lines":
    caplog.set_level(logging.DEBUG, "consumers")
    return Lines(caplog)


class Lines:
    """What the library has logged."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog

    def only(self) -> str:
        """Return the one line, which is a warning without a traceback."""
        records = [record for record in self._caplog.records if record.name.startswith("consumers")]
        assert len(records) == 1, records
        assert records[0].levelno == logging.WARNING
        assert not records[0].exc_info
        return records[0].getMessage()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Let the time of limits be what a test says."""
    now = [1_000_000.1]
    monkeypatch.setattr(enforce, "monotonic", lambda: now[0])
    return iter([now])


def limited(kind: type, **values: Any) -> Any:
    """Return a class with these limits, and its application."""
    made = type("Limited", (kind,), values)
    return made, made if issubclass(made, BaseWSEndpoint) else made.as_asgi()  # type: ignore[attr-defined]


async def closed(wire: Wire) -> tuple[int, str]:
    """Wait for the end, and return the close code and the reason that the client saw last."""
    await wire.end()
    assert wire.error is None
    event = wire.sent[-1]
    assert event["type"] == "websocket.close"
    return event["code"], event["reason"]


kinds = pytest.mark.parametrize("kind", [Counter, Endpoint])


# Messages per second


@kinds
async def test_one_message_too_many_at_once_closes_with_1008_and_one_line(kind: type, lines: Lines) -> None:
    made, app = limited(kind, rate_limit=0.001, rate_burst=3)
    async with connected(app, client=CLIENT) as wire:
        for number in range(4):
            wire.text(str(number))
        assert await closed(wire) == (1008, "too many messages")
    assert made.codes == [1008]
    line = lines.only()
    assert line.startswith("Limited at '/ws' from 192.0.2.1:5 is closed with 1008: more than rate_limit (0.001 mess")


@kinds
@pytest.mark.parametrize(("rate", "burst", "expected"), [(10, 4, 4), (0.1, None, 1), (2, None, 10), (1000 / 3, 7, 7)])
async def test_a_burst_is_spent_exactly_and_comes_back_at_the_rate(
    kind: type, rate: float, burst: int | None, expected: int, clock: Iterator[list[float]]
) -> None:
    _, app = limited(kind, rate_limit=rate, rate_burst=burst)
    now = next(clock)
    async with connected(app) as wire:
        for _ in range(3):  # each time it has come back as a whole, and not more
            for number in range(expected):
                wire.text(str(number))
                await wire.next_text()
            now[0] += (expected + 5) / rate
        for number in range(expected):
            wire.text(str(number))
            await wire.next_text()
        for number in range(50):  # at the rate itself, for ever
            now[0] += 1 / rate
            wire.text(str(number))
            await wire.next_text()
        wire.text("too much")
        assert (await closed(wire))[0] == 1008


async def test_waiting_messages_are_counted_in_the_line_of_the_limit(lines: Lines) -> None:
    class Slow(Counter):
        rate_limit = 0.001
        rate_burst = 3

        async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
            await anyio.sleep_forever()

    async with connected(Slow.as_asgi()) as wire:
        for _ in range(9):
            wire.text("secret")
        await wire.end()
    assert lines.only().endswith("; handlers cancelled: 1, waiting messages dropped: 2")


async def test_the_handshake_and_the_layer_count_for_no_limit(layer: InMemoryChannelLayer) -> None:
    class Member(AsyncJsonWebsocketConsumer):
        groups = ["everyone"]
        rate_limit = 0.001
        rate_burst = 1
        max_message_size = 5

        async def receive_json(self, content: Any, **kwargs: Any) -> None:
            await self.send_json(content)

        async def note(self, event: dict[str, Any]) -> None:
            await self.send_json(event["text"])

    async with connected(Member.as_asgi()) as wire:
        for _ in range(10):
            await layer.group_send("everyone", {"type": "note", "text": "x" * 100})
            await wire.next_text()
        wire.text("1")
        assert await wire.next_text() == "1"


# Size


@kinds
@pytest.mark.parametrize("message", [{"text": "x" * 10}, {"text": "€€€x"}, {"text": "𝄞𝄞xx"}, {"bytes": b"x" * 10}])
async def test_a_message_of_the_largest_size_is_handled_and_a_larger_one_closes_with_1009(
    kind: type, message: dict[str, Any], lines: Lines
) -> None:
    made, app = limited(kind, max_message_size=10)
    name, data = next(iter(message.items()))
    async with connected(app, client=CLIENT) as wire:
        wire.client("receive", **message)
        assert (await wire.next())[name] == data
        wire.client("receive", **{name: data + (b"y" if isinstance(data, bytes) else "y")})
        assert await closed(wire) == (1009, "messages have 10 bytes at most")
    assert made.codes == [1009]
    assert "from 192.0.2.1:5 is closed with 1009: a message is larger than max_message_size (10" in lines.only()


# Groups


async def test_one_group_too_many_raises_and_unhandled_closes_with_1008(
    layer: InMemoryChannelLayer, lines: Lines
) -> None:
    class Member(Counter):
        groups = ["first"]
        max_groups = 3

        async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
            what, group = str(text_data).split()
            if what == "join":
                await self.channel_layer.group_add(group, self.channel_name)
            elif what == "leave":
                await self.channel_layer.group_discard(group, self.channel_name)
            else:
                with pytest.raises(TooManyGroups, match="in 3 groups, as many as max_groups allows"):
                    await self.channel_layer.group_add(group, self.channel_name)
            await self.send(f"{what} done")

    async with connected(Member.as_asgi(), client=CLIENT) as wire:
        for step in ("join b", "join b", "join c", "try d", "leave b", "leave b", "join d", "try e"):
            wire.text(step)
            assert (await wire.next_text()).endswith("done")
        assert set(layer.groups) == {"first", "c", "d"}
        wire.text("join e")
        assert await closed(wire) == (1008, "too many groups")
    assert Member.codes == [1008]
    assert not layer.groups
    assert not layer.channels
    assert "Member at '/ws' from 192.0.2.1:5 is closed with 1008: more than max_groups (3)" in lines.only()


async def test_groups_that_are_joined_at_once_are_counted_and_close_with_1008(
    layer: InMemoryChannelLayer, lines: Lines
) -> None:
    """What leaves the handler then is a group of exceptions."""

    class Member(Counter):
        max_groups = 1

        async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
            async with anyio.create_task_group() as tasks:
                for group in ("a", "b", "c"):
                    tasks.start_soon(self.channel_layer.group_add, group, self.channel_name)

    async with connected(Member.as_asgi()) as wire:
        wire.text("join")
        assert await closed(wire) == (1008, "too many groups")
    assert Member.codes == [1008]
    assert "more than max_groups (1)" in lines.only()


async def test_a_group_that_somebody_else_took_it_out_of_takes_no_place(layer: InMemoryChannelLayer) -> None:
    class Member(Counter):
        max_groups = 1

        async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
            await self.channel_layer.group_add(str(text_data), self.channel_name)
            await self.send(self.channel_name)

    async with connected(Member.as_asgi()) as wire:
        wire.text("first")
        await layer.group_discard("first", await wire.next_text())
        wire.text("second")
        name = await wire.next_text()
        assert layer.groups == {"second": {name}}
        wire.text("third")
        assert (await closed(wire))[0] == 1008


async def test_a_join_that_fails_beside_another_of_the_same_group_leaves_that_one_its_place(
    monkeypatch: pytest.MonkeyPatch, layer: InMemoryChannelLayer, lines: Lines
) -> None:
    class Member(Counter):
        max_groups = 1

        async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self.join)
                await anyio.wait_all_tasks_blocked()
                monkeypatch.undo()
                await self.channel_layer.group_add("first", self.channel_name)
                joined.set()
            await self.channel_layer.group_add("second", self.channel_name)

        async def join(self) -> None:
            with pytest.raises(OSError, match="lost"):
                await self.channel_layer.group_add("first", self.channel_name)

    async def fail(group: str, channel: str) -> None:
        await joined.wait()
        raise OSError("lost")

    joined = anyio.Event()
    async with connected(Member.as_asgi()) as wire:
        monkeypatch.setattr(layer, "group_add", fail)
        wire.text("join")
        assert await closed(wire) == (1008, "too many groups")
    assert "more than max_groups (1)" in lines.only()


async def test_a_group_that_could_not_be_joined_takes_no_place(layer: InMemoryChannelLayer) -> None:
    class Member(Counter):
        max_groups = 1

        async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
            with pytest.raises(TypeError):
                await self.channel_layer.group_add("no name", self.channel_name)
            await self.channel_layer.group_add("other", "somebody.else")
            await self.channel_layer.group_add("valid", self.channel_name)
            await self.channel_layer.group_send("valid", {"type": "note"})

        async def note(self, event: Any) -> None:
            await self.send("noted")

    async with connected(Member.as_asgi()) as wire:
        wire.text("go")
        assert await wire.next_text() == "noted"


async def test_groups_of_an_instance_beyond_the_limit_reject_the_handshake(
    layer: InMemoryChannelLayer, lines: Lines
) -> None:
    class Member(Counter):
        max_groups = 2

        def __init__(self) -> None:
            self.groups = ["a", "b", "c"]

    async with connecting(Member.as_asgi()) as wire:
        assert (await closed(wire))[0] == 1008
    assert "is closed with 1008: more than max_groups (2)" in lines.only()
    assert not layer.groups


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
    async with connected(app, client=CLIENT) as wire:
        started = anyio.current_time()
        assert await closed(wire) == (1001, "no message within 0.1 s")
        assert anyio.current_time() - started >= 0.09
    assert made.codes == [1001]
    assert "from 192.0.2.1:5 is closed with 1001: no message came within idle_timeout (0.1 s)" in lines.only()


@kinds
async def test_a_client_that_speaks_in_time_is_not_idle(kind: type) -> None:
    made, app = limited(kind, idle_timeout=0.3)
    async with connected(app) as wire:
        for _ in range(6):
            await anyio.sleep(0.1)
            wire.text("here")
            assert await wire.next_text() == "here"
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


# A client that does not read


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


# All of them


async def test_a_limit_that_is_hit_after_the_application_closed_changes_nothing(lines: Lines) -> None:
    class Closing(Counter):
        max_message_size = 5

        async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
            await self.close(4001, "as asked")

    async with connected(Closing.as_asgi()) as wire:
        wire.text("close")
        await eventually(lambda: wire.close_code)
        wire.text("too large")
        wire.disconnect(4001)
        await wire.end()
    assert wire.close_code == 4001
    assert Closing.codes == [4001]


async def test_no_alarm_is_left_of_a_connection(anyio_backend_name: str) -> None:
    class Everything(Counter):
        rate_limit = 1000
        handshake_timeout = idle_timeout = send_timeout = 3600

    def alarms() -> int:
        loop: Any = asyncio.get_running_loop()
        return sum(1 for handle in loop._scheduled if "Watch" in repr(handle) and not handle.cancelled())

    async with connected(Everything.as_asgi()) as wire:
        wire.text("here")
        assert await wire.next_text() == "here"
        if anyio_backend_name == "asyncio":
            assert alarms() == 1
    if anyio_backend_name == "asyncio":  # on trio it is a task: `connected` sees that none is left
        assert alarms() == 0


async def test_what_a_client_chooses_of_its_address_and_path_adds_no_lines(lines: Lines) -> None:
    made, app = limited(Counter, max_message_size=1)
    async with connected(app, client=("1.2.3.4\nfaked line" + "x" * 10_000, 5), path="/\r\n" + "x" * 10_000) as wire:
        wire.text("ab")
        await closed(wire)
    assert made.codes == [1009]
    line = lines.only()
    assert "\n" not in line
    assert "\r" not in line
    assert len(line) < 1000


def test_one_line_sets_limits_for_every_class_that_has_none_of_its_own(no_limits: None) -> None:
    class Own(AsyncWebsocketConsumer):
        idle_timeout = 5

    limits.configure(rate_limit=20, idle_timeout=300)
    for kind in (AsyncWebsocketConsumer, WebsocketConsumer, ChannelsConsumer, BaseWSEndpoint):
        assert (kind.rate_limit, kind.idle_timeout) == (20, 300)
    assert (Own.rate_limit, Own.idle_timeout) == (20, 5)
    limits.configure(rate_limit=None)
    assert ChannelsConsumer.rate_limit is None


async def test_configured_limits_hold_for_applications_made_before(no_limits: None) -> None:
    _, app = limited(Counter)
    limits.configure(max_message_size=3)
    async with connected(app) as wire:
        wire.text("four")
        assert (await closed(wire))[0] == 1009


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[(name, value) for name in limits.NUMBERS for value in (0, -1, float("nan"), float("inf"), "5", True)],
        *[(name, value) for name in limits.COUNTS for value in (0, -1, 1.5, "5", True)],
    ],
)
def test_a_limit_that_cannot_work_is_an_error_before_a_client_comes(name: str, value: Any) -> None:
    message = f"{name} must be .*, or None for no limit, not {value!r}"
    with pytest.raises(ValueError, match=f"^Limited: {message}"):
        limited(Counter, **{name: value})
    with pytest.raises(ValueError, match=f"^Limited: {message}"):
        limited(Endpoint, **{name: value})[0]({"type": "websocket"}, None, None)
    with pytest.raises(ValueError, match=rf"^limits.configure\(\): {message}"):
        limits.configure(**{name: value})
    assert getattr(limits.Limits, name) is None


def test_an_unknown_limit_or_more_class_groups_than_it_allows_is_an_error() -> None:
    with pytest.raises(TypeError, match="there is no limit 'rate': there are rate_limit, "):
        limits.configure(rate=5)
    with pytest.raises(ValueError, match=r"Limited.groups has 2 names, and Limited.max_groups is 1"):
        limited(Counter, groups=["a", "b", "a"], max_groups=1)


# Against a real server


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_real_client_sees_the_code_of_each_limit(lines: Lines) -> None:
    class Undecided(Counter):
        handshake_timeout = 0.1

        async def connect(self) -> None:
            pass

    def route(path: str, kind: type = Counter, **values: Any) -> WebSocketRoute:
        return WebSocketRoute(path, limited(kind, **values)[1])

    both = [("c", Counter), ("e", Endpoint)]
    routes = [route(f"/{letter}/rate", kind, rate_limit=1, rate_burst=5) for letter, kind in both]
    routes += [route(f"/{letter}/size", kind, max_message_size=10) for letter, kind in both]
    routes += [route(f"/{letter}/idle", kind, idle_timeout=0.1) for letter, kind in both]
    app = Starlette(routes=[*routes, WebSocketRoute("/undecided", Undecided.as_asgi())])
    async with serving(app) as server:
        for letter, _ in both:
            for name, code in (("rate", 1008), ("size", 1009), ("idle", 1001)):
                async with connect(server.url(f"/{letter}/{name}")) as client:
                    if name != "idle":
                        for _ in range(6 if name == "rate" else 1):
                            await client.send("eleven char")
                    assert (await close_of(client))[0] == code
                # With its address, and once: lines.only() would raise.
                assert f"127.0.0.1:{client.local_address[1]} is closed with {code}" in lines.only()
                lines._caplog.clear()
        with pytest.raises(InvalidStatus) as caught:
            await connect(server.url("/undecided"))
        assert caught.value.response.status_code == 503
        assert "handshake_timeout" in lines.only()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_real_client_that_does_not_read_is_cut_off_within_the_deadline(lines: Lines) -> None:
    ended: asyncio.Queue[int] = asyncio.Queue()

    class Flood(AsyncWebsocketConsumer):
        send_timeout = 0.3
        cleanup_timeout = 0.8

        async def connect(self) -> None:
            await self.accept()
            self.start_background_task(self.push)

        async def push(self) -> None:
            while True:
                await self.send("x" * 100_000)

        async def disconnect(self, code: int) -> None:
            ended.put_nowait(code)

    async with serving(Flood.as_asgi()) as server:
        client = await connect(server.url("/"), max_queue=1, compression=None, ping_interval=None)
        assert await asyncio.wait_for(ended.get(), PATIENCE) == 1013
        assert "send_timeout" in lines.only()
        with pytest.raises(ConnectionClosed):
            while True:
                await asyncio.wait_for(client.recv(), PATIENCE)
        assert client.close_code in (1006, 1013)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_sync_consumer_has_the_same_limits(layer: InMemoryChannelLayer, lines: Lines) -> None:
    from asgiref.sync import async_to_sync

    class Sync(WebsocketConsumer):
        groups = ["first"]
        max_groups = 1
        rate_limit = 100
        codes: list[int] = []

        def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
            async_to_sync(self.channel_layer.group_add)(str(text_data), self.channel_name)

        def disconnect(self, code: int) -> None:
            self.codes.append(code)

    async with connected(Sync.as_asgi()) as wire:
        wire.text("second")
        assert await closed(wire) == (1008, "too many groups")
    assert Sync.codes == [1008]
    assert "more than max_groups (1)" in lines.only()
