"""The same, with frames that are sent at once, in the receiver's context and as its task."""

import asyncio

from consumers._aio.stepping import swap_current_task

from . import sketch

_DONE = object()


class Room(sketch.Room):
    async def broadcast(self, text: str) -> None:
        message = {"type": "websocket.send", "text": text}
        loop = asyncio.get_running_loop()
        current = asyncio.current_task(loop)
        for member in list(self.members.values()):
            if not member.waits:  # the sender itself
                self.hand_over(member, {"type": "room.message", "text": text})
                continue
            swap_current_task(loop, member.task)
            if member.context.run(next, member.send(dict(message)).__await__(), _DONE) is not _DONE:
                raise NotImplementedError("a frame that waits for its client to read")
        swap_current_task(loop, current)


class Adapter(sketch.Adapter):
    endpoints = ("room",)
    room_class = Room
