"""What a subclass of a layer overrides is called: in memory and on Redis, natively and in compat."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import pytest

from compat.channels.layers import InMemoryChannelLayer as CompatInMemoryChannelLayer
from compat.channels_redis.core import RedisChannelLayer as CompatRedisChannelLayer
from compat.channels_redis.pubsub import RedisPubSubChannelLayer as CompatRedisPubSubChannelLayer
from consumers import AsyncWebsocketConsumer, InMemoryChannelLayer, InvalidChannelLayerError, channel_layers
from consumers.layers import close_group_sync, group_send_sync, send_sync
from consumers.layers.codec import BaseMessageSerializer, JSONSerializer, MsgPackSerializer, registry
from consumers.layers.redis import RedisChannelLayer, RedisPubSubChannelLayer
from consumers.testing import WebsocketCommunicator

from ...support.redis_layers import until
from ...support.redis_server import RedisServer

pytestmark = pytest.mark.anyio

IN_MEMORY: list[Any] = [InMemoryChannelLayer, CompatInMemoryChannelLayer]
ON_REDIS: list[Any] = [
    RedisPubSubChannelLayer,
    RedisChannelLayer,
    CompatRedisPubSubChannelLayer,
    CompatRedisChannelLayer,
]


UNCHECKED = CompatRedisPubSubChannelLayer  # it lets all names pass, as in channels_redis


def name_of(base: Any) -> str:
    return f"{base.__module__.partition('.')[0]}-{base.__name__}"


every_layer = pytest.mark.parametrize("base", IN_MEMORY + ON_REDIS, ids=name_of)
every_layer_on_redis = pytest.mark.parametrize("base", ON_REDIS, ids=name_of)


@pytest.fixture
def no_layers() -> Iterator[None]:
    yield
    channel_layers.configure({})


class Make:
    """Makes layers of any class, and uses the first one for consumers."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self.made: list[Any] = []

    def __call__(self, cls: type[Any], **arguments: Any) -> Any:
        layer = cls(**arguments) if issubclass(cls, InMemoryChannelLayer) else cls([self._server.url], **arguments)
        if not self.made:
            channel_layers.configure({"default": layer})
        self.made.append(layer)
        return layer


@pytest.fixture
async def make(redis_server: RedisServer, no_layers: None, anyio_backend: str) -> AsyncIterator[Make]:
    make = Make(redis_server)
    yield make
    for layer in make.made:
        await layer.close()
    with redis_server.client() as client:
        client.flushall()
    await until(lambda: redis_server.connections() == [])


class Member(AsyncWebsocketConsumer):
    groups = ["room"]

    async def note(self, event: Any) -> None:
        await self.send(event["text"])

    async def where(self, event: Any) -> None:
        await self.send(self.channel_name)


def noting(base: Any, *methods: str) -> Any:
    """Make a subclass that notes the calls of some coroutine methods in `calls`, and goes on to the base's."""

    def noted(name: str) -> Any:
        async def method(self: Any, *args: Any, **kwargs: Any) -> Any:
            type(self).calls.append(name)
            return await getattr(super(noting_class, self), name)(*args, **kwargs)

        return method

    noting_class: Any = type("Noting", (base,), {"calls": [], **{name: noted(name) for name in methods}})
    return noting_class


@every_layer
async def test_each_method_that_channels_calls_for_a_consumer(base: Any, make: Make) -> None:
    cls = noting(base, "new_channel", "group_add", "receive", "group_discard")
    layer = make(cls)
    communicator = WebsocketCommunicator(Member.as_asgi(), "/")
    await communicator.connect()
    assert cls.calls[:3] in (["new_channel", "group_add", "receive"], ["new_channel", "receive", "group_add"])
    await layer.group_send("room", {"type": "note", "text": "a"})
    assert await communicator.receive_from() == "a"
    await communicator.disconnect()
    assert cls.calls.count("new_channel") == cls.calls.count("group_add") == cls.calls.count("group_discard") == 1
    assert layer.groups == {}


@every_layer
async def test_a_receive_that_changes_messages_and_a_channel_name_of_ones_own(base: Any, make: Make) -> None:
    class Layer(base):  # type: ignore[misc]
        async def new_channel(self, prefix: str = "user") -> str:
            return str(await super().new_channel(prefix))

        async def receive(self, channel: str) -> Any:
            message = await super().receive(channel)
            return {**message, "text": message.get("text", "").upper()}

    layer = make(Layer)
    communicator = WebsocketCommunicator(Member.as_asgi(), "/")
    await communicator.connect()
    await layer.group_send("room", {"type": "where"})
    name = str(await communicator.receive_from())
    assert name.removeprefix("asgi").startswith("user.")
    await layer.send(name, {"type": "note", "text": "a"})
    assert await communicator.receive_from() == "A"
    await communicator.disconnect()


