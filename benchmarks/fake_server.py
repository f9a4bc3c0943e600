"""A server without sockets: `receive` and `send` as cheap as Python allows, the same for every application."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Self

from .peers import OURS, Message, Peer

STEPS = 10_000
"""How often the loop may turn until all connections wait for a message of the client."""


class MissingFrame(Exception):
    """A frame that was expected did not come, or came twice, or came with another content."""


class Counts:
    """Counts frames down and calls `on_complete` at the last one."""

    __slots__ = ("on_complete", "remaining")

    def __init__(self, remaining: int = 0, on_complete: Callable[[], None] = lambda: None) -> None:
        self.remaining = remaining
        self.on_complete = on_complete

    def expect(self, frames: int) -> asyncio.Future[None]:
        """The future that is done after so many frames."""
        complete = asyncio.get_running_loop().create_future()
        self.remaining = frames
        self.on_complete = lambda: complete.set_result(None)
        return complete


class Connection:
    """One client's connection to an application.

    Args:
        peer: whose application.
        endpoint: which of its endpoints.
        on_ready: called when the client counts as connected.
    """

    __slots__ = (
        "_backlog",
        "_loop",
        "_peer",
        "_waiter",
        "frames",
        "left",
        "on_ready",
        "scope",
        "tally",
        "task",
        "text",
    )

    def __init__(self, peer: Peer, endpoint: str, on_ready: Callable[[], None] = lambda: None) -> None:
        path, _, query = peer.target(endpoint).partition("?")
        self.scope = {
            "type": "websocket",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": "ws",
            "server": ("127.0.0.1", 80),
            "client": ("127.0.0.1", 50000),
            "root_path": "",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [
                (b"host", b"127.0.0.1"),
                (b"connection", b"Upgrade"),
                (b"upgrade", b"websocket"),
                (b"sec-websocket-version", b"13"),
            ],
            "subprotocols": [],
            "state": {},
            "extensions": {"websocket.http.response": {}},
        }
        if peer.protocol == OURS:
            self.scope["extensions"] = {"consumers.frame": {"encode": lambda text: text, "connection": self}}
        self._peer = peer
        self._loop = asyncio.get_running_loop()
        self._backlog: deque[Message] = deque([{"type": "websocket.connect"}])
        self._waiter: asyncio.Future[None] | None = None
        self.on_ready = on_ready
        self.left = 0
        self.text = ""
        self.frames: list[str] = []
        self.tally = Counts(peer.opening, self._on_opening)
        self.task = self._loop.create_task(self._run())

    @property
    def is_parked(self) -> bool:
        """Whether the application waits for a message of the client."""
        return self._waiter is not None and not self._waiter.done()

    def feed(self, text: str) -> None:
        """Let the client send one text."""
        self._feed({"type": "websocket.receive", "text": text})

    def feed_many(self, text: str, count: int) -> None:
        """Let the client send the same text several times, without waiting for anything."""
        self.text = text
        self.left = count - 1
        self.feed(text)

    def disconnect(self) -> None:
        """Let the client close the connection."""
        self._feed({"type": "websocket.disconnect", "code": 1000, "reason": ""})

    async def receive(self) -> Message:
        if self.left and not self._backlog:
            self.left -= 1
            return {"type": "websocket.receive", "text": self.text}
        if not self._backlog:
            self._waiter = self._loop.create_future()
            await self._waiter
        return self._backlog.popleft()

    async def send(self, message: Message) -> None:
        if message["type"] == "websocket.send":
            self.frames.append(message["text"])
            tally = self.tally
            tally.remaining -= 1
            if not tally.remaining:
                tally.on_complete()
        elif message["type"] == "websocket.accept":
            for text in self._peer.hello:
                self.feed(text)
            if not self._peer.opening:
                self.on_ready()

    takes_frames = True

    def write_all(self, connections: list["Connection"], text: str) -> None:
        """Take a frame that members share: here a frame is its text."""
        for connection in connections:
            connection.frames.append(text)
            tally = connection.tally
            tally.remaining -= 1
            if not tally.remaining:
                tally.on_complete()

    async def _run(self) -> None:
        await self._peer.app(self.scope, self.receive, self.send)

    def _feed(self, message: Message) -> None:
        self._backlog.append(message)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _on_opening(self) -> None:
        self.frames.clear()
        self.on_ready()


class Members:
    """Connections to one endpoint that share a tally.

    Args:
        peer: whose application.
        endpoint: which of its endpoints.
        count: how many connections.
    """

    def __init__(self, peer: Peer, endpoint: str, count: int) -> None:
        self._peer, self._endpoint, self._count = peer, endpoint, count
        self.connections: list[Connection] = []
        self.tally = Counts()

    async def __aenter__(self) -> Self:
        ready = Counts()
        everyone = ready.expect(self._count)

        def count_down() -> None:
            ready.remaining -= 1
            if not ready.remaining:
                ready.on_complete()

        self.connections = [Connection(self._peer, self._endpoint, count_down) for _ in range(self._count)]
        await everyone
        await self.park()
        for connection in self.connections:
            connection.tally = self.tally
        return self

    async def __aexit__(self, *_: object) -> None:
        for connection in self.connections:
            connection.disconnect()
        tasks = [connection.task for connection in self.connections]
        self.connections = []
        await asyncio.gather(*tasks)

    async def park(self) -> None:
        """Wait until every connection's application waits for its client."""
        for _ in range(STEPS):
            if all(connection.is_parked for connection in self.connections):
                return
            await asyncio.sleep(0)
        raise MissingFrame(f"after {STEPS} turns of the loop not every connection waits for its client")

    def take(self, expected: list[str]) -> None:
        """Forget the frames that have come, after checking that each connection got exactly the expected ones."""
        for connection in self.connections:
            require(connection.frames, expected)
            connection.frames.clear()


def require(frames: list[Any], expected: list[str]) -> None:
    """Fail if the frames are not exactly the expected ones.

    Raises:
        MissingFrame: with how many came and the first that differs.
    """
    if frames != expected:
        differing = next(((a, b) for a, b in zip(frames, expected, strict=False) if a != b), "none")
        raise MissingFrame(f"{len(frames)} frames came, {len(expected)} were expected; first that differs: {differing}")
