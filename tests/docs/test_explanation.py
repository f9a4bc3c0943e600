"""What the pages of docs/explanation claim, and their examples, as clients see them."""

import json
import re
from inspect import signature
from typing import Any

import anyio
import pytest
from starlette.exceptions import WebSocketException

from consumers import (
    AsyncJsonWebsocketConsumer,
    AsyncWebsocketConsumer,
    BaseWSEndpoint,
    InMemoryChannelLayer,
    StopConsumer,
    get_channel_layer,
)
from consumers._connection import log, sender, undecided
from consumers._sync import _ending_threads, _threads
from consumers.layers import _feed, _full_mailboxes, _history, _presence
from consumers.layers.redis import history as redis_history
from consumers.layers.redis import known_log, pubsub_exchange
from consumers.server import serve
from consumers.server.settings import MIB, SETTINGS
from consumers.testing import WebsocketCommunicator
from consumers.typed import TypedConsumer

from ..support.examples import connect, run
from ..support.pages import ROOT, blocks
from ..support.wire import Wire, connected, eventually

pytestmark = pytest.mark.anyio


def example(name: str) -> dict[str, Any]:
    """Run the one example of a page; return what it defines."""
    [block] = blocks(f"docs/explanation/{name}.md", "python")
    return run(block.text)


def page(name: str) -> str:
    return (ROOT / f"docs/explanation/{name}.md").read_text(encoding="utf-8")


# A connection's life


async def test_what_connect_sets_is_there_until_disconnect_and_a_background_task_ends_with_its_client(
    capsys: pytest.CaptureFixture[str],
) -> None:
    client = await connect(example("life")["Clock"].as_asgi(), "/clock?name=ann")
    assert await client.receive_from() == "tick"
    await client.send_to("hello")
    assert await client.receive_from() == "ann says hello"
    await client.disconnect(4000)
    assert capsys.readouterr().out == "ann left with 4000\n"


async def test_messages_that_came_before_a_disconnect_are_handled_and_an_error_drops_them() -> None:
    handled: list[str] = []

    class Reader(AsyncWebsocketConsumer):
        async def receive(self, text_data: str) -> None:
            if text_data == "boom":
                raise LookupError(text_data)
            await anyio.sleep(0.01)
            handled.append(text_data)

        async def disconnect(self, code: int) -> None:
            handled.append(f"disconnect({code})")

    for messages, code, seen in (("one", "two"), 4000, ["one", "two"]), (("boom", "two"), 1011, []):
        handled.clear()
        client = await connect(Reader.as_asgi(), "/")
        for message in messages:
            await client.send_to(message)
        if "boom" in messages:
            with pytest.raises(LookupError):
                await client.disconnect(4000)
        else:
            await client.disconnect(4000)
        assert handled == [*seen, f"disconnect({code})"]


class Ending(AsyncJsonWebsocketConsumer):
    """Ends as its client says."""

    groups = ["all"]
    codes: list[int]

    async def receive_json(self, content: Any) -> None:
        match content:
            case "raise":
                raise LookupError
            case "ask":
                raise WebSocketException(4001, "asked for")
            case "stop":
                raise StopConsumer
            case "close":
                await self.close(4001)

    async def disconnect(self, code: int) -> None:
        self.codes.append(code)


async def cancelled(wire: Wire, layer: InMemoryChannelLayer) -> None:
    assert wire.scope is not None
    wire.scope.cancel()


def says(content: str) -> Any:
    async def say(wire: Wire, layer: InMemoryChannelLayer) -> None:
        wire.text(json.dumps(content))

    return say


async def binary(wire: Wire, layer: InMemoryChannelLayer) -> None:
    wire.client("receive", bytes=b"binary")


async def closed_with_its_group(wire: Wire, layer: InMemoryChannelLayer) -> None:
    await layer.close_group("all")


ENDINGS = {
    "`self.close(code)`": (says("close"), 4001),
    "another server stops, or cancels its task": (cancelled, 1012),
    "a handler raises": (says("raise"), 1011),
    "a handler raises `WebSocketException` or `WebSocketDisconnect` with a code": (says("ask"), 4001),
    "a handler raises `StopConsumer`": (says("stop"), 1000),
    "the client sends a frame that the consumer does not take": (binary, 1003),
    "`close_group(group, code)`": (closed_with_its_group, 1008),
}
"""By the first cell of a row: what is done, and the code that comes of it."""


