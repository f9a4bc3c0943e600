"""An application that tells its clients how they are served; see `test_gunicorn`."""

import asyncio
import gc

import uvicorn

from consumers import AsyncWebsocketConsumer, InMemoryChannelLayer, channel_layers, relay

channel_layers.set("default", InMemoryChannelLayer())


class Member(AsyncWebsocketConsumer):
    groups = ["room"]
    chat_message = relay("text")

    async def connect(self) -> None:
        await self.accept()
        [size] = {config.ws_max_size for config in gc.get_objects() if isinstance(config, uvicorn.Config)}
        offered = [name for name in self.scope["extensions"] if name.startswith("consumers")]
        await self.send(f"{', '.join(offered)}, {size}")

    async def receive(self, text_data: str) -> None:
        if text_data.startswith("wait "):
            await self.send("begun")
            await asyncio.sleep(float(text_data.split()[1]))
            await self.send("done")
            return
        await self.group_send("room", {"type": "chat.message", "text": text_data})


app = Member.as_asgi()
