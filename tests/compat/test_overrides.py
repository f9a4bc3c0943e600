"""What a subclass of a consumer, communicator, router or middleware overrides is called, as in Channels."""

import inspect
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import pytest

import consumers
from compat.channels import middleware, routing
from compat.channels import testing as compat_testing
from compat.channels.auth import AuthMiddleware
from compat.channels.generic import http as compat_http
from compat.channels.generic import websocket as compat_websocket
from compat.channels.security.websocket import OriginValidator
from consumers import InMemoryChannelLayer, testing
from consumers.types import Message, Receive, Scope, Send

CONSUMER = (
    *("__call__", "dispatch", "send", "accept", "connect", "receive", "disconnect", "close"),
    *("websocket_connect", "websocket_receive", "websocket_disconnect"),
)
JSON = ("receive_json", "send_json", "encode_json", "decode_json")
HTTP = (
    *("__call__", "dispatch", "send", "http_request", "handle", "send_response", "send_headers", "send_body"),
    *("disconnect", "http_disconnect"),
)
COMMUNICATOR = ("send_input", "receive_output", "receive_nothing", "wait", "send_to", "receive_from")


def noting(base: Any, names: Sequence[str]) -> tuple[Any, list[str]]:
    """Make a subclass that overrides methods; return it, and where it notes their calls."""
    calls: list[str] = []

    def noted(name: str) -> Any:
        static = inspect.getattr_static(base, name)
        if inspect.iscoroutinefunction(getattr(static, "__func__", static)) or name == "dispatch":

            async def async_method(self: Any, *args: Any, **kwargs: Any) -> Any:
                calls.append(name)
                return await getattr(super(cls, self), name)(*args, **kwargs)

            return async_method

        def method(self: Any, *args: Any, **kwargs: Any) -> Any:
            calls.append(name)
            return getattr(super(cls, self), name)(*args, **kwargs)

        return classmethod(method) if isinstance(static, classmethod) else method

    cls: Any = type(f"Noting{base.__name__}", (base,), {name: noted(name) for name in names})
    return cls, calls


@pytest.mark.anyio
@pytest.mark.parametrize("package", [consumers, compat_websocket])
@pytest.mark.parametrize("name", ["AsyncWebsocketConsumer", "AsyncJsonWebsocketConsumer"])
async def test_every_documented_method_of_an_async_consumer(
    package: ModuleType, name: str, layer: InMemoryChannelLayer
) -> None:
    base: Any = getattr(package, name)
    is_json = "Json" in name

    class Echo(base):  # type: ignore[misc]
        groups = ["room"]

        async def note(self, event: Message) -> None:
            await (self.send_json({}) if is_json else self.send("{}"))

    async def receive(self: Any, text_data: str) -> None:
        await self.send(text_data)

    async def receive_json(self: Any, content: Any, **kwargs: Any) -> None:
        await self.send_json(content)

    setattr(Echo, "receive_json" if is_json else "receive", receive_json if is_json else receive)
    names = [*CONSUMER, *JSON] if is_json else CONSUMER
    cls, calls = noting(Echo, names)
    await converse(cls, layer)
    assert set(names) - set(calls) == {"close"}
    assert [calls.count(name) for name in ("dispatch", "send", "receive")] == [5, 3, 2]


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("package", [consumers, compat_websocket])
@pytest.mark.parametrize("name", ["WebsocketConsumer", "JsonWebsocketConsumer"])
async def test_every_documented_method_of_a_sync_consumer(
    package: ModuleType, name: str, layer: InMemoryChannelLayer
) -> None:
    base: Any = getattr(package, name)
    is_json = "Json" in name

    class Echo(base):  # type: ignore[misc]
        groups = ["room"]

        def note(self, event: Message) -> None:
            self.send_json({}) if is_json else self.send("{}")

    def receive(self: Any, text_data: str) -> None:
        self.send(text_data)

    def receive_json(self: Any, content: Any, **kwargs: Any) -> None:
        self.send_json(content)

    setattr(Echo, "receive_json" if is_json else "receive", receive_json if is_json else receive)
    names = [*CONSUMER, *JSON] if is_json else CONSUMER
    cls, calls = noting(Echo, names)
    await converse(cls, layer)
    assert set(names) - set(calls) == {"close"}
    assert [calls.count(name) for name in ("dispatch", "send", "receive")] == [5, 3, 2]


async def converse(cls: Any, layer: InMemoryChannelLayer) -> None:
    communicator = testing.WebsocketCommunicator(cls.as_asgi(), "/")
    await communicator.connect()
    for _ in range(2):  # the second frame may go another way than the first one
        await communicator.send_to(text_data="{}")
        assert await communicator.receive_from() == "{}"
    await layer.group_send("room", {"type": "note"})
    assert await communicator.receive_from() == "{}"
    await communicator.disconnect()


