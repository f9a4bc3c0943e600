"""A stand-in for an ASGI server: scripts what a client does and records what it gets."""

from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from consumers.types import ASGIApp, Message, Scope

PATIENCE = 5.0  # seconds until a test gives up waiting

# Before 4.16 anyio forgets a native cancellation that comes while a task group of the same task is being cancelled.
KEEPS_NATIVE_CANCELLATIONS = tuple(map(int, version("anyio").split(".")[:2])) >= (4, 16)


class Queue:
    """Events in order; unlike anyio's memory streams it need not be closed."""

    def __init__(self) -> None:
        self._events: deque[Message] = deque()
        self._arrived = anyio.Event()

    def __len__(self) -> int:
        return len(self._events)

    def put(self, event: Message) -> None:
        self._events.append(event)
        self._arrived.set()

    async def get(self) -> Message:
        await anyio.lowlevel.checkpoint()
        while not self._events:
            self._arrived = anyio.Event()
            await self._arrived.wait()
        return self._events.popleft()


class Wire:
    """Both directions of one connection.

    `hold_sends` makes every send wait, as for a client that does not read; `gone` makes it fail, as for a client
    that has vanished.
    """

    def __init__(self) -> None:
        self._to_app = Queue()
        self._from_app = Queue()
        self.receive_calls = 0
        self.sends = 0
        self.sent: list[Message] = []
        self.gone = False
        self.hold_sends: anyio.Event | None = None
        self.finished = anyio.Event()
        self.error: BaseException | None = None
        self.scope: anyio.CancelScope | None = None

    async def app_receive(self) -> Message:
        self.receive_calls += 1
        return await self._to_app.get()

    async def app_send(self, event: Message) -> None:
        self.sends += 1
        if self.hold_sends is not None:
            await self.hold_sends.wait()
        if self.gone:
            raise OSError("the client has gone")
        self.sent.append(event)
        self._from_app.put(event)

    def scope_of(self, **fields: Any) -> Scope:
        return websocket_scope(**fields)

    def event(self, event: Message) -> None:
        self._to_app.put(event)

    def client(self, kind: str, **fields: Any) -> None:
        self.event({"type": f"websocket.{kind}", **fields})

    def text(self, text: str) -> None:
        self.client("receive", text=text)

    def disconnect(self, code: int = 1000) -> None:
        self.client("disconnect", code=code)

    async def next(self) -> Message:
        with anyio.fail_after(PATIENCE):
            return await self._from_app.get()

    async def next_text(self) -> str:
        event = await self.next()
        assert event["type"] == "websocket.send", event
        return str(event["text"])

    async def accepted(self) -> None:
        event = await self.next()
        assert event["type"] == "websocket.accept", event

    async def end(self) -> None:
        """Wait until the application has returned."""
        with anyio.fail_after(PATIENCE):
            await self.finished.wait()

    @property
    def everything_is_read(self) -> bool:
        return not self._to_app

    @property
    def close_code(self) -> int | None:
        return next((event["code"] for event in self.sent if event["type"] == "websocket.close"), None)


def websocket_scope(**fields: Any) -> Scope:
    return {"type": "websocket", "path": "/ws", "headers": [], "subprotocols": [], **fields}


async def run_app(wire: Wire, app: ASGIApp, scope: Scope) -> None:
    """Run `app` as a server's task; `wire.scope` cancels it as anyio's servers do."""
    try:
        with anyio.CancelScope() as wire.scope:
            await app(scope, wire.app_receive, wire.app_send)
    except Exception as error:
        wire.error = error
    finally:
        wire.finished.set()


@asynccontextmanager
async def connecting(app: ASGIApp, **scope: Any) -> AsyncIterator[Wire]:
    """Run `app` for a client that has sent its handshake; on leaving, the client disconnects and no task is left."""
    wire = Wire()
    tasks_before = len(anyio.get_running_tasks())
    async with anyio.create_task_group() as tasks:
        start(tasks, wire, app, **scope)
        try:
            yield wire
            wire.disconnect()
            await wire.end()
        finally:
            tasks.cancel_scope.cancel()
    await eventually(lambda: len(anyio.get_running_tasks()) <= tasks_before)  # a layer may end what it does for itself


@asynccontextmanager
async def connected(app: ASGIApp, **scope: Any) -> AsyncIterator[Wire]:
    """As `connecting`, past the accept."""
    async with connecting(app, **scope) as wire:
        await wire.accepted()
        yield wire


def start(tasks: TaskGroup, wire: Wire, app: ASGIApp, **scope: Any) -> None:
    wire.client("connect")
    tasks.start_soon(run_app, wire, app, wire.scope_of(**scope))


async def eventually(condition: Callable[[], Any]) -> None:
    """Let the other tasks run until `condition` holds."""
    with anyio.fail_after(PATIENCE):
        while not condition():
            await anyio.lowlevel.checkpoint()
