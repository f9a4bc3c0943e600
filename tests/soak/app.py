"""The application under test: rooms in which every message is told to all, and a note of everything that happens."""

import asyncio
import logging
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from redis.exceptions import RedisError, TimeoutError
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute

from consumers import AsyncWebsocketConsumer, channel_layers, lifespan
from consumers._aio.sharing import Connection
from consumers._connection.shared import EXTENSION
from consumers.layers.redis import RedisChannelLayer, RedisPubSubChannelLayer
from consumers.relays import _Value as Value
from consumers.types import ASGIApp, Message, Receive, Scope, Send

from .records import Kind, Recorder
from .wire import payload_of

GROUP = "soak.room."

SLOWNESS = 0.03
"""Seconds that a slow consumer's handler takes for a message."""

AWAY = 4000
"""The close code for a client whose room cannot be joined."""


class Planned(Exception):
    """Raised by a handler because its client asked for it."""


PLANNED = (Planned, UnicodeDecodeError)
"""What is logged as an error because a client wants it so: uvicorn logs a text that is no UTF-8."""


class Counts:
    """What one connection has done so far."""

    __slots__ = ("conn", "dropped", "handled", "read", "sent")

    def __init__(self, conn: int) -> None:
        self.conn = conn
        self.read = self.handled = self.sent = self.dropped = 0


class Noting:
    """Makes a Redis layer note what arrives; the layers below inherit from it first."""

    record: Recorder

    def _make_process(self, settings: Any) -> Any:
        process = super()._make_process(settings)  # type: ignore[misc]
        deliver = process.local.deliver

        def noted(
            message: Message, channels: Iterable[str] = (), groups: Iterable[str] = (), excluded: Iterable[str] = ()
        ) -> int:
            for group in groups:
                self.record(Kind.ARRIVED, a=message["of"], b=message["number"], room=int(group.removeprefix(GROUP)))
            return int(deliver(message, channels, groups, excluded))

        process.local.deliver = noted
        return process

    def dropped_for(self, channel: str) -> int:
        """Return how many messages a channel's mailbox has had no room for."""
        receiver = self._process.local._receivers.get(channel)  # type: ignore[attr-defined]
        return 0 if receiver is None or receiver.missed is None else int(receiver.missed.count)


class NotingPubSubLayer(Noting, RedisPubSubChannelLayer):
    """The pub/sub layer, noted."""


class NotingQueueLayer(Noting, RedisChannelLayer):
    """The queue layer, noted."""


LAYERS: dict[str, type[Any]] = {"pubsub": NotingPubSubLayer, "queue": NotingQueueLayer}


class SoakConsumer(AsyncWebsocketConsumer):
    """A member of rooms. A client says `say ROOM NUMBER …`, `join ROOM`, `leave ROOM`, `bye` or `crash`."""

    record: Recorder

    async def websocket_connect(self, message: Message) -> None:
        self.tally: Counts = self.scope["soak"]
        self.tally.handled += 1
        self.record(Kind.OPENED, self.tally.conn)
        self.is_slow = self.scope["path_params"].get("manner") == "slow"
        self.rooms: set[int] = set()
        await super().websocket_connect(message)

    async def connect(self) -> None:
        if await self._join(self.scope["path_params"]["room"]):
            await self.accept()
        else:
            await self.close(AWAY)

    async def websocket_receive(self, message: Message) -> None:
        self.tally.handled += 1
        await super().websocket_receive(message)

    async def receive(self, text_data: str) -> None:
        what, *arguments = text_data.split(" ", 3)
        match what:
            case "say":
                await self._say(int(arguments[0]), int(arguments[1]), text_data)
            case "join":
                await self._join(int(arguments[0]))
            case "leave":
                await self._leave(int(arguments[0]))
            case "bye":
                await self.close(4001)
            case "crash":
                raise Planned

    async def soak_said(self, event: Message) -> None:
        self.record(Kind.GOT, self.tally.conn, event["of"], event["number"])
        if self.is_slow:
            await asyncio.sleep(SLOWNESS)
        await self._tell(event["text"])

    async def layer_gap(self, event: Message) -> None:
        if event["group"] is None:  # else it is one group's, besides: Redis was killed, and all are told of that
            self.record(Kind.GOT, self.tally.conn)
            await self._tell("said 0 0")

    async def on_error(self, exc: Exception, message: Message | None) -> None:
        self.record(Kind.ENDING, self.tally.conn)
        raise exc

    async def disconnect(self, code: int) -> None:
        self.tally.dropped = self.channel_layer.dropped_for(self.channel_name)  # type: ignore[union-attr]
        for room in list(self.rooms):
            await self._leave(room)

    async def _tell(self, text: str) -> None:
        await self.send(text_data=text)
        self.tally.sent += 1

    async def _say(self, room: int, number: int, text: str) -> None:
        conn, outcome = self.tally.conn, Kind.UNKNOWN
        self.record(Kind.PUBLISH, conn, number, room=room)
        try:
            event = {"type": "soak.said", "of": conn, "number": number, "text": f"said {conn} {number} {text}"}
            await self.channel_layer.group_send(f"{GROUP}{room}", event)
            outcome = Kind.PUBLISHED
        except TimeoutError:  # Redis may execute it yet
            pass
        except RedisError:
            outcome = Kind.REFUSED
        finally:
            self.record(outcome, conn, number, room=room)

    async def _join(self, room: int) -> bool:
        self.record(Kind.JOINING, self.tally.conn, room=room)
        self.rooms.add(room)
        try:
            await self.channel_layer.group_add(f"{GROUP}{room}", self.channel_name)
        except RedisError:
            self.record(Kind.NOT_JOINED, self.tally.conn, room=room)
            self.rooms.discard(room)
            return False
        self.record(Kind.JOINED, self.tally.conn, room=room)
        return True

    async def _leave(self, room: int) -> None:
        self.record(Kind.LEAVING, self.tally.conn, room=room)
        self.rooms.discard(room)
        with suppress(RedisError):
            await self.channel_layer.group_discard(f"{GROUP}{room}", self.channel_name)


