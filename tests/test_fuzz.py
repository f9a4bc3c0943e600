"""Random input at the library's edges, under hypothesis.

`FUZZ=50 python -m pytest tests/test_fuzz.py` tries fifty times as many inputs, other ones each time.
"""

import contextlib
import os
import time
from typing import Any

import anyio
import pytest
from hypothesis import given, settings, target
from hypothesis import strategies as st

from consumers import (
    AsyncConsumer,
    AsyncJsonWebsocketConsumer,
    AsyncWebsocketConsumer,
    BaseWSEndpoint,
    InMemoryChannelLayer,
    JsonWebsocketConsumer,
    SyncConsumer,
    URLRouter,
    WebsocketConsumer,
    channel_layers,
    path,
    re_path,
)
from consumers.layers.codec import Codec
from consumers.origin import Origin, Rule
from consumers.types import Message, Receive, Scope, Send

from .conftest import UncheckedLayer
from .support.wire import Wire, run_app, websocket_scope

FACTOR = int(os.environ.get("FUZZ", "1"))
EXAMPLES = settings().max_examples * 4 // 5 * FACTOR
bounded = settings(max_examples=EXAMPLES, deadline=None, derandomize=FACTOR == 1, database=None)

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
json_like = st.text(alphabet='[]{}",:0123456789.eE+-\\u truefalsn\ud800', max_size=40)
frames = st.one_of(
    st.fixed_dictionaries({"type": st.just("websocket.receive"), "text": st.text(max_size=40) | json_like}),
    st.fixed_dictionaries({"type": st.just("websocket.receive"), "bytes": st.binary(max_size=40)}),
    st.fixed_dictionaries(
        {"type": st.just("websocket.receive"), "text": st.none() | st.text(), "bytes": st.none() | st.binary()}
    ),
)
layer_messages = st.one_of(
    st.fixed_dictionaries({"type": st.text(max_size=30) | anything}, optional={"text": anything, "code": anything}),
    st.fixed_dictionaries({"type": st.sampled_from(["note", "websocket.send", "websocket.disconnect", "close"])}),
    st.dictionaries(st.text(max_size=5), anything, max_size=3),
)
steps = st.lists(st.tuples(st.just("client"), frames) | st.tuples(st.just("layer"), layer_messages), max_size=12)
codes = st.none() | st.sampled_from([1000, 1001, 1005, 1006, 1012, 3000, 4999]) | st.integers(0, 5000)

disconnects: list[Any] = []


class Counted:
    groups: list[str] | None = ["room"]

    async def disconnect(self, code: Any) -> None:
        disconnects.append(code)


class CountedPlain:
    groups: list[str] | None = ["room"]

    def disconnect(self, code: Any) -> None:
        disconnects.append(code)


class Text(Counted, AsyncWebsocketConsumer):
    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if text_data is not None or bytes_data is not None:
            await self.send(text_data, bytes_data)

    async def note(self, event: Any) -> None:
        await self.send("note")


class Json(Counted, AsyncJsonWebsocketConsumer):
    async def receive_json(self, content: Any) -> None:
        await self.send_json(content)


class Raw(Counted, AsyncWebsocketConsumer):
    raw_frames = True
    max_tasks = 3


class PlainText(CountedPlain, WebsocketConsumer):
    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if text_data is not None or bytes_data is not None:
            self.send(text_data, bytes_data)


class PlainJson(CountedPlain, JsonWebsocketConsumer):
    def receive_json(self, content: Any) -> None:
        self.send_json(content)


class Bare(AsyncConsumer):
    async def websocket_connect(self, message: Message) -> None:
        await self.channel_layer.group_add("room", self.channel_name)
        await self.send({"type": "websocket.accept"})

    async def websocket_receive(self, message: Message) -> None:
        await self.send({"type": "websocket.send", "text": "frame"})

    async def websocket_disconnect(self, message: Message) -> None:
        disconnects.append(message["code"])


class PlainBare(SyncConsumer):
    def websocket_connect(self, message: Message) -> None:
        self.send({"type": "websocket.accept"})

    def websocket_receive(self, message: Message) -> None:
        self.send({"type": "websocket.send", "text": "frame"})

    def websocket_disconnect(self, message: Message) -> None:
        disconnects.append(message["code"])


class Endpoint(BaseWSEndpoint):
    encoding = "json"

    async def _background_handler(self, task_id: Any, websocket: Any, data: Any) -> None:
        await websocket.send_json(data)

    async def on_disconnect(self, websocket: Any, close_code: int) -> None:
        disconnects.append(close_code)


CONSUMERS = (Text, Json, Raw, PlainText, PlainJson, Bare, PlainBare)


