"""Stands beside Redis, before any proxy, and notes in which order it takes messages."""

import asyncio
from collections.abc import Sequence
from typing import Any

from redis.asyncio import Connection
from redis.exceptions import ConnectionError

from consumers.layers._history import Position
from consumers.layers.codec import Codec
from consumers.layers.redis.history_scripts import MARK, keys_of

from ..support.redis_server import RedisServer
from .steps import NOBODY
from .truth import Truth, position_of

PREFIX = "asgi"
CONTROL = f"{PREFIX}{MARK}"


class Witness:
    """Hears everything that is published, and reads the logs each time that Redis begins.

    Args:
        server: Redis.
        groups: the groups.

    Attributes:
        truth: what it has seen.
    """

    def __init__(self, server: RedisServer, groups: Sequence[str]) -> None:
        self.truth = Truth()
        self._server = server
        self._codec = Codec("msgpack")
        self._groups = groups
        self._told: tuple[Position, Position] | None = None
        self._hearing: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Hear a Redis that has just started, once the last words of the one before are heard.

        Nobody has written to it yet.
        """
        await self.end()
        connection = Connection(host="127.0.0.1", port=self._server.port, protocol=2, socket_timeout=None)
        await connection.connect()  # type: ignore[no-untyped-call]
        await connection.send_command("PSUBSCRIBE", f"{PREFIX}__*")
        await connection.read_response(disable_decoding=True)
        self._told = None
        self._hearing = asyncio.create_task(self._hear(connection))
        await asyncio.to_thread(self._read_logs)

    async def end(self) -> None:
        """Hear the last words of a Redis that was killed."""
        if self._hearing is not None:
            await self._hearing

    def places(self) -> dict[str, Position]:
        """Return where each group is, as Redis says now; blocks."""
        found = {}
        with self._server.client() as client:
            for group in self._groups:
                epoch, tag, offset = client.hmget(keys_of(PREFIX, group).place, "epoch", "tag", "offset")
                if epoch is not None:
                    found[group] = Position(epoch, tag, int(offset))
        return found

    def _read_logs(self) -> None:
        places = self.places()
        with self._server.client(decode_responses=False) as client:
            for group, place in places.items():
                before: Position | None = None
                for name, fields in client.xrange(keys_of(PREFIX, group).log):
                    here = Position(place.epoch, fields[b"t"].decode(), int(name.partition(b"-")[0]))
                    if b"m" in fields:
                        self._note(here, fields[b"m"], before)
                    before = here

    async def _hear(self, connection: Connection) -> None:
        try:
            while True:
                reply: Any = await connection.read_response(disable_decoding=True)
                if reply[0] == b"pmessage":
                    self._take(reply[2].decode(), reply[3])
        except (ConnectionError, OSError):
            await connection.disconnect(nowait=True)

    def _take(self, channel: str, data: bytes) -> None:
        if channel.startswith(CONTROL):
            text, tag, _ = data.decode().split(" ")
            place = position_of(text)
            self._told = place, Position(place.epoch, tag, place.offset - 1)
        elif self._told is not None:
            (place, before), self._told = self._told, None
            self._note(place, data, before)

    def _note(self, place: Position, payload: bytes, before: Position | None) -> None:
        message = self._codec.decode(payload)
        self.truth.add(place, (message["of"], message["number"]), message.get("by", NOBODY), before)