@pytest.mark.parametrize("what", ENDINGS)
async def test_an_ending_has_the_code_that_its_row_says(what: str, layer: InMemoryChannelLayer) -> None:
    [row] = [line for line in page("life").splitlines() if line.startswith(f"| {what} |")]
    act, code = ENDINGS[what]
    assert all({str(code), "code", "same"}.intersection(cell.split()) for cell in row.split("|")[3:5])
    Ending.codes = []
    async with connected(Ending.as_asgi()) as wire:
        await act(wire, layer)
        await eventually(lambda: wire.close_code is not None)
        wire.disconnect(code)
        await wire.end()
    assert (wire.close_code, Ending.codes) == (code, [code])


def test_the_page_names_the_times_and_their_defaults() -> None:
    table = page("life").partition("## How long it takes")[2]
    rows = re.findall(r"^\| `(\w+)` \| `([\w.]+)` \|", table, re.MULTILINE)
    assert rows == [(name, str(getattr(AsyncWebsocketConsumer, name))) for name, _ in rows]
    assert len(rows) == 4


# Backpressure


async def test_a_client_that_cannot_keep_up_is_closed_and_the_others_get_all(no_layer: None) -> None:
    application = example("backpressure")["Prices"].as_asgi()
    layer: Any = get_channel_layer()
    async with connected(application) as slow, connected(application) as healthy:
        slow.hold_sends = anyio.Event()
        for price in range(60):
            await layer.group_send("prices", {"type": "price.changed", "item": "tea", "price": price})
            assert json.loads(await healthy.next_text())["price"] == price
        slow.hold_sends.set()
        await slow.end()
    assert slow.close_code == 1013
    assert healthy.close_code is None


async def test_small_messages_do_not_count_for_inbox_bytes() -> None:
    gate = anyio.Event()

    class Narrow(AsyncWebsocketConsumer):
        inbox_limit = 4
        inbox_bytes = 4_000

        async def receive(self, text_data: str) -> None:
            await gate.wait()

    for size, read in (100, 1 + 1 + 4), (2_000, 1 + 2):  # connect, one that is handled, those that wait
        async with connected(Narrow.as_asgi()) as wire:
            for _ in range(10):
                wire.text("x" * size)
            await anyio.wait_all_tasks_blocked()
            assert wire.receive_calls == read
            gate.set()
        gate = anyio.Event()


# Cancellation


