"""A consumer that records what happens to it."""

from typing import Any

import anyio

from consumers import AsyncWebsocketConsumer, InMemoryChannelLayer, StopConsumer


def nothing_left(layer: InMemoryChannelLayer) -> bool:
    return not layer.groups and not layer.channels


class Recorder(AsyncWebsocketConsumer):
    """Records what happens to it in `log`, a list given to `as_asgi()`."""

    groups = ["everyone"]
    disconnect_timeout = 0.2
    cleanup_timeout = 0.5

    def __init__(self, log: list[Any]) -> None:
        super().__init__()
        self.log = log

    async def connect(self) -> None:
        self.log.append("connect")
        await self.accept()

    async def receive(self, text_data: str) -> None:
        self.log.append(text_data)
        match text_data.split():
            case ["boom"]:
                raise RuntimeError("boom")
            case ["sleep"]:
                await anyio.sleep(60)
            case ["close", code]:
                await self.close(int(code), "because")
            case ["stop"]:
                raise StopConsumer
            case ["echo", *_]:
                await self.send(text_data)

    async def disconnect(self, code: int) -> None:
        self.log.append(("disconnect", code))


def disconnects(log: list[Any]) -> list[Any]:
    return [entry for entry in log if isinstance(entry, tuple)]