async def live(app: Any, script: list[tuple[str, Message]], code: Any) -> tuple[Wire, InMemoryChannelLayer]:
    """Live a connection's life: connect, these steps, a disconnect."""
    layer, wire = UncheckedLayer(), Wire()
    before = channel_layers.set("default", layer)
    disconnects.clear()
    try:
        async with anyio.create_task_group() as tasks:
            wire.client("connect")
            tasks.start_soon(run_app, wire, app, websocket_scope())
            await wire.next()
            for source, message in script:
                if source == "client":
                    wire.event(message)
                else:
                    with contextlib.suppress(RecursionError):
                        await layer.group_send("room", message)
            wire.event({"type": "websocket.disconnect", "code": code})
            await wire.end()
    finally:
        channel_layers.set("default", before)
    return wire, layer


def check_a_life(app: Any, backend: str, script: list[tuple[str, Message]], code: Any) -> None:
    started = time.thread_time()
    wire, layer = anyio.run(live, app, script, code, backend=backend)
    assert wire.error is None, wire.error
    assert len(disconnects) == 1
    assert layer._local.groups() == {} and layer._local.channels() == {}
    kinds = [event["type"] for event in wire.sent]
    assert kinds[0] == "websocket.accept" and kinds.count("websocket.close") <= 1
    assert time.thread_time() - started < 5
    target(float(len(set(kinds)) * 100 + len(kinds)), label="kinds and number of events sent")


@pytest.mark.parametrize("consumer", CONSUMERS)
@given(steps, codes)
@bounded
def test_no_client_breaks_a_consumer(consumer: Any, script: list[tuple[str, Message]], code: Any) -> None:
    check_a_life(consumer.as_asgi(), "asyncio", script, code)


@pytest.mark.parametrize("consumer", [Text, Json, Raw, Bare])
@given(steps, codes)
@settings(bounded, max_examples=EXAMPLES // 3)
def test_neither_on_trio(consumer: Any, script: list[tuple[str, Message]], code: Any) -> None:
    check_a_life(consumer.as_asgi(), "trio", script, code)


@given(steps, codes)
@bounded
def test_no_client_breaks_an_endpoint(script: list[tuple[str, Message]], code: Any) -> None:
    check_a_life(Endpoint, "asyncio", script, code)


async def reached(scope: Scope, receive: Receive, send: Send) -> None:
    scope["reached"].append(scope["url_route"])


ROUTER = URLRouter(
    [
        path("ws/<str:room>/<int:page>/", reached),
        path("files/<path:rest>/end/", reached),
        path("u/<uuid:key>/<slug:name>", reached),
        re_path(r"^r/(?P<a>[^/]+)/(?P<b>\w*)$", reached),
        path("nested/<str:a>/", URLRouter([path("<int:b>/", reached), re_path(r"^x(.*)$", reached)])),
    ]
)
parts = st.sampled_from(
    ["ws", "files", "u", "r", "nested", "end", "x", "1", "a" * 5000, "9" * 5000, "\u0661", "\n", ""]
)
paths = st.lists(parts | st.text(max_size=8), max_size=8).map("/".join) | st.text(max_size=60)


@given(paths, paths)
@settings(bounded, max_examples=4 * EXAMPLES)
def test_any_path_has_a_route_or_is_answered(given_path: str, root: str) -> None:
    async def route() -> list[Any]:
        wire = Wire()
        wire.client("connect")
        scope = websocket_scope(path=f"/{given_path}", root_path=root, reached=[])
        await ROUTER(scope, wire.app_receive, wire.app_send)
        assert bool(wire.sent) != bool(scope["reached"])
        return list(scope["reached"])

    started = time.thread_time()
    routes = anyio.run(route)
    assert time.thread_time() - started < 5
    target(float(sum(len(route["kwargs"]) + len(route["args"]) for route in routes)), label="parameters")


@pytest.mark.slow
@given(st.text(alphabet="htps:/.[]@%0127afgodcmexn-+_\u0130\u212a ", max_size=60))
@settings(bounded, max_examples=15 * EXAMPLES)
def test_any_text_is_an_origin_in_one_spelling_or_none(text: str) -> None:
    origin = Origin.parse(text)
    target(float(len(origin.host)) if origin else 0.0, label="length of the host")
    if origin is not None:
        assert text.isascii() and text.lower().startswith(f"{origin.scheme}://")
        again = f"{origin.scheme}://{origin.host}" + ("" if origin.port is None else f":{origin.port}")
        assert Origin.parse(again) == origin
        assert not Rule.parse("https://good.com").allows(origin) or origin == ("https", "good.com", 443)


@pytest.mark.slow
@pytest.mark.parametrize("format", ["msgpack", "json"])
@given(st.binary(max_size=300) | st.integers(1, 100_000) | json_like.map(lambda text: text.encode(errors="replace")))
@settings(bounded, max_examples=10 * EXAMPLES)
def test_any_bytes_are_a_message_or_a_value_error(format: str, given_data: bytes | int) -> None:
    data = given_data if isinstance(given_data, bytes) else b"\x91" * given_data  # nested that deep
    started = time.thread_time()
    try:
        message = Codec(format).decode(data)
    except ValueError as error:
        message, why = {}, str(error)
    else:
        why = ""
        target(float(len(message)), label="size of the message")
    assert type(message) is dict and len(why) < 500
    assert time.thread_time() - started < 5