@every_layer
async def test_close_group_closes_consumers_whose_receive_is_overridden(base: Any, make: Make) -> None:
    layer = make(noting(base, "receive"))
    communicator = WebsocketCommunicator(Member.as_asgi(), "/")
    await communicator.connect()
    await layer.close_group("room", 4001, "out")
    event = await communicator.receive_output()
    assert (event["type"], event["code"]) == ("websocket.close", 4001)
    await communicator.wait()
    assert layer.groups == {}


@pytest.mark.parametrize("base", IN_MEMORY, ids=name_of)
async def test_in_memory_a_group_send_sends_to_each_member_as_there(base: Any, make: Make) -> None:
    class Layer(base):  # type: ignore[misc]
        sent: list[str] = []

        async def send(self, channel: str, message: Any) -> None:
            self.sent.append(channel)
            await super().send(channel, {**message, "text": "sent"})

    layer = make(Layer, channel_capacity={"reader": 1})
    communicator = WebsocketCommunicator(Member.as_asgi(), "/")
    await communicator.connect()
    await layer.group_add("room", "reader")
    for _ in range(2):
        await layer.group_send("room", {"type": "note", "text": "a"})
        assert await communicator.receive_from() == "sent"
    assert await layer.receive("reader") == {"type": "note", "text": "sent"}
    assert layer.sent.count("reader") == 2
    assert layer.dropped == 1
    await communicator.disconnect()


async def test_in_memory_an_exception_of_send_leaves_group_send(make: Make) -> None:
    class Layer(InMemoryChannelLayer):
        async def send(self, channel: str, message: Any) -> None:
            raise LookupError(channel)

    layer = make(Layer)
    await layer.group_add("room", "reader")
    with pytest.raises(LookupError, match="reader"):
        await layer.group_send("room", {"type": "note"})


@every_layer
async def test_senders_without_a_loop_go_through_overridden_methods(base: Any, make: Make) -> None:
    cls = noting(base, "send", "group_send", "close_group")
    layer = make(cls)

    def send_all() -> None:
        send_sync("reader", {"type": "note"})
        group_send_sync("room", {"type": "note"})
        close_group_sync("room")
        if hasattr(layer, "send_sync"):
            layer.send_sync("reader", {"type": "note"})
            layer.group_send_sync("room", {"type": "note"})
            layer.close_group_sync("room")

    await asyncio.to_thread(send_all)
    assert list(dict.fromkeys(cls.calls)) == ["send", "group_send", "close_group"]
    assert cls.calls.count("group_send") == (2 if hasattr(layer, "send_sync") else 1)
    await layer.flush()


@pytest.mark.parametrize("base", [layer for layer in IN_MEMORY + ON_REDIS if layer is not UNCHECKED], ids=name_of)
async def test_names_are_checked_by_an_overridden_rule_each_time(base: Any, make: Make) -> None:
    class Layer(base):  # type: ignore[misc]
        allowed = True

        def require_valid_group_name(self, name: object) -> bool:
            if not self.allowed:
                raise TypeError("not now")
            return True

        def require_valid_channel_name(self, name: object, receive: bool = False) -> bool:
            return self.require_valid_group_name(name)

    layer = make(Layer)
    await layer.group_add("a room", "a reader")
    layer.allowed = False
    message = {"type": "x"}
    for call in (
        layer.group_send("a room", message),
        layer.send("a reader", message),
        layer.group_discard("a room", "a reader"),
    ):
        with pytest.raises(TypeError, match="not now"):
            await call
    layer.allowed = True
    await layer.group_discard("a room", "a reader")


@pytest.mark.parametrize("base", [CompatInMemoryChannelLayer, CompatRedisChannelLayer], ids=name_of)
async def test_match_type_and_length_decides_about_names(base: Any, make: Make) -> None:
    class Layer(base):  # type: ignore[misc]
        def match_type_and_length(self, name: object) -> bool:
            return name != "tabu"

    layer = make(Layer)
    assert layer.require_valid_group_name("x" * 300)
    with pytest.raises(TypeError):
        layer.require_valid_channel_name("tabu")


@pytest.mark.parametrize("base", IN_MEMORY + ON_REDIS[1::2], ids=name_of)
async def test_get_capacity_decides_how_many_messages_wait(base: Any, make: Make) -> None:
    class Layer(base):  # type: ignore[misc]
        def get_capacity(self, channel: str) -> int:
            return 1

    layer = make(Layer)
    await layer.send("reader", {"type": "note"})
    with pytest.raises(Exception, match="full"):
        await layer.send("reader", {"type": "note"})
    await layer.flush()