@pytest.mark.anyio
@pytest.mark.parametrize("package", [consumers, compat_http])
async def test_every_documented_method_of_an_http_consumer(package: Any) -> None:
    class Page(package.AsyncHttpConsumer):  # type: ignore[misc]
        async def handle(self, body: bytes) -> None:
            await self.send_response(200, b"page")

    cls, calls = noting(Page, HTTP)
    communicator = testing.HttpCommunicator(cls.as_asgi(), "GET", "/")
    assert (await communicator.get_response())["body"] == b"page"
    await communicator.wait()
    assert set(calls) == set(HTTP)


@pytest.mark.anyio
@pytest.mark.parametrize("package", [testing, compat_testing])
async def test_every_documented_method_of_a_communicator(package: Any) -> None:
    class Echo(consumers.AsyncWebsocketConsumer):
        async def receive(self, text_data: str) -> None:
            await self.send(text_data)

    cls, calls = noting(package.WebsocketCommunicator, COMMUNICATOR)
    communicator = cls(Echo.as_asgi(), "/")
    await communicator.connect()
    await communicator.send_json_to({})
    await communicator.receive_json_from()
    await communicator.receive_nothing()
    await communicator.disconnect()
    assert set(calls) == set(COMMUNICATOR)


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    scope["seen"].append(scope["type"])


@pytest.mark.anyio
@pytest.mark.parametrize("package", [consumers, routing])
async def test_a_router_that_overrides_being_called_is_called_so_wherever_it_is(package: Any) -> None:
    url_router, by_url = noting(package.URLRouter, ["__call__"])
    protocol_router, by_protocol = noting(package.ProtocolTypeRouter, ["__call__"])
    name_router, by_name = noting(package.ChannelNameRouter, ["__call__"])
    nested = url_router([consumers.path("b/", application)])
    urls: Any = url_router([consumers.path("a/", nested)])
    router = protocol_router({"websocket": urls, "channel": name_router({"jobs": application})})
    seen: list[str] = []
    receive: Any = None
    for scope in ({"type": "websocket", "path": "/a/b/"}, {"type": "channel", "channel": "jobs"}):
        await router({**scope, "seen": seen}, receive, receive)
    assert seen == ["websocket", "channel"]
    assert [len(calls) for calls in (by_url, by_protocol, by_name)] == [2, 2, 1]


@pytest.mark.anyio
async def test_middleware_that_overrides_methods() -> None:
    base, calls = noting(middleware.BaseMiddleware, ["__call__"])

    class Auth(AuthMiddleware):
        def populate_scope(self, scope: Scope) -> None:
            scope["user"] = "nobody"

        async def resolve_scope(self, scope: Scope) -> None:
            calls.append(scope["user"])

    seen: list[str] = []
    receive: Any = None
    await base(Auth(application))({"type": "websocket", "seen": seen}, receive, receive)
    assert (seen, calls) == (["websocket"], ["__call__", "nobody"])


async def is_let_through(validator: Any, origin: str) -> bool:
    seen: list[str] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(event: Message) -> None:
        pass

    scope = {"type": "websocket", "path": "/", "headers": [(b"origin", origin.encode())], "seen": seen}
    await validator(scope, receive, send)
    return bool(seen)


@pytest.mark.anyio
@pytest.mark.parametrize("method", ["valid_origin", "validate_origin"])
async def test_an_origin_validator_that_overrides_its_decision_makes_it_behind_a_star_too(method: str) -> None:
    cls = type("Validator", (OriginValidator,), {method: lambda self, origin: origin.hostname == "example.com"})
    for allowed in (["*"], ["other.example"]):
        validator = cls(application, allowed)
        assert await is_let_through(validator, "https://example.com")
        assert not await is_let_through(validator, "https://other.example")


@pytest.mark.anyio
async def test_an_origin_validator_that_overrides_what_an_origins_port_is() -> None:
    class Validator(OriginValidator):
        def get_origin_port(self, origin: Any) -> int | None:
            return 1

    validator = Validator(application, ["https://example.com:8443"])
    assert await is_let_through(validator, "https://example.com")
    assert not await is_let_through(validator, "http://example.com")


@pytest.mark.parametrize("method", ["valid_origin", "validate_origin", "match_allowed_origin", "get_origin_port"])
def test_natively_an_origin_validator_refuses_what_it_would_not_call(method: str) -> None:
    cls = type("Validator", (consumers.OriginValidator,), {method: lambda self, origin: False})
    with pytest.raises(
        TypeError, match=rf"Validator overrides {method}\(\), which nothing calls here: override __call"
    ):
        cls(application, ["*"])
