"""What holds for every limit: how it is set, what stands in the log, what a real client sees."""

import asyncio
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from compat.channels.generic.websocket import AsyncWebsocketConsumer as ChannelsConsumer
from consumers import AsyncWebsocketConsumer, BaseWSEndpoint, InMemoryChannelLayer, WebsocketConsumer, limits

from ..support.limited import Counter, Endpoint, Lines, closed, limited
from ..support.serving import PATIENCE, close_of, serving
from ..support.wire import connected, eventually

pytestmark = pytest.mark.anyio


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
        return sum(1 for handle in loop._scheduled if "Enforcer" in repr(handle) and not handle.cancelled())

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
    with pytest.raises(ValueError, match=rf"^Limited\.{message}"):
        limited(Counter, **{name: value})
    with pytest.raises(ValueError, match=rf"^Limited\.{message}"):
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
async def test_a_real_client_sees_the_code_of_each_limit(lines: Lines, ws: Any) -> None:
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
    async with serving(app, ws) as server:
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
async def test_a_real_client_that_does_not_read_is_cut_off_within_the_deadline(lines: Lines, ws: Any) -> None:
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

    async with serving(Flood.as_asgi(), ws) as server:
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
