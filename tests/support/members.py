"""A process whose server's clients are in one group; see `test_redis_processes`."""

import sys

import anyio

from consumers import AsyncWebsocketConsumer, channel_layers
from consumers.layers.redis import RedisChannelLayer, RedisPubSubChannelLayer
from consumers.types import Message

from .servers import uvicorn_server


class Member(AsyncWebsocketConsumer):
    """A client that says it is in, and whose handlers hang from its first message on."""

    groups = ["user.7"]
    disconnect_timeout = 0.1

    async def connect(self) -> None:
        await self.accept()
        await self.send("in")

    async def receive(self, text_data: str) -> None:
        await self.send("hanging")
        await anyio.sleep_forever()

    async def note(self, event: Message) -> None:
        pass


def main() -> None:
    kind, url = sys.argv[1:]
    layer = {"pubsub": RedisPubSubChannelLayer, "queue": RedisChannelLayer}[kind](hosts=[url], capacity=3)
    channel_layers.configure({"default": layer})
    with uvicorn_server(Member.as_asgi()) as server:
        print(server.port, flush=True)
        sys.stdin.readline()


if __name__ == "__main__":
    main()
