"""An endpoint that notes what happens to it, and servers for endpoints: two memory streams, and a real uvicorn."""

import asyncio
import math
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import anyio
import anyio.lowlevel
import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from consumers.endpoint import BaseWSEndpoint
from consumers.types import Message


class Server:
    """An ASGI server for one connection."""

    def __init__(self, endpoint: type[BaseWSEndpoint]) -> None:
        self.endpoint = endpoint
        self.to_app, self.receive = anyio.create_memory_object_stream[Message](math.inf)
        self.send, self.from_app = anyio.create_memory_object_stream[Message](math.inf)
        self.scope = anyio.CancelScope()
        self.ended = anyio.Event()
        self.error: BaseException | None = None
        self.gone = False
        self.native_cancel: Callable[[], object] = lambda: None
        self.before_close: Callable[[], Awaitable[object]] = anyio.lowlevel.checkpoint

    async def serve(self) -> None:
        with self.scope:
            try:
                await self.endpoint({"type": "websocket", "headers": []}, self.receive.receive, self._send)
            except Exception as exc:
                self.error = exc
        self.ended.set()

    async def serve_in_a_native_task(self) -> None:
        task = asyncio.create_task(self.serve())
        self.native_cancel = task.cancel
        with anyio.CancelScope(shield=True):
            await asyncio.wait([task])
        self.ended.set()

    async def _send(self, message: Message) -> None:
        await anyio.lowlevel.checkpoint()
        if self.gone:
            raise OSError("the client has gone")
        if message["type"] == "websocket.close":
            assert isinstance(message["code"], int)
            assert isinstance(message["reason"], str)
            await self.before_close()
        self.send.send_nowait(message)

    def connect(self) -> None:
        self.to_app.send_nowait({"type": "websocket.connect"})

    def text(self, text: str) -> None:
        self.to_app.send_nowait({"type": "websocket.receive", "text": text})

    def disconnect(self, code: int = 1001) -> None:
        self.to_app.send_nowait({"type": "websocket.disconnect", "code": code, "reason": ""})

    async def event(self) -> Message:
        with anyio.fail_after(5):
            return await self.from_app.receive()

    async def end(self) -> list[Message]:
        """Wait for the endpoint's end and return the events not yet seen."""
        with anyio.fail_after(5):
            await self.ended.wait()
        return [self.from_app.receive_nowait() for _ in range(self.from_app.statistics().current_buffer_used)]


@asynccontextmanager
async def served(endpoint: type[BaseWSEndpoint], native: bool = False) -> AsyncIterator[Server]:
    server = Server(endpoint)
    with server.to_app, server.receive, server.send, server.from_app:
        async with anyio.create_task_group() as group:
            group.cancel_scope.deadline = anyio.current_time() + 10
            group.start_soon(server.serve_in_a_native_task if native else server.serve)
            server.connect()
            yield server
            server.scope.cancel()


@asynccontextmanager
async def accepted(endpoint: type[BaseWSEndpoint], native: bool = False) -> AsyncIterator[Server]:
    async with served(endpoint, native) as server:
        assert (await server.event())["type"] == "websocket.accept"
        yield server


class Noted(BaseWSEndpoint):
    """Notes what happens in `seen`. Data "wait" waits for ever, "raise" raises, everything else is
    returned."""

    encoding = "text"
    seen: list[Any]
    started: anyio.Event

    def __init_subclass__(cls) -> None:
        cls.seen = []

    async def on_connect(self, websocket: WebSocket) -> None:
        type(self).started = anyio.Event()
        await super().on_connect(websocket)

    async def _background_handler(self, task_id: str, websocket: WebSocket, data: Any) -> Any:
        if data == "raise":
            raise LookupError(data)
        if data == "wait":
            self.started.set()
            try:
                await anyio.sleep_forever()
            finally:
                self.seen.append("cancelled")
        await websocket.send_text(data)
        return data

    async def _unregister_background_task(self, task_id: str, websocket: WebSocket, task_result: Any) -> None:
        await anyio.lowlevel.checkpoint()
        self.seen.append(("unregistered", task_result))

    async def on_disconnect(self, websocket: WebSocket, close_code: int) -> None:
        await anyio.lowlevel.checkpoint()
        self.seen.append(("disconnected", close_code))


@contextmanager
def uvicorn_serving(endpoint: type[BaseWSEndpoint], protocol: Any) -> Iterator[str]:
    app = Starlette(routes=[WebSocketRoute("/", endpoint)])
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, ws=protocol, lifespan="off", log_config=None))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def wait_for(condition: Callable[[], bool]) -> None:
    """Look every 5 ms, for 5 s: what is looked for happens in the server's thread."""
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
