"""A server that writes shared frames, for consumers in the test's own process."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import anyio

from consumers._connection.shared import EXTENSION
from consumers.types import ASGIApp, Scope

from .wire import Wire, start


class SharingWire(Wire):
    """A client of such a server.

    Attributes:
        written: the payloads of the frames that went past `send`.
        is_paused: whether the server takes no frame now.
    """

    # It is the extension's "connection", too.

    def __init__(self) -> None:
        super().__init__()
        self.written: list[str | bytes] = []
        self.is_paused = False

    def scope_of(self, **fields: Any) -> Scope:
        extensions = {EXTENSION: {"encode": encode, "connection": self}}
        return super().scope_of(**{"extensions": extensions, **fields})

    @property
    def takes_frames(self) -> bool:
        is_accepted = any(event["type"] == "websocket.accept" for event in self.sent)
        is_held = self.hold_sends is not None and not self.hold_sends.is_set()
        return is_accepted and self.close_code is None and not (self.is_paused or is_held or self.gone)

    def write_all(self, connections: list["SharingWire"], frame: bytes) -> None:
        for connection in connections:
            connection.write(frame)

    def write(self, frame: bytes) -> None:
        assert self.takes_frames
        content: str | bytes = frame[1:].decode() if frame[:1] == b"T" else frame[1:]
        self.written.append(content)
        event = {"type": "websocket.send", "text" if isinstance(content, str) else "bytes": content}
        self.sent.append(event)
        self._from_app.put(event)

    async def next_content(self) -> str | bytes:
        """Return the payload of the next frame, whichever way it has come."""
        event = await self.next()
        assert event["type"] == "websocket.send", event
        content: str | bytes = event["bytes"] if event.get("text") is None else event["text"]
        return content


encoded: list[str | bytes] = []
"""What the server has encoded; see `test_shared`."""


def encode(content: str | bytes) -> bytes:
    encoded.append(content)
    return b"T" + content.encode() if isinstance(content, str) else b"B" + content


@asynccontextmanager
async def sharing(
    *apps: ASGIApp, offers: bool = True, accepted: bool = True, **scope: Any
) -> AsyncIterator[list[SharingWire]]:
    """Connect a client to each application; with `offers=False` the server has no such extension."""
    encoded.clear()
    async with AsyncExitStack() as stack:
        wires = [await stack.enter_async_context(_sharing(app, offers, accepted, scope)) for app in apps]
        await anyio.wait_all_tasks_blocked()
        yield wires


@asynccontextmanager
async def _sharing(app: ASGIApp, offers: bool, accepted: bool, scope: dict[str, Any]) -> AsyncIterator[SharingWire]:
    wire = SharingWire()
    extensions: dict[str, Any] = {} if offers else {"extensions": {}}
    async with anyio.create_task_group() as tasks:
        start(tasks, wire, app, **extensions, **scope)
        try:
            if accepted:
                await wire.accepted()
            yield wire
            wire.disconnect()
            await wire.end()
        finally:
            tasks.cancel_scope.cancel()


def replacing(name: str, on_instance: bool, method: Callable[..., Any]) -> dict[str, Any]:
    """Return what a class needs to have another method of this name: of its own, or of each instance's."""
    if not on_instance:
        return {name: method}

    async def connect(self: Any) -> None:
        setattr(self, name, method.__get__(self))
        await self.accept()

    return {"connect": connect}
