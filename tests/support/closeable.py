"""Consumers in one group, `user.7`, which is to be closed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio

from consumers import AsyncWebsocketConsumer, SyncConsumer, close_group
from consumers.types import Message

from .wire import Wire, start

REASON = "you were logged out"
NOTICE = {"type": "consumers.close", "code": 4001, "reason": REASON}
CLOSED = {"type": "websocket.close", "code": 4001, "reason": REASON}


async def kick() -> None:
    await close_group("user.7", 4001, REASON)


class Noted:
    """Notes the codes that `disconnect()` gets."""

    codes: list[int]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.codes = []


class Member(Noted, AsyncWebsocketConsumer):
    groups = ["user.7"]

    async def disconnect(self, code: int) -> None:
        self.codes.append(code)


def a_member(base: type[Any], **attributes: Any) -> type[Any]:
    """Return a consumer class that is in the group."""

    class OneMember(Noted, base):  # type: ignore[misc]
        groups = ["user.7"]

    if issubclass(base, SyncConsumer):
        OneMember.disconnect = lambda self, code: self.codes.append(code)
    else:
        OneMember.disconnect = Member.disconnect
    for name, value in attributes.items():
        setattr(OneMember, name, value)
    return OneMember


async def expect_close(wire: Wire, event: Message = CLOSED) -> None:
    """Read up to the close frame, and wait until the application has returned."""
    while (got := await wire.next())["type"] != "websocket.close":
        pass
    assert got == event
    await wire.end()
    assert wire.error is None


@asynccontextmanager
async def members(*classes: type[Any]) -> AsyncIterator[list[Wire]]:
    """Connect a client to each of these; at the end of the block those that are left disconnect."""
    wires = [Wire() for _ in classes]
    async with anyio.create_task_group() as tasks:
        for wire, consumer in zip(wires, classes, strict=True):
            start(tasks, wire, consumer.as_asgi())
            await wire.accepted()
        yield wires
        for wire in wires:
            wire.disconnect()
            await wire.end()