class NotedRelay(Value):
    """A relay that notes which messages take the handlers' way; `Watched` notes the others."""

    async def send(self, consumer: Any, event: Message) -> None:
        consumer.record(Kind.GOT, consumer.tally.conn, event["of"], event["number"])
        await super().send(consumer, event)
        consumer.tally.sent += 1


class SharingConsumer(SoakConsumer):
    """A member to whom the server writes what is said, wherever it can."""

    soak_said: Any = NotedRelay("text")


class NotedConnection:
    """The server's side of a connection, which notes the shared frames that it is given.

    Args:
        connection: the server's own.
        note: is told whose message a frame is, and its number.
    """

    def __init__(self, connection: Connection, note: Callable[[int, int], None]) -> None:
        self._connection = connection
        self._note = note

    @property
    def takes_frames(self) -> bool:
        return self._connection.takes_frames

    def write_all(self, connections: list["NotedConnection"], frame: bytes) -> None:
        _, conn, number, *_ = payload_of(frame).split(b" ", 3)
        for each in connections:
            each._note(int(conn), int(number))
        self._connection.write_all([each._connection for each in connections], frame)


class Watched:
    """Notes what passes between a server and an application.

    Args:
        app: the application.
        record: where to.

    Attributes:
        open: how many connections there are now.
        most: how many there have been at once.
        shared: how many frames went past the handlers.
    """

    def __init__(self, app: ASGIApp, record: Recorder) -> None:
        self._app = app
        self._record = record
        self.open = self.most = self.shared = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application."""
        if scope["type"] != "websocket":
            await self._app(scope, receive, send)
            return
        record, tally = self._record, Counts(int(scope["path"].split("/")[2]))
        scope["soak"] = tally

        async def noted_receive() -> Message:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                record(Kind.ENDING, tally.conn)
            else:
                tally.read += 1
            return message

        def note(conn: int, number: int) -> None:
            record(Kind.GOT, tally.conn, conn, number)
            tally.sent += 1
            self.shared += 1

        extension = scope["extensions"][EXTENSION]
        extension["connection"] = NotedConnection(extension["connection"], note)
        record(Kind.OPENING, tally.conn)
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            await self._app(scope, noted_receive, send)
        finally:
            self.open -= 1
            record(Kind.COUNTS, tally.conn, tally.read, tally.handled)
            record(Kind.ENDED, tally.conn, tally.dropped, tally.sent)


class LogWatch(logging.Handler):
    """Reads in the log which connections are ended by a limit, and what they drop; keeps errors that nobody planned.

    Args:
        record: where to note that.
    """

    DROPPED = re.compile(r"at '/soak/(\d+)/.* ended with .*cancelled: (\d+), waiting messages dropped: (\d+)")
    CLOSED = re.compile(r"at '/soak/(\d+)/.* is closed with")

    def __init__(self, record: Recorder) -> None:
        super().__init__()
        self._record = record
        self.errors: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if dropped := self.DROPPED.search(text):
            conn, cancelled, waiting = map(int, dropped.groups())
            self._record(Kind.WAITING, conn, waiting, cancelled)
        elif closed := self.CLOSED.search(text):
            self._record(Kind.ENDING, int(closed[1]))
        error = record.exc_info[1] if record.exc_info else None
        if record.levelno >= logging.ERROR and not isinstance(error, PLANNED):
            what = "" if error is None else repr(error)
            self.errors.append(f"{record.name}: {text.strip()} {what}")


def make(url: str, kind: str, record: Recorder) -> tuple[Watched, Any]:
    """Return the application and its channel layer.

    Args:
        url: Redis'.
        kind: "pubsub" or "queue".
        record: where to note what happens.
    """
    layer = LAYERS[kind]([url], on_disconnect=lambda: record(Kind.DOWN), timeout=3)
    layer.record = SoakConsumer.record = record
    channel_layers.configure({"default": layer})
    routes = [
        WebSocketRoute("/soak/{conn:int}/{room:int}/shared", SharingConsumer.as_asgi()),
        WebSocketRoute("/soak/{conn:int}/{room:int}/{manner}", SoakConsumer.as_asgi()),
    ]
    return Watched(Starlette(routes=routes, lifespan=lifespan), record), layer
