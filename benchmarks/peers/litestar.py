"""Litestar's channels plugin with its in-memory back end."""

from contextlib import AbstractAsyncContextManager
from typing import Any

from litestar import Litestar, WebSocket, websocket
from litestar.channels import ChannelsPlugin
from litestar.channels.backends.memory import MemoryChannelsBackend

from . import Peer


@websocket("/echo")
async def echo(socket: WebSocket) -> None:
    await socket.accept()
    async for text in socket.iter_data("text"):
        await socket.send_text(text)


def group(name: str) -> Any:
    """The handler that the plugin creates by itself, and a publication for each text of the client."""

    @websocket(f"/{name}", name=name)
    async def handler(socket: WebSocket, channels: ChannelsPlugin) -> None:
        await socket.accept()
        async with channels.start_subscription(name) as subscriber, subscriber.run_in_background(socket.send_text):
            while (event := await socket.receive())["type"] != "websocket.disconnect":
                channels.publish(event["text"], name)

    return handler


class Adapter(Peer):
    packages = ("litestar",)

    def __init__(self) -> None:
        names = ["room", "crowd", "json"]
        self.channels = ChannelsPlugin(MemoryChannelsBackend(), channels=names)
        self.app = Litestar([echo, *map(group, names)], plugins=[self.channels], openapi_config=None)

    def running(self) -> AbstractAsyncContextManager[Any]:
        return self.app.lifespan()

    async def broadcast(self, text: str) -> None:
        self.channels.publish(text, "room")

    async def broadcast_object(self, content: Any) -> None:
        self.channels.publish(content, "json")