async def test_a_shielded_step_is_whole_and_what_a_finally_awaits_too() -> None:
    names, begun = example("cancellation"), anyio.Event()
    save = names["save"]

    async def noted(content: Any) -> None:
        begun.set()
        await save(content)

    names["save"] = noted
    client = await connect(names["Orders"].as_asgi(), "/orders")
    await client.send_json_to("tea")
    await begun.wait()
    assert names["saved"] == []
    client.stop()  # as a server does
    await client.wait(10)
    assert names["saved"] == ["tea", "unlocked reply"]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_what_ignores_its_cancellation_is_named_in_the_log_as_the_page_shows(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Orders(AsyncJsonWebsocketConsumer):
        disconnect_timeout = 0.05
        cleanup_timeout = 0.4

        async def receive_json(self, content: Any) -> None:
            with anyio.CancelScope(shield=True):
                await anyio.sleep_forever()

    async with connected(Orders.as_asgi(), path="/orders", client=["127.0.0.1", 50123]) as wire:
        wire.text("1")
        await eventually(lambda: wire.everything_is_read)
    [logged] = [message for message in caplog.messages if "ignores its cancellation" in message]
    [shown] = blocks("docs/explanation/cancellation.md", "text")
    place = re.compile(r"\S*(Orders\.receive_json\(\)) \(\S+:\d+\)")
    assert place.sub(r"\1", logged) == place.sub(r"\1", shown.text.strip())


# Security


def room(user: str | None, origin: str = "https://example.com", path: str = "cats") -> WebsocketCommunicator:
    application = example("security")["chat"]
    client = WebsocketCommunicator(application, f"/rooms/{path}", [(b"origin", origin.encode())])
    client.scope["session"] = {"user": user}
    client.scope["path_params"] = {"room": path}
    return client


async def test_another_site_and_somebody_else_are_rejected(no_layer: None, no_limits: None) -> None:
    assert (await room("ann", "https://evil.example").connect())[0] is False
    assert (await room("eve").connect())[0] is False
    assert (await room("ann", path="dogs").connect())[0] is False
    client = room("ann")
    assert (await client.connect())[0]
    await client.send_json_to({"text": "hello", "type": "close", "user": "bob"})
    assert await client.receive_json_from() == {"user": "ann", "text": "hello"}
    await client.disconnect()


@pytest.mark.parametrize(
    "kind",
    [
        "send",
        "close",
        "accept",
        "dispatch",
        "send_json",
        "websocket.disconnect",
        "connect",
        "receive",
        "disconnect",
        "_own",
        "layer.gap",
    ],
)
async def test_a_type_that_a_client_chooses_reaches_no_method_but_handlers(
    kind: str, unchecked_layer: InMemoryChannelLayer
) -> None:
    called: list[str] = []

    class Relaying(AsyncJsonWebsocketConsumer):
        groups = ["room"]

        async def receive_json(self, content: Any) -> None:
            await self.group_send("room", content)

        async def disconnect(self, code: int) -> None:
            called.append(f"disconnect({code})")

        async def _own(self, event: Any) -> None:
            called.append("_own")

        async def layer_gap(self, event: Any) -> None:
            called.append("layer_gap")

        async def said(self, event: Any) -> None:
            await self.send_json("still here")

    async with connected(Relaying.as_asgi()) as wire:
        wire.text(json.dumps({"type": kind}))
        wire.text(json.dumps({"type": "said"}))
        assert await wire.next_text() == '"still here"'
        assert called == []


ENDING = AsyncWebsocketConsumer.disconnect_timeout, AsyncWebsocketConsumer.cleanup_timeout
"""Seconds that an ending may take at most."""


def test_the_pages_say_the_numbers_of_the_code() -> None:
    facts = [
        ("life", "after five seconds the log says so", undecided.UNDECIDED == 5),
        ("life", "The close frame has five seconds", sender.CLOSE_TIMEOUT == 5),
        ("delivery", "The log warns once a minute for each channel", _full_mailboxes.WARNING_INTERVAL == 60),
        ("delivery", "capacity` says: 100", InMemoryChannelLayer().capacity == 100),
        ("delivery", "it waits for `expiry`, 60 s", InMemoryChannelLayer().expiry == 60),
        ("recovery", "every five seconds, for 200 groups", redis_history.CHECKED_AT_ONCE == 200),
        ("recovery", "every five seconds, for 200 groups", pubsub_exchange.INTERVAL == 5),
        ("recovery", "in 32 MiB", known_log.MOST_BYTES == 32 * MIB),
        ("recovery", "live for a day after", _history.MIN_EPOCH_SECONDS == 24 * 3600),
        ("recovery", "An `id` is known for five minutes", _history.MOST_ID_SECONDS == 300),
        ("backpressure", "holds `inbox_limit` messages of the client: 100", AsyncWebsocketConsumer.inbox_limit == 100),
        ("backpressure", "at `inbox_bytes`: 4 MiB", AsyncWebsocketConsumer.inbox_bytes == 4 * MIB),
        ("backpressure", "no message was taken for 30 s", AsyncWebsocketConsumer.stall_timeout == 30),
        ("backpressure", "within the last second", _feed.SLOW == 1),
        ("cancellation", "There are 40 threads for all sync consumers", _threads._max_workers == 40),
        ("cancellation", "Endings have 40 others", _ending_threads._max_workers == 40),
        ("cancellation", "`EXIT_MAX_DELAY` each: 60 s", BaseWSEndpoint.EXIT_MAX_DELAY == 60),
        ("reliability", "`lease` + 2 seconds: 17 s by default", _presence.PresenceOptions().lease + 2 == 17),
        ("reliability", "come back after 5 to 20 s", signature(serve).parameters["retry"].default == (5, 20)),
        (
            "reliability",
            "leaves the [presence](../howto/presence.md) within 17 s",
            _presence.PresenceOptions().lease == 15,
        ),
        ("reliability", "above 70 with the defaults", sum(ENDING) == 70),
        ("security", "After a hundred types", log.MAX_LOGGED_TYPES == 100),
        ("security", "`TypedConsumer` and `serve` have 1 MiB", TypedConsumer.max_message_size == MIB),
        ("security", "`TypedConsumer` and `serve` have 1 MiB", SETTINGS["ws_max_size"] == MIB),
        ("security", "answers ten times, then closes with 1008", TypedConsumer.max_invalid == 10),
        ("security", "fewer than 100 characters", InMemoryChannelLayer.MAX_NAME_LENGTH == 100),
    ]
    wrong = [fact for fact in facts if not fact[2] or fact[1] not in " ".join(page(fact[0]).split())]
    assert wrong == []


# How it differs from Channels


async def test_bad_frames_have_codes_of_their_own() -> None:
    for frame, code in ({"text": "no json"}, 1007), ({"bytes": b"binary"}, 1003):
        async with connected(AsyncJsonWebsocketConsumer.as_asgi()) as wire:
            wire.client("receive", **frame)
            await wire.end()
        assert wire.close_code == code
