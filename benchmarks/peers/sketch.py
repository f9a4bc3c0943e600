"""This library's design and little else: how much of what the library costs is the design's, and what might be saved.

For each connection a reader, a worker in a task group, a scope for its handlers and a shielded one for its ending, a
queue, and a copy of each message. The worker goes on within the reader's step, and all that one message to the group
has woken go on in one callback of the event loop. There are no consumer classes, no limits, not even to the queue, no
log and no failures, and no handler or `send` may wait for something.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextvars import Context
from types import coroutine
from typing import Any

import anyio

from consumers._aio.stepping import swap_current_task

from . import Message, Peer, by_path

Handler = Callable[[Message], Awaitable[None]]


class Member:
    """A connection."""

    __slots__ = ("context", "ended", "messages", "send", "steps", "task", "waits")

    def __init__(self, send: Callable[[Message], Awaitable[None]]) -> None:
        self.send = send
        self.messages: list[Message] = []
        self.waits = False
        self.ended = asyncio.get_running_loop().create_future()
        self.task: asyncio.Task[Any]
        self.context: Context
        self.steps: Iterator[None]

    async def show(self, message: Message) -> None:
        """Send a text to the client: the handler of a message to the group, and that of an echo."""
        await self.send({"type": "websocket.send", "text": message["text"]})

    @coroutine
    def serve(self, on_frame: Handler) -> Iterator[None]:
        """Handle one message after the other, until the client disconnects."""
        messages = self.messages
        while True:
            while messages:
                message = messages.pop(0)
                if message["type"] == "websocket.receive":
                    yield from on_frame(message)
                elif message["type"] == "room.message":
                    yield from self.show(message)
                else:
                    self.ended.set_result(None)
                    return
            self.waits = True
            yield

    def go_on(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take the worker's next step, as its task and in its context."""
        swap_current_task(loop, self.task)
        self.context.run(next, self.steps, None)


class Reader:
    """Awaited, reads what comes from the client, and lets the worker go on before it waits."""

    def __init__(self, member: Member, receive: Callable[[], Awaitable[Message]]) -> None:
        self.member, self.receive = member, receive
        self.loop, self.task = asyncio.get_running_loop(), asyncio.current_task()

    def __await__(self) -> Iterator[Any]:
        steps, sent = self.read(), None
        while True:
            try:
                waits_for = steps.send(sent)
            except StopIteration:
                self.pause()
                return
            self.pause()
            sent = yield waits_for

    async def read(self) -> None:
        receive, messages = self.receive, self.member.messages
        while True:
            message = await receive()
            messages.append(message)
            if message["type"] == "websocket.disconnect":
                return

    def pause(self) -> None:
        member = self.member
        if member.waits and member.messages:
            member.waits = False
            member.go_on(self.loop)
            swap_current_task(self.loop, self.task)


class Room:
    """A group and the application that joins it."""

    def __init__(self) -> None:
        self.members: dict[int, Member] = {}
        self.woken: list[Member] = []

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        member = Member(send)
        opening = asyncio.get_running_loop().create_future()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.work, member, opening, anyio.CancelScope(shield=True))
            opening.set_result(await receive())
            await Reader(member, receive)

    async def work(self, member: Member, opening: asyncio.Future[Message], handlers: anyio.CancelScope) -> None:
        with handlers:
            member.task = asyncio.current_task()
            member.context = member.task.get_context()
            await opening
            await member.send({"type": "websocket.accept"})
            self.members[id(member)] = member
            member.steps = member.serve(self.handler(member))
            next(member.steps)
            await member.ended
        with anyio.CancelScope(shield=True):
            await self.leave(member)

    async def leave(self, member: Member) -> None:
        del self.members[id(member)]

    def handler(self, member: Member) -> Handler:
        """What handles a client's frame."""
        return lambda message: self.broadcast(message["text"])

    async def broadcast(self, text: str) -> None:
        message = {"type": "room.message", "text": text}
        for member in list(self.members.values()):
            self.hand_over(member, message)

    def hand_over(self, member: Member, message: Message) -> None:
        member.messages.append(dict(message))
        if member.waits:
            member.waits = False
            if not self.woken:
                asyncio.get_running_loop().call_soon(self.turn)
            self.woken.append(member)

    def turn(self) -> None:
        woken, self.woken = self.woken, []
        loop = asyncio.get_running_loop()
        for member in woken:
            member.go_on(loop)
        swap_current_task(loop, None)


class Echo(Room):
    def handler(self, member: Member) -> Handler:
        return member.show


class Adapter(Peer):
    packages = ("anyio",)
    endpoints = ("echo", "room", "crowd")
    room_class = Room

    def __init__(self) -> None:
        self.room = self.room_class()
        self.app = by_path({"echo": Echo(), "room": self.room, "crowd": Room()})

    async def broadcast(self, text: str) -> None:
        await self.room.broadcast(text)