# Bytes


@every_layer_on_redis
async def test_serialize_and_deserialize(base: Any, make: Make) -> None:
    class Layer(base):  # type: ignore[misc]
        def serialize(self, message: Any) -> bytes:
            return bytes(byte ^ 0x55 for byte in super().serialize(message))

        def deserialize(self, message: bytes) -> Any:
            return super().deserialize(bytes(byte ^ 0x55 for byte in message))

    layer, plain = make(Layer), make(base)
    communicator = WebsocketCommunicator(Member.as_asgi(), "/")
    await communicator.connect()
    await plain.group_send("room", {"type": "note", "text": "plain"})  # cannot be read
    await layer.group_send("room", {"type": "note", "text": "a"})
    assert await communicator.receive_from() == "a"
    await layer.group_send("room", {"type": "where"})
    await layer.send(await communicator.receive_from(), {"type": "note", "text": "b"})
    assert await communicator.receive_from() == "b"
    await communicator.disconnect()


@pytest.mark.parametrize("serializer", [JSONSerializer, MsgPackSerializer])
@pytest.mark.parametrize("method", ["as_bytes", "serialize"])
@every_layer_on_redis
async def test_a_serializer_that_overrides_a_method(base: Any, method: str, serializer: Any, make: Make) -> None:
    class Reversed(serializer):  # type: ignore[misc]
        pass

    back = {"as_bytes": "from_bytes", "serialize": "deserialize"}[method]
    setattr(Reversed, method, lambda self, message: getattr(serializer, method)(self, message)[::-1])
    setattr(Reversed, back, lambda self, data: getattr(serializer, back)(self, data[::-1]))
    registry.register_serializer("reversed", Reversed)
    layer = make(base, serializer_format="reversed")
    communicator = WebsocketCommunicator(Member.as_asgi(), "/")
    await communicator.connect()
    await layer.group_send("room", {"type": "note", "text": "a"})
    assert await communicator.receive_from() == "a"
    await communicator.disconnect()


async def test_a_serializer_makes_its_own_fernets() -> None:
    made = []

    class Own(JSONSerializer):
        def make_fernet(self, key: Any) -> Any:
            made.append(key)
            return super().make_fernet(f"{key}, stretched")

    own, other = Own(["secret"]), JSONSerializer(["secret, stretched"])
    assert other.deserialize(own.serialize({"type": "note"})) == {"type": "note"}
    assert made == ["secret"]
    assert isinstance(own, BaseMessageSerializer)
    assert json.loads(own.as_bytes({})) == {}


@every_layer_on_redis
async def test_consistent_hash_chooses_the_shard(base: Any, redis_server: RedisServer) -> None:
    class Layer(base):  # type: ignore[misc]
        def consistent_hash(self, value: Any) -> int:
            return 1

    hosts = [f"{redis_server.url}/{database}" for database in (0, 1)]
    layer = Layer(hosts)
    assert [layer.consistent_hash(str(number)) for number in range(9)] == [1] * 9


@pytest.mark.parametrize("base", ON_REDIS[2:], ids=name_of)
@pytest.mark.parametrize(
    ("method", "instead"),
    [("receive_single", "receive"), ("connection", "hosts"), ("create_pool", "hosts"), ("close_pools", "close")],
)
def test_what_cannot_be_called_is_an_error_when_the_layer_is_made(base: Any, method: str, instead: str) -> None:
    layer_class = type("Layer", (base,), {method: lambda self, *args: None})
    with pytest.raises(TypeError, match=rf"Layer overrides {method}\(\), which .*{instead}"):
        layer_class()
    channel_layers.configure({"default": {"BACKEND": layer_class}})
    with pytest.raises(InvalidChannelLayerError, match=method):
        channel_layers["default"]
    channel_layers.configure({})


def test_a_wrapper_around_a_layer_has_its_own_receive_called() -> None:
    class Wrapper:
        def __init__(self, layer: Any) -> None:
            self._layer = layer

        def __getattr__(self, name: str) -> Any:
            return getattr(self._layer, name)

        async def receive(self, channel: str) -> Any:
            message = await self._layer.receive(channel)
            return {**message, "text": "wrapped"}

    async def main() -> None:
        layer: Any = Wrapper(InMemoryChannelLayer())
        channel_layers.configure({"default": layer})
        communicator = WebsocketCommunicator(Member.as_asgi(), "/")
        await communicator.connect()
        await layer.group_send("room", {"type": "note", "text": "a"})
        assert await communicator.receive_from() == "wrapped"
        await communicator.disconnect()
        assert layer.groups == {}

    for backend in ("asyncio", "trio"):
        anyio.run(main, backend=backend)
    channel_layers.configure({})
