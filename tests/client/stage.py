"""A real uvicorn behind a proxy that misbehaves, in a thread of their own: clients may run on any event loop."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from importlib.metadata import version
from typing import Any, Literal, TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute

from consumers import AsyncJsonWebsocketConsumer, InMemoryChannelLayer, channel_layers
from consumers.exceptions import DenyConnection
from consumers.layers.redis import RedisPubSubChannelLayer
from consumers.typed import TypedConsumer, group_send_message, on, token

from ..support.proxy import Proxy, proxying
from ..support.redis_server import free_port
from ..support.serving import Server

T = TypeVar("T")

LOOPS = ["asyncio"] if version("anyio").startswith("4.10.") else ["asyncio", "trio"]
"""On trio, anyio 4.10 leaves a socket behind if it is cancelled while it connects."""

HISTORY = {"chat.*": {"size": 100, "ttl": 60}}


class Say(BaseModel):
    type: Literal["say"] = "say"
    text: str


class Leave(BaseModel):
    """Have the server close the connection."""

    type: Literal["leave"] = "leave"
    code: int
    reason: str = ""


class Hold(BaseModel):
    """Is not answered before somebody calls `Stage.release()`."""

    type: Literal["hold"] = "hold"


class Flood(BaseModel):
    type: Literal["flood"] = "flood"
    count: int
    size: int = 0


class Said(BaseModel):
    type: Literal["said"] = "said"
    text: str


class Held(BaseModel):
    type: Literal["held"] = "held"
    times: int


class Expire(BaseModel):
    type: Literal["expire"] = "expire"


class Chat(TypedConsumer):
    sends = Said | Held
    allowed = ("good",)
    holding: asyncio.Event
    held = 0
    answers: list[str] = []
    max_message_size = 200_000

    async def connect(self) -> None:
        manner = self.path_params["manner"]
        self.token = await token(self)  # type: ignore[arg-type]
        if manner == "private" and self.token not in self.allowed:
            raise DenyConnection
        await self.accept()
        if manner == "expiring" and self.token not in self.allowed:
            await self.close(4401, "the token has expired")
            return
        await self.join("lobby" if manner == "lobby" else "chat.1", "room")

    @on
    async def say(self, message: Say) -> None:
        await self.group_send_message("chat.1", Said(text=message.text))

    @on
    async def leave(self, message: Leave) -> None:
        await self.close(message.code, message.reason)

    @on
    async def flood(self, message: Flood) -> None:
        for number in range(message.count):
            await self.send_message(Said(text=f"{number}".ljust(message.size)))

    @on
    async def expire(self, message: Expire) -> None:
        await self.send(text_data='{"type":"expires","in":60}')

    @on
    async def hold(self, message: Hold) -> Held:
        type(self).held += 1
        await self.holding.wait()
        return Held(times=self.held)


class Plain(AsyncJsonWebsocketConsumer):
    """Does not speak the protocol."""

    async def receive_json(self, content: Any) -> None:
        await self.send_json({"text": content["text"]})


class Stage:
    """What runs.

    Args:
        portal: runs things in the servers' thread.
        layer: makes the channel layer there.
    """

    def __init__(self, portal: BlockingPortal, layer: Callable[[], Any]) -> None:
        self._portal = portal
        self._make_layer = layer
        self._port = free_port()
        self._stack = AsyncExitStack()
        self.proxy: Proxy
        self.consumer: type[Chat] = type("Chat", (Chat,), {"held": 0, "__module__": __name__})

    def url(self, manner: str = "open") -> str:
        return f"ws://127.0.0.1:{self.proxy.port}/{manner}"

    def call(self, function: Callable[..., T], *args: Any) -> T:
        """Call a plain function over there."""

        async def called() -> T:
            return function(*args)

        return self._portal.call(called)

    def run(self, function: Callable[..., Awaitable[T]], *args: Any) -> T:
        """Run an async function over there."""
        return self._portal.call(function, *args)

    def say(self, *texts: str, group: str = "chat.1") -> None:
        """Have somebody else say something."""

        async def said() -> None:
            for text in texts:
                await group_send_message(group, Said(text=text))

        self.run(said)

    def cut(self) -> None:
        """Reset all connections."""
        self.call(self.proxy.cut)

    def abandon(self) -> None:
        """Let all connections be silent from now on; new ones work."""
        self.proxy.abandon_all()

    def release(self) -> None:
        self.call(self.consumer.holding.set)

    def stop_server(self) -> None:
        self.run(self._stop_server)

    def start_server(self) -> None:
        self.run(self._start_server)

    async def start(self) -> None:
        channel_layers.set("default", self._make_layer())
        self.consumer.holding = asyncio.Event()
        self.proxy = await self._stack.enter_async_context(proxying(self._port))
        await self._start_server()

    async def end(self) -> None:
        self.consumer.holding.set()
        await self._stop_server()
        await self._stack.aclose()
        await channel_layers["default"].close()

    async def _start_server(self) -> None:
        routes = [WebSocketRoute("/plain", Plain.as_asgi()), WebSocketRoute("/{manner}", self.consumer.as_asgi())]
        self._server = Server(Starlette(routes=routes))
        self._server.config.port = self._port
        self._serving = asyncio.ensure_future(self._server._serve())
        await self._server.ready.wait()

    async def _stop_server(self) -> None:
        self._server.should_exit = True
        await self._serving


@contextmanager
def staged(layer: Callable[[], Any] = lambda: InMemoryChannelLayer(history=HISTORY)) -> Iterator[Stage]:
    """Run a server and a proxy until the end of the block."""
    with start_blocking_portal("asyncio") as portal:
        stage = Stage(portal, layer)
        portal.call(stage.start)
        try:
            yield stage
        finally:
            portal.call(stage.end)


def redis_layer(url: str) -> RedisPubSubChannelLayer:
    return RedisPubSubChannelLayer([url], history=HISTORY)
